//! The archives of the earlier service: a gzip-compressed tar that holds `database.sql`, a plain `pg_dump` of the
//! database, and maybe the directories `sources/` and `memory/`.
//!
//! They have no manifest and no hashes. What can be proven is that the gzip stream is whole (it ends with a checksum),
//! that the tar ends where a tar ends, and that the script was written to its end, which `pg_dump` marks. The rest is
//! proven by loading: every row of the script is counted on the way into the database and again inside it.
//!
//! Nothing in such a file is trusted. It is read as a stream in bounded memory ([`container`]), cut into statements
//! ([`script`]) of which only those are let through that a dump of one database has ([`statement`]), and these go to
//! the server one by one. No `psql` runs, so no command of `psql` in the file ever can.

mod container;
mod entry;
mod head;
mod header;
mod rows;
mod script;
mod statement;
mod stream;
mod survey;

pub(crate) use entry::{FileEntry, Item};
pub(crate) use script::{Piece, Scanner};
pub(crate) use statement::{Kind, Statement, TableName};
pub(crate) use survey::{Survey, read_all, survey};

use crate::archive::Flaw;

/// The name of the script in the archive.
const SCRIPT: &str = "database.sql";
/// The directories that may stand beside it.
const DIRECTORIES: [&str; 2] = ["sources", "memory"];

fn damaged<T>(why: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw::Damaged(why.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests")]
mod tests;
