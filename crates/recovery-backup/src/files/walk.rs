//! Walks an included directory: every entry once, by name, without ever following a symbolic link.
//!
//! Each directory is opened below the one that it is in, so that one that is replaced by a link meanwhile leads
//! nowhere. What disappears while it is walked is no error.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::fs::{CWD, Dir, Mode, OFlags, openat};

use super::{entry::Entry, is_reserved, mounts::Mounts};

/// How something is looked at without opening it.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const OPEN_DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Something that was met.
pub(crate) struct Met<'a> {
    /// Its path below the included directory; empty for that itself.
    pub path: &'a [u8],
    /// The directory that it is in.
    pub parent: BorrowedFd<'a>,
    /// Its name there; `.` for the included directory itself.
    pub name: &'a [u8],
    /// What it is; opened, but not for reading.
    pub file: File,
}

/// Is told what is met.
pub(crate) trait Visitor {
    /// Why the walk ends early.
    type Error;

    /// Something that exists, be it a file, a directory or something else. Says whether it is to be entered.
    fn met(&mut self, met: &Met<'_>) -> Result<bool, Self::Error>;

    /// Something that was passed over, and why.
    fn passed_over(&mut self, path: &[u8], why: PassedOver) -> Result<(), Self::Error>;
}

/// Why something was passed over.
#[derive(Debug)]
pub(crate) enum PassedOver {
    /// Another file system is mounted there; a directory is entered as if it were empty.
    MountPoint,
    /// It is in too many directories, or its path is too long.
    TooDeep,
    /// The system refused.
    Refused(io::Error),
}

/// An included directory that can be walked.
pub(crate) struct Root {
    directory: OwnedFd,
    mounted: Vec<Vec<u8>>,
    is_mount_point: bool,
}

impl Root {
    /// Opens it. The path may be a symbolic link; it is resolved here, once.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let mounts = Mounts::read()?;
        Ok(Self {
            directory: openat(CWD, &path, OPEN_DIRECTORY, Mode::empty())?,
            mounted: mounts.below(&path),
            is_mount_point: mounts.is_point(&path),
        })
    }

    /// Walks it.
    pub(crate) fn walk<V: Visitor>(&self, visitor: &mut V) -> Result<(), V::Error> {
        let directory = self.directory.as_fd();
        let file = match openat(directory, ".", LOOK, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(error) => return visitor.passed_over(b"", PassedOver::Refused(error.into())),
        };
        let met = Met { path: b"", parent: directory, name: b".", file };
        if visitor.met(&met)? { self.below(directory, &mut Vec::new(), 0, visitor) } else { Ok(()) }
    }

    fn below<V: Visitor>(
        &self,
        directory: BorrowedFd<'_>,
        path: &mut Vec<u8>,
        depth: usize,
        visitor: &mut V,
    ) -> Result<(), V::Error> {
        let names = match Names::of(directory) {
            Ok(names) => names,
            Err(error) => return visitor.passed_over(path, PassedOver::Refused(error)),
        };
        let length = path.len();
        for name in names.iter() {
            if depth == 0 && is_reserved(name, self.is_mount_point) {
                continue;
            }
            if length > 0 {
                path.push(b'/');
            }
            path.extend(name);
            self.one(directory, name, path, depth, visitor)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn one<V: Visitor>(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &mut Vec<u8>,
        depth: usize,
        visitor: &mut V,
    ) -> Result<(), V::Error> {
        if path.len() > Entry::MAX_PATH || depth >= Entry::MAX_DEPTH {
            return visitor.passed_over(path, PassedOver::TooDeep);
        }
        let file = match openat(parent, name, LOOK, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(error) => return visitor.passed_over(path, PassedOver::Refused(error.into())),
        };
        let mounted = self.mounted.iter().any(|point| point == path);
        if mounted {
            visitor.passed_over(path, PassedOver::MountPoint)?;
            if !file.metadata().is_ok_and(|data| data.is_dir()) {
                return Ok(());
            }
        }
        if !visitor.met(&Met { path, parent, name, file })? || mounted {
            return Ok(());
        }
        match openat(parent, name, OPEN_DIRECTORY, Mode::empty()) {
            Ok(directory) => self.below(directory.as_fd(), path, depth + 1, visitor),
            Err(error) => visitor.passed_over(path, PassedOver::Refused(error.into())),
        }
    }
}

/// The names in a directory, sorted: all in one piece of memory, because there may be a million.
#[derive(Debug, Default)]
struct Names {
    bytes: Vec<u8>,
    places: Vec<(u32, u8)>,
}

impl Names {
    fn of(directory: BorrowedFd<'_>) -> io::Result<Self> {
        let mut names = Self::default();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let place = u32::try_from(names.bytes.len()).map_err(io::Error::other)?;
            let length = u8::try_from(name.len()).map_err(io::Error::other)?;
            names.bytes.extend(name);
            names.places.push((place, length));
        }
        let Self { bytes, places } = &mut names;
        places.sort_unstable_by(|a, b| name_at(bytes, *a).cmp(name_at(bytes, *b)));
        Ok(names)
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().map(|place| name_at(&self.bytes, *place))
    }
}

fn name_at(bytes: &[u8], (place, length): (u32, u8)) -> &[u8] {
    let begin = place as usize;
    bytes.get(begin..begin + usize::from(length)).unwrap_or_default()
}
