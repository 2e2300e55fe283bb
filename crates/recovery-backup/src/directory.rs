//! The backup directory as a place: its lock files, on whatever file system it lies, and whom its files belong to.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown},
    path::Path,
};

use crate::BackupError;

/// Creates the directory where it is missing, for its owner alone.
pub(crate) fn create_missing(directory: &Path) -> Result<(), BackupError> {
    if fs::metadata(directory).is_ok() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(BackupError::storage("create the directory itself or write", directory))
}

/// Opens a file to be locked; `None` on a file system that can only be read. Nothing can be changed there, so nobody
/// need be kept away; its backups can still be restored, under the lock of the database.
pub(crate) fn open_lock_file(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(nofollow());
    let opened = match options.clone().create_new(true).open(path) {
        Ok(file) => {
            give_to_owner(&file, path.parent().unwrap_or(Path::new("/")));
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
    };
    match opened {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(None),
        opened => opened.map(Some),
    }
}

/// The flag that makes opening a symbolic link an error.
pub(crate) fn nofollow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

/// Lets what root writes belong to the directory's owner: an operator's `sudo nova-recovery backup` must not leave
/// files that the service, which runs as somebody else, can neither read nor lock. Only for a file that was just made:
/// one that was there, or a link to it, may have been put there to be given away.
pub(crate) fn give_to_owner(file: &File, directory: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let given = fs::metadata(directory).and_then(|owner| match owner.uid() {
        0 => Ok(()),
        uid => fchown(file, Some(uid), Some(owner.gid())),
    });
    if let Err(error) = given {
        tracing::warn!(directory = %directory.display(), %error, "cannot give a file to the owner of its directory");
    }
}
