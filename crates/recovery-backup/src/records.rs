//! What is remembered about backups and replaced databases from one start of the service to the next.

mod pending;

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use recovery_core::{
    BackupName, Drill, DrillHistory, Verification, VerifyLevel,
    port::{DocumentStore, StateError, Swap},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::OffsetDateTime;

pub(crate) use pending::{KeySource, PendingFiles, PendingKeys, PendingSwap};

use crate::{BackupError, ReplacedDatabase, directory::open_lock_file, work::blocking};

const VERIFICATIONS: &str = "verifications.json";
const DRILLS: &str = "drills.json";
const REPLACED: &str = "replaced.json";
const PINS: &str = "pins.json";
const PENDING_SWAP: &str = "swap.json";
const PENDING_FILES: &str = "files.json";
const PENDING_KEYS: &str = "keys.json";

/// What the last check of a backup found, and of which file: another file of the same name was never checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckRecord {
    /// The file that was checked.
    pub stamp: FileStamp,
    /// What was found.
    pub verification: Verification,
    /// How thorough the check was.
    pub level: VerifyLevel,
    /// When it was.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What is wrong, in words.
    pub problems: Vec<String>,
    /// Of a bad one: the least thorough check that could find it good again. One that looks at less than what was found
    /// to be wrong proves nothing.
    #[serde(default = "hashes")]
    pub redeemed_by: VerifyLevel,
    /// The last drill of this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Drill>,
    /// Whether it came from elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uploaded: bool,
}

fn hashes() -> VerifyLevel {
    VerifyLevel::Hashes
}

impl CheckRecord {
    /// A file that was found good.
    pub(crate) fn verified(stamp: FileStamp, level: VerifyLevel, at: OffsetDateTime) -> Self {
        Self {
            stamp,
            verification: Verification::Verified,
            level,
            at,
            problems: Vec::new(),
            redeemed_by: VerifyLevel::Hashes,
            drill: None,
            uploaded: false,
        }
    }

    /// A file of which nothing is known.
    pub(crate) fn unverified(stamp: FileStamp, at: OffsetDateTime) -> Self {
        Self { verification: Verification::Unverified, ..Self::verified(stamp, VerifyLevel::Hashes, at) }
    }

    /// Whether what is known of a file goes on counting after a check of the same file found `found`.
    pub(crate) fn outlasts(&self, found: Verification, level: VerifyLevel) -> bool {
        match (self.verification, found) {
            // A quick look that finds nothing does not take away what a thorough one has proven.
            (Verification::Verified, Verification::Verified) => self.level > level,
            (Verification::Failed, Verification::Verified) => self.redeemed_by > level,
            _ => false,
        }
    }
}

/// Tells whether a file is still the one that it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileStamp {
    size: u64,
    mtime: i64,
    mtime_nsec: i64,
}

impl fmt::Display for FileStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}", self.size, self.mtime, self.mtime_nsec)
    }
}

impl From<&std::fs::Metadata> for FileStamp {
    fn from(data: &std::fs::Metadata) -> Self {
        Self { size: data.len(), mtime: data.mtime(), mtime_nsec: data.mtime_nsec() }
    }
}

/// Somebody wants a backup to be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The directory in which the backup was then: in another one, such as the place where a disk is not mounted, that
    /// its file is missing says nothing.
    pub directory: DirectoryStamp,
}

/// Tells whether a directory is still the one that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DirectoryStamp {
    device: u64,
    inode: u64,
}

impl From<&std::fs::Metadata> for DirectoryStamp {
    fn from(data: &std::fs::Metadata) -> Self {
        Self { device: data.dev(), inode: data.ino() }
    }
}

/// The documents, each changed by one writer at a time.
pub(crate) struct Records {
    documents: Arc<dyn DocumentStore>,
    lock_file: PathBuf,
    /// The checks as they were read last, and what they were read from.
    last_read: Mutex<Option<(Vec<u8>, Arc<Checks>)>>,
}

pub(crate) type Checks = BTreeMap<String, CheckRecord>;
pub(crate) type Pins = BTreeMap<String, Pin>;

/// Held while pins are looked at and acted upon: nobody pins or unpins meanwhile. `None` where nothing can be written.
pub(crate) struct PinsHeld {
    pins: Pins,
    _guard: Option<File>,
}

impl PinsHeld {
    /// Whether this backup is pinned.
    pub(crate) fn has(&self, name: &BackupName) -> bool {
        self.pins.contains_key(name.as_str())
    }

    /// All of them.
    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }
}

impl Records {
    pub(crate) fn new(documents: Arc<dyn DocumentStore>, lock_file: PathBuf) -> Self {
        Self { documents, lock_file, last_read: Mutex::default() }
    }

