//! What is said about databases: their names, how to reach them, and everything that belongs to a database without
//! being in its dump.

mod ties;

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description,
};

pub use ties::Ties;

const REPLACED_STAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]_[hour][minute][second]");

/// The name of a PostgreSQL database: 1 to 63 bytes, no NUL (`NAMEDATALEN` is 64, one byte of it for the end).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseName(String);

/// A text that PostgreSQL would not keep as a database's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a database name has 1 to 63 bytes and no NUL")]
pub struct InvalidDatabaseName;

impl DatabaseName {
    /// The longest name in bytes.
    pub const MAX_BYTES: usize = 63;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The database that a restore loads into: `<name>__restore_<id>`, where `<name>` is cut at a character so that
    /// the whole fits.
    #[must_use]
    pub fn scratch(&self, id: &crate::OperationId) -> Self {
        self.with_suffix(&format!("{}{}", Self::SCRATCH_MARK, id.short()))
    }

    /// The name under which a replaced database is kept: `<name>__before_<time>`, with a counter from 2 on where that
    /// name is taken.
    #[must_use]
    pub fn replaced(&self, at: OffsetDateTime, attempt: u32) -> Self {
        let at = at.to_offset(time::UtcOffset::UTC);
        let counter = if attempt > 1 { format!("_{attempt}") } else { String::new() };
        self.with_suffix(&format!(
            "{}{:04}{:02}{:02}_{:02}{:02}{:02}{counter}",
            Self::REPLACED_MARK,
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        ))
    }

    /// Whether `self` is a scratch database made for `protected`, by any operation.
    #[must_use]
    pub fn is_scratch_of(&self, protected: &Self) -> bool {
        self.is_marked(protected, Self::SCRATCH_MARK, |rest| {
            rest.len() == 12 && rest.bytes().all(|b| b.is_ascii_hexdigit())
        })
    }

    /// Whether `self` is a database that a restore of `protected` replaced.
    #[must_use]
    pub fn is_replaced_of(&self, protected: &Self) -> bool {
        self.is_marked(protected, Self::REPLACED_MARK, |rest| {
            rest.len() >= 15 && rest.bytes().all(|b| b.is_ascii_digit() || b == b'_')
        })
    }

    /// When a replaced database was replaced, as its name says.
    #[must_use]
    pub fn replaced_at(&self) -> Option<OffsetDateTime> {
        let (_, rest) = self.0.rsplit_once(Self::REPLACED_MARK)?;
        let stamp = rest.get(.."20260131_235959".len())?;
        Some(PrimitiveDateTime::parse(stamp, REPLACED_STAMP).ok()?.assume_utc())
    }

    const SCRATCH_MARK: &str = "__restore_";
    const REPLACED_MARK: &str = "__before_";

    fn with_suffix(&self, suffix: &str) -> Self {
        let room = Self::MAX_BYTES.saturating_sub(suffix.len());
        Self(format!("{}{suffix}", self.cut(room)))
    }

    fn cut(&self, room: usize) -> &str {
        let mut end = room.min(self.0.len());
        while !self.0.is_char_boundary(end) {
            end -= 1;
        }
        self.0.get(..end).unwrap_or_default()
    }

    fn is_marked(&self, protected: &Self, mark: &str, rest_is_ours: impl Fn(&str) -> bool) -> bool {
        self.0.rsplit_once(mark).is_some_and(|(stem, rest)| {
            let room = Self::MAX_BYTES.saturating_sub(mark.len() + rest.len());
            stem == protected.cut(room) && rest_is_ours(rest)
        })
    }
}

impl FromStr for DatabaseName {
    type Err = InvalidDatabaseName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if (1..=Self::MAX_BYTES).contains(&text.len()) && !text.contains('\0') {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidDatabaseName)
        }
    }
}

impl TryFrom<String> for DatabaseName {
    type Error = InvalidDatabaseName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DatabaseName> for String {
    fn from(name: DatabaseName) -> Self {
        name.0
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a PostgreSQL server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAddress {
    /// A host name or an IP address.
    Host(String),
    /// The directory of a Unix-domain socket.
    SocketDirectory(PathBuf),
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => f.write_str(host),
            Self::SocketDirectory(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How to reach a database. `Debug` and `Display` never show the password.
#[derive(Clone, Debug)]
pub struct ConnectionTarget {
    /// Where the server listens.
    pub address: ServerAddress,
    /// Its port.
    pub port: u16,
    /// The role to sign in as.
    pub user: String,
    /// That role's password, where one is needed.
    pub password: Option<SecretString>,
    /// The database.
    pub database: DatabaseName,
}

impl fmt::Display for ConnectionTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}:{} as {}", self.database, self.address, self.port, self.user)
    }
}

/// The version of a server or client as `server_version_num` gives it, for example 150018 for 15.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PostgresVersion(pub u32);

impl PostgresVersion {
    /// The major version: what must agree between a server and the programs that dump it.
    #[must_use]
    pub fn major(self) -> u32 {
        self.0 / 10_000
    }
}

impl fmt::Display for PostgresVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.0 % 10_000)
    }
}

/// What is known of a server and of our rights on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// The server's version.
    pub version: PostgresVersion,
    /// Whether our role is a superuser.
    pub superuser: bool,
    /// Whether our role may create databases (a superuser may).
    pub may_create_databases: bool,
    /// Whether our role may create roles (a superuser may).
    pub may_create_roles: bool,
}

