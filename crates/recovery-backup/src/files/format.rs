//! How an entry stands in the archive: as a tar in the format of POSIX (pax) holds it, in one canonical form.
//!
//! A header is not judged when it is read: what it says is taken for an [`Entry`], the header of that entry is built
//! anew, and both must be the same bytes. So there is one way to write an entry, and no room for anything else.

use std::io::{self, Read};

use super::entry::{Entry, Extent, What, is_name};
use crate::archive::{Flaw, ZEROS, padding};

/// The longest extended header that is read.
const MAX_RECORDS: u64 = 80 * 1024;
/// The name of extended headers, as other programs have it, too.
const RECORDS_NAME: &[u8] = b"././@PaxHeader";
/// The name of files with holes where their own stands in the extended header.
const SPARSE_NAME: &[u8] = b"GNUSparseFile.0/file";
/// The largest values that the fields of a plain header hold.
const MAX_OCTAL_7: u32 = 0o777_7777;
const MAX_OCTAL_11: u64 = 0o777_7777_7777;
const NANOSECONDS: u32 = 1_000_000_000;

/// Everything that stands before the contents of an entry. `prefix` is the path of the included directory in the
/// archive.
pub(crate) fn head(prefix: &str, entry: &Entry) -> Vec<u8> {
    let map = match &entry.what {
        What::File { size, data: Some(extents) } => sparse_map(*size, extents),
        _ => Vec::new(),
    };
    let path = full_path(prefix, entry);
    let body = map.len() as u64 + entry.stored();
    let mut records = Vec::new();
    let mut record = |key: &str, value: &[u8]| push_record(&mut records, key, value);
    let name = match &entry.what {
        What::File { size, data: Some(_) } => {
            record("GNU.sparse.major", b"1");
            record("GNU.sparse.minor", b"0");
            record("GNU.sparse.name", &path);
            record("GNU.sparse.realsize", size.to_string().as_bytes());
            SPARSE_NAME
        }
        _ => {
            if path.len() > 100 {
                record("path", &path);
            }
            path.get(..100).unwrap_or(&path)
        }
    };
    let link: &[u8] = if let What::Link { target } = &entry.what { target } else { b"" };
    if link.len() > 100 {
        record("linkpath", link);
    }
    if body > MAX_OCTAL_11 {
        record("size", body.to_string().as_bytes());
    }
    if entry.uid > MAX_OCTAL_7 {
        record("uid", entry.uid.to_string().as_bytes());
    }
    if entry.gid > MAX_OCTAL_7 {
        record("gid", entry.gid.to_string().as_bytes());
    }
    let plain_time = u64::try_from(entry.seconds).ok().filter(|seconds| *seconds <= MAX_OCTAL_11);
    if plain_time.is_none() || entry.nanoseconds > 0 {
        record("mtime", time(entry.seconds, entry.nanoseconds).as_bytes());
    }

    let mut head = Vec::new();
    if !records.is_empty() {
        head.extend(block(RECORDS_NAME, b"", b'x', 0o644, (0, 0), records.len() as u64, 0));
        head.extend(&records);
        head.resize(head.len().next_multiple_of(512), 0);
    }
    let kind = match &entry.what {
        What::Directory => b'5',
        What::Link { .. } => b'2',
        What::File { .. } => b'0',
    };
    let fitting = |id: u32| if id > MAX_OCTAL_7 { 0 } else { id };
    head.extend(block(
        name,
        link.get(..100).unwrap_or(link),
        kind,
        entry.mode,
        (fitting(entry.uid), fitting(entry.gid)),
        if body > MAX_OCTAL_11 { 0 } else { body },
        plain_time.unwrap_or(0),
    ));
    head.extend(map);
    head
}

/// The path of an entry in the archive; that of a directory ends with a slash.
fn full_path(prefix: &str, entry: &Entry) -> Vec<u8> {
    let mut path = prefix.as_bytes().to_vec();
    if !entry.path.is_empty() {
        path.push(b'/');
        path.extend(&entry.path);
    }
    if entry.what == What::Directory {
        path.push(b'/');
    }
    path
}

fn push_record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    // The length counts itself.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend(format!("{length} {key}=").as_bytes());
    records.extend(value);
    records.push(b'\n');
}

fn time(seconds: i64, nanoseconds: u32) -> String {
    match (seconds, nanoseconds) {
        (_, 0) => seconds.to_string(),
        (..=-1, _) => {
            format!("-{}.{:09}", (seconds + 1).unsigned_abs(), NANOSECONDS.saturating_sub(nanoseconds))
        }
        _ => format!("{seconds}.{nanoseconds:09}"),
    }
}

