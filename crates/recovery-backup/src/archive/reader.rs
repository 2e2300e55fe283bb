//! Reads an archive, trusting nothing that it says.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Component, Path},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::{BLOCK, CHUNK, DATABASE, Piece, SUMS, ZEROS, file_size, header, hex, padding, pieces, sums};
use crate::{
    IncludedFiles, IncludedKeys, Manifest, Member,
    files::{FILES, Sink, read_entries},
    keys,
    manifest::{FirstMember, Heading},
    work::Meter,
};

/// Why an archive was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Flaw {
    /// It is damaged; in words.
    #[error("{0}")]
    Damaged(String),
    /// It is of a format that this program does not know.
    #[error("its format version is {0}, and this program reads up to {max}", max = Manifest::WITH_KEYS)]
    UnknownFormat(u32),
    /// It is whole, and cannot be used here.
    #[error("{why}")]
    Unusable {
        /// Why not.
        why: String,
        /// What would help.
        hint: String,
    },
    /// The file could not be read, or what it holds not be written elsewhere.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The meter was told to stop.
    #[error("stopped")]
    Stopped,
}

fn damaged<T>(why: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw::Damaged(why.into()))
}

/// Reads exactly this many bytes; a file that ends before is damaged, not unreadable.
fn fill(file: &mut impl Read, buffer: &mut [u8], what: &str) -> Result<(), Flaw> {
    file.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Flaw::Damaged(format!("it ends in the middle of {what}")),
        _ => Flaw::Io(error),
    })
}

/// Reads the manifest, the first member. No more than that is read, and nothing of it is proven.
pub(crate) fn read_manifest(file: &mut File) -> Result<Manifest, Flaw> {
    manifest_and_bytes(file).map(|(manifest, _)| manifest)
}

/// The one field that every version of a manifest has.
#[derive(serde::Deserialize)]
struct Format {
    format_version: u32,
}

/// Reads what a list shows of the manifest, and skims the rest.
pub(crate) fn read_heading(file: &mut File) -> Result<Heading, Flaw> {
    first_member::<Heading>(file).map(|(heading, _)| heading)
}

fn manifest_and_bytes(file: &mut File) -> Result<(Manifest, Vec<u8>), Flaw> {
    first_member::<Manifest>(file)
}

/// The first member, as much of it as is wanted.
fn first_member<T: DeserializeOwned + FirstMember>(file: &mut File) -> Result<(T, Vec<u8>), Flaw> {
    const NONE: &str = "it does not begin with a manifest";
    let mut found = ZEROS;
    fill(file, &mut found, "its first block")?;
    let parsed = tar::Header::from_byte_slice(&found);
    let is_manifest = parsed.path().is_ok_and(|path| path.as_ref() == Path::new(Manifest::MEMBER));
    if !is_manifest || !parsed.entry_type().is_file() {
        return damaged(NONE);
    }
    let Ok(size) = parsed.entry_size() else { return damaged(NONE) };
    if size > Manifest::MAX_BYTES || size > file.metadata()?.len() {
        return damaged("its manifest claims an impossible size");
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    fill(file, &mut bytes, Manifest::MEMBER)?;

    let known = |version: u32| (Manifest::PLAIN..=Manifest::WITH_KEYS).contains(&version);
    let manifest = match serde_json::from_slice::<T>(&bytes) {
        Ok(manifest) if known(manifest.format_version()) => manifest,
        // Another version may have other fields.
        _ => match serde_json::from_slice::<Format>(&bytes) {
            Ok(format) if !known(format.format_version) => {
                return Err(Flaw::UnknownFormat(format.format_version));
            }
            _ => return damaged("its manifest is not readable"),
        },
    };
    if header(Manifest::MEMBER, size, manifest.created_at())? != found {
        return damaged("the header of its manifest was altered");
    }
    expect_zeros(file, padding(size), Manifest::MEMBER)?;
    Ok((manifest, bytes))
}

fn expect_zeros(file: &mut impl Read, count: u64, after: &str) -> Result<(), Flaw> {
    let mut zeros = ZEROS;
    let count = usize::try_from(count).map_err(io::Error::other)?;
    let Some(zeros) = zeros.get_mut(..count) else { return Ok(()) };
    fill(file, zeros, &format!("the padding after {after}"))?;
    if zeros.iter().any(|byte| *byte != 0) {
        return damaged(format!("the padding after {after} was altered"));
    }
    Ok(())
}

/// What to do with the members besides comparing their hashes.
pub(crate) trait Visitor: Sync {
    /// Called with the contents of each member, of several at once; must read them to their end.
    fn member(&self, member: &Member, contents: &mut dyn Read) -> Result<(), Flaw>;

    /// Called with the commands of each numbered database of Redis; must read them to their end.
    fn keys(&self, keys: &IncludedKeys, contents: &mut dyn Read) -> Result<(), Flaw>;

    /// Called for each included directory; what this returns is given its entries. Members and other directories may
    /// be read at the same time.
    fn directory(&self, files: &IncludedFiles) -> Box<dyn Sink + '_>;
}

/// Reads members and lets them go.
impl Visitor for () {
    fn member(&self, _member: &Member, contents: &mut dyn Read) -> Result<(), Flaw> {
        drain(contents)
    }

    fn keys(&self, _keys: &IncludedKeys, contents: &mut dyn Read) -> Result<(), Flaw> {
        drain(contents)
    }

    fn directory(&self, _files: &IncludedFiles) -> Box<dyn Sink + '_> {
        Box::new(())
    }
}

