//! Directories opened without following a link, and what is known of what is in them.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use recovery_core::port::DirectoryError;
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags, openat, statat, statx},
    io::Errno,
};

const OPEN_DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A name is looked at as it is: neither followed nor mounted.
const AS_IT_IS: AtFlags = AtFlags::SYMLINK_NOFOLLOW.union(AtFlags::NO_AUTOMOUNT);

/// An open directory.
pub(super) struct Opened {
    pub(super) directory: OwnedFd,
    pub(super) data: Statx,
}

/// Opens a directory by its path, of which the last part may be no link.
pub(super) fn open(path: &Path) -> Result<Opened, DirectoryError> {
    let unreadable = |source: io::Error| DirectoryError::Unreadable { path: path.to_owned(), source };
    // A slash at the end would follow a link.
    let plain: PathBuf = path.components().collect();
    let is_plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !plain.is_absolute() || plain.parent().is_none() || !plain.components().all(is_plain) {
        let what = "the path must be absolute, without `..`, and not the root of everything";
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, what)));
    }
    let opened = openat(CWD, &plain, OPEN_DIRECTORY, Mode::empty()).and_then(Opened::new);
    match opened {
        Ok(opened) if !says_mount(&opened.data) => {
            let what = "the system does not say where something is mounted: Linux 5.8 or newer is needed";
            Err(unreadable(io::Error::new(io::ErrorKind::Unsupported, what)))
        }
        Ok(opened) => Ok(opened),
        Err(Errno::NOENT) => Err(DirectoryError::Missing { path: path.to_owned() }),
        Err(Errno::NOTDIR | Errno::LOOP) => Err(match statat(CWD, &plain, AS_IT_IS) {
            Ok(stat) => DirectoryError::NotADirectory {
                path: path.to_owned(),
                found: in_words(FileType::from_raw_mode(stat.st_mode)),
            },
            // What it should be in is no directory.
            Err(Errno::NOTDIR | Errno::NOENT) => DirectoryError::Missing { path: path.to_owned() },
            Err(error) => unreadable(error.into()),
        }),
        Err(error) => Err(unreadable(error.into())),
    }
}

impl Opened {
    fn new(directory: OwnedFd) -> Result<Self, Errno> {
        let data = statx(&directory, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)?;
        Ok(Self { directory, data })
    }

    /// Opens a directory in this one.
    pub(super) fn below(&self, name: &CStr) -> Result<Self, Errno> {
        openat(&self.directory, name, OPEN_DIRECTORY, Mode::empty()).and_then(Self::new)
    }

    /// Looks at something in this directory.
    pub(super) fn look(&self, name: &CStr) -> Result<Statx, Errno> {
        statx(&self.directory, name, AS_IT_IS, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

pub(super) fn is_directory(data: &Statx) -> bool {
    FileType::from_raw_mode(u32::from(data.stx_mode)) == FileType::Directory
}

pub(super) fn is_file(data: &Statx) -> bool {
    FileType::from_raw_mode(u32::from(data.stx_mode)) == FileType::RegularFile
}

/// Whether something is mounted there, of all we know.
pub(super) fn is_mount_point(data: &Statx) -> bool {
    data.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
}

/// Whether nobody may change or remove it before its attributes are changed.
pub(super) fn is_protected(data: &Statx) -> bool {
    data.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND)
}

/// Whether two belong to the same mount. A bind mount of the same file system is another one.
pub(super) fn same_mount(one: &Statx, other: &Statx) -> bool {
    says_mount(one) && says_mount(other) && one.stx_mnt_id == other.stx_mnt_id
}

/// Whether they are the same file.
pub(super) fn same_file(one: &Statx, other: &Statx) -> bool {
    let identity = |data: &Statx| (data.stx_dev_major, data.stx_dev_minor, data.stx_ino);
    identity(one) == identity(other)
}

fn says_mount(data: &Statx) -> bool {
    data.stx_mask & StatxFlags::MNT_ID.bits() != 0
}

fn in_words(kind: FileType) -> &'static str {
    match kind {
        FileType::Symlink => "a symbolic link",
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory that is exchanged just now",
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice => {
            "a device, a pipe or a socket"
        }
        FileType::Unknown => "something else",
    }
}
