use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::container::{Container, ContainerId, Snapshot};

/// The container engine cannot do what it was asked to. The words hold no path and nothing that a container printed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nothing listens where the engine is said to be.
    #[error("there is no container engine at its address")]
    NoEngine {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The socket is there, and may not be used.
    #[error("the container engine does not let recovery in")]
    NotAllowed {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection broke off, or what came over it cannot be understood.
    #[error("the container engine broke off while {doing}")]
    Broken {
        /// What was being done, for example `listing the containers`.
        doing: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine did not answer in time.
    #[error("the container engine did not answer in time while {doing}")]
    TimedOut {
        /// What was being done.
        doing: &'static str,
    },
    /// The container is gone.
    #[error("the container {container} is not there any more")]
    NoSuchContainer {
        /// The container.
        container: ContainerId,
    },
    /// The present state of the container does not allow it.
    #[error("the present state of the container does not allow {doing}")]
    Conflict {
        /// What was being done.
        doing: &'static str,
        /// What the engine said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A proxy before the engine forbids it.
    #[error("what stands before the container engine forbids {doing}")]
    Forbidden {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine refused for another reason.
    #[error("the container engine failed while {doing}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What the engine said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where a line of a container's output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output, or a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The end of what a container printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogTail {
    /// The lines, oldest first, without line ends.
    pub lines: Vec<LogLine>,
    /// Whether earlier lines were left out because they were too many bytes.
    pub truncated: bool,
}

impl LogTail {
    /// The most bytes of lines that are handed over: older lines are left out beyond it.
    pub const MAX_BYTES: usize = 1024 * 1024;
    /// The most bytes of one line; the rest of it is left out.
    pub const MAX_LINE: usize = 16 * 1024;
}

/// A line of a container's output.
#[derive(Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where it came from.
    pub stream: OutputStream,
    /// The line. What is not UTF-8 is replaced, control characters are taken out.
    pub text: String,
}

impl fmt::Debug for LogLine {
    /// Without the text, which may be anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({} bytes)", self.stream, self.text.len())
    }
}

/// A command to run inside a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The program and its arguments: no shell is involved.
    pub command: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// The most bytes of standard output, and of standard error; the rest is thrown away.
    pub max_output: usize,
}

impl Exec {
    /// A command with its arguments, which may take ten seconds and print 64 KiB.
    pub fn new<T: Into<String>>(command: impl IntoIterator<Item = T>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            timeout: Duration::from_secs(10),
            max_output: 64 * 1024,
        }
    }
}

/// How a command inside a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOutput {
    /// Its exit status.
    pub exit_code: i64,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: Vec<u8>,
    /// Whether it printed more than was asked for.
    pub truncated: bool,
}

/// The container engine, as far as the containers of one Compose project go.
///
/// Every call ends within seconds, or says by an argument how long it may take.
#[async_trait]
pub trait ContainerEngine: Send + Sync {
    /// What is known of the project's containers. Never waits.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// Waits for a snapshot with a greater revision. Nothing is lost when the future is dropped.
    async fn newer_than(&self, revision: u64) -> Arc<Snapshot>;

    /// Keeps the snapshot up to date: within a quarter of a second after something happened, and without a claim as
    /// soon as the engine is away. Goes on until it is dropped; nobody else need call it at the same time.
    async fn watch(&self);

    /// Looks at all containers now, and at the snapshot that comes of it.
    async fn look(&self) -> Result<Arc<Snapshot>, EngineError>;

    /// Looks at one container now. The snapshot stays as it is.
    async fn inspect(&self, container: &ContainerId) -> Result<Container, EngineError>;

    /// Stops a container as it wants to be stopped, within `stop_timeout`, and starts it again; starts it where it does
    /// not run. Returns when the engine has started its program, which says nothing of how it fares.
    async fn restart(&self, container: &ContainerId, stop_timeout: Duration) -> Result<(), EngineError>;

    /// The last `lines` lines that a container printed.
    async fn logs(&self, container: &ContainerId, lines: usize) -> Result<LogTail, EngineError>;

    /// Runs a command inside a container that runs. One that is not done in time is left to itself.
    async fn exec(&self, container: &ContainerId, command: Exec) -> Result<ExecOutput, EngineError>;
}