fn parse_time(text: &str) -> Option<(i64, u32)> {
    let Some((whole, fraction)) = text.split_once('.') else { return Some((text.parse().ok()?, 0)) };
    let nanoseconds: u32 = fraction.parse().ok().filter(|_| fraction.len() == 9)?;
    let seconds: i64 = whole.parse().ok()?;
    if whole.starts_with('-') {
        Some((seconds.checked_sub(1)?, NANOSECONDS.checked_sub(nanoseconds)?))
    } else {
        Some((seconds, nanoseconds))
    }
}

fn block(
    name: &[u8],
    link: &[u8],
    kind: u8,
    mode: u32,
    (uid, gid): (u32, u32),
    size: u64,
    mtime: u64,
) -> [u8; 512] {
    let mut header = tar::Header::new_ustar();
    if let Some(fields) = header.as_ustar_mut() {
        put(&mut fields.name, name);
        put(&mut fields.linkname, link);
        put(&mut fields.mode, format!("{mode:07o}").as_bytes());
        put(&mut fields.uid, format!("{uid:07o}").as_bytes());
        put(&mut fields.gid, format!("{gid:07o}").as_bytes());
        put(&mut fields.size, format!("{size:011o}").as_bytes());
        put(&mut fields.mtime, format!("{mtime:011o}").as_bytes());
        fields.typeflag = [kind];
    }
    header.set_cksum();
    *header.as_bytes()
}

fn put(field: &mut [u8], value: &[u8]) {
    field.fill(0);
    for (place, byte) in field.iter_mut().zip(value) {
        *place = *byte;
    }
}

/// Where the data of a file with holes lies, in the format of GNU tar (sparse, 1.0). A hole at the end is told by an
/// empty piece behind it.
fn sparse_map(size: u64, extents: &[Extent]) -> Vec<u8> {
    let end = extents.last().map_or(0, |extent| extent.offset + extent.length);
    let tail = (end < size).then_some(Extent { offset: size, length: 0 });
    let mut text = format!("{}\n", extents.len() + usize::from(tail.is_some()));
    for extent in extents.iter().copied().chain(tail) {
        text.push_str(&format!("{}\n{}\n", extent.offset, extent.length));
    }
    let mut map = text.into_bytes();
    map.resize(map.len().next_multiple_of(512), 0);
    map
}

fn damaged<T>(why: &str) -> Result<T, Flaw> {
    Err(Flaw::Damaged(why.to_owned()))
}

/// Reads everything that stands before the contents of the next entry.
pub(crate) fn read_head(prefix: &str, from: &mut impl Read) -> Result<Entry, Flaw> {
    const ALTERED: &str = "the header of a file was altered";
    let mut seen = Vec::new();
    let mut header = read_block(from, &mut seen)?;
    let mut records = Records::default();
    if header.entry_type().is_pax_local_extensions() {
        let size = header.entry_size().ok().filter(|size| *size <= MAX_RECORDS);
        let Some(size) = size else { return damaged("the extended header of a file has an impossible size") };
        let padded = usize::try_from(size + padding(size)).map_err(io::Error::other)?;
        let mut body = vec![0; padded];
        fill(from, &mut body)?;
        seen.extend(&body);
        body.truncate(usize::try_from(size).map_err(io::Error::other)?);
        let Some(parsed) = Records::parse(&body) else { return damaged(ALTERED) };
        records = parsed;
        header = read_block(from, &mut seen)?;
    }
    let Some((mut entry, body)) = records.entry(prefix, &header) else { return damaged(ALTERED) };
    if let What::File { size, data: Some(extents) } = &mut entry.what {
        let sensible = read_sparse_map(from, &mut seen, *size, extents, body)?;
        if !sensible {
            return damaged("the list of a file's holes makes no sense");
        }
    }
    if head(prefix, &entry) != seen {
        return damaged(ALTERED);
    }
    Ok(entry)
}

fn read_block(from: &mut impl Read, seen: &mut Vec<u8>) -> Result<tar::Header, Flaw> {
    let mut bytes = ZEROS;
    fill(from, &mut bytes)?;
    seen.extend(bytes);
    Ok(tar::Header::from_byte_slice(&bytes).clone())
}

fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<(), Flaw> {
    from.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Flaw::Damaged("the included files end in the middle of a header".to_owned())
        }
        _ => Flaw::Io(error),
    })
}

