//! How much is in a directory, and whether all of it could be removed.

use std::{ffi::CStr, path::Path};

use recovery_core::port::{DirectoryError, DirectorySize};
use rustix::{
    fs::{Access, AtFlags, Mode, Statx, accessat},
    io::Errno,
    process::geteuid,
};

use super::{
    open::{self, Opened},
    walk::{Fate, Visitor, walk},
};

/// Looks through a directory. Changes nothing.
pub(super) fn measure(path: &Path) -> Result<DirectorySize, DirectoryError> {
    let mut measure = Measure { size: DirectorySize::default(), foreign: false };
    match walk(open::open(path)?, &mut measure) {
        Ok(_) => Ok(measure.size),
        Err(Stop::Protected(why)) => Err(DirectoryError::ReadOnly { path: path.to_owned(), why }),
        Err(Stop::Failed(error)) => {
            Err(DirectoryError::Unreadable { path: path.to_owned(), source: error.into() })
        }
    }
}

struct Measure {
    size: DirectorySize,
    /// Whether the directory that was entered last lets only owners remove something, and is somebody else's.
    foreign: bool,
}

enum Stop {
    Protected(&'static str),
    Failed(Errno),
}

const PROTECTED: &str = "something in it is protected against changes (chattr +i or +a)";
const NO_RIGHTS: &str = "it, or a directory in it, belongs to another user than the recovery service runs as";

impl Visitor for Measure {
    type Stop = Stop;

    fn entered(&mut self, directory: &Opened) -> Result<(), Stop> {
        let data = &directory.data;
        if open::is_protected(data) {
            return Err(Stop::Protected(PROTECTED));
        }
        let ours = data.stx_uid == geteuid().as_raw();
        match accessat(directory.as_fd(), c".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
            Ok(()) => {}
            Err(Errno::ROFS) => return Err(Stop::Protected("its file system is read-only")),
            // Its owner can allow it, and does when it is emptied.
            Err(Errno::ACCESS) if ours => {}
            Err(Errno::ACCESS | Errno::PERM) => return Err(Stop::Protected(NO_RIGHTS)),
            Err(error) => return Err(Stop::Failed(error)),
        }
        let sticky = Mode::from_raw_mode(u32::from(data.stx_mode)).contains(Mode::SVTX);
        self.foreign = sticky && !ours && !geteuid().is_root();
        Ok(())
    }

    fn met(&mut self, _: &Opened, _: &CStr, data: &Statx) -> Result<Fate, Stop> {
        if open::is_protected(data) {
            return Err(Stop::Protected(PROTECTED));
        }
        if self.foreign && data.stx_uid != geteuid().as_raw() {
            return Err(Stop::Protected(NO_RIGHTS));
        }
        if !open::is_directory(data) {
            self.size.files += 1;
        }
        if open::is_file(data) {
            self.size.bytes = self.size.bytes.saturating_add(data.stx_size);
        }
        Ok(Fate::Fine)
    }

    fn left(&mut self, _: &Opened, _: &CStr, _: &Opened, _: &Statx, fate: Fate) -> Result<Fate, Stop> {
        Ok(fate)
    }

    fn failed(&mut self, error: Errno) -> Result<(), Stop> {
        Err(match error {
            Errno::ACCESS | Errno::PERM => Stop::Protected(NO_RIGHTS),
            error => Stop::Failed(error),
        })
    }
}
