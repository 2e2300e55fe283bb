//! Packs a dump into an archive, hashing on the way.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::{BLOCK, CHUNK, SUMS, ZEROS, early_sync::EarlySync, header, hex, padding, sums};
use crate::{
    IncludeName, IncludedFiles, Manifest, Member,
    directory::give_to_owner,
    files::{FILES, PackError, Source, Warnings, pack},
    work::Meter,
};

/// An archive could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// Reading the dump or writing the archive failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file of the dump is not as long as it was when the dump ended.
    #[error("{0} changed while it was packed")]
    Changed(String),
    /// A directory that must be packed whole has something in it that cannot be.
    #[error("cannot take {path:?} of {name} into the backup")]
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

impl From<PackError> for WriteError {
    fn from(error: PackError) -> Self {
        match error {
            PackError::Io(error) => Self::Io(error),
            PackError::LeftOut { name, path, why } => Self::LeftOut { name, path, why },
            PackError::Stopped => Self::Stopped,
        }
    }
}

/// Writes the archive and fills in the checksums of the manifest's members, whose paths and sizes are given. Each
/// member is read from below `source` and removed once it is packed, so that the disk never holds the dump twice. Then
/// come the included directories, and what the manifest says of them, and keys of Redis. The file is on disk when this returns, and
/// belongs to whom the directory `owner` belongs.
pub(crate) fn write_archive(
    target: &Path,
    owner: &Path,
    source: &Path,
    manifest: &mut Manifest,
    includes: &[Source],
    meter: &Meter,
) -> Result<(), WriteError> {
    let keys = manifest.redis.iter_mut().map(|keys| &mut keys.commands);
    for member in manifest.members.iter_mut().chain(keys) {
        // As long as the real one, so that the manifest's own length is known before anything is hashed.
        member.sha256 = "0".repeat(64);
    }
    let mut room = encode(manifest)?.len();
    if !includes.is_empty() {
        room += Manifest::room_for(includes.iter().map(|source| source.directory.name.clone()));
    }
    let manifest_size = room as u64;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
    give_to_owner(&file, owner);
    let mut out = BufWriter::with_capacity(CHUNK, EarlySync::new(file)?);
    out.write_all(&header(Manifest::MEMBER, manifest_size, manifest.created_at)?)?;
    out.seek(SeekFrom::Current(signed(manifest_size + padding(manifest_size))?))?;

    let created_at = manifest.created_at;
    let mut buffer = vec![0; CHUNK];
    for member in &mut manifest.members {
        pack_member(member, source, &mut out, created_at, &mut buffer, meter)?;
    }
    drop(buffer);
    manifest.files = pack_includes(includes, source, &mut out, created_at, &mut manifest.warnings, meter)?;
    for keys in &mut manifest.redis {
        pack_member(&mut keys.commands, source, &mut out, created_at, &mut vec![0; CHUNK], meter)?;
    }
    manifest.format_version = manifest.version_of_contents();

    let mut manifest_bytes = encode(manifest)?;
    if manifest_bytes.len() > room || (includes.is_empty() && manifest_bytes.len() < room) {
        return Err(WriteError::Changed(Manifest::MEMBER.to_owned()));
    }
    manifest_bytes.resize(room, b' ');
    let sums = sums(&hex(Sha256::digest(&manifest_bytes)), manifest);
    let sums_size = sums.len() as u64;
    out.write_all(&header(SUMS, sums_size, created_at)?)?;
    out.write_all(sums.as_bytes())?;
    pad(&mut out, sums_size)?;
    out.write_all(&ZEROS)?;
    out.write_all(&ZEROS)?;

    // A file that shrank while it was packed was written more than once, and what came after it is nearer now.
    let end = out.stream_position()?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?.into_file()?;
    file.set_len(end)?;
    file.write_all_at(&manifest_bytes, BLOCK)?;
    file.sync_all()?;
    Ok(())
}

/// Writes a member that lies below `source`, and removes it there.
fn pack_member(
    member: &mut Member,
    source: &Path,
    out: &mut BufWriter<EarlySync>,
    created_at: OffsetDateTime,
    buffer: &mut [u8],
    meter: &Meter,
) -> Result<(), WriteError> {
    out.write_all(&header(&member.path, member.size, created_at)?)?;
    let path = source.join(&member.path);
    member.sha256 = copy(&path, member.size, out, buffer, meter)?
        .ok_or_else(|| WriteError::Changed(member.path.clone()))?;
    pad(out, member.size)?;
    fs::remove_file(&path)?;
    Ok(())
}

/// Writes the included directories, each followed by the checksums of its files.
fn pack_includes(
    includes: &[Source],
    source: &Path,
    out: &mut BufWriter<EarlySync>,
    created_at: OffsetDateTime,
    warnings: &mut Vec<String>,
    meter: &Meter,
) -> Result<Vec<IncludedFiles>, WriteError> {
    let (mut packed, mut collected) = (Vec::new(), Warnings::after(std::mem::take(warnings)));
    if !includes.is_empty() {
        fs::create_dir(source.join(FILES))?;
    }
    for include in includes {
        let name = include.directory.name.clone();
        let path = IncludedFiles::sums_path(&name);
        let sums = source.join(&path);
        let done = pack(include, out, &sums, &mut collected, meter)?;
        let mut member = Member { path, size: fs::metadata(&sums)?.len(), sha256: String::new() };
        pack_member(&mut member, source, out, created_at, &mut vec![0; CHUNK], meter)?;
        packed.push(IncludedFiles {
            name,
            files: done.tally.files,
            entries: done.tally.entries,
            bytes: done.tally.bytes,
            size: done.size,
            sha256: done.sha256,
            sums: member,
        });
    }
    *warnings = collected.finish();
    Ok(packed)
}

fn encode(manifest: &Manifest) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(manifest)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Copies a file and returns its hash, or `None` where it has not the size that it should have.
fn copy(
    path: &Path,
    size: u64,
    out: &mut impl Write,
    buffer: &mut [u8],
    meter: &Meter,
) -> Result<Option<String>, WriteError> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut copied = 0;
    loop {
        if meter.is_stopped() {
            return Err(WriteError::Stopped);
        }
        let read = file.read(buffer)?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else { break };
        copied += chunk.len() as u64;
        if copied > size {
            return Ok(None);
        }
        hasher.update(chunk);
        out.write_all(chunk)?;
        meter.add(chunk.len() as u64);
    }
    Ok((copied == size).then(|| hex(hasher.finalize())))
}

fn pad(out: &mut impl Write, size: u64) -> io::Result<()> {
    let length = usize::try_from(padding(size)).map_err(io::Error::other)?;
    out.write_all(ZEROS.get(..length).unwrap_or_default())
}

fn signed(size: u64) -> io::Result<i64> {
    i64::try_from(size).map_err(io::Error::other)
}
