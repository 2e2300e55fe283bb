//! A dump of a fake database in the directory format.

use std::{
    fmt::Write as _,
    fs, io,
    io::{Read as _, Write as _},
    path::Path,
};

use flate2::{read::GzDecoder, write::GzEncoder};
use recovery_core::database::{DatabaseName, PostgresVersion};
use serde::{Deserialize, Serialize};

use crate::FakeContents;

/// What every archive of `pg_dump` begins with.
const MAGIC: &[u8] = b"PGDMP";
/// The dump id of the first table; the real ones begin somewhere, too.
const FIRST_ID: usize = 3001;

/// How the files of a dump are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip(u32),
    Zstd,
}

impl Compression {
    /// What `--compress` means to a client of this version.
    pub(super) fn parse(text: Option<&str>, client: PostgresVersion) -> Result<Self, String> {
        let Some(text) = text else { return Ok(Self::Gzip(6)) };
        let (method, level) = match text.split_once(':') {
            Some((method, level)) => (method, Some(level)),
            None if text.bytes().all(|b| b.is_ascii_digit()) => ("gzip", Some(text)),
            None => (text, None),
        };
        if client.major() < 16 && text.bytes().any(|b| !b.is_ascii_digit()) {
            return Err(format!("invalid value \"{text}\" for option -Z/--compress"));
        }
        match (method, level.map(str::parse::<u32>)) {
            ("none", None) | ("gzip", Some(Ok(0))) => Ok(Self::None),
            ("gzip", None) => Ok(Self::Gzip(6)),
            ("gzip", Some(Ok(level @ 1..=9))) => Ok(Self::Gzip(level)),
            ("zstd", None | Some(Ok(1..=22))) => Ok(Self::Zstd),
            _ => Err(format!("invalid compression specification: {text}")),
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip(_) => ".gz",
            Self::Zstd => ".zst",
        }
    }

    fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::None => bytes.to_vec(),
            Self::Gzip(level) => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(level));
                encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes everything")
            }
            Self::Zstd => {
                ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
            }
        }
    }
}

/// Everything in a dump but the rows, whose numbers stand in the data files alone.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Dump {
    pub(super) version: PostgresVersion,
    pub(super) database: DatabaseName,
    pub(super) contents: FakeContents,
}