pub(super) fn drain(contents: &mut dyn Read) -> Result<(), Flaw> {
    let mut buffer = vec![0; CHUNK];
    while contents.read(&mut buffer)? > 0 {}
    Ok(())
}

/// An archive whose manifest was read and found plausible.
pub(crate) struct ArchiveReader {
    file: File,
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
}

impl ArchiveReader {
    /// Reads the manifest and checks that what it says can be true of a file of this size.
    pub(crate) fn open(mut file: File) -> Result<Self, Flaw> {
        let (manifest, manifest_bytes) = manifest_and_bytes(&mut file)?;
        if let Some(member) = manifest.members.iter().find(|member| !is_plain(&member.path)) {
            return damaged(format!("its manifest names a member that may not be there: {:?}", member.path));
        }
        // Unpacked, a compressed file loses the end of its name.
        let unpacked = |member: &Member| member.path.trim_end_matches(".gz").to_owned();
        let mut paths = std::collections::BTreeSet::new();
        if let Some(member) = manifest.members.iter().find(|member| !paths.insert(unpacked(member))) {
            return damaged(format!("its manifest names a member twice: {:?}", member.path));
        }
        check_files(&manifest)?;
        check_keys(&manifest)?;
        let sums_size = sums(&hex(Sha256::digest(&manifest_bytes)), &manifest).len() as u64;
        let expected = file_size(manifest_bytes.len() as u64, sums_size, &manifest);
        let actual = file.metadata()?.len();
        match expected {
            Some(expected) if expected == actual => {}
            Some(expected) => {
                return damaged(format!("it has {actual} bytes, and its manifest accounts for {expected}"));
            }
            None => return damaged("its manifest claims impossible sizes"),
        }
        Ok(Self { file, manifest, manifest_bytes })
    }

    /// What the archive says of itself.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Reads every byte to the end of the file, several members at once. Each is handed to the visitor; that its hash
    /// is right is known only when this returns.
    pub(crate) fn read_to_end(self, visitor: &dyn Visitor, meter: &Meter) -> Result<Manifest, Flaw> {
        let (placed, end) = self.placed();
        let next = AtomicUsize::new(0);
        let read_some = || -> Result<(), Flaw> {
            while let Some((piece, offset)) = placed.get(next.fetch_add(1, Relaxed)) {
                let read = match piece {
                    Piece::Member(member) => {
                        self.read_member(member, *offset, &|read| visitor.member(member, read), meter)
                    }
                    Piece::Keys(keys) => {
                        self.read_member(&keys.commands, *offset, &|read| visitor.keys(keys, read), meter)
                    }
                    Piece::Files(files) => self.read_files(files, *offset, visitor, meter),
                };
                // Nobody needs what comes after.
                read.inspect_err(|_| next.store(placed.len(), Relaxed))?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let helpers: Vec<_> = (1..readers()).map(|_| scope.spawn(read_some)).collect();
            let mut result = read_some();
            for helper in helpers {
                let helped =
                    helper.join().unwrap_or_else(|_| Err(Flaw::Io(io::Error::other("a reader panicked"))));
                result = result.and(helped);
            }
            result
        })?;
        self.read_end(end)?;
        Ok(self.manifest)
    }

