//! The gzip and the tar around the script, read once from the beginning to the end.

use std::{fs::File, io::Read};

use tar::{EntryType, Header};

use super::{
    FileEntry, SCRIPT, damaged,
    entry::{Place, place},
    stream::{BLOCK, Stream, limit},
};
use crate::{archive::Flaw, work::Meter};

/// The longest header extension (long names, pax records).
const MAX_EXTENSION: u64 = 1024 * 1024;

/// Who gets what stands in an archive.
pub(super) trait Visitor {
    /// The next bytes of the script.
    fn script(&mut self, bytes: &[u8]) -> Result<(), Flaw>;
    /// An entry below `sources/` or `memory/`, and the contents of a file, which need not be read.
    fn entry(&mut self, entry: FileEntry, contents: &mut dyn Read) -> Result<(), Flaw>;
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
    let mut stream = Stream::new(file, limit, meter);
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
        if size > stream.left() {
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
            Place::Below(entry) => stream.lend(size, |contents| visitor.entry(entry, contents))?,
            Place::Elsewhere => stream.contents(size, "a file", |_| Ok(()))?,
        }
    }
    stream.end()?;
    if scripts == 0 {
        return damaged(format!("it holds no {SCRIPT}"));
    }
    Ok(())
}

/// What the entries before a header say of the one that it belongs to.
#[derive(Default)]
pub(super) struct Extension {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Seconds since 1970, and nanoseconds.
    pub mtime: Option<(i64, u32)>,
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
                b"uid" => self.uid = record.value().ok().and_then(|text| text.parse().ok()),
                b"gid" => self.gid = record.value().ok().and_then(|text| text.parse().ok()),
                b"mtime" => self.mtime = record.value().ok().and_then(time_of),
                key if key.starts_with(b"GNU.sparse.") => {
                    return damaged("it holds a sparse file, which the earlier service never wrote");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A time as pax writes it: seconds since 1970, and maybe a fraction.
fn time_of(text: &str) -> Option<(i64, u32)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    let nanoseconds: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    // Before 1970 the fraction counts backwards, which nobody minds to lose.
    Some((seconds, if text.starts_with('-') { 0 } else { nanoseconds }))
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
