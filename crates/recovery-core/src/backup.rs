//! What a backup is called and what is known about it without opening it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description,
};

use crate::Drill;

/// Why a backup was made. It decides how long the backup is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupKind {
    /// Asked for by somebody.
    Manual,
    /// Taken by the schedule.
    Checkpoint,
    /// Taken before something dangerous.
    Safety,
    /// Made by the earlier service: a `.tar.gz` with a plain SQL dump.
    Legacy,
}

impl BackupKind {
    /// The middle part of the file name.
    #[must_use]
    pub fn file_prefix(self) -> &'static str {
        match self {
            Self::Manual | Self::Legacy => "nova-backup-",
            Self::Checkpoint => "nova-checkpoint-",
            Self::Safety => "nova-safety-",
        }
    }
}

const STAMP: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]_[hour]-[minute]-[second]");
const STAMP_LEN: usize = "2026-01-31_23-59-59".len();

/// The file name of a backup: `nova-backup-YYYY-MM-DD_HH-MM-SS.tar` with the time in UTC, `-2`, `-3`, … before the
/// extension where a second one began in the same second.
///
/// A value of this type is a plain name: it holds no path separator, no NUL and no `..`, so joining it to the backup
/// directory cannot leave that directory.
///
/// ```
/// use recovery_core::BackupName;
/// assert!("nova-backup-2026-01-31_23-59-59.tar".parse::<BackupName>().is_ok());
/// assert!("../nova-backup-2026-01-31_23-59-59.tar".parse::<BackupName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupName {
    text: String,
    kind: BackupKind,
    created_at: OffsetDateTime,
    attempt: u32,
}

/// A text that is not the name of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the name of a backup; such names look like nova-backup-2026-01-31_23-59-59.tar (or nova-checkpoint-…, nova-safety-…)"
)]
pub struct InvalidBackupName;

impl BackupName {
    /// The name of a backup of this kind begun at this time; `attempt` counts from 1 and goes up where that name is
    /// taken. Legacy backups are never made, only read: their names are parsed.
    #[must_use]
    pub fn new(kind: BackupKind, at: OffsetDateTime, attempt: u32) -> Self {
        let kind = if kind == BackupKind::Legacy { BackupKind::Manual } else { kind };
        let created_at = at.to_offset(time::UtcOffset::UTC);
        let created_at = created_at.replace_nanosecond(0).unwrap_or(created_at);
        let (date, time) = (created_at.date(), created_at.time());
        let suffix = if attempt > 1 { format!("-{attempt}") } else { String::new() };
        let text = format!(
            "{}{:04}-{:02}-{:02}_{:02}-{:02}-{:02}{suffix}.tar",
            kind.file_prefix(),
            date.year(),
            u8::from(date.month()),
            date.day(),
            time.hour(),
            time.minute(),
            time.second()
        );
        Self { text, kind, created_at, attempt: attempt.max(1) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the name says of the backup's kind: everything that ends in `.tar.gz` is legacy.
    #[must_use]
    pub fn kind(&self) -> BackupKind {
        self.kind
    }

    /// The time in the name, UTC.
    #[must_use]
    pub fn created_at(&self) -> OffsetDateTime {
        self.created_at
    }

    /// The how-manieth of its second it is, from 1: where two names have the same time, the later one has the larger.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

impl FromStr for BackupName {
    type Err = InvalidBackupName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (stem, legacy) = match text.strip_suffix(".tar.gz") {
            Some(stem) => (stem, true),
            None => (text.strip_suffix(".tar").ok_or(InvalidBackupName)?, false),
        };
        let (kind, rest) = [BackupKind::Manual, BackupKind::Checkpoint, BackupKind::Safety]
            .into_iter()
            .find_map(|kind| stem.strip_prefix(kind.file_prefix()).map(|rest| (kind, rest)))
            .ok_or(InvalidBackupName)?;
        let stamp = rest.get(..STAMP_LEN).ok_or(InvalidBackupName)?;
        let suffix = rest.get(STAMP_LEN..).ok_or(InvalidBackupName)?;
        let attempt = match suffix.strip_prefix('-') {
            // As `new` writes it: a plain number from 2 on.
            Some(number) if number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0') => {
                number.parse().ok().filter(|attempt| *attempt > 1).ok_or(InvalidBackupName)?
            }
            None if suffix.is_empty() => 1,
            _ => return Err(InvalidBackupName),
        };
        // `parse` accepts a sign before the year; a name has none.
        if !stamp.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b'_')
            || !stamp.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(InvalidBackupName);
        }
        let created_at = PrimitiveDateTime::parse(stamp, STAMP).map_err(|_| InvalidBackupName)?.assume_utc();
        Ok(Self {
            text: text.to_owned(),
            kind: if legacy { BackupKind::Legacy } else { kind },
            created_at,
            attempt,
        })
    }
}

