//! Packs a dump into an archive, hashing on the way.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{BLOCK, CHUNK, SUMS, ZEROS, header, hex, padding, sums};
use crate::{Manifest, directory::give_to_owner, work::Meter};

/// An archive could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// Reading the dump or writing the archive failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file of the dump is not as long as it was when the dump ended.
    #[error("{0} changed while it was packed")]
    Changed(String),
    /// The meter was told to stop.
    #[error("stopped")]
    Stopped,
}

/// Writes the archive and fills in the checksums of the manifest's members, whose paths and sizes are given. Each
/// member is read from below `source` and removed once it is packed, so that the disk never holds the dump twice. The
/// file is on disk when this returns, and belongs to whom the directory `owner` belongs.
pub(crate) fn write_archive(
    target: &Path,
    owner: &Path,
    source: &Path,
    manifest: &mut Manifest,
    meter: &Meter,
) -> Result<(), WriteError> {
    for member in &mut manifest.members {
        // As long as the real one, so that the manifest's own length is known before anything is hashed.
        member.sha256 = "0".repeat(64);
    }
    let manifest_size = encode(manifest)?.len() as u64;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
    give_to_owner(&file, owner);
    let mut out = BufWriter::with_capacity(CHUNK, file);
    out.write_all(&header(Manifest::MEMBER, manifest_size, manifest.created_at)?)?;
    out.seek(SeekFrom::Current(signed(manifest_size + padding(manifest_size))?))?;

    let created_at = manifest.created_at;
    let mut buffer = vec![0; CHUNK];
    for member in &mut manifest.members {
        out.write_all(&header(&member.path, member.size, created_at)?)?;
        let path = source.join(&member.path);
        member.sha256 = copy(&path, member.size, &mut out, &mut buffer, meter)?
            .ok_or_else(|| WriteError::Changed(member.path.clone()))?;
        pad(&mut out, member.size)?;
        fs::remove_file(&path)?;
    }

    let manifest_bytes = encode(manifest)?;
    if manifest_bytes.len() as u64 != manifest_size {
        return Err(WriteError::Changed(Manifest::MEMBER.to_owned()));
    }
    let sums = sums(&hex(Sha256::digest(&manifest_bytes)), &manifest.members);
    let sums_size = sums.len() as u64;
    out.write_all(&header(SUMS, sums_size, created_at)?)?;
    out.write_all(sums.as_bytes())?;
    pad(&mut out, sums_size)?;
    out.write_all(&ZEROS)?;
    out.write_all(&ZEROS)?;

    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.write_all_at(&manifest_bytes, BLOCK)?;
    file.sync_all()?;
    Ok(())
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
