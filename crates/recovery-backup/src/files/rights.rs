//! Directories of ours that not even we may change: their owner can allow it, and does for the moment that a move takes.

use std::{
    fs::{self, File, Permissions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};

/// Opened only to be named: it may not be readable.
const NAMED: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// What its owner needs to change what is in a directory.
const ALL: u32 = 0o700;

/// A directory that was allowed to be changed.
pub(super) struct Unlocked {
    directory: File,
    mode: u32,
}

impl Unlocked {
    /// Takes it back; the directory may have been moved.
    pub(super) fn lock(self) -> io::Result<()> {
        set_mode(&self.directory, self.mode)
    }
}

/// Allows us to change a directory. `None` where it is none of ours or may be changed already.
pub(super) fn unlock(path: &Path) -> io::Result<Option<Unlocked>> {
    let directory: File = match openat(CWD, path, NAMED, Mode::empty()) {
        Ok(directory) => directory.into(),
        Err(Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let data = directory.metadata()?;
    let mode = data.mode() & 0o7777;
    if !is_ours(&data) || mode & ALL == ALL {
        return Ok(None);
    }
    set_mode(&directory, mode | ALL)?;
    Ok(Some(Unlocked { directory, mode }))
}

/// Whether it belongs to the user that we are, who may change its permissions.
pub(super) fn is_ours(data: &fs::Metadata) -> bool {
    data.uid() == rustix::process::geteuid().as_raw()
}

/// Allows us to change a directory and all below it, as far as they are ours, so that it can be removed.
pub(super) fn unlock_all(path: &Path) -> io::Result<()> {
    let mut left = vec![path.to_owned()];
    while let Some(directory) = left.pop() {
        unlock(&directory)?;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            }
        }
    }
    Ok(())
}

/// By its descriptor: what has its name by now may be something else.
fn set_mode(directory: &File, mode: u32) -> io::Result<()> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    fs::set_permissions(path, Permissions::from_mode(mode))
}
