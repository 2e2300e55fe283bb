use std::path::{Path, PathBuf};

use async_trait::async_trait;

/// Directories that hold data of the platform, by absolute paths. Links are never followed: neither the directory itself
/// may be one, nor is anything behind one read or removed. (The directories that it is in may be links: that is the
/// operator's choice.) What is mounted somewhere in a directory is not part of it, a bind mount included; the directory
/// itself may be a mount point.
#[async_trait]
pub trait DataDirectories: Send + Sync {
    /// What a directory holds. Fails where it can be foreseen that not everything could be removed.
    async fn measure(&self, path: &Path) -> Result<DirectorySize, DirectoryError>;

    /// Removes everything in a directory; the directory itself stays, and so do mount points in it with what they hold.
    /// `report` is told from time to time how many files are gone. What could not be removed is left, and told: that
    /// is no error.
    async fn empty(
        &self,
        path: &Path,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Emptied, DirectoryError>;
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectorySize {
    /// Everything that is no directory; mount points apart.
    pub files: u64,
    /// The bytes of the files, as they say of themselves: a file with several names counts with each.
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
    /// Not everything may be removed from it: its file system is read-only, something in it is protected against
    /// changes, or we lack the rights.
    #[error("not everything may be removed from it: {why}")]
    ReadOnly {
        /// Its path.
        path: PathBuf,
        /// Why, for example `its file system is read-only`.
        why: &'static str,
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
