//! The audit log: one JSON object a line, in a file that is set aside when it is full and so replaces the one that was
//! set aside before.

use std::{fs, io, path::Path};

use async_trait::async_trait;
use recovery_core::port::{AuditEntry, AuditLog, StateError};

use super::{StateDirectory, files, reading, writing};

const WHAT: &str = "the audit log";
const FILE: &str = "audit.jsonl";
const OLD_FILE: &str = "audit.jsonl.1";
const MAX_BYTES: u64 = 8 * 1024 * 1024;

#[async_trait]
impl AuditLog for StateDirectory {
    async fn append(&self, entry: AuditEntry) -> Result<(), StateError> {
        let line = serde_json::to_vec(&entry)
            .map_err(|error| StateError::Write { what: WHAT.to_owned(), source: error.into() })?;
        self.blocking(move |directory| {
            let _lock = directory.lock().map_err(writing(WHAT))?;
            let path = directory.file(FILE);
            set_aside(&path, &directory.file(OLD_FILE), line.len() as u64 + 1).map_err(writing(WHAT))?;
            files::append_line(&path, &line).map_err(writing(WHAT))
        })
        .await
    }

    async fn newest(&self, limit: usize) -> Result<Vec<AuditEntry>, StateError> {
        self.blocking(move |directory| {
            let mut entries = newest_of(&directory.file(FILE), limit).map_err(reading(WHAT))?;
            let more = limit.saturating_sub(entries.len());
            if more > 0 {
                entries.extend(newest_of(&directory.file(OLD_FILE), more).map_err(reading(WHAT))?);
            }
            Ok(entries)
        })
        .await
    }
}

fn set_aside(path: &Path, old: &Path, more: u64) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(file) if file.len() + more > MAX_BYTES => {
            fs::rename(path, old)?;
            files::sync_parent(path)
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn newest_of(path: &Path, limit: usize) -> io::Result<Vec<AuditEntry>> {
    let lines = files::last_lines(path, limit)?;
    Ok(lines
        .iter()
        .filter_map(|line| {
            serde_json::from_slice(line)
                .inspect_err(|error| tracing::warn!(%error, "a line of the audit log cannot be read"))
                .ok()
        })
        .collect())
}