impl Dump {
    /// The names and bytes of all files.
    pub(super) fn files(&self, compression: Compression) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        for (id, rows) in (FIRST_ID..).zip(self.contents.tables.values()) {
            let mut text = String::new();
            for row in 1..=*rows {
                writeln!(text, "{row}\ta row").expect("a string takes everything");
            }
            text.push_str("\\.\n\n\n");
            files.push((format!("{id}.dat{}", compression.extension()), compression.pack(text.as_bytes())));
        }
        if self.contents.large_objects > 0 {
            let oids = (1..=self.contents.large_objects).map(|number| 16_000 + number);
            let list: String = oids.clone().map(|oid| format!("{oid} blob_{oid}.dat\n")).collect();
            files.extend(oids.map(|oid| {
                (format!("blob_{oid}.dat{}", compression.extension()), compression.pack(b"a large object"))
            }));
            files.push(("blobs.toc".to_owned(), list.into_bytes()));
        }
        let mut toc = MAGIC.to_vec();
        serde_json::to_writer(&mut toc, self).expect("a dump is plain data");
        files.push(("toc.dat".to_owned(), toc));
        files
    }

    /// Reads the table of contents.
    pub(super) fn read_contents(directory: &Path) -> Result<Self, String> {
        let toc = fs::read(directory.join("toc.dat")).map_err(|_| {
            let shown = directory.display();
            format!(
                "directory \"{shown}\" does not appear to be a valid archive (\"toc.dat\" does not exist)"
            )
        })?;
        let json = toc.strip_prefix(MAGIC).ok_or("did not find magic string in file header")?;
        serde_json::from_slice(json).map_err(|_| "could not read from input file: end of file".to_owned())
    }

    /// Reads the data files, and returns the contents with the rows that they really hold.
    pub(super) fn read_rows(&self, directory: &Path) -> Result<FakeContents, String> {
        let mut contents = self.contents.clone();
        for (id, rows) in (FIRST_ID..).zip(contents.tables.values_mut()) {
            let text = unpack(directory, &format!("{id}.dat"))?;
            let lines = text.split_inclusive('\n').take_while(|line| *line != "\\.\n");
            *rows = lines.count() as u64;
        }
        if contents.large_objects > 0 {
            let list = unpack(directory, "blobs.toc")?;
            contents.large_objects = 0;
            for line in list.lines() {
                let (_, file) = line.split_once(' ').ok_or("invalid line in large object TOC file")?;
                unpack(directory, file)?;
                contents.large_objects += 1;
            }
        }
        Ok(contents)
    }

    /// What `--list` prints.
    pub(super) fn list(&self) -> String {
        let tables = self.contents.tables.keys();
        let mut text = format!(
            ";\n; Archive created at 2026-01-31 12:00:00 UTC\n;     dbname: {}\n;     TOC Entries: {}\n\
             ;     Format: DIRECTORY\n;     Dumped from database version: {}\n;\n;\n; Selected TOC Entries:\n;\n",
            self.database,
            2 * tables.len(),
            self.version
        );
        for kind in ["TABLE", "TABLE DATA"] {
            for (id, table) in (FIRST_ID..).zip(self.contents.tables.keys()) {
                let (schema, name) = table.split_once('.').unwrap_or(("public", table));
                writeln!(text, "{id}; 1259 {} {kind} {schema} {name} nova", 10_000 + id)
                    .expect("a string takes everything");
            }
        }
        text
    }
}

/// Makes the directory; one that holds something is refused.
pub(super) fn prepare(directory: &Path) -> Result<(), String> {
    let shown = directory.display();
    match fs::read_dir(directory).map(Iterator::count) {
        Ok(0) => Ok(()),
        Ok(_) => Err(format!("could not create directory \"{shown}\": File exists")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(directory)
            .map_err(|error| format!("could not create directory \"{shown}\": {error}")),
        Err(error) => Err(format!("could not read directory \"{shown}\": {error}")),
    }
}

/// Reads a file of a dump by its name without the extension of its compression, as `pg_restore` looks for it.
fn unpack(directory: &Path, name: &str) -> Result<String, String> {
    let failed = |error: io::Error| format!("could not read input file \"{name}\": {error}");
    let packed = |extension: &str| fs::read(directory.join(format!("{name}{extension}")));
    let mut text = Vec::new();
    if let Ok(bytes) = packed("") {
        text = bytes;
    } else if let Ok(bytes) = packed(".gz") {
        GzDecoder::new(bytes.as_slice()).read_to_end(&mut text).map_err(failed)?;
    } else {
        let bytes = packed(".zst").map_err(failed)?;
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(bytes.as_slice())
            .map_err(|error| failed(io::Error::other(error)))?;
        decoder.read_to_end(&mut text).map_err(failed)?;
    }
    String::from_utf8(text).map_err(|_| format!("could not read input file \"{name}\": not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_understood_as_by_the_client() {
        let parse = |text, version| Compression::parse(Some(text), PostgresVersion(version)).ok();
        assert_eq!(parse("1", 150_018), Some(Compression::Gzip(1)));
        assert_eq!(parse("0", 150_018), Some(Compression::None));
        assert_eq!(parse("zstd:1", 150_018), None);
        assert_eq!(parse("zstd:1", 160_001), Some(Compression::Zstd));
        assert_eq!(parse("gzip:9", 170_001), Some(Compression::Gzip(9)));
        assert_eq!(parse("10", 170_001), None);
        assert_eq!(parse("lz5", 170_001), None);
    }
}
