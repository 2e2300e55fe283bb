//! The gzip and the tar around the script, read once from the beginning to the end.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::unix::ffi::OsStringExt,
    path::{Component, Path, PathBuf},
};

use flate2::bufread::GzDecoder;
use tar::{EntryType, Header};

use super::damaged;
use crate::{archive::Flaw, work::Meter};

/// The name of the script in the archive.
pub(super) const SCRIPT: &str = "database.sql";
/// The directories that may stand beside it.
pub(super) const DIRECTORIES: [&str; 2] = ["sources", "memory"];

const BLOCK: usize = 512;
const BLOCK_BYTES: u64 = BLOCK as u64;
/// How much is read at once.
const CHUNK: usize = 256 * 1024;
/// The longest header extension (long names, pax records).
const MAX_EXTENSION: u64 = 1024 * 1024;
/// An archive may unpack to this much whatever its size, and else to so many times its size. A real dump packs to a
/// tenth; gzip itself can do a thousandth.
const MAX_UNPACKED: u64 = 1024 * 1024 * 1024;
const MAX_RATIO: u64 = 200;

/// What an entry below `sources/` or `memory/` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A file of so many bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A symbolic link to this target, which stays inside its directory.
    Symlink(PathBuf),
}

/// An entry below `sources/` or `memory/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileEntry {
    /// `sources` or `memory`.
    pub directory: &'static str,
    /// Its path below that directory: plain names only, empty for the directory itself.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
    /// The permission bits.
    pub mode: u32,
    /// When it was changed, in seconds since 1970.
    pub mtime: u64,
}

/// Who gets what stands in an archive.
pub(super) trait Visitor {
    /// The next bytes of the script.
    fn script(&mut self, bytes: &[u8]) -> Result<(), Flaw>;
    /// An entry below `sources/` or `memory/` begins.
    fn entry(&mut self, entry: FileEntry) -> Result<(), Flaw>;
    /// The next bytes of the file that began last.
    fn contents(&mut self, bytes: &[u8]) -> Result<(), Flaw>;
}

/// How much an archive of this size may unpack to.
pub(super) fn limit(packed: u64) -> u64 {
    packed.saturating_mul(MAX_RATIO).max(MAX_UNPACKED)
}

/// Reads an archive to the end of its file. What the visitor got is known to be whole only when this returns.
pub(super) fn read(file: File, visitor: &mut dyn Visitor, meter: &Meter) -> Result<(), Flaw> {
    let packed = file.metadata()?.len();
    read_within(limit(packed), file, visitor, meter)
}

/// As [`read`], giving up after so many bytes.
pub(super) fn read_within(
    limit: u64,
    file: File,
    visitor: &mut dyn Visitor,
    meter: &Meter,
) -> Result<(), Flaw> {
    let counted = Counted { file, meter };
    let mut stream = Stream {
        decoder: GzDecoder::new(BufReader::with_capacity(CHUNK, counted)),
        produced: 0,
        limit,
        meter,
    };
    let mut extension = Extension::default();
    let mut scripts = 0;
    loop {
        let mut block = [0; BLOCK];
        stream.fill(&mut block, "a header")?;
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        let header = checked(&block)?;
        let kind = header.entry_type();
        let Ok(size) = header.entry_size() else { return damaged("an entry has no readable size") };
        if extension.take_in(&mut stream, kind, size)? {
            continue;
        }
        let extension = std::mem::take(&mut extension);
        let size = extension.size.unwrap_or(size);
        if size > stream.limit - stream.produced {
            return damaged("an entry claims an impossible size");
        }
        match place(header, kind, &extension, size)? {
            Place::Script => {
                scripts += 1;
                if scripts > 1 {
                    return damaged(format!("it holds {SCRIPT} twice"));
                }
                stream.contents(size, SCRIPT, |bytes| visitor.script(bytes))?;
            }
            Place::Below(entry) => {
                visitor.entry(entry)?;
                stream.contents(size, "a file", |bytes| visitor.contents(bytes))?;
            }
            Place::Elsewhere => stream.contents(size, "a file", |_| Ok(()))?,
        }
    }
    stream.end()?;
    if scripts == 0 {
        return damaged(format!("it holds no {SCRIPT}"));
    }
    Ok(())
}

