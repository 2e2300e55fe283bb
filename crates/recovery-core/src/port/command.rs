use std::{ffi::OsString, fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::SecretString;

/// A value of a child's environment.
#[derive(Clone, Debug)]
pub enum EnvValue {
    /// May be shown in a log.
    Plain(OsString),
    /// Must not.
    Secret(SecretString),
}

/// Hears the lines that a program writes to its standard error, as they come. Lines are told to their end or, where they
/// have none, in pieces of a few KiB; invalid UTF-8 is replaced.
#[derive(Clone)]
pub struct LineListener(Arc<dyn Fn(&str) + Send + Sync>);

impl LineListener {
    /// Tells it a line.
    pub fn hear(&self, line: &str) {
        (self.0)(line);
    }
}

impl fmt::Debug for LineListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineListener")
    }
}

/// An external program to be run, with everything it gets. The child sees only the environment that stands here.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, without its name. Never a secret: every user of the machine can read them.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(String, EnvValue)>,
    /// How long it may take.
    pub timeout: Duration,
    /// How many bytes of its standard output are kept; more is an error.
    pub stdout_limit: usize,
    /// Who hears what it writes to its standard error while it runs.
    pub listener: Option<LineListener>,
}

impl Command {
    /// A program without arguments and with an empty environment that may take a minute and print 64 KiB.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            timeout: Duration::from_secs(60),
            stdout_limit: 64 * 1024,
            listener: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds a value to the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), EnvValue::Plain(value.into())));
        self
    }

    /// Adds a secret to the environment.
    #[must_use]
    pub fn secret_env(mut self, name: impl Into<String>, value: SecretString) -> Self {
        self.env.push((name.into(), EnvValue::Secret(value)));
        self
    }

    /// Sets how long it may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many bytes of its standard output are kept.
    #[must_use]
    pub fn stdout_limit(mut self, bytes: usize) -> Self {
        self.stdout_limit = bytes;
        self
    }

    /// Sets who hears each line that it writes to its standard error while it runs. It is called by whoever reads the
    /// program's output, which waits meanwhile.
    #[must_use]
    pub fn on_stderr_line(mut self, listener: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.listener = Some(LineListener(Arc::new(listener)));
        self
    }
}

impl fmt::Display for Command {
    /// The program's file name: what a person calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.program.file_name().unwrap_or(self.program.as_os_str());
        write!(f, "{}", name.to_string_lossy())
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether the status is 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Status(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
        }
    }
}

/// What a program left behind when it ended, however it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutput {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The end of its standard error, at most a few KiB, invalid UTF-8 replaced.
    pub stderr_tail: String,
}

/// A program could not be run to its end. That it failed is no error here: see [`CommandOutput::exit`].
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("cannot start {program}")]
    Start {
        /// Its file name.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It took too long, and was ended.
    #[error("{program} did not end within {} s", timeout.as_secs())]
    TimedOut {
        /// Its file name.
        program: String,
        /// How long it had.
        timeout: Duration,
    },
    /// It printed more than it may, and was ended.
    #[error("{program} printed more than {limit} bytes")]
    TooMuchOutput {
        /// Its file name.
        program: String,
        /// How much it may print.
        limit: usize,
    },
    /// Its output could not be read, or it could not be waited for.
    #[error("lost contact with {program}")]
    Lost {
        /// Its file name.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Runs external programs.
#[async_trait]
pub trait CommandRunner: Send + Sync {
    /// Runs a program to its end. When the returned future is dropped, the program and everything that it started are
    /// asked to end, and killed where they do not.
    async fn run(&self, command: Command) -> Result<CommandOutput, CommandError>;
}
