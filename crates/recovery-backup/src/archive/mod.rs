//! The archive: a plain tar in one canonical form, so that every byte of it is accounted for.
//!
//! Members stand in the order of the manifest: `manifest.json`, what it lists, and [`SUMS`] at the end, which lists
//! the SHA-256 of all of them in the format of `sha256sum`. Headers hold nothing but name, size and the time of the
//! backup, padding is zero and nothing follows the end: the reader rebuilds each header from the manifest and compares
//! it byte by byte. A path that leads elsewhere, a link or an absurd size is therefore not parsed and judged, but
//! simply not what has to stand there. An operator needs no more than `tar`, `sha256sum` and `pg_restore` to use one.
//!
//! Included directories stand behind the dump, each as the entries that tar makes of it, hashed as one piece. Nothing
//! of a directory is known before it was read, so the manifest then is filled up with blanks to the room kept for it.
//! Keys of Redis come last, a member for each numbered database.

mod contents;
mod early_sync;
mod extract;
mod keys;
mod reader;
mod writer;

use contents::decode_to_end;
pub(crate) use extract::{Extract, Room};
pub(crate) use reader::{ArchiveReader, Flaw, Visitor, read_heading, read_manifest};
pub(crate) use writer::{WriteError, write_archive};

use time::OffsetDateTime;

use crate::{Manifest, Member};

/// A piece of the archive that the manifest tells of.
#[derive(Clone, Copy)]
enum Piece<'a> {
    /// A file with a header.
    Member(&'a Member),
    /// The entries of an included directory.
    Files(&'a crate::IncludedFiles),
    /// A file with keys of Redis.
    Keys(&'a crate::IncludedKeys),
}

impl Piece<'_> {
    /// How many bytes of the archive it takes; `None` where that is more than a number holds.
    fn takes(&self) -> Option<u64> {
        match self {
            Self::Member(member) => member_takes(member),
            Self::Keys(keys) => member_takes(&keys.commands),
            Self::Files(files) => files.size.is_multiple_of(BLOCK).then_some(files.size),
        }
    }
}

fn member_takes(member: &Member) -> Option<u64> {
    BLOCK.checked_add(member.size.checked_next_multiple_of(BLOCK)?)
}

/// Everything between the manifest and the checksums, in order.
fn pieces(manifest: &Manifest) -> impl Iterator<Item = Piece<'_>> {
    let files = manifest.files.iter().flat_map(|files| [Piece::Files(files), Piece::Member(&files.sums)]);
    manifest.members.iter().map(Piece::Member).chain(files).chain(manifest.redis.iter().map(Piece::Keys))
}

/// The last member: the checksums of all others, as `sha256sum --check` reads them.
pub(crate) const SUMS: &str = "SHA256SUMS";
/// The directory of the dump inside the archive.
pub(crate) const DATABASE: &str = "database";

/// tar counts in blocks of this size.
pub(crate) const BLOCK: u64 = 512;
/// A block of zeros: padding, and the end.
pub(crate) const ZEROS: [u8; 512] = [0; 512];
/// How much is read and written at once.
pub(crate) const CHUNK: usize = 256 * 1024;

/// The header of a member, the only one that may stand before it.
fn header(path: &str, size: u64, created_at: OffsetDateTime) -> std::io::Result<[u8; 512]> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_path(path)?;
    header.set_size(size);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::try_from(created_at.unix_timestamp()).unwrap_or(0));
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// How many zero bytes follow a member of this size.
pub(crate) fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK) - size
}

/// The contents of [`SUMS`].
fn sums(manifest_sha256: &str, manifest: &Manifest) -> String {
    let mut text = format!("{manifest_sha256}  {}\n", Manifest::MEMBER);
    for piece in pieces(manifest) {
        let member = match piece {
            Piece::Member(member) => member,
            Piece::Keys(keys) => &keys.commands,
            Piece::Files(_) => continue,
        };
        text.push_str(&format!("{}  {}\n", member.sha256, member.path));
    }
    text
}

/// The size of the whole file, or `None` where the sizes add up to more than a number holds.
fn file_size(manifest_size: u64, sums_size: u64, manifest: &Manifest) -> Option<u64> {
    let own = [manifest_size, sums_size].map(|size| BLOCK.checked_add(size.checked_next_multiple_of(BLOCK)?));
    pieces(manifest)
        .map(|piece| piece.takes())
        .chain(own)
        .try_fold(2 * BLOCK, |sum, takes| sum.checked_add(takes?))
}

pub(crate) fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests")]
mod tests;