/// Where an entry belongs.
enum Place {
    Script,
    Below(FileEntry),
    /// Nothing that this program knows; it is read over.
    Elsewhere,
}

fn place(header: &Header, kind: EntryType, extension: &Extension, size: u64) -> Result<Place, Flaw> {
    let raw = extension.path.clone().unwrap_or_else(|| header.path_bytes().into_owned());
    let path = plain_path(&raw)?;
    let names: Vec<&str> = path.components().filter_map(|part| part.as_os_str().to_str()).collect();
    // Before POSIX a directory was a file whose name ends in a slash.
    let is_directory = kind.is_dir() || (kind.is_file() && raw.ends_with(b"/") && size == 0);
    if names == [SCRIPT] {
        return if kind.is_file() && !is_directory {
            Ok(Place::Script)
        } else {
            damaged(format!("its {SCRIPT} is no plain file"))
        };
    }
    let shown = || path.display().to_string().escape_debug().to_string();
    let target = || {
        let raw = extension.link.clone().or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
        PathBuf::from(OsString::from_vec(raw.unwrap_or_default()))
    };
    let kind = match kind {
        _ if is_directory => EntryKind::Directory,
        EntryType::Regular => EntryKind::File(size),
        EntryType::Symlink if stays_below(&path, &target()) => EntryKind::Symlink(target()),
        EntryType::Symlink | EntryType::Link => {
            return damaged(format!("it holds a link that may not be there: {}", shown()));
        }
        _ => return damaged(format!("it holds something that is no file: {}", shown())),
    };
    if size > 0 && !matches!(kind, EntryKind::File(_)) {
        return damaged(format!("it claims contents of what has none: {}", shown()));
    }
    let directory = DIRECTORIES.into_iter().find(|name| path.starts_with(name));
    let below = directory.and_then(|directory| Some((directory, path.strip_prefix(directory).ok()?)));
    Ok(match below {
        Some((directory, below)) => Place::Below(FileEntry {
            directory,
            path: below.to_owned(),
            kind,
            mode: header.mode().unwrap_or(0o644) & 0o777,
            mtime: header.mtime().unwrap_or(0),
        }),
        None => Place::Elsewhere,
    })
}

/// The path without `.`; one that leads elsewhere is refused, wherever in the archive it stands.
fn plain_path(raw: &[u8]) -> Result<PathBuf, Flaw> {
    let path = PathBuf::from(OsString::from_vec(raw.to_owned()));
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) if !raw.contains(&0) => plain.push(name),
            Component::CurDir => {}
            _ => {
                let shown = path.display().to_string().escape_debug().to_string();
                return damaged(format!("it holds a path that leads elsewhere: {shown}"));
            }
        }
    }
    Ok(plain)
}