    /// The last check of each backup. What cannot be read counts as never checked.
    pub(crate) async fn checks(&self) -> Arc<Checks> {
        self.read_checks().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the results of earlier verifications cannot be read");
            Arc::default()
        })
    }

    /// Another process may have written the document, so it is read every time; but it is large where there are many
    /// backups, and seldom another one.
    async fn read_checks(&self) -> Result<Arc<Checks>, StateError> {
        let Some(bytes) = self.documents.get(VERIFICATIONS).await? else { return Ok(Arc::default()) };
        let mut last = self.last_read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, checks)) = last.as_ref()
            && *known == bytes
        {
            return Ok(Arc::clone(checks));
        }
        let checks: Arc<Checks> = Arc::new(parse(VERIFICATIONS, &bytes)?);
        *last = Some((bytes, Arc::clone(&checks)));
        Ok(checks)
    }

    /// Changes the checks.
    pub(crate) async fn update_checks(
        &self,
        change: impl FnOnce(&mut Checks) + Send,
    ) -> Result<(), BackupError> {
        let _guard = self.guard().await?;
        let mut checks: Checks = self.read_to_change(VERIFICATIONS).await?;
        change(&mut checks);
        shorten(&mut checks);
        self.write(VERIFICATIONS, &checks).await
    }

    /// The drills that are remembered. What cannot be read counts as never drilled.
    pub(crate) async fn drills(&self) -> DrillHistory {
        self.read(DRILLS).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the history of drills cannot be read");
            DrillHistory::default()
        })
    }

    /// Adds a drill to the history, which outlives the backup.
    pub(crate) async fn add_drill(&self, drill: Drill) -> Result<(), BackupError> {
        let _guard = self.guard().await?;
        let mut drills: DrillHistory = self.read_to_change(DRILLS).await?;
        drills.add(drill);
        self.write(DRILLS, &drills).await
    }

    /// The pinned backups; some may be gone. What cannot be read is an error: nothing may go that might be pinned.
    pub(crate) async fn pins(&self) -> Result<Pins, BackupError> {
        Ok(self.read(PINS).await?)
    }

    /// The pinned backups, which stay as they are until the returned value is dropped.
    pub(crate) async fn hold_pins(&self) -> Result<PinsHeld, BackupError> {
        let guard = self.guard().await?;
        Ok(PinsHeld { pins: self.read(PINS).await?, _guard: guard })
    }

    /// Writes other pins in the place of those that are held.
    pub(crate) async fn change_pins(&self, held: PinsHeld, pins: &Pins) -> Result<(), BackupError> {
        if held.pins == *pins { Ok(()) } else { self.write(PINS, pins).await }
    }

    /// The databases that were replaced; some may be gone. What cannot be read is empty: the databases themselves
    /// still tell that they are there.
    pub(crate) async fn replaced(&self) -> Vec<ReplacedDatabase> {
        self.read(REPLACED).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the history of restores cannot be read");
            Vec::new()
        })
    }

    /// Changes the list of replaced databases.
    pub(crate) async fn update_replaced(
        &self,
        change: impl FnOnce(&mut Vec<ReplacedDatabase>) + Send,
    ) -> Result<(), BackupError> {
        let _guard = self.guard().await?;
        let mut replaced: Vec<ReplacedDatabase> = self.read_to_change(REPLACED).await?;
        change(&mut replaced);
        self.write(REPLACED, &replaced).await
    }

    /// A swap that was begun, and of which it is not known that it has left every database open to sessions.
    pub(crate) async fn pending_swap(&self) -> Option<PendingSwap> {
        self.read(PENDING_SWAP).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "it cannot be read whether a swap was cut off");
            None
        })
    }

    /// Notes that a swap begins, or that it is over.
    pub(crate) async fn set_pending_swap(&self, swap: Option<&Swap>) -> Result<(), BackupError> {
        match swap {
            Some(Swap { live, incoming, retired }) => {
                let swap =
                    PendingSwap { live: live.clone(), incoming: incoming.clone(), retired: retired.clone() };
                self.write(PENDING_SWAP, &swap).await
            }
            None => Ok(self.documents.remove(PENDING_SWAP).await?),
        }
    }

    /// Directories of which it is not known that they have followed their database. That this cannot be read is an
    /// error: what it names must not be taken for something that nobody needs.
    pub(crate) async fn pending_files(&self) -> Result<Option<PendingFiles>, StateError> {
        self.read(PENDING_FILES).await
    }

    /// Notes which directories are to follow a database, or that they have.
    pub(crate) async fn set_pending_files(&self, files: Option<&PendingFiles>) -> Result<(), BackupError> {
        match files {
            Some(files) => self.write(PENDING_FILES, files).await,
            None => Ok(self.documents.remove(PENDING_FILES).await?),
        }
    }

    /// Keys of which it is not known that they have followed their database. That this cannot be read is an error: they
    /// must not be taken for written.
    pub(crate) async fn pending_keys(&self) -> Result<Option<PendingKeys>, StateError> {
        self.read(PENDING_KEYS).await
    }

    /// Notes which keys are to follow a database, or that they have.
    pub(crate) async fn set_pending_keys(&self, keys: Option<&PendingKeys>) -> Result<(), BackupError> {
        match keys {
            Some(keys) => self.write(PENDING_KEYS, keys).await,
            None => Ok(self.documents.remove(PENDING_KEYS).await?),
        }
    }

    /// Forgets the checks of backups that are deleted.
    pub(crate) async fn forget(&self, names: &[BackupName]) -> Result<(), BackupError> {
        self.update_checks(|checks| {
            for name in names {
                checks.remove(name.as_str());
            }
        })
        .await
    }

    /// Held for the moment that a document takes to change, by one process at a time.
    async fn guard(&self) -> Result<Option<File>, BackupError> {
        let path = self.lock_file.clone();
        blocking(move || {
            let open = || {
                let file = open_lock_file(&path)?;
                file.as_ref().map(File::lock).transpose()?;
                Ok(file)
            };
            open().map_err(BackupError::storage("take the lock of the records", path.clone()))
        })
        .await
    }

    async fn read<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, StateError> {
        let Some(bytes) = self.documents.get(name).await? else { return Ok(T::default()) };
        parse(name, &bytes)
    }

    /// Reads a document that is about to be replaced: one that cannot be read just now must not be written over, one
    /// that makes no sense may be.
    async fn read_to_change<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, StateError> {
        match self.read(name).await {
            Err(error @ StateError::Format { .. }) => {
                tracing::warn!(%error, "it is begun anew");
                Ok(T::default())
            }
            read_or_failed => read_or_failed,
        }
    }

    async fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), BackupError> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| StateError::Format { what: name.to_owned(), why: error.to_string() })?;
        Ok(self.documents.put(name, &bytes).await?)
    }
}

fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, StateError> {
    serde_json::from_slice(bytes)
        .map_err(|error| StateError::Format { what: name.to_owned(), why: error.to_string() })
}

/// What a record keeps of what is wrong with a backup: words about an archive can be as long as the archive likes.
const MAX_PROBLEMS: usize = 5;
const MAX_WORDS: usize = 300;
/// How many bytes all records take at most; the document can hold no more than 1 MiB.
const MAX_BYTES: usize = 900 * 1024;

/// Keeps the records within what a document can hold. What has to go is what was checked longest ago: such a backup
/// counts as never checked again, which is safe.
fn shorten(checks: &mut Checks) {
    for record in checks.values_mut() {
        let drill = record.drill.iter_mut().flat_map(|drill| &mut drill.problems);
        record.problems.truncate(MAX_PROBLEMS);
        for problem in record.problems.iter_mut().chain(drill) {
            if let Some((end, _)) = problem.char_indices().nth(MAX_WORDS) {
                problem.truncate(end);
                problem.push('…');
            }
        }
    }
    let size = |(name, record): (&String, &CheckRecord)| {
        name.len() + serde_json::to_vec(record).map_or(0, |bytes| bytes.len()) + 4
    };
    let mut total: usize = checks.iter().map(size).sum();
    if total <= MAX_BYTES {
        return;
    }
    let mut oldest: Vec<(OffsetDateTime, String)> =
        checks.iter().map(|(name, record)| (record.at, name.clone())).collect();
    oldest.sort();
    for (_, name) in oldest {
        if total <= MAX_BYTES {
            break;
        }
        if let Some(record) = checks.remove(&name) {
            total -= size((&name, &record));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recovery_core::BackupKind;

    const AT: OffsetDateTime = time::macros::datetime!(2026-01-31 12:00 UTC);

    fn records(count: u32, problem: &str) -> Checks {
        let stamp = FileStamp { size: 1 << 40, mtime: 1_800_000_000, mtime_nsec: 999_999_999 };
        (0..count)
            .map(|number| {
                let at = AT + time::Duration::seconds(number.into());
                let name = BackupName::new(BackupKind::Checkpoint, at, 1).to_string();
                let record = CheckRecord::verified(stamp.clone(), VerifyLevel::Contents, at);
                (name, CheckRecord { problems: vec![problem.to_owned(); 50], ..record })
            })
            .collect()
    }

    #[test]
    fn a_thousand_bad_backups_fit_into_the_document() {
        let mut checks = records(1000, &"é".repeat(40));
        shorten(&mut checks);
        assert_eq!(checks.len(), 1000);
        assert!(checks.values().all(|record| record.problems.len() == MAX_PROBLEMS));
    }

    #[test]
    fn the_oldest_records_make_room_for_the_newest() {
        let mut checks = records(3000, &"é".repeat(9000));
        shorten(&mut checks);
        assert!(serde_json::to_vec(&checks).unwrap().len() <= 1024 * 1024);
        let newest = AT + time::Duration::seconds(2999);
        assert!(checks.contains_key(BackupName::new(BackupKind::Checkpoint, newest, 1).as_str()));
        assert!(checks.len() > 200 && checks.len() < 3000, "{}", checks.len());
    }
}
