//! The first member of an archive: what the archive holds, and the proof of it.

use std::collections::BTreeMap;

use recovery_core::{
    BackupKind, BackupName,
    database::{DatabaseName, DatabaseProfile, PostgresVersion, RowCounts},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{IncludeName, files::Warnings};

/// What an archive holds. `manifest.json` is its first member, so that listing needs no more than its first bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format: [`Manifest::PLAIN`], [`Manifest::WITH_FILES`] or [`Manifest::WITH_KEYS`] where the
    /// archive holds more than the database, so that a program that does not know of that refuses it instead of losing
    /// it.
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
    /// The members of the database's dump, in order.
    pub members: Vec<Member>,
    /// The directories that follow them, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<IncludedFiles>,
    /// The keys of Redis that follow them, by the number of their database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redis: Vec<IncludedKeys>,
    /// What could not be taken as it was, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Manifest {
    /// The version of an archive that holds a database and nothing else.
    pub const PLAIN: u32 = 1;
    /// The version of an archive with files.
    pub const WITH_FILES: u32 = 2;
    /// The version of an archive with keys of Redis, and perhaps files; the newest that this program reads.
    pub const WITH_KEYS: u32 = 3;
    /// The name of the member.
    pub const MEMBER: &str = "manifest.json";
    /// The longest manifest that is read, in bytes.
    pub const MAX_BYTES: u64 = 64 * 1024 * 1024;

    /// The version that an archive of these contents has.
    #[must_use]
    pub fn version_of_contents(&self) -> u32 {
        match (self.files.is_empty(), self.redis.is_empty()) {
            (_, false) => Self::WITH_KEYS,
            (false, true) => Self::WITH_FILES,
            (true, true) => Self::PLAIN,
        }
    }

    /// How many bytes of an archive are not of the database.
    pub(crate) fn size_besides_dump(&self) -> u64 {
        let keys = self.redis.iter().map(|keys| keys.commands.size);
        keys.fold(self.size_of_files(), u64::saturating_add)
    }

    /// How many bytes of an archive are of its directories.
    pub(crate) fn size_of_files(&self) -> u64 {
        let sizes = self.files.iter().map(|files| files.size.saturating_add(files.sums.size));
        sizes.fold(0, u64::saturating_add)
    }

    /// How long the JSON can be in which the results of packing these directories stand, in bytes.
    pub(crate) fn room_for(names: impl Iterator<Item = IncludeName>) -> usize {
        let longest = "0".repeat(64);
        let files = names.map(|name| IncludedFiles {
            sums: Member { path: IncludedFiles::sums_path(&name), size: u64::MAX, sha256: longest.clone() },
            name,
            files: u64::MAX,
            entries: u64::MAX,
            bytes: u64::MAX,
            size: u64::MAX,
            sha256: longest.clone(),
        });
        let files = files.collect::<Vec<_>>();
        // Indented by four more than it stands here, in at most 16 lines each.
        let json = serde_json::to_string_pretty(&files).map_or(0, |json| json.len());
        json + files.len() * 64 + Warnings::MAX_JSON + 256
    }
}

/// A directory in an archive. Its entries stand as `files/<name>/…`, in the format of tar, and are followed by the
/// member [`sums`](IncludedFiles::sums).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncludedFiles {
    /// Its name.
    pub name: IncludeName,
    /// How many files it holds.
    pub files: u64,
    /// How many files, directories and links, itself included.
    pub entries: u64,
    /// The bytes of all its files, holes left out.
    pub bytes: u64,
    /// How many bytes of the archive its entries take.
    pub size: u64,
    /// The SHA-256 of these, headers and padding included, in lower-case hexadecimal.
    pub sha256: String,
    /// The checksums of its files, as `sha256sum --check` reads them; a file with holes has none.
    pub sums: Member,
}

impl IncludedFiles {
    /// The path of the member with the checksums.
    pub(crate) fn sums_path(name: &IncludeName) -> String {
        format!("{}/{name}.sha256", crate::files::FILES)
    }
}

/// Keys of one numbered database of Redis in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncludedKeys {
    /// The number of the database.
    pub database: u8,
    /// How many keys there are.
    pub keys: u64,
    /// The commands that bring them back, as `redis-cli -n N --pipe` takes them.
    pub commands: Member,
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
    #[serde(default)]
    pub files: Vec<IncludedFiles>,
    #[serde(default)]
    pub redis: Vec<IncludedKeys>,
    #[serde(default)]
    pub warnings: Vec<String>,
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
