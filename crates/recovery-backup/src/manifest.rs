//! The first member of an archive: what the archive holds, and the proof of it.

use std::collections::BTreeMap;

use recovery_core::{
    BackupKind, BackupName,
    database::{DatabaseName, DatabaseProfile, PostgresVersion, RowCounts},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What an archive holds. `manifest.json` is its first member, so that listing needs no more than its first bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format: [`Manifest::FORMAT_VERSION`].
    pub format_version: u32,
    /// The archive's own file name.
    pub filename: BackupName,
    /// Why it was made.
    pub kind: BackupKind,
    /// The moment of its snapshot, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When the dump was complete, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub dumped_at: OffsetDateTime,
    /// The version of the program that made it.
    pub recovery_version: String,
    /// The version of the server that was dumped.
    pub server_version: PostgresVersion,
    /// The version of the `pg_dump` that dumped it.
    pub client_version: PostgresVersion,
    /// The database's name.
    pub database: DatabaseName,
    /// What belongs to the database without being in its dump.
    pub profile: DatabaseProfile,
    /// Its extensions, with their versions.
    pub extensions: BTreeMap<String, String>,
    /// Every role that something in it belongs to, is granted to or names.
    pub roles: Vec<String>,
    /// The newest entry of its `schema_migrations` table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    /// The size of the database on its server, in bytes.
    pub database_size_bytes: u64,
    /// The rows of every table, counted in the snapshot of the dump.
    pub rows: RowCounts,
    /// Every other member of the archive, in order.
    pub members: Vec<Member>,
}

impl Manifest {
    /// The version of the format that this program writes, and the newest that it reads.
    pub const FORMAT_VERSION: u32 = 1;
    /// The name of the member.
    pub const MEMBER: &str = "manifest.json";
    /// The longest manifest that is read, in bytes.
    pub const MAX_BYTES: u64 = 64 * 1024 * 1024;
}

/// What a list shows of a manifest. Of the rest no more is read than that it is JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct Heading {
    pub format_version: u32,
    pub filename: BackupName,
    pub kind: BackupKind,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    pub server_version: PostgresVersion,
    pub client_version: PostgresVersion,
    pub database: DatabaseName,
}

/// What is compared of every first member, however much of it is read.
pub(crate) trait FirstMember {
    /// Its version of the format.
    fn format_version(&self) -> u32;
    /// The moment of its snapshot, which stands in every header too.
    fn created_at(&self) -> OffsetDateTime;
}

impl FirstMember for Manifest {
    fn format_version(&self) -> u32 {
        self.format_version
    }

    fn created_at(&self) -> OffsetDateTime {
        self.created_at
    }
}

impl FirstMember for Heading {
    fn format_version(&self) -> u32 {
        self.format_version
    }

    fn created_at(&self) -> OffsetDateTime {
        self.created_at
    }
}

/// A file of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its path in the archive, for example `database/toc.dat`.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its contents, in lower-case hexadecimal.
    pub sha256: String,
}
