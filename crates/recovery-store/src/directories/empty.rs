//! Removes everything in a directory.

use std::{
    convert::Infallible,
    ffi::CStr,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use recovery_core::port::{DirectoryError, Emptied};
use rustix::{
    fs::{AtFlags, Mode, Statx, fchmod, fsync, unlinkat},
    io::Errno,
    process::geteuid,
};

use super::{
    open::{self, Opened},
    walk::{Fate, Visitor, walk},
};

/// What is written into it meanwhile goes, too, unless that goes on for ever. (Some file systems also pass something
/// over while names are removed.)
const MOST_PASSES: usize = 3;
/// What its owner needs to remove something from a directory.
const CHANGE: Mode = Mode::WUSR.union(Mode::XUSR);

/// Empties a directory; `gone` counts the files that are gone.
pub(super) fn empty(path: &Path, gone: &AtomicU64) -> Result<Emptied, DirectoryError> {
    let mut removal = Removal { gone, emptied: Emptied::default(), acted: false };
    for _ in 0..MOST_PASSES {
        let root = open::open(path)?;
        let (top, data) = (root.directory.try_clone(), root.data);
        (removal.emptied.left, removal.emptied.why, removal.acted) = (0, None, false);
        let Ok(_) = walk(root, &mut removal);
        if let Ok(top) = top {
            // What was removed stays so after a power failure. Not every file system can promise it.
            let _ = fsync(&top);
            lock(&top, &data);
        }
        if !removal.acted {
            break;
        }
    }
    Ok(removal.emptied)
}

struct Removal<'a> {
    gone: &'a AtomicU64,
    emptied: Emptied,
    /// Whether this pass has removed something.
    acted: bool,
}

impl Removal<'_> {
    fn remove(&mut self, directory: &Opened, name: &CStr, flags: AtFlags) -> Fate {
        match unlinkat(directory.as_fd(), name, flags) {
            Ok(()) => {
                self.acted = true;
                Fate::Fine
            }
            Err(Errno::NOENT) => Fate::Fine,
            // Something was mounted there just now.
            Err(Errno::BUSY) => Fate::Spared,
            Err(error) => self.left_because(error),
        }
    }

    fn left_because(&mut self, error: Errno) -> Fate {
        self.emptied.left += 1;
        self.emptied.why.get_or_insert_with(|| error.to_string());
        Fate::Left
    }
}

impl Visitor for Removal<'_> {
    type Stop = Infallible;

    fn entered(&mut self, directory: &Opened) -> Result<(), Infallible> {
        if is_locked(&directory.data) {
            // Where it fails, the removal does, and says why.
            let _ = fchmod(&directory.directory, mode(&directory.data) | CHANGE);
        }
        Ok(())
    }

    fn met(&mut self, directory: &Opened, name: &CStr, data: &Statx) -> Result<Fate, Infallible> {
        if open::is_directory(data) {
            return Ok(Fate::Fine);
        }
        let acted = std::mem::take(&mut self.acted);
        let fate = self.remove(directory, name, AtFlags::empty());
        if self.acted {
            self.emptied.removed.files += 1;
            let bytes = if open::is_file(data) { data.stx_size } else { 0 };
            self.emptied.removed.bytes = self.emptied.removed.bytes.saturating_add(bytes);
            self.gone.fetch_add(1, Relaxed);
        }
        self.acted |= acted;
        Ok(fate)
    }

    fn left(
        &mut self,
        parent: &Opened,
        name: &CStr,
        directory: &Opened,
        data: &Statx,
        fate: Fate,
    ) -> Result<Fate, Infallible> {
        let fate = match fate {
            Fate::Fine => self.remove(parent, name, AtFlags::REMOVEDIR),
            stays => stays,
        };
        if fate != Fate::Fine {
            lock(&directory.directory, data);
        }
        Ok(fate)
    }

    fn failed(&mut self, error: Errno) -> Result<(), Infallible> {
        self.left_because(error);
        Ok(())
    }
}

/// Whether it is a directory of ours that not even we may change.
fn is_locked(data: &Statx) -> bool {
    data.stx_uid == geteuid().as_raw() && !mode(data).contains(CHANGE)
}

/// Takes back that we may change a directory, where it stays.
fn lock(directory: &std::os::fd::OwnedFd, before: &Statx) {
    if is_locked(before) {
        // It is somebody's directory with rights for its owner; no reason to fail.
        let _ = fchmod(directory, mode(before));
    }
}

fn mode(data: &Statx) -> Mode {
    Mode::from_raw_mode(u32::from(data.stx_mode))
}
