//! Puts an included directory into an archive.
//!
//! Programs go on changing it meanwhile. What disappears is left out; a file that shrinks is read once more and, where
//! it goes on shrinking, filled up with zeros; one that grows is cut where it ended when it was opened. Each of these
//! is said in the manifest, as GNU tar says it; none of them is a reason to have no backup.

use std::{
    fs::File,
    io::{self, BufWriter, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, FileTypeExt, MetadataExt},
    path::Path,
};

use rustix::fs::{Mode, OFlags, openat, readlinkat};
use sha2::{Digest, Sha256};

use super::{
    FILES, IncludeName, IncludedDirectory, Warnings,
    entry::{Entry, Extent, What, shown},
    format::head,
    read::Tally,
    walk::{Met, PassedOver, Root, Visitor},
};
use crate::{
    archive::{CHUNK, ZEROS, hex, padding},
    work::Meter,
};

/// How often a file that shrinks while it is read is read.
const ATTEMPTS: u32 = 3;

/// An included directory that can be packed.
pub(crate) struct Source {
    /// Its name and path.
    pub directory: IncludedDirectory,
    /// Whether something in it that cannot be read is a reason to have no backup: what the backup lacks will be lost.
    whole: bool,
    root: Root,
}

impl Source {
    /// Opens it.
    pub(crate) fn open(directory: IncludedDirectory) -> io::Result<Self> {
        let root = Root::open(&directory.path)?;
        Ok(Self { directory, whole: false, root })
    }

    /// Nothing that can be read may be missing in the backup.
    pub(crate) fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// How much there is to pack now.
    pub(crate) fn measure(&self, meter: &Meter) -> Result<Tally, PackError> {
        let mut measure = Measure { tally: Tally::default(), meter };
        self.root.walk(&mut measure)?;
        Ok(measure.tally)
    }
}

/// A directory could not be packed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    /// The archive or the list of checksums could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something cannot be read in a directory that must be packed whole.
    #[error("cannot take {path:?} of {name}")]
    LeftOut {
        /// The directory.
        name: IncludeName,
        /// Where in it, as a person sees it.
        path: String,
        /// Why not.
        #[source]
        why: io::Error,
    },
    /// The meter was told to stop.
    #[error("stopped")]
    Stopped,
}

/// What was packed.
pub(crate) struct Packed {
    /// How much.
    pub tally: Tally,
    /// How many bytes of the archive it takes.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: String,
}

/// Writes the entries of a directory where `out` stands, and the checksums of its files to `sums`: a file with holes is
/// left out there, for its holes may be larger than what anybody wants to read.
pub(crate) fn pack(
    source: &Source,
    out: &mut (impl Write + Seek),
    sums: &Path,
    warnings: &mut Warnings,
    meter: &Meter,
) -> Result<Packed, PackError> {
    let mut packer = Packer {
        name: &source.directory.name,
        whole: source.whole,
        prefix: format!("{FILES}/{}", source.directory.name),
        out,
        hasher: Sha256::new(),
        written: 0,
        sums: BufWriter::new(File::create_new(sums)?),
        tally: Tally::default(),
        buffer: vec![0; CHUNK],
        warnings,
        meter,
    };
    source.root.walk(&mut packer)?;
    packer.sums.flush()?;
    Ok(Packed { tally: packer.tally, size: packer.written, sha256: hex(packer.hasher.finalize()) })
}

struct Packer<'a, W> {
    name: &'a IncludeName,
    whole: bool,
    prefix: String,
    out: &'a mut W,
    hasher: Sha256,
    written: u64,
    sums: BufWriter<File>,
    tally: Tally,
    buffer: Vec<u8>,
    warnings: &'a mut Warnings,
    meter: &'a Meter,
}

/// A place in the archive that can be gone back to.
struct Place {
    hasher: Sha256,
    written: u64,
    position: u64,
}

