use std::path::{Path, PathBuf};

use async_trait::async_trait;

/// Directories that hold data of the platform. Links are never followed: neither the directory itself may be one, nor is
/// anything behind one read or removed.
#[async_trait]
pub trait DataDirectories: Send + Sync {
    /// What a directory holds.
    async fn measure(&self, path: &Path) -> Result<DirectorySize, DirectoryError>;

    /// Removes everything in a directory; the directory itself stays, and so do mount points in it with what they hold.
    /// `report` is told how many files are gone. What could not be removed is left, and told.
    async fn empty(
        &self,
        path: &Path,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Emptied, DirectoryError>;
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectorySize {
    /// Everything that is no directory.
    pub files: u64,
    /// The bytes of the files.
    pub bytes: u64,
}

/// What was removed from a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emptied {
    /// What is gone.
    pub removed: DirectorySize,
    /// What is still there although it should be gone: how many entries.
    pub left: u64,
    /// Why the first of them is still there, in words without a path.
    pub why: Option<String>,
}

/// A directory that cannot be emptied.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// There is none.
    #[error("the directory does not exist")]
    Missing {
        /// Its path.
        path: PathBuf,
    },
    /// There is something else.
    #[error("it is {found}, not a directory")]
    NotADirectory {
        /// Its path.
        path: PathBuf,
        /// What is there, for example `a symbolic link`.
        found: &'static str,
    },
    /// Nothing may be removed from it: its file system is read-only, or we lack the rights.
    #[error("nothing may be removed from it")]
    ReadOnly {
        /// Its path.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("the directory cannot be read")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
