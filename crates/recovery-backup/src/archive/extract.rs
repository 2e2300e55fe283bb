//! Unpacks members below a directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    CHUNK, Flaw, decode_to_end,
    reader::{Visitor, drain},
};
use crate::{IncludedFiles, IncludedKeys, Member, files::Sink, keys};

/// Writes members below a directory.
pub(crate) struct Extract {
    /// The directory, which exists.
    pub into: PathBuf,
    /// Only members for which this holds are written; the others are just read.
    pub only: fn(&Member) -> bool,
    /// Whether dump files are decoded as well, to see that they can be.
    pub decode: bool,
    /// Where there is room, files that `pg_dump` compressed with gzip are written uncompressed and without their
    /// `.gz`, as `pg_restore` reads them too. It would inflate them more slowly than we do, in the very process that
    /// feeds the server.
    pub inflate: Option<Arc<Room>>,
}

/// How many bytes may be written by inflating.
#[derive(Debug)]
pub(crate) struct Room {
    left: AtomicU64,
    exceeded: AtomicBool,
}

impl Room {
    /// So many.
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(bytes), exceeded: AtomicBool::new(false) })
    }

    /// Whether more was to be written: then what was extracted is not complete.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.exceeded.load(Relaxed)
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let taken = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| {
            self.exceeded.store(true, Relaxed);
            io::ErrorKind::StorageFull.into()
        })
    }
}

impl Visitor for Extract {
    fn member(&self, member: &Member, contents: &mut dyn Read) -> Result<(), Flaw> {
        if !(self.only)(member) {
            return if self.decode {
                decode_to_end(&member.path, contents, &mut io::sink())
            } else {
                drain(contents)
            };
        }
        if let (Some(room), Some(inflated)) = (&self.inflate, member.path.strip_suffix(".gz")) {
            let file = create(&self.into.join(inflated))?;
            return decode_to_end(&member.path, contents, &mut Bounded { file, room });
        }
        let path = self.into.join(&member.path);
        copy(contents, &mut create(&path)?)?;
        if self.decode {
            decode_to_end(&member.path, &mut File::open(&path)?, &mut io::sink())
        } else {
            Ok(())
        }
    }

    fn keys(&self, keys: &IncludedKeys, contents: &mut dyn Read) -> Result<(), Flaw> {
        if self.decode { keys::check(&keys.commands.path, keys.keys, contents) } else { drain(contents) }
    }

    fn directory(&self, _files: &IncludedFiles) -> Box<dyn Sink + '_> {
        Box::new(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn copy(contents: &mut dyn Read, out: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = contents.read(&mut buffer)?;
        match buffer.get(..read) {
            Some(chunk) if !chunk.is_empty() => out.write_all(chunk)?,
            _ => return Ok(()),
        }
    }
}

/// A file that grows only as long as there is room.
struct Bounded<'a> {
    file: File,
    room: &'a Room,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.room.take(bytes.len() as u64)?;
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