    /// Where each piece begins, and where the header of the checksums stands.
    pub(super) fn placed(&self) -> (Vec<(Piece<'_>, u64)>, u64) {
        let mut offset = BLOCK + (self.manifest_bytes.len() as u64).next_multiple_of(BLOCK);
        let mut placed = Vec::with_capacity(self.manifest.members.len());
        for piece in pieces(&self.manifest) {
            placed.push((piece, offset));
            // `open` has made sure that the sizes add up to that of the file.
            offset += piece.takes().unwrap_or(0);
        }
        (placed, offset)
    }

    pub(super) fn read_member(
        &self,
        member: &Member,
        offset: u64,
        visit: &dyn Fn(&mut dyn Read) -> Result<(), Flaw>,
        meter: &Meter,
    ) -> Result<(), Flaw> {
        let mut file = ReadAt { file: &self.file, offset };
        file.check_header(&self.manifest, &member.path, member.size)?;
        let mut contents = Hashing { inner: (&mut file).take(member.size), hasher: Sha256::new(), meter };
        let visited = visit(&mut contents);
        if meter.is_stopped() {
            return Err(Flaw::Stopped);
        }
        if matches!(visited, Err(Flaw::Io(_))) {
            return visited;
        }
        // A wrong hash explains why a member does not decode, so it is looked at first.
        drain(&mut contents)?;
        if contents.inner.limit() > 0 {
            return damaged(format!("it ends in the middle of {}", member.path));
        }
        if hex(contents.hasher.finalize()) != member.sha256 {
            return damaged(format!(
                "{} has been altered: its SHA-256 is not that of the manifest",
                member.path
            ));
        }
        visited?;
        expect_zeros(&mut file, padding(member.size), &member.path)
    }

    fn read_files(
        &self,
        files: &IncludedFiles,
        offset: u64,
        visitor: &dyn Visitor,
        meter: &Meter,
    ) -> Result<(), Flaw> {
        let prefix = format!("{FILES}/{}", files.name);
        let file = ReadAt { file: &self.file, offset };
        let mut contents = Hashing { inner: file.take(files.size), hasher: Sha256::new(), meter };
        let mut sink = visitor.directory(files);
        // Headers are small.
        let mut buffered = io::BufReader::with_capacity(CHUNK, &mut contents);
        let found = read_entries(&prefix, &mut buffered, sink.as_mut());
        if meter.is_stopped() {
            return Err(Flaw::Stopped);
        }
        if matches!(found, Err(Flaw::Io(_))) {
            return found.map(drop);
        }
        // A wrong hash explains why the entries cannot be read, so it is looked at first.
        drain(&mut contents)?;
        if contents.inner.limit() > 0 {
            return damaged(format!("it ends in the middle of {prefix}"));
        }
        if hex(contents.hasher.finalize()) != files.sha256 {
            return damaged(format!("{prefix} has been altered: its SHA-256 is not that of the manifest"));
        }
        let found = found?;
        if (found.files, found.entries, found.bytes) != (files.files, files.entries, files.bytes) {
            return damaged(format!("{prefix} does not hold what the manifest says"));
        }
        Ok(())
    }

    /// Reads the checksums, which cover the manifest, and the two blocks that end a tar.
    fn read_end(&self, offset: u64) -> Result<(), Flaw> {
        let mut file = ReadAt { file: &self.file, offset };
        let expected = sums(&hex(Sha256::digest(&self.manifest_bytes)), &self.manifest);
        file.check_header(&self.manifest, SUMS, expected.len() as u64)?;
        let mut found = vec![0; expected.len()];
        fill(&mut file, &mut found, SUMS)?;
        if found != expected.as_bytes() {
            return damaged(format!("{} and {SUMS} do not agree: one of them was altered", Manifest::MEMBER));
        }
        expect_zeros(&mut file, padding(expected.len() as u64), SUMS)?;
        expect_zeros(&mut file, BLOCK, "the last member")?;
        expect_zeros(&mut file, BLOCK, "the last member")
    }
}

/// Checks what the manifest says of included directories: each name once, and nothing that is not of this format.
fn check_files(manifest: &Manifest) -> Result<(), Flaw> {
    if manifest.format_version != manifest.version_of_contents() {
        return damaged("its manifest is not of the version that it claims");
    }
    let mut names = std::collections::BTreeSet::new();
    for files in &manifest.files {
        let plain = files.size.is_multiple_of(BLOCK)
            && files.entries > 0
            && files.sums.path == IncludedFiles::sums_path(&files.name)
            && names.insert(&files.name);
        if !plain {
            return damaged(format!("its manifest tells of files in a way that cannot be: {}", files.name));
        }
    }
    Ok(())
}

/// Checks what the manifest says of keys: databases that there are, in order and each once.
fn check_keys(manifest: &Manifest) -> Result<(), Flaw> {
    let mut last = None;
    for IncludedKeys { database, keys, commands } in &manifest.redis {
        let plain = *database <= keys::LAST_DATABASE
            && last < Some(*database)
            && *keys > 0
            && commands.path == keys::path_of(*database);
        if !plain {
            return damaged(format!(
                "its manifest tells of keys of Redis in a way that cannot be: database {database}"
            ));
        }
        last = Some(*database);
    }
    Ok(())
}

/// How many members are read at once.
fn readers() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().min(4))
}

/// Reads a shared file from a place of its own.
struct ReadAt<'a> {
    file: &'a File,
    offset: u64,
}

impl ReadAt<'_> {
    fn check_header(&mut self, manifest: &Manifest, path: &str, size: u64) -> Result<(), Flaw> {
        let mut found = ZEROS;
        fill(self, &mut found, &format!("the header of {path}"))?;
        if header(path, size, manifest.created_at)? != found {
            return damaged(format!("{path} is not where the manifest says, or its header was altered"));
        }
        Ok(())
    }
}

impl Read for ReadAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Whether a path stays below the directory that it is put in, and is one that this program makes.
fn is_plain(path: &str) -> bool {
    let mut components = Path::new(path).components();
    components.next() == Some(Component::Normal(DATABASE.as_ref()))
        && matches!(components.next(), Some(Component::Normal(_)))
        && components.next().is_none()
        && !path.ends_with('/')
        && !path.contains(['\0', '\\'])
        && path.len() < 100
}

struct Hashing<'a, R> {
    inner: R,
    hasher: Sha256,
    meter: &'a Meter,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.meter.is_stopped() {
            return Err(io::Error::other("stopped"));
        }
        let read = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        self.meter.add(read as u64);
        Ok(read)
    }
}