impl<W: Write + Seek> Visitor for Packer<'_, W> {
    type Error = PackError;

    fn met(&mut self, met: &Met<'_>) -> Result<bool, PackError> {
        if self.meter.is_stopped() {
            return Err(PackError::Stopped);
        }
        let data = match met.file.metadata() {
            Ok(data) => data,
            Err(error) => return self.refused(met.path, error).map(|()| false),
        };
        let kind = data.file_type();
        if kind.is_dir() {
            self.put(&Entry::new(met.path.to_vec(), What::Directory, &data))?;
            return Ok(true);
        }
        if kind.is_symlink() {
            match readlinkat(&met.file, "", Vec::new()) {
                Ok(target) => {
                    let what = What::Link { target: target.into_bytes() };
                    self.put(&Entry::new(met.path.to_vec(), what, &data))?;
                }
                Err(error) => self.refused(met.path, error.into())?,
            }
        } else if kind.is_file() {
            self.file(met)?;
        } else {
            let what = if kind.is_socket() {
                "a socket"
            } else if kind.is_fifo() {
                "a named pipe"
            } else {
                "a device"
            };
            self.warn(met.path, &format!("is {what}, and is left out"));
        }
        Ok(false)
    }

    fn passed_over(&mut self, path: &[u8], why: PassedOver) -> Result<(), PackError> {
        match why {
            PassedOver::MountPoint => {
                self.warn(
                    path,
                    "is a mount point, and its contents are left out: include it by a name of its own",
                );
            }
            PassedOver::TooDeep if self.whole => {
                let why = io::Error::new(io::ErrorKind::InvalidInput, "it lies too deep");
                return Err(self.left_out(path, why));
            }
            PassedOver::TooDeep => self.warn(path, "lies too deep, and is left out"),
            PassedOver::Refused(error) => self.refused(path, error)?,
        }
        Ok(())
    }
}

impl<W: Write + Seek> Packer<'_, W> {
    fn warn(&mut self, path: &[u8], what: &str) {
        let path = if path.is_empty() { ".".to_owned() } else { shown(path) };
        self.warnings.push(format!("{}: \"{path}\" {what}", self.name));
    }

    /// What is gone is gone; that the system refuses something else is said.
    fn refused(&mut self, path: &[u8], error: io::Error) -> Result<(), PackError> {
        match error.kind() {
            io::ErrorKind::NotFound => {}
            _ if self.whole => return Err(self.left_out(path, error)),
            _ => self.warn(path, &format!("cannot be read, and is left out: {error}")),
        }
        Ok(())
    }

    fn left_out(&self, path: &[u8], why: io::Error) -> PackError {
        PackError::LeftOut { name: self.name.clone(), path: shown(path), why }
    }

    fn emit(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        self.meter.add(bytes.len() as u64);
        self.out.write_all(bytes)
    }

    fn put(&mut self, entry: &Entry) -> io::Result<()> {
        self.emit(&head(&self.prefix, entry))?;
        self.tally.count(entry);
        Ok(())
    }

    fn file(&mut self, met: &Met<'_>) -> Result<(), PackError> {
        let place = Place {
            hasher: self.hasher.clone(),
            written: self.written,
            position: self.out.stream_position()?,
        };
        for attempt in 1..=ATTEMPTS {
            // What was looked at may be something else by now: a pipe must not make us wait, a link lead nowhere.
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = match openat(met.parent, met.name, flags, Mode::empty()) {
                Ok(file) => File::from(file),
                Err(error) => return self.refused(met.path, error.into()),
            };
            let read = self.contents(met.path, &file, attempt == ATTEMPTS);
            let (whole, why) = match read {
                Ok(whole) => (whole, None),
                Err(ContentsError::Pack(error)) => return Err(error),
                Err(ContentsError::Read(error)) => (false, Some(error)),
            };
            if whole {
                return Ok(());
            }
            self.out.seek(SeekFrom::Start(place.position))?;
            (self.hasher, self.written) = (place.hasher.clone(), place.written);
            if let Some(error) = why {
                return self.refused(met.path, error);
            }
        }
        Ok(())
    }

    /// Writes a file. Says `false` where it ended before its size; `fill` has it filled up with zeros instead.
    fn contents(&mut self, path: &[u8], file: &File, fill: bool) -> Result<bool, ContentsError> {
        let before = file.metadata().map_err(ContentsError::Read)?;
        if !before.is_file() {
            self.warn(path, "changed into something else while it was read, and is left out");
            return Ok(true);
        }
        let data = extents(file, before.len(), before.blocks()).map_err(ContentsError::Read)?;
        let all = [Extent { offset: 0, length: before.len() }];
        let pieces = data.clone();
        let pieces = pieces.as_deref().unwrap_or(&all);
        let entry = Entry::new(path.to_vec(), What::File { size: before.len(), data }, &before);
        self.emit(&head(&self.prefix, &entry)).map_err(PackError::from)?;
        let mut hasher = Sha256::new();
        let mut missing = 0;
        for piece in pieces {
            missing += self.piece(file, *piece, &mut hasher, fill)?;
            if missing > 0 && !fill {
                return Ok(false);
            }
        }
        let padding = usize::try_from(padding(entry.stored())).unwrap_or(0);
        self.emit(ZEROS.get(..padding).unwrap_or_default()).map_err(PackError::from)?;
        let after = file.metadata().map_err(ContentsError::Read)?;
        if missing > 0 {
            self.warn(
                path,
                &format!("shrank while it was read; its last {missing} bytes are zeros in the backup"),
            );
        } else if (after.len(), after.mtime(), after.mtime_nsec())
            != (before.len(), before.mtime(), before.mtime_nsec())
        {
            self.warn(
                path,
                "changed while it was read, so that the backup may hold some of it as it was before",
            );
        }
        if pieces == all {
            let line = sum_line(&hex(hasher.finalize()), &self.prefix, path);
            self.sums.write_all(&line).map_err(PackError::from)?;
        }
        self.tally.count(&entry);
        Ok(true)
    }

    /// Writes a piece of a file, and says how many bytes of it were missing and are zeros now.
    fn piece(
        &mut self,
        file: &File,
        piece: Extent,
        hasher: &mut Sha256,
        fill: bool,
    ) -> Result<u64, ContentsError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let (mut offset, mut left, mut missing) = (piece.offset, piece.length, 0);
        let result = loop {
            if left == 0 {
                break Ok(missing);
            }
            if self.meter.is_stopped() {
                break Err(ContentsError::Pack(PackError::Stopped));
            }
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let Some(room) = buffer.get_mut(..most) else { break Ok(missing) };
            let mut read = match file.read_at(room, offset) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break Err(ContentsError::Read(error)),
            };
            if read == 0 {
                missing += most as u64;
                if !fill {
                    break Ok(missing);
                }
                room.fill(0);
                read = most;
            }
            let Some(chunk) = buffer.get(..read) else { break Ok(missing) };
            hasher.update(chunk);
            if let Err(error) = self.emit(chunk) {
                break Err(PackError::from(error).into());
            }
            (offset, left) = (offset + read as u64, left - read as u64);
        };
        self.buffer = buffer;
        result
    }
}

