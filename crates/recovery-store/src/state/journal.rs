//! The journal: one JSON object a line.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::Path,
};

use async_trait::async_trait;
use recovery_core::{
    OperationId,
    port::{Journal, JournalEntry, JournalEvent, StateError},
};

use super::{StateDirectory, files, reading, writing};

const WHAT: &str = "the journal";
const FILE: &str = "journal.jsonl";
/// The journal is shortened where it is longer than so many bytes: some 5,000 entries.
const MAX_BYTES: u64 = 2 * 1024 * 1024;
/// How many operations that have ended survive that, the newest, where they take no more than half as much.
const KEPT_OPERATIONS: usize = 500;

#[async_trait]
impl Journal for StateDirectory {
    async fn append(&self, entry: JournalEntry) -> Result<(), StateError> {
        let line = line(&entry)?;
        self.blocking(move |directory| {
            let _lock = directory.lock().map_err(writing(WHAT))?;
            let path = directory.file(FILE);
            files::append_line(&path, &line).map_err(writing(WHAT))?;
            // A service runs for months. What was appended is safe, whatever becomes of this.
            if let Err(error) = shorten(&path, MAX_BYTES, KEPT_OPERATIONS) {
                tracing::warn!(%error, "the journal could not be shortened");
            }
            Ok(())
        })
        .await
    }

    async fn entries(&self) -> Result<Vec<JournalEntry>, StateError> {
        self.blocking(|directory| read(&directory.file(FILE)).map_err(reading(WHAT))).await
    }
}

fn line(entry: &JournalEntry) -> Result<Vec<u8>, StateError> {
    serde_json::to_vec(entry)
        .map_err(|error| StateError::Write { what: WHAT.to_owned(), source: error.into() })
}

/// Every entry that can be read. One that cannot (written by a later version, or damaged) is logged and passed over:
/// what the others say of half-done operations matters more.
fn read(path: &Path) -> io::Result<Vec<JournalEntry>> {
    let mut reader = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut entries = Vec::new();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if line.pop_if(|byte| *byte == b'\n').is_none() {
            // The end, or a line that is being written or was cut short.
            break;
        }
        match serde_json::from_slice(&line) {
            Ok(entry) => entries.push(entry),
            Err(error) => tracing::warn!(%error, line = number, "a line of the journal cannot be read"),
        }
    }
    Ok(entries)
}

/// Shortens a long journal to what is unfinished and to the newest operations.
pub(super) fn compact(directory: &StateDirectory) -> Result<(), StateError> {
    let path = directory.file(FILE);
    // Most are not, and are not locked for the look.
    if !is_longer(&path, MAX_BYTES).map_err(reading(WHAT))? {
        return Ok(());
    }
    let _lock = directory.lock().map_err(writing(WHAT))?;
    shorten(&path, MAX_BYTES, KEPT_OPERATIONS).map_err(writing(WHAT))
}

