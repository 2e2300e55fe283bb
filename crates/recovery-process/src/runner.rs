//! Runs one program from start to end.

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus, process::Stdio, time::Duration};

use async_trait::async_trait;
use recovery_core::port::{Command, CommandError, CommandOutput, CommandRunner, EnvValue, Exit};
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    capture::{CaptureError, Tail, read_limited, read_tail},
    group::{EndOnDrop, Pipes, ProcessGroup},
};

/// Runs programs as processes of this machine.
///
/// - A program without a path separator is looked for in the `PATH` that the [`Command`] itself holds.
/// - The child's environment is what the command holds and nothing else; its standard input is empty; it starts in
///   this process's working directory and leads a process group of its own.
/// - When the program ends, what it has left running in its group is killed.
/// - When its time is up, when it prints too much, or when the future is dropped, the whole group gets `SIGTERM` and,
///   after [`ProcessRunner::GRACE`], `SIGKILL`. A caller that waits for the error gets it once the group has ended; a
///   dropped future leaves the ending to a background task.
///
/// A process that moves itself to another group is beyond reach; it cannot hold up the call.
///
/// Needs a tokio runtime with time and I/O.
#[derive(Clone, Debug)]
pub struct ProcessRunner {
    grace: Duration,
}

impl ProcessRunner {
    /// How long a group that was asked to end has before it is killed.
    pub const GRACE: Duration = Duration::from_secs(3);

    /// A runner with the usual grace.
    #[must_use]
    pub fn new() -> Self {
        Self { grace: Self::GRACE }
    }

    /// Sets how long a group that was asked to end has before it is killed.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

impl Default for ProcessRunner {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl CommandRunner for ProcessRunner {
    async fn run(&self, command: Command) -> Result<CommandOutput, CommandError> {
        let program = command.to_string();
        let began = Instant::now();
        tracing::debug!(program = %command.program.display(), args = ?command.args, "starting a program");
        let (group, pipes) =
            spawn(&command).map_err(|source| CommandError::Start { program: program.clone(), source })?;
        let mut running = EndOnDrop::new(group, pipes, self.grace);
        let deadline = began + command.timeout;
        let result = match timeout_at(deadline, follow(&mut running, &command, self.grace)).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(CaptureError::TooMuch)) => {
                Err(CommandError::TooMuchOutput { program: program.clone(), limit: command.stdout_limit })
            }
            Ok(Err(CaptureError::Io(source))) => Err(CommandError::Lost { program: program.clone(), source }),
            Err(_) => Err(CommandError::TimedOut { program: program.clone(), timeout: command.timeout }),
        };
        let elapsed = began.elapsed();
        match &result {
            Ok(output) => tracing::debug!(program, ?elapsed, exit = %output.exit, "the program ended"),
            Err(error) => {
                tracing::debug!(program, ?elapsed, %error, "ending the program");
                running.end().await;
            }
        }
        result
    }
}

fn spawn(command: &Command) -> io::Result<(ProcessGroup, Pipes)> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
    let mut child = tokio::process::Command::new(&command.program);
    child
        .args(&command.args)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for (name, value) in &command.env {
        match value {
            EnvValue::Plain(value) => child.env(name, value),
            EnvValue::Secret(value) => child.env(name, value.expose_secret()),
        };
    }
    let mut child = child.spawn()?;
    let pipes = Pipes::of(&mut child);
    let group = ProcessGroup::new(child);
    Ok((group, pipes?))
}

/// Reads the output and waits for the end of the program, whichever comes first.
async fn follow(
    running: &mut EndOnDrop,
    command: &Command,
    grace: Duration,
) -> Result<CommandOutput, CaptureError> {
    let (mut stdout, mut stderr) = (Vec::new(), Tail::default());
    let (group, pipes) = running.running().ok_or_else(|| CaptureError::Io(io::Error::other("it is gone")))?;
    let status = {
        let reading = async {
            tokio::try_join!(
                read_limited(&mut pipes.stdout, &mut stdout, command.stdout_limit),
                read_tail(&mut pipes.stderr, &mut stderr, command.listener.as_ref())
            )
        };
        tokio::pin!(reading);
        tokio::select! {
            read = &mut reading => {
                read?;
                let status = group.wait().await.map_err(CaptureError::Io)?;
                group.kill_rest();
                status
            }
            status = group.wait() => {
                let status = status.map_err(CaptureError::Io)?;
                group.kill_rest();
                // The pipes still hold the last words, and close now, unless somebody left the group with them.
                if let Ok(read) = timeout(grace, reading).await {
                    read?;
                }
                status
            }
        }
    };
    running.forget();
    Ok(CommandOutput { exit: exit_of(status), stdout, stderr_tail: stderr.into_text() })
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Status(code),
        (None, Some(signal)) => Exit::Signal(signal),
        // A process that was waited for has one of both; -1 is no status that a process can have.
        (None, None) => Exit::Status(-1),
    }
}
