//! The command line: the same things that the service does, for a person or a script. It works directly on the
//! database and the backup directory, under the locks that a running service takes too, or with `--url` through a
//! running service.

mod args;
mod backend;
mod commands;
mod direct;
mod environment;
mod failure;
mod file;
mod follow;
mod inference;
mod output;
mod progress;
mod prompt;
mod remote;
mod render;
mod reset;
mod schedule;
mod table;
mod view;

use std::{process::ExitCode, time::Duration};

use clap::Parser as _;

use recovery_core::VerifyLevel;

pub use args::{Arguments, Command, EnvAction, Global};
pub use failure::{Failure, Status};
pub use inference::{Drain, InferenceAction};

use crate::{
    logging,
    settings::{self, Loaded, Settings},
};
use backend::{Backend, Task};
use commands::Session;
use direct::Direct;
use output::Output;
use remote::Remote;

/// Does what the arguments say, and tells how it went.
async fn run(arguments: Arguments) -> ExitCode {
    let mut output = Output::new(&arguments.global);
    match dispatch(arguments, &mut output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.status.into()
        }
    }
}

/// The program: reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Two threads: dumping and loading happen in PostgreSQL's own programs, and each thread costs memory.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let status = runtime.block_on(run(arguments));
            // What was left in a hurry gets a moment to end its programs; a thread that reads a large file is not
            // waited for.
            runtime.shutdown_timeout(Duration::from_secs(1));
            status
        }
        Err(error) => cannot_start(&error),
    }
}

/// Tells that the process lacks what it needs to do anything at all.
fn cannot_start(error: &std::io::Error) -> ExitCode {
    let failure = Failure::unavailable("The threads of the program cannot be started.").caused_by(error);
    Output::new(&Global { verbose: true, ..Global::default() }).failure(&failure);
    failure.status.into()
}

async fn dispatch(arguments: Arguments, output: &mut Output) -> Result<(), Failure> {
    let Arguments { global, command } = arguments;
    match &command {
        Command::Config { reference: true } => return output.print(&settings::reference()),
        Command::Openapi => return output.print(&crate::http::openapi_json()),
        Command::Serve if global.url.is_some() => {
            return Err(Failure::usage("`serve` runs the service here; --url means another one."));
        }
        _ => {}
    }
    // Not left to clap: it does not see an option before the command and one after it together.
    if global.secret_file.is_some() && global.url.is_none() {
        return Err(Failure::usage("--secret-file has a meaning only with --url."));
    }
    let Loaded { settings, effective } = Settings::load()?;
    match command {
        Command::Config { .. } => output.result(&effective, || render::settings(&effective)),
        Command::Serve => {
            logging::start(&settings.log_level, settings.log_format);
            crate::http::run(settings).await.map_err(failure::of)
        }
        command => {
            if global.verbose {
                logging::start(&settings.log_level, settings.log_format);
            }
            let backend = backend(&global, &settings).await?;
            work(command, &settings, backend.as_ref(), output).await
        }
    }
}

async fn backend(global: &Global, settings: &Settings) -> Result<Box<dyn Backend>, Failure> {
    let Some(url) = &global.url else { return Ok(Box::new(Direct::open(settings).await?)) };
    let secret = match &global.secret_file {
        Some(path) => Some(remote::secret_of_file(path)?),
        None => settings.admin_secret.clone(),
    };
    Ok(Box::new(Remote::new(url, secret.as_ref())?))
}

async fn work(
    command: Command,
    settings: &Settings,
    backend: &dyn Backend,
    output: &mut Output,
) -> Result<(), Failure> {
    let name = |file: &std::path::Path| file::backup_name(file, &settings.backup_dir);
    let mut session = Session { backend, output };
    match command {
        Command::Backup => session.backup().await,
        Command::Backups => session.backups().await,
        Command::Verify { file, level, restore } => {
            let level = if restore { VerifyLevel::Restore } else { level.into() };
            session.verify(Task::Verify(name(&file)?, level)).await
        }
        Command::Restore { file, yes } => session.restore(name(&file)?, yes).await,
        Command::Restores => session.restores().await,
        Command::Rollback { id, yes } => session.rollback(id, yes).await,
        Command::Pin { file } => session.set_pinned(&name(&file)?, true).await,
        Command::Unpin { file } => session.set_pinned(&name(&file)?, false).await,
        Command::Delete { file, yes } => session.delete(&name(&file)?, yes).await,
        Command::Upload { file } => {
            let name = file.file_name().and_then(|name| name.to_str()?.parse().ok());
            session.upload(Task::Upload(file, name)).await
        }
        Command::Reset(arguments) => session.reset(arguments).await,
        Command::Status => session.status().await,
        Command::Inference { action } => session.inference(action).await,
        Command::Env { action: EnvAction::Get { name } } => session.environment(name.as_deref()).await,
        Command::Env { action: EnvAction::Set { assignments } } => {
            session.change_environment(&assignments).await
        }
        Command::Serve | Command::Config { .. } | Command::Openapi => Ok(()),
    }
}
