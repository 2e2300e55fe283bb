//! Puts the contents of a directory beside the one whose place they are to take.
//!
//! Everything is created below directories that this has opened itself, and never through a symbolic link, so that
//! whatever the entries say, nothing is written anywhere else.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{DirBuilderExt, FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use recovery_core::OperationId;
use rustix::{
    fs::{
        AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown,
        futimens, linkat, mkdirat, openat, symlinkat, syncfs, utimensat,
    },
    io::Errno,
};

use super::{
    IncludeName, STAGE, Sink,
    entry::{Entry, Extent, What, is_name},
    is_reserved,
    place::{Manner, Place},
    switch::Staged,
};
use crate::{BackupError, archive::CHUNK};

const OPEN_DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const CREATE_FILE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory that is being filled. Dropped before it is finished, it is removed.
///
/// Entries may come in any order; those of one directory best come together, because its time and permissions are set
/// when the next entry is outside of it.
pub(crate) struct Stage {
    place: Place,
    path: PathBuf,
    root: File,
    own: Option<Entry>,
    open: Vec<Open>,
    is_root: bool,
    failure: Option<io::Error>,
    finished: bool,
}

/// A directory below the staged one that the last entry was in.
struct Open {
    name: Vec<u8>,
    directory: OwnedFd,
    /// What it is to be like; `None` where only something in it was named so far.
    entry: Option<Entry>,
}

impl Stage {
    /// What stands between the name of a directory and the operation's id in that of the one beside it.
    pub(super) const MARK: &str = ".recovery-";

    /// Begins an empty one beside its place, on the same file system.
    pub(crate) fn begin(place: Place, id: OperationId) -> Result<Self, BackupError> {
        let path = match place.manner {
            Manner::Whole => {
                let mut name = place.target.file_name().unwrap_or_default().to_owned();
                name.push(format!("{}{}", Self::MARK, id.short()));
                place.target.with_file_name(name)
            }
            Manner::Contents => place.target.join(format!("{STAGE}{}", id.short())),
        };
        let failed = || BackupError::include("stage the contents of", &place.name);
        DirBuilder::new().mode(0o700).create(&path).map_err(failed())?;
        let root =
            openat(CWD, &path, OPEN_DIRECTORY, Mode::empty()).map_err(|error| failed()(error.into()))?;
        Ok(Self {
            place,
            path,
            root: root.into(),
            own: None,
            open: Vec::new(),
            is_root: rustix::process::geteuid().is_root(),
            failure: None,
            finished: false,
        })
    }

