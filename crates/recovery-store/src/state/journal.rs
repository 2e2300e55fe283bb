//! The journal: one JSON object a line.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs::File,
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
/// The journal is shortened where it is longer than so many entries.
const MAX_ENTRIES: usize = 10_000;
/// How many operations that have ended survive that, the newest.
const KEPT_OPERATIONS: usize = 500;

#[async_trait]
impl Journal for StateDirectory {
    async fn append(&self, entry: JournalEntry) -> Result<(), StateError> {
        let line = line(&entry)?;
        self.blocking(move |directory| {
            let _lock = directory.lock().map_err(writing(WHAT))?;
            files::append_line(&directory.file(FILE), &line).map_err(writing(WHAT))
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
    compact_to(directory, MAX_ENTRIES, KEPT_OPERATIONS)
}

fn compact_to(directory: &StateDirectory, max_entries: usize, kept: usize) -> Result<(), StateError> {
    let path = directory.file(FILE);
    if read(&path).map_err(reading(WHAT))?.len() <= max_entries {
        return Ok(());
    }
    let _lock = directory.lock().map_err(writing(WHAT))?;
    // Another process may have appended, or shortened it, since.
    let entries = read(&path).map_err(reading(WHAT))?;
    let keep = operations_to_keep(&entries, kept);
    files::replace(&path, |file| {
        let mut writer = io::BufWriter::new(file);
        for entry in entries.iter().filter(|entry| keep.contains(&entry.operation)) {
            serde_json::to_writer(&mut writer, entry)?;
            writer.write_all(b"\n")?;
        }
        writer.flush()
    })
    .map_err(writing(WHAT))
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
        compact_to(&directory, 11, 2).unwrap();
        assert_eq!(directory.entries().await.unwrap(), before, "not long enough to be shortened");

        compact_to(&directory, 10, 2).unwrap();
        let after = directory.entries().await.unwrap();
        let expect: Vec<JournalEntry> =
            before.into_iter().filter(|e| [ids[1], ids[4], ids[5]].contains(&e.operation)).collect();
        assert_eq!(after, expect);
    }
}
