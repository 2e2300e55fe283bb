//! The state directory in memory: documents, journal and audit log.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use recovery_core::{
    OperationState,
    port::{AuditEntry, AuditLog, DocumentStore, Journal, JournalEntry, JournalEvent, StateError},
};

use crate::{Faults, lock};

/// Where a fake of the state directory can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatePoint {
    /// While reading.
    Read,
    /// While writing; nothing is written then.
    Write,
}

/// The faults of a fake of the state directory.
pub type StateFaults = Faults<StatePoint, StateError>;

/// The error of a full disk.
#[must_use]
pub fn disk_full() -> StateError {
    StateError::Write { what: "a file".to_owned(), source: io::ErrorKind::StorageFull.into() }
}

fn refused(what: &str, why: &str) -> StateError {
    StateError::Write {
        what: what.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidInput, why.to_owned()),
    }
}

/// Documents in memory. Clones share them, as two processes share a directory.
#[derive(Clone, Debug, Default)]
pub struct MemoryDocuments {
    documents: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    faults: StateFaults,
}

impl MemoryDocuments {
    /// The longest document in bytes.
    pub const MAX_BYTES: usize = 1024 * 1024;

    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is to fail.
    #[must_use]
    pub fn faults(&self) -> &StateFaults {
        &self.faults
    }

    /// The names of the documents.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        lock(&self.documents).keys().cloned().collect()
    }

    fn check_name(name: &str) -> Result<(), StateError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let fits = (1..=100).contains(&name.len())
            && name.bytes().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'))
            && name.bytes().next().is_some_and(plain);
        if fits { Ok(()) } else { Err(refused("a document", "not the name of a document")) }
    }
}

#[async_trait]
impl DocumentStore for MemoryDocuments {
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        Self::check_name(name)?;
        self.faults.pass(StatePoint::Read).await?;
        Ok(lock(&self.documents).get(name).cloned())
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        Self::check_name(name)?;
        if bytes.len() > Self::MAX_BYTES {
            return Err(refused(name, "a document is at most 1 MiB"));
        }
        self.faults.pass(StatePoint::Write).await?;
        lock(&self.documents).insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), StateError> {
        Self::check_name(name)?;
        self.faults.pass(StatePoint::Write).await?;
        lock(&self.documents).remove(name);
        Ok(())
    }
}

/// A journal in memory. Clones share it.
///
/// Stricter than a file: it panics over an operation that begins twice, makes a step or ends without having begun, or
/// goes on after its end, and over snapshots that contradict their event.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    entries: Arc<Mutex<Vec<JournalEntry>>>,
    faults: StateFaults,
}

impl MemoryJournal {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is to fail.
    #[must_use]
    pub fn faults(&self) -> &StateFaults {
        &self.faults
    }

    /// Everything that was written, oldest first.
    #[must_use]
    pub fn written(&self) -> Vec<JournalEntry> {
        lock(&self.entries).clone()
    }
}

fn check_order(before: &[JournalEntry], entry: &JournalEntry) {
    let own = || before.iter().filter(|earlier| earlier.operation == entry.operation);
    let begun = own().any(|earlier| matches!(earlier.event, JournalEvent::Started { .. }));
    let ended = own().any(|earlier| matches!(earlier.event, JournalEvent::Finished { .. }));
    let id = entry.operation;
    assert!(!ended, "the operation {id} goes on after its end: {entry:?}");
    match &entry.event {
        JournalEvent::Started { snapshot } => {
            assert!(!begun, "the operation {id} begins twice");
            assert_eq!(snapshot.id, id, "the snapshot is of another operation");
            assert_eq!(snapshot.state, OperationState::Running, "an operation that begins is running");
        }
        JournalEvent::Step { step, .. } => {
            assert!(begun, "the operation {id} makes a step without having begun");
            assert!(!step.is_empty(), "a step has a name");
        }
        JournalEvent::Finished { snapshot } => {
            assert!(begun, "the operation {id} ends without having begun");
            assert_eq!(snapshot.id, id, "the snapshot is of another operation");
            assert_ne!(snapshot.state, OperationState::Running, "an operation that has ended is not running");
            assert!(snapshot.finished_at.is_some(), "an operation that has ended says when");
        }
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, entry: JournalEntry) -> Result<(), StateError> {
        self.faults.pass(StatePoint::Write).await?;
        let mut entries = lock(&self.entries);
        check_order(&entries, &entry);
        entries.push(entry);
        Ok(())
    }

    async fn entries(&self) -> Result<Vec<JournalEntry>, StateError> {
        self.faults.pass(StatePoint::Read).await?;
        Ok(self.written())
    }
}

/// An audit log in memory. Clones share it.
///
/// Stricter than a file: it panics over an action that is no stable word, and over anything that it was told is a
/// secret.
#[derive(Clone, Debug, Default)]
pub struct MemoryAuditLog {
    entries: Arc<Mutex<Vec<AuditEntry>>>,
    secrets: Arc<Mutex<BTreeSet<String>>>,
    faults: StateFaults,
}

impl MemoryAuditLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is to fail.
    #[must_use]
    pub fn faults(&self) -> &StateFaults {
        &self.faults
    }

    /// From now on panics over an entry that holds this text.
    pub fn forbid(&self, secret: impl Into<String>) {
        lock(&self.secrets).insert(secret.into());
    }

    /// Everything that was written, oldest first.
    #[must_use]
    pub fn written(&self) -> Vec<AuditEntry> {
        lock(&self.entries).clone()
    }
}

#[async_trait]
impl AuditLog for MemoryAuditLog {
    async fn append(&self, entry: AuditEntry) -> Result<(), StateError> {
        let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(word(&entry.action), "not a stable word: {:?}", entry.action);
        let shown = format!("{entry:?}");
        for secret in lock(&self.secrets).iter() {
            assert!(!shown.contains(secret.as_str()), "an entry of the audit log holds a secret");
        }
        self.faults.pass(StatePoint::Write).await?;
        lock(&self.entries).push(entry);
        Ok(())
    }

    async fn newest(&self, limit: usize) -> Result<Vec<AuditEntry>, StateError> {
        self.faults.pass(StatePoint::Read).await?;
        Ok(lock(&self.entries).iter().rev().take(limit).cloned().collect())
    }
}
