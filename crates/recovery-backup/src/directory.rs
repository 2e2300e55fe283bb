//! The backup directory as a place: its lock files, on whatever file system it lies, and whom its files belong to.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, chown},
    path::Path,
};

/// Opens a file to be locked; `None` on a file system that can only be read. Nothing can be changed there, so nobody
/// need be kept away; its backups can still be restored, under the lock of the database.
pub(crate) fn open_lock_file(path: &Path) -> io::Result<Option<File>> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    match OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path) {
        Ok(file) => {
            give_to_owner(path, directory);
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets what root writes belong to the directory's owner: an operator's `sudo nova-recovery backup` must not leave
/// files that the service, which runs as somebody else, can neither read nor lock.
pub(crate) fn give_to_owner(path: &Path, directory: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let given = fs::metadata(directory).and_then(|owner| match owner.uid() {
        0 => Ok(()),
        uid => chown(path, Some(uid), Some(owner.gid())),
    });
    if let Err(error) = given {
        tracing::warn!(path = %path.display(), %error, "cannot give a file to the owner of its directory");
    }
}