impl TryFrom<String> for BackupName {
    type Error = InvalidBackupName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BackupName> for String {
    fn from(name: BackupName) -> Self {
        name.text
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How thoroughly a backup is checked. Each level includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyLevel {
    /// Every byte of every member is read and its SHA-256 compared with the manifest.
    Hashes,
    /// Besides, the dump's table of contents is readable and every dump file decodes to its end.
    #[default]
    Contents,
    /// Besides, the backup is loaded into a scratch database, its rows are compared with the manifest, and the
    /// database is dropped: a drill.
    Restore,
}

impl VerifyLevel {
    /// The name as it appears in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hashes => "hashes",
            Self::Contents => "contents",
            Self::Restore => "restore",
        }
    }
}

/// What the last check of a backup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// Checked, and good.
    Verified,
    /// Not checked since it was last written, or the check could not be carried out.
    Unverified,
    /// Checked, and bad.
    Failed,
}

impl Verification {
    /// The name as it appears in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::Failed => "failed",
        }
    }
}

/// One backup as it stands in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupInfo {
    /// The name of its file.
    pub filename: BackupName,
    /// The size of its file in bytes.
    pub size_bytes: u64,
    /// When it was begun: the moment of the snapshot that it holds, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Why it was made.
    pub kind: BackupKind,
    /// What the last check found.
    pub verification: Verification,
    /// How thorough that check was.
    pub verified_level: Option<VerifyLevel>,
    /// When that check was.
    #[serde(with = "time::serde::rfc3339::option")]
    pub verified_at: Option<OffsetDateTime>,
    /// What is wrong with it, in words; empty where nothing is known to be.
    pub problems: Vec<String>,
    /// The database that it is a backup of; unknown for a legacy or unreadable archive.
    pub database: Option<String>,
    /// The version of the server that it came from, for example `15.18`.
    pub server_version: Option<String>,
    /// The version of the `pg_dump` that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
    /// What there is to know before it is restored.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The last drill of this very file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drill: Option<Drill>,
    /// Whether it came from elsewhere by an upload, as far as that is known.
    #[serde(default)]
    pub uploaded: bool,
    /// Whether it is kept until somebody says otherwise.
    #[serde(default)]
    pub pinned: bool,
    /// The directories that it holds besides the database.
    #[serde(default)]
    pub files: Vec<BackupFiles>,
    /// How many keys of Redis it holds besides the database.
    #[serde(default)]
    pub keys: u64,
}

/// A directory in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFiles {
    /// What it is called there.
    pub name: String,
    /// How many files it holds.
    pub files: u64,
    /// Their bytes, holes left out.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_name_goes_to_text_and_back() {
        let at = datetime!(2026-01-31 23:59:59.999 UTC);
        for (kind, attempt, text) in [
            (BackupKind::Manual, 1, "nova-backup-2026-01-31_23-59-59.tar"),
            (BackupKind::Checkpoint, 2, "nova-checkpoint-2026-01-31_23-59-59-2.tar"),
            (BackupKind::Safety, 13, "nova-safety-2026-01-31_23-59-59-13.tar"),
        ] {
            let name = BackupName::new(kind, at, attempt);
            assert_eq!(name.as_str(), text);
            assert_eq!(text.parse::<BackupName>().unwrap(), name);
        }
    }

    #[test]
    fn the_time_in_a_name_is_utc() {
        let name = BackupName::new(BackupKind::Manual, datetime!(2026-02-01 01:00:00 +02:00), 1);
        assert_eq!(name.as_str(), "nova-backup-2026-01-31_23-00-00.tar");
    }

    #[test]
    fn archives_of_the_earlier_service_are_legacy() {
        for text in ["nova-backup-2025-01-31_23-59-59.tar.gz", "nova-checkpoint-2025-01-31_23-59-59.tar.gz"] {
            assert_eq!(text.parse::<BackupName>().unwrap().kind(), BackupKind::Legacy);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "nova-backup-2026-01-31_23-59-59",
            "nova-backup-2026-01-31_23-59-59.zip",
            "nova-backup-2026-13-31_23-59-59.tar",
            "nova-backup-2026-02-30_23-59-59.tar",
            "nova-backup-2026-01-31_23-59-59-1.tar",
            "nova-backup-2026-01-31_23-59-59-02.tar",
            "nova-backup-2026-01-31_23-59-59-.tar",
            "nova-backup-+026-01-31_23-59-59.tar",
            "nova-backup-2026-01-31_23-59-59/../x.tar",
            "../nova-backup-2026-01-31_23-59-59.tar",
            "a/nova-backup-2026-01-31_23-59-59.tar",
            "nova-backup-2026-01-31_23-59-59\0.tar",
            "nova-backup-2026-01-31_23-59-5é.tar",
            ".partial-nova-backup-2026-01-31_23-59-59.tar",
        ] {
            assert_eq!(text.parse::<BackupName>(), Err(InvalidBackupName), "{text:?}");
        }
        assert!(format!("nova-backup-{}.tar", "9".repeat(300)).parse::<BackupName>().is_err());
    }
}