    /// What the directory is called in archives.
    pub(crate) fn name(&self) -> &IncludeName {
        &self.place.name
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives a file that was put before a second name; both are paths below the directory.
    pub(crate) fn second_name(&mut self, path: &[u8], of: &[u8]) -> io::Result<()> {
        let done = self.try_second_name(path, of);
        self.note_failure(done)
    }

    fn try_second_name(&mut self, path: &[u8], of: &[u8]) -> io::Result<()> {
        let split = |path: &[u8]| path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (names, of) = (split(path), split(of));
        let (Some((name, parents)), Some((first, above))) = (names.split_last(), of.split_last()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut directory: Option<OwnedFd> = None;
        for part in above {
            let within = directory.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            let next = openat(within, part.as_slice(), OPEN_DIRECTORY, Mode::empty())?;
            directory = Some(next);
        }
        Self::check_names(&names.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        self.enter(&parents.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let from = directory.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
        Ok(linkat(from, first.as_slice(), self.last(), name.as_slice(), AtFlags::empty())?)
    }

    /// Why an entry could not be staged, where one could not.
    pub(crate) fn failure(&mut self) -> Option<BackupError> {
        let failed = BackupError::include("stage the contents of", &self.place.name);
        self.failure.take().map(failed)
    }

    /// Everything is there: it is on disk when this returns, and ready to take its place.
    pub(crate) fn finish(mut self) -> Result<Staged, BackupError> {
        let failed = BackupError::include("stage the contents of", &self.place.name);
        let inode = self.settle_all().map_err(failed)?;
        let staged = Staged::new(self.place.clone(), self.path.clone(), inode);
        self.finished = true;
        Ok(staged)
    }

    fn settle_all(&mut self) -> io::Result<u64> {
        while let Some(open) = self.open.pop() {
            self.settle(open)?;
        }
        if self.place.manner == Manner::Whole {
            match &self.own {
                Some(own) => self.make_like(self.root.as_fd(), own)?,
                // An archive that says nothing of the directory itself leaves it as it is.
                None => match fs::metadata(&self.place.target) {
                    Ok(data) => {
                        self.make_like(self.root.as_fd(), &Entry::new(Vec::new(), What::Directory, &data))?;
                    }
                    Err(_) => fchmod(&self.root, Mode::from_raw_mode(0o755))?,
                },
            }
        }
        syncfs(&self.root)?;
        Ok(self.root.metadata()?.ino())
    }

    fn put(&mut self, entry: &Entry, contents: &mut dyn Read) -> io::Result<()> {
        let names = entry.names();
        let Some((name, parents)) = names.split_last() else {
            self.own = Some(entry.clone());
            return Ok(());
        };
        Self::check_names(&names)?;
        self.enter(parents)?;
        match &entry.what {
            What::Directory => {
                self.open_below(name, Some(entry.clone()))?;
            }
            What::Link { target } => {
                let parent = self.last();
                symlinkat(target.as_slice(), parent, *name)?;
                if self.is_root {
                    let (uid, gid) = owner(entry);
                    chownat(parent, *name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
                }
                utimensat(parent, *name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            What::File { size, data } => {
                let file = File::from(openat(self.last(), *name, CREATE_FILE, Mode::from_raw_mode(0o600))?);
                write_contents(&file, *size, data.as_deref(), contents)?;
                self.make_like(file.as_fd(), entry)?;
            }
        }
        Ok(())
    }

    fn check_names(names: &[&[u8]]) -> io::Result<()> {
        let reserved = |name: &&[u8]| is_reserved(name, false);
        if !names.iter().all(|name| is_name(name)) || names.first().is_some_and(reserved) {
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, "a name that is not accepted"));
        }
        Ok(())
    }

    /// Keeps why something could not be staged: whoever reads the archive learns only that it could not.
    fn note_failure(&mut self, done: io::Result<()>) -> io::Result<()> {
        done.inspect_err(|error| {
            let same = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            self.failure = Some(same);
        })
    }

    /// The directory that is open now.
    fn last(&self) -> BorrowedFd<'_> {
        self.open.last().map_or(self.root.as_fd(), |open| open.directory.as_fd())
    }

    /// Opens the directories with these names, one in the other, and closes those that are not among them.
    fn enter(&mut self, names: &[&[u8]]) -> io::Result<()> {
        let same = self.open.iter().zip(names).take_while(|(open, name)| open.name == **name).count();
        while self.open.len() > same {
            let Some(open) = self.open.pop() else { break };
            self.settle(open)?;
        }
        for name in names.get(same..).unwrap_or_default() {
            self.open_below(name, None)?;
        }
        Ok(())
    }

    fn open_below(&mut self, name: &[u8], entry: Option<Entry>) -> io::Result<()> {
        let parent = self.last();
        match mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let directory = openat(parent, name, OPEN_DIRECTORY, Mode::empty())?;
        self.open.push(Open { name: name.to_vec(), directory, entry });
        Ok(())
    }

    fn settle(&self, open: Open) -> io::Result<()> {
        match &open.entry {
            Some(entry) => self.make_like(open.directory.as_fd(), entry),
            None => Ok(fchmod(&open.directory, Mode::from_raw_mode(0o755))?),
        }
    }

    /// Gives a file or directory owner, permissions and time. Only root gives anything away; what belongs to another
    /// user than it did must not run with that user's rights.
    fn make_like(&self, file: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
        let mut mode = entry.mode;
        if self.is_root {
            let (uid, gid) = owner(entry);
            fchown(file, uid, gid)?;
        } else if entry.uid != rustix::process::geteuid().as_raw() {
            mode &= 0o1777;
        }
        // After the owner: changing that takes such bits away.
        fchmod(file, Mode::from_raw_mode(mode))?;
        Ok(futimens(file, &times(entry))?)
    }
}

impl Sink for Stage {
    fn entry(&mut self, entry: &Entry, contents: &mut dyn Read) -> io::Result<()> {
        let put = self.put(entry, contents);
        self.note_failure(put)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.finished {
            super::switch::discard(&self.path);
        }
    }
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
}

fn times(entry: &Entry) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: entry.seconds, tv_nsec: entry.nanoseconds.into() },
    }
}

/// Writes what is there and leaves holes where they were.
fn write_contents(
    file: &File,
    size: u64,
    data: Option<&[Extent]>,
    contents: &mut dyn Read,
) -> io::Result<()> {
    let whole = [Extent { offset: 0, length: size }];
    let mut buffer = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK)).max(1)];
    for extent in data.unwrap_or(&whole) {
        let (mut offset, end) = (extent.offset, extent.offset + extent.length);
        while offset < end {
            let most = buffer.len().min(usize::try_from(end - offset).unwrap_or(CHUNK));
            let Some(room) = buffer.get_mut(..most) else { break };
            contents.read_exact(room)?;
            file.write_all_at(room, offset)?;
            offset += most as u64;
        }
    }
    if data.is_some() {
        file.set_len(size)?;
    }
    Ok(())
}