fn is_longer(path: &Path, bytes: u64) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(data) => Ok(data.len() > bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Shortens the file to half its greatest length, so that this is rare. The caller holds the lock.
fn shorten(path: &Path, max_bytes: u64, kept: usize) -> io::Result<()> {
    if !is_longer(path, max_bytes)? {
        return Ok(());
    }
    let entries = read(path)?;
    let mut kept = kept;
    let lines = loop {
        let keep = operations_to_keep(&entries, kept);
        let lines = lines(entries.iter().filter(|entry| keep.contains(&entry.operation)))?;
        if kept == 0 || lines.len() as u64 <= max_bytes / 2 {
            break lines;
        }
        kept /= 2;
    };
    files::replace(path, |file| file.write_all(&lines))
}

fn lines<'a>(entries: impl Iterator<Item = &'a JournalEntry>) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut lines, entry)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn operations_to_keep(entries: &[JournalEntry], newest: usize) -> HashSet<OperationId> {
    let mut finished: HashMap<OperationId, bool> = HashMap::new();
    let mut last: VecDeque<OperationId> = VecDeque::new();
    for entry in entries {
        let done = matches!(entry.event, JournalEvent::Finished { .. });
        let known = finished.insert(entry.operation, done).is_some();
        if !known {
            last.push_back(entry.operation);
            if last.len() > newest {
                last.pop_front();
            }
        }
    }
    let unfinished = finished.into_iter().filter(|(_, done)| !done).map(|(id, _)| id);
    unfinished.chain(last).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use recovery_core::{Actor, Operation, OperationKind};
    use time::OffsetDateTime;

    fn entry(operation: OperationId, event: JournalEvent) -> JournalEntry {
        JournalEntry { at: OffsetDateTime::UNIX_EPOCH, operation, event }
    }

    fn snapshot(id: OperationId) -> Box<Operation> {
        let at = OffsetDateTime::UNIX_EPOCH;
        Box::new(Operation::begin(id, OperationKind::Backup, Actor::service(), None, at))
    }

    #[tokio::test]
    async fn shortening_keeps_the_unfinished_and_the_newest() {
        let path = tempfile::tempdir().unwrap();
        let directory = StateDirectory::open(path.path()).unwrap();
        let ids: Vec<OperationId> = (0..6).map(|_| OperationId::new()).collect();
        for (number, id) in ids.iter().enumerate() {
            directory.append(entry(*id, JournalEvent::Started { snapshot: snapshot(*id) })).await.unwrap();
            if number != 1 {
                directory
                    .append(entry(*id, JournalEvent::Finished { snapshot: snapshot(*id) }))
                    .await
                    .unwrap();
            }
        }
        let before = directory.entries().await.unwrap();
        let file = path.path().join(FILE);
        let length = fs::metadata(&file).unwrap().len();
        shorten(&file, length, 2).unwrap();
        assert_eq!(directory.entries().await.unwrap(), before, "not long enough to be shortened");

        shorten(&file, length - 1, 2).unwrap();
        let after = directory.entries().await.unwrap();
        let expect: Vec<JournalEntry> =
            before.into_iter().filter(|e| [ids[1], ids[4], ids[5]].contains(&e.operation)).collect();
        assert_eq!(after, expect);

        // However large they are: what is unfinished stays, and whatever of the rest there is room for.
        shorten(&file, 1, 2).unwrap();
        let left = directory.entries().await.unwrap();
        assert!(left.iter().all(|entry| entry.operation == ids[1]) && left.len() == 1, "{left:?}");
    }

    /// A journal of so many bytes or a few more, and its last operation.
    fn write_long(file: &Path, length: u64) -> Box<Operation> {
        let mut snapshot = snapshot(OperationId::new());
        snapshot.target = Some("x".repeat(900));
        let mut text = String::new();
        while (text.len() as u64) < length {
            snapshot.id = OperationId::new();
            let ended = entry(snapshot.id, JournalEvent::Finished { snapshot: snapshot.clone() });
            text.push_str(&String::from_utf8(line(&ended).unwrap()).unwrap());
            text.push('\n');
        }
        fs::write(file, text).unwrap();
        snapshot
    }

    #[test]
    fn a_long_journal_is_shortened_at_the_next_start() {
        let path = tempfile::tempdir().unwrap();
        drop(StateDirectory::open(path.path()).unwrap());
        let file = path.path().join(FILE);
        write_long(&file, MAX_BYTES + 1);
        StateDirectory::open(path.path()).unwrap();
        assert!(fs::metadata(&file).unwrap().len() < MAX_BYTES / 2 + 5_000);
    }

    #[tokio::test]
    async fn a_journal_of_a_service_that_never_restarts_is_bounded() {
        let path = tempfile::tempdir().unwrap();
        let directory = StateDirectory::open(path.path()).unwrap();
        let file = path.path().join(FILE);
        let snapshot = write_long(&file, MAX_BYTES - 500);
        let last = entry(snapshot.id, JournalEvent::Started { snapshot });
        directory.append(last.clone()).await.unwrap();
        directory.append(last.clone()).await.unwrap();
        let length = fs::metadata(&file).unwrap().len();
        assert!(length < MAX_BYTES / 2 + 5_000, "{length}");
        let entries = directory.entries().await.unwrap();
        assert!(entries.len() > 400, "{}", entries.len());
        assert_eq!(entries.last(), Some(&last));
    }
}