/// Size and number of tables, for the status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseOverview {
    /// `pg_database_size` in bytes.
    pub size_bytes: u64,
    /// Ordinary and partitioned tables outside PostgreSQL's own schemas.
    pub table_count: u64,
    /// The server's version.
    pub server_version: PostgresVersion,
}

/// One database of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseEntry {
    /// Its name.
    pub name: DatabaseName,
    /// Its size in bytes; unknown where we may not connect to it.
    pub size_bytes: Option<u64>,
    /// `datallowconn`: whether sessions may begin.
    pub accepts_sessions: bool,
    /// A `DROP DATABASE` of it was cut off half-way: PostgreSQL lets nothing be done with it but to drop it. Servers
    /// that do not tell (before 11.21, 12.16, 13.12, 14.9 and 15.4) never say so.
    pub is_invalid: bool,
}

/// Everything that belongs to a database and that a dump of its contents does not hold. A database that takes the
/// place of another must have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseProfile {
    /// The role that owns it.
    pub owner: String,
    /// Its encoding, for example `UTF8`.
    pub encoding: String,
    /// Where its collation comes from.
    pub locale_provider: LocaleProvider,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The ICU or built-in locale, where the provider is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Additional ICU collation rules (server 16 and later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icu_rules: Option<String>,
    /// `CONNECTION LIMIT`; -1 is none.
    pub connection_limit: i32,
    /// Its tablespace.
    pub tablespace: String,
    /// `COMMENT ON DATABASE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET`.
    pub settings: Vec<DatabaseSetting>,
    /// Its privileges; `None` where they are the default ones (`datacl` is NULL).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privileges: Option<Vec<Privilege>>,
}

/// `datlocprovider` of `pg_database`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocaleProvider {
    /// The C library.
    Libc,
    /// ICU (server 15 and later for databases).
    Icu,
    /// PostgreSQL's own (server 17 and later).
    Builtin,
}

/// One row of `pg_db_role_setting`, one setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSetting {
    /// The role for which it holds; `None`: for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The setting, for example `search_path`.
    pub name: String,
    /// Its value as the catalogue holds it.
    pub value: String,
}

/// One privilege on a database, as `aclexplode` gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privilege {
    /// The role that granted it.
    pub grantor: String,
    /// The role that has it; `None`: PUBLIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grantee: Option<String>,
    /// `CONNECT`, `CREATE` or `TEMPORARY`.
    pub privilege: String,
    /// Whether it may be passed on.
    pub grantable: bool,
}

/// The exact number of rows of each table, by `schema.table` with each part quoted where SQL needs it, and of large
/// objects. Foreign tables, views and tables of extensions are not counted; of a partitioned table its leaves are, and a
/// table partitioned by hash as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows per table.
    pub tables: BTreeMap<String, u64>,
    /// Rows of `pg_largeobject_metadata`.
    pub large_objects: u64,
}

/// What a dump's snapshot shows besides the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// What belongs to the database without being in its dump.
    pub profile: DatabaseProfile,
    /// The extensions that are installed, with their versions.
    pub extensions: BTreeMap<String, String>,
    /// Every role that owns something in the database, has a grant in it or is named by its settings and policies.
    pub roles: Vec<String>,
    /// The newest entry of the `schema_migrations` table, where there is one.
    pub schema_version: Option<String>,
    /// How many tables [`RowCounts`] will have.
    pub table_count: u64,
    /// `pg_database_size` in bytes.
    pub size_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OperationId;
    use time::macros::datetime;

    fn name(text: &str) -> DatabaseName {
        text.parse().unwrap()
    }

    #[test]
    fn scratch_and_replaced_names_fit_and_are_recognised() {
        for text in ["nova", "Größe mit Leerzeichen", &"n".repeat(63), &"ü".repeat(31)] {
            let protected = name(text);
            let scratch = protected.scratch(&OperationId::new());
            assert!(scratch.as_str().len() <= DatabaseName::MAX_BYTES);
            assert!(scratch.is_scratch_of(&protected), "{scratch}");
            assert!(!scratch.is_replaced_of(&protected));
            for attempt in [1, 2, 30] {
                let replaced = protected.replaced(datetime!(2026-01-31 23:59:59 UTC), attempt);
                assert!(replaced.as_str().len() <= DatabaseName::MAX_BYTES);
                assert!(replaced.is_replaced_of(&protected), "{replaced}");
                assert!(!replaced.is_scratch_of(&protected));
            }
        }
        let at = datetime!(2026-01-31 23:59:59 UTC);
        assert_eq!(name("nova").replaced(at, 3).replaced_at(), Some(at));
        assert_eq!(name("nova__before_now").replaced_at(), None);
        assert_eq!(
            name("nova").replaced(datetime!(2026-01-31 23:59:59 UTC), 2).as_str(),
            "nova__before_20260131_235959_2"
        );
    }

    #[test]
    fn databases_of_others_are_not_ours() {
        let protected = name("nova");
        for text in
            ["nova", "nova__restore_", "nova__restore_xyz", "nova2__restore_0123456789ab", "nova__before_now"]
        {
            assert!(
                !name(text).is_scratch_of(&protected) && !name(text).is_replaced_of(&protected),
                "{text}"
            );
        }
    }

    #[test]
    fn a_target_shows_no_password() {
        let target = ConnectionTarget {
            address: ServerAddress::Host("db".into()),
            port: 5432,
            user: "nova".into(),
            password: Some("hunter2hunter2".into()),
            database: name("nova"),
        };
        assert_eq!(target.to_string(), "nova on db:5432 as nova");
        assert!(!format!("{target:?}").contains("hunter2"));
    }
}