/// Whether a link at `path` leads to something inside the same directory of the archive.
fn stays_below(path: &Path, target: &Path) -> bool {
    // The first name is the directory itself, which the link must not leave.
    let mut depth = path.components().count().saturating_sub(2);
    if target.as_os_str().is_empty() {
        return false;
    }
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

/// What the entries before a header say of the one that it belongs to.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Extension {
    /// Reads the entry where it is an extension of the next one.
    fn take_in(&mut self, stream: &mut Stream<'_>, kind: EntryType, size: u64) -> Result<bool, Flaw> {
        let is_extension = matches!(
            kind,
            EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink
        );
        if !is_extension {
            return Ok(false);
        }
        if size > MAX_EXTENSION {
            return damaged("the name of an entry claims an impossible size");
        }
        let mut bytes = Vec::new();
        stream.contents(size, "a long name", |more| {
            bytes.extend_from_slice(more);
            Ok(())
        })?;
        match kind {
            EntryType::GNULongName => self.path = Some(until_nul(bytes)),
            EntryType::GNULongLink => self.link = Some(until_nul(bytes)),
            // What holds for all entries is a comment or the time; nothing else is taken from it.
            EntryType::XGlobalHeader => {}
            _ => self.pax(&bytes)?,
        }
        Ok(true)
    }

    fn pax(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        const UNREADABLE: &str = "an extended header cannot be read";
        for record in tar::PaxExtensions::new(bytes) {
            let Ok(record) = record else { return damaged(UNREADABLE) };
            match record.key_bytes() {
                b"path" => self.path = Some(record.value_bytes().to_owned()),
                b"linkpath" => self.link = Some(record.value_bytes().to_owned()),
                b"size" => match record.value().ok().and_then(|text| text.parse().ok()) {
                    Some(size) => self.size = Some(size),
                    None => return damaged(UNREADABLE),
                },
                key if key.starts_with(b"GNU.sparse.") => {
                    return damaged("it holds a sparse file, which the earlier service never wrote");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// The header, if its checksum is right.
fn checked(block: &[u8; BLOCK]) -> Result<&Header, Flaw> {
    let header = Header::from_byte_slice(block);
    // The field of the checksum itself counts as spaces.
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(place, byte)| if (148..156).contains(&place) { u32::from(b' ') } else { u32::from(*byte) })
        .sum();
    if header.cksum().is_ok_and(|said| said == sum) { Ok(header) } else { damaged("it is no tar archive") }
}

/// The file, counted as it is read.
struct Counted<'a> {
    file: File,
    meter: &'a Meter,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.meter.add(read as u64);
        Ok(read)
    }
}

/// What the gzip holds.
struct Stream<'a> {
    decoder: GzDecoder<BufReader<Counted<'a>>>,
    produced: u64,
    limit: u64,
    meter: &'a Meter,
}

impl Stream<'_> {
    /// Reads some bytes; none at the end, whose checksum is right.
    fn some(&mut self, buffer: &mut [u8]) -> Result<usize, Flaw> {
        if self.meter.is_stopped() {
            return Err(Flaw::Stopped);
        }
        let read = loop {
            match self.decoder.read(buffer) {
                Ok(read) => break read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.explain(error)),
            }
        };
        self.produced += read as u64;
        if self.produced > self.limit {
            return damaged(format!("it unpacks to more than {MAX_RATIO} times its size"));
        }
        Ok(read)
    }

    fn explain(&self, error: io::Error) -> Flaw {
        match error.kind() {
            io::ErrorKind::UnexpectedEof if self.produced == 0 => {
                Flaw::Damaged("it is not compressed with gzip".to_owned())
            }
            io::ErrorKind::UnexpectedEof => Flaw::Damaged("it ends too early: it was cut off".to_owned()),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput if self.produced == 0 => {
                Flaw::Damaged("it is not compressed with gzip, or damaged at its beginning".to_owned())
            }
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Flaw::Damaged(
                "it cannot be uncompressed to its end: its bytes or its checksum are wrong".to_owned(),
            ),
            _ => Flaw::Io(error),
        }
    }

    fn fill(&mut self, mut buffer: &mut [u8], what: &str) -> Result<(), Flaw> {
        while !buffer.is_empty() {
            let read = self.some(buffer)?;
            if read == 0 {
                return damaged(format!("it ends where {what} should stand"));
            }
            buffer = buffer.get_mut(read..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads the contents of an entry and the padding after them.
    fn contents(
        &mut self,
        size: u64,
        what: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Flaw>,
    ) -> Result<(), Flaw> {
        let mut left = size;
        let mut buffer = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK))];
        while left > 0 {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(CHUNK));
            let read = self.some(buffer.get_mut(..want).unwrap_or_default())?;
            if read == 0 {
                return damaged(format!("it ends in the middle of {what}"));
            }
            take(buffer.get(..read).unwrap_or_default())?;
            left -= read as u64;
        }
        let padding = size.next_multiple_of(BLOCK_BYTES) - size;
        let mut block = [0; BLOCK];
        let padding = usize::try_from(padding).unwrap_or(0);
        self.fill(block.get_mut(..padding).unwrap_or_default(), "the end of an entry")
    }

    /// After the first block of zeros: a second one, nothing but zeros, and the end of the file.
    fn end(mut self) -> Result<(), Flaw> {
        let mut buffer = vec![0; CHUNK];
        self.fill(buffer.get_mut(..BLOCK).unwrap_or_default(), "the end of the tar")?;
        loop {
            let filled = buffer.get(..).unwrap_or_default();
            if filled.iter().any(|byte| *byte != 0) {
                return damaged("something follows the end of its tar");
            }
            if self.some(&mut buffer)? == 0 {
                break;
            }
        }
        if self.decoder.into_inner().fill_buf()?.is_empty() {
            Ok(())
        } else {
            damaged("something follows its gzip stream")
        }
    }
}
