use std::{fmt, io};

use async_trait::async_trait;

/// The `.env` file of the platform: its bytes, replaced as a whole and never over the change of somebody else.
#[async_trait]
pub trait EnvFile: Send + Sync {
    /// What stands in it now.
    async fn read(&self) -> Result<EnvContent, EnvFileError>;

    /// Replaces what stands in it, if that is still what was read as `expected`. A reader sees the old content or the
    /// new one; the old one is kept in a file beside it. Durable when this returns, and on an error the old content
    /// stands. Returns the version of the new one.
    async fn replace(&self, bytes: &[u8], expected: &EnvVersion) -> Result<EnvVersion, EnvFileError>;
}

/// Names one content of the file: equal where the bytes are. It tells nothing about them, and is meaningless to another
/// process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnvVersion(String);

impl EnvVersion {
    /// A version by its name, which is made of ASCII letters and digits.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What stood in the file at one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvContent {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their version.
    pub version: EnvVersion,
}

impl fmt::Debug for EnvContent {
    /// The file is full of secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvContent").field("version", &self.version).finish_non_exhaustive()
    }
}

/// The file cannot be read or replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvFileError {
    /// It is not there.
    #[error("there is no .env file")]
    Missing,
    /// There is something else in its place.
    #[error("what stands in the place of the .env file is not a file")]
    NotAFile,
    /// It is larger than any `.env`.
    #[error("the .env file is larger than {limit} bytes")]
    TooLarge {
        /// The most that it may have, in bytes.
        limit: usize,
    },
    /// It may not be written.
    #[error("the .env file is read-only")]
    ReadOnly,
    /// Somebody else has changed it meanwhile.
    #[error("the .env file was changed meanwhile")]
    Changed,
    /// Somebody else is writing it, and does not finish.
    #[error("the .env file is being written by another program")]
    Locked,
    /// It cannot be read.
    #[error("the .env file cannot be read")]
    Read(#[source] io::Error),
    /// Its content cannot be kept, so it was left as it is.
    #[error("the content of the .env file cannot be kept beside it")]
    Keep(#[source] io::Error),
    /// It cannot be written.
    #[error("the .env file cannot be written")]
    Write(#[source] io::Error),
}