enum ContentsError {
    /// The file cannot be read.
    Read(io::Error),
    /// The archive cannot be written.
    Pack(PackError),
}

impl From<PackError> for ContentsError {
    fn from(error: PackError) -> Self {
        Self::Pack(error)
    }
}

/// Where the data of a file with holes lies; `None` where it has none, or the file system does not tell.
fn extents(file: &File, size: u64, blocks: u64) -> io::Result<Option<Vec<Extent>>> {
    use rustix::{
        fs::{SeekFrom, seek},
        io::Errno,
    };
    if blocks.saturating_mul(512) >= size {
        return Ok(None);
    }
    let mut extents: Vec<Extent> = Vec::new();
    let mut at = 0;
    while at < size {
        let begin = match seek(file, SeekFrom::Data(at)) {
            Ok(begin) if begin < size => begin,
            Ok(_) | Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let end = if extents.len() + 1 < Entry::MAX_EXTENTS {
            seek(file, SeekFrom::Hole(begin))?.clamp(begin, size)
        } else {
            size
        };
        if end == begin {
            break;
        }
        match extents.last_mut().filter(|last| last.offset + last.length >= begin) {
            Some(last) => last.length = end - last.offset,
            None => extents.push(Extent { offset: begin, length: end - begin }),
        }
        at = end;
    }
    let whole = [Extent { offset: 0, length: size }];
    Ok((extents != whole).then_some(extents))
}

/// A line as `sha256sum --check` reads it: with an odd name, it begins with a backslash.
fn sum_line(sha256: &str, prefix: &str, path: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(path.len());
    for byte in path {
        match byte {
            b'\\' => name.extend(b"\\\\"),
            b'\n' => name.extend(b"\\n"),
            b'\r' => name.extend(b"\\r"),
            other => name.push(*other),
        }
    }
    let mark = if name.len() > path.len() { "\\" } else { "" };
    let mut line = format!("{mark}{sha256}  {prefix}/").into_bytes();
    line.extend(name);
    line.push(b'\n');
    line
}

/// Adds up what there is.
struct Measure<'a> {
    tally: Tally,
    meter: &'a Meter,
}

impl Visitor for Measure<'_> {
    type Error = PackError;

    fn met(&mut self, met: &Met<'_>) -> Result<bool, PackError> {
        if self.meter.is_stopped() {
            return Err(PackError::Stopped);
        }
        let Ok(data) = met.file.metadata() else { return Ok(false) };
        self.tally.entries += 1;
        if data.is_file() {
            self.tally.files += 1;
            self.tally.bytes =
                self.tally.bytes.saturating_add(data.len().min(data.blocks().saturating_mul(512)));
        }
        Ok(data.is_dir())
    }

    fn passed_over(&mut self, _path: &[u8], _why: PassedOver) -> Result<(), PackError> {
        Ok(())
    }
}