/// Reads where the data lies, and says whether that makes sense.
fn read_sparse_map(
    from: &mut impl Read,
    seen: &mut Vec<u8>,
    size: u64,
    extents: &mut Vec<Extent>,
    body: u64,
) -> Result<bool, Flaw> {
    let begin = seen.len();
    let mut at = begin;
    let mut number = |seen: &mut Vec<u8>| -> Result<Option<u64>, Flaw> {
        loop {
            let rest = seen.get(at..).unwrap_or_default();
            if let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
                let text = rest.get(..length).and_then(|digits| std::str::from_utf8(digits).ok());
                at += length + 1;
                return Ok(text.and_then(|text| text.parse().ok()));
            }
            if rest.len() > 20 || (seen.len() - begin) as u64 >= body {
                return Ok(None);
            }
            read_block(from, seen)?;
        }
    };
    let Some(count) = number(seen)?.filter(|count| *count <= Entry::MAX_EXTENTS as u64 + 1) else {
        return Ok(false);
    };
    let (mut end, mut stored, mut gaps) = (0, 0_u64, false);
    for index in 0..count {
        let (Some(offset), Some(length)) = (number(seen)?, number(seen)?) else { return Ok(false) };
        let is_tail = index + 1 == count && length == 0 && offset == size && end < size;
        let follows = length > 0 && (index == 0 || offset > end);
        gaps |= offset > end;
        if is_tail {
            break;
        }
        let Some(next) = offset.checked_add(length).filter(|next| follows && *next <= size) else {
            return Ok(false);
        };
        (end, stored) = (next, stored + length);
        extents.push(Extent { offset, length });
    }
    let map = (seen.len() - begin) as u64;
    let adds_up = map.checked_add(stored) == Some(body);
    Ok(gaps && adds_up)
}

/// What an extended header says.
#[derive(Default)]
struct Records {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    time: Option<(i64, u32)>,
    sparse: bool,
    real_size: Option<u64>,
}

impl Records {
    /// `None` where it is not in the form of an extended header, or says what none of ours says.
    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut records = Self::default();
        while !bytes.is_empty() {
            let blank = bytes.iter().position(|byte| *byte == b' ').filter(|at| *at <= 6)?;
            let length: usize = std::str::from_utf8(bytes.get(..blank)?).ok()?.parse().ok()?;
            let record = bytes.get(blank + 1..length.checked_sub(1)?)?;
            bytes = bytes.get(length..)?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
            let text = || std::str::from_utf8(value).ok();
            match key {
                b"path" => records.path = Some(value.to_vec()),
                b"linkpath" => records.link = Some(value.to_vec()),
                b"size" => records.size = Some(text()?.parse().ok()?),
                b"uid" => records.uid = Some(text()?.parse().ok()?),
                b"gid" => records.gid = Some(text()?.parse().ok()?),
                b"mtime" => records.time = Some(parse_time(text()?)?),
                b"GNU.sparse.major" | b"GNU.sparse.minor" => records.sparse = true,
                b"GNU.sparse.name" => records.path = Some(value.to_vec()),
                b"GNU.sparse.realsize" => records.real_size = Some(text()?.parse().ok()?),
                _ => return None,
            }
        }
        Some(records)
    }

    /// The entry that this and its header tell of, and the length of what follows; `None` where that is none.
    fn entry(self, prefix: &str, header: &tar::Header) -> Option<(Entry, u64)> {
        let plain = header.as_ustar()?;
        let size = self.size.map_or_else(|| header.entry_size().ok(), Some)?;
        let mut path = self.path.unwrap_or_else(|| text_of(&plain.name));
        let link = self.link.unwrap_or_else(|| text_of(&plain.linkname));
        let what = match plain.typeflag {
            [b'5'] if size == 0 => {
                path.pop().filter(|last| *last == b'/')?;
                What::Directory
            }
            [b'2'] if size == 0 && (1..=Entry::MAX_LINK).contains(&link.len()) && !link.contains(&0) => {
                What::Link { target: link }
            }
            [b'0'] if self.sparse => What::File { size: self.real_size?, data: Some(Vec::new()) },
            [b'0'] => What::File { size, data: None },
            _ => return None,
        };
        let below = path.strip_prefix(prefix.as_bytes())?;
        let below = match below {
            [] => below,
            [b'/', rest @ ..] if rest.len() <= Entry::MAX_PATH => rest,
            _ => return None,
        };
        let (seconds, nanoseconds) =
            self.time.map_or_else(|| Some((i64::try_from(header.mtime().ok()?).ok()?, 0)), Some)?;
        let entry = Entry {
            path: below.to_vec(),
            what,
            mode: header.mode().ok().filter(|mode| mode & !Entry::MODE == 0)?,
            uid: self.uid.map_or_else(|| u32::try_from(header.uid().ok()?).ok(), Some)?,
            gid: self.gid.map_or_else(|| u32::try_from(header.gid().ok()?).ok(), Some)?,
            seconds,
            nanoseconds,
        };
        let plausible = entry.names().into_iter().all(is_name) && nanoseconds < NANOSECONDS;
        plausible.then_some((entry, size))
    }
}

fn text_of(field: &[u8]) -> Vec<u8> {
    field.iter().copied().take_while(|byte| *byte != 0).collect()
}
