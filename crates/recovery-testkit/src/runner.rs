//! External programs that are functions.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use recovery_core::port::{Command, CommandError, CommandOutput, CommandRunner, EnvValue, Exit};
use secrecy::ExposeSecret as _;

use crate::lock;

/// What a fake program does when it is run.
#[async_trait]
pub trait FakeProgram: Send + Sync {
    /// Runs it. Time and output limits are the runner's business.
    async fn run(&self, command: &Command) -> CommandOutput;
}

#[async_trait]
impl<F> FakeProgram for F
where
    F: Fn(&Command) -> CommandOutput + Send + Sync,
{
    async fn run(&self, command: &Command) -> CommandOutput {
        self(command)
    }
}

/// A program's last state: this status, and these words on standard error.
#[must_use]
pub fn exits(status: i32, stderr: impl Into<String>) -> CommandOutput {
    CommandOutput { exit: Exit::Status(status), stdout: Vec::new(), stderr_tail: stderr.into() }
}

/// Runs registered functions in place of programs. Clones share them.
///
/// A program that nobody registered cannot be started, as if it were not installed. Stricter than production: it
/// panics over a command that shows a secret of its environment in its arguments or plain values, that names a value
/// twice, or that may take no time at all.
#[derive(Clone, Default)]
pub struct FakeRunner {
    programs: Arc<Mutex<BTreeMap<PathBuf, Arc<dyn FakeProgram>>>>,
    calls: Arc<Mutex<Vec<Command>>>,
}

impl FakeRunner {
    /// A machine without programs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Installs a program: under a path, or under a bare file name for every path that ends in it.
    pub fn install(&self, program: impl Into<PathBuf>, action: impl FakeProgram + 'static) {
        lock(&self.programs).insert(program.into(), Arc::new(action));
    }

    /// Removes a program again.
    pub fn uninstall(&self, program: impl AsRef<Path>) {
        lock(&self.programs).remove(program.as_ref());
    }

    /// Every command so far, in order, also those that could not be started.
    #[must_use]
    pub fn calls(&self) -> Vec<Command> {
        lock(&self.calls).clone()
    }

    /// The arguments of every run so far of the programs with this file name.
    #[must_use]
    pub fn calls_of(&self, file_name: &str) -> Vec<Vec<String>> {
        let calls = lock(&self.calls);
        let own = calls.iter().filter(|command| command.to_string() == file_name);
        own.map(|command| command.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect())
            .collect()
    }

    fn find(&self, program: &Path) -> Option<Arc<dyn FakeProgram>> {
        let programs = lock(&self.programs);
        programs.get(program).or_else(|| programs.get(Path::new(program.file_name()?))).cloned()
    }
}

fn check_strictly(command: &Command) {
    assert!(!command.timeout.is_zero(), "{command} may take no time at all");
    let mut names: Vec<&str> = command.env.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{command} gets a value twice: {names:?}");
    let plain = command.env.iter().filter_map(|(_, value)| match value {
        EnvValue::Plain(text) => Some(text),
        EnvValue::Secret(_) => None,
    });
    let open: Vec<String> =
        command.args.iter().chain(plain).map(|text| text.to_string_lossy().into_owned()).collect();
    for (name, value) in &command.env {
        if let EnvValue::Secret(secret) = value {
            let secret = secret.expose_secret();
            let shown = !secret.is_empty() && open.iter().any(|text| text.contains(secret));
            assert!(!shown, "{command} shows the secret {name} to every user of the machine");
        }
    }
}

#[async_trait]
impl CommandRunner for FakeRunner {
    async fn run(&self, command: Command) -> Result<CommandOutput, CommandError> {
        check_strictly(&command);
        lock(&self.calls).push(command.clone());
        let name = command.to_string();
        let Some(program) = self.find(&command.program) else {
            return Err(CommandError::Start { program: name, source: io::ErrorKind::NotFound.into() });
        };
        let Ok(output) = tokio::time::timeout(command.timeout, program.run(&command)).await else {
            return Err(CommandError::TimedOut { program: name, timeout: command.timeout });
        };
        if let Some(listener) = &command.listener {
            output.stderr_tail.lines().for_each(|line| listener.hear(line));
        }
        if output.stdout.len() > command.stdout_limit {
            return Err(CommandError::TooMuchOutput { program: name, limit: command.stdout_limit });
        }
        Ok(output)
    }
}
