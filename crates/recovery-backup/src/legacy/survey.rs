//! What an archive of the earlier service holds, found by reading all of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
};

use super::{
    FileEntry, Item, Kind, Piece, Scanner, TableName,
    container::{self, Visitor},
    script::Sink,
};
use crate::{
    archive::Flaw,
    files::{Entry, What},
    work::Meter,
};

/// Takes what stands below `sources/` and `memory/`, with the contents of files.
pub(crate) type TakeFile<'a> = dyn FnMut(FileEntry, &mut dyn Read) -> Result<(), Flaw> + 'a;

/// What was found in an archive that is whole.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The version of the server that was dumped, as the script says it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: Option<String>,
    /// The version of the `pg_dump` that wrote it.
    pub client_version: Option<String>,
    /// The size of the script in bytes.
    pub script_bytes: u64,
    /// The extensions that it makes.
    pub extensions: BTreeSet<String>,
    /// The roles that it names.
    pub roles: BTreeSet<String>,
    /// The rows of each `COPY`, by table.
    pub rows: BTreeMap<TableName, u64>,
    /// Files and bytes by directory: `sources` and `memory`, where the archive has them.
    pub directories: BTreeMap<&'static str, (u64, u64)>,
}

/// Reads an archive to its end and says what it holds. An error says what is wrong with it.
pub(crate) fn survey(file: File, meter: &Meter) -> Result<Survey, Flaw> {
    let mut survey = Survey::default();
    let mut table = None;
    let Survey { extensions, roles, rows, directories, .. } = &mut survey;
    let mut look = |piece: Piece<'_>| {
        match piece {
            Piece::Statement(statement) => match statement.kind {
                Kind::Encoding(encoding) => check_encoding(&encoding)?,
                Kind::Extension(name) => drop(extensions.insert(name)),
                Kind::Names(names) => roles.extend(names),
                Kind::Copy(name) => table = Some(name),
                _ => {}
            },
            Piece::Rows(_) => {}
            Piece::RowsEnd(count) => {
                if let Some(table) = table.take() {
                    *rows.entry(table).or_default() += count;
                }
            }
        }
        Ok(())
    };
    let mut count = |entry: FileEntry, _: &mut dyn Read| {
        let (files, bytes) = directories.entry(entry.directory).or_default();
        match entry.item {
            Item::Entry(Entry { what: What::File { size, .. }, .. }) => {
                *files += 1;
                *bytes += size;
            }
            Item::SecondName { .. } => *files += 1,
            Item::Entry(_) | Item::LeftOut(_) => {}
        }
        Ok(())
    };
    let mut reader = Reader { scanner: Scanner::new(), sink: &mut look, files: &mut count, bytes: 0 };
    container::read(file, &mut reader, meter)?;
    let (header, script_bytes) = (reader.scanner.finish()?, reader.bytes);
    Ok(Survey {
        server_version: header.server_version,
        client_version: header.client_version,
        script_bytes,
        ..survey
    })
}

/// Reads an archive again and passes on its script, piece by piece, and its files.
pub(crate) fn read_all(
    file: File,
    meter: &Meter,
    sink: &mut Sink<'_>,
    files: &mut TakeFile<'_>,
) -> Result<(), Flaw> {
    let mut reader = Reader { scanner: Scanner::new(), sink, files, bytes: 0 };
    container::read(file, &mut reader, meter)?;
    reader.scanner.finish().map(drop)
}

struct Reader<'a, 'b> {
    scanner: Scanner,
    sink: &'a mut Sink<'b>,
    files: &'a mut TakeFile<'b>,
    bytes: u64,
}

impl Visitor for Reader<'_, '_> {
    fn script(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        self.bytes += bytes.len() as u64;
        self.scanner.push(bytes, self.sink)
    }

    fn entry(&mut self, entry: FileEntry, contents: &mut dyn Read) -> Result<(), Flaw> {
        (self.files)(entry, contents)
    }
}

/// Statements are sent as UTF-8. A script without an encoding of its own is read as that, too.
fn check_encoding(encoding: &str) -> Result<(), Flaw> {
    if ["UTF8", "UTF-8", "UNICODE", "SQL_ASCII"].contains(&encoding) {
        return Ok(());
    }
    Err(Flaw::Unusable {
        why: format!("its script is in the encoding {encoding}, and only UTF-8 is read"),
        hint: "Unpack it with tar and load its database.sql with psql into an empty database.".to_owned(),
    })
}
