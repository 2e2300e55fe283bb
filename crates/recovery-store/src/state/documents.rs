//! Small documents, one file each, replaced as a whole.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::PathBuf,
    time::Duration,
};

use async_trait::async_trait;
use recovery_core::port::{DocumentStore, StateError};

use super::{StateDirectory, files, reading, writing};

const DIRECTORY: &str = "documents";
const MAX_BYTES: usize = 1024 * 1024;
const MAX_NAME: usize = 100;
/// A document that is still being written after so long was left by a crash.
const STALE: Duration = Duration::from_secs(60 * 60);

#[async_trait]
impl DocumentStore for StateDirectory {
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let (what, path) = self.document(name)?;
        self.blocking(move |_| {
            let mut bytes = Vec::new();
            let read =
                File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
            match read {
                Ok(_) if bytes.len() > MAX_BYTES => Err(too_large(&what)),
                Ok(_) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(reading(&what)(error)),
            }
        })
        .await
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let (what, path) = self.document(name)?;
        if bytes.len() > MAX_BYTES {
            return Err(too_large(&what));
        }
        let bytes = bytes.to_vec();
        self.blocking(move |directory| {
            let documents = directory.file(DIRECTORY);
            files::create_directory(&documents).map_err(writing(&what))?;
            files::sync_parent(&documents).map_err(writing(&what))?;
            files::replace(&path, |file| file.write_all(&bytes)).map_err(writing(&what))
        })
        .await
    }

    async fn remove(&self, name: &str) -> Result<(), StateError> {
        let (what, path) = self.document(name)?;
        self.blocking(move |_| match fs::remove_file(&path) {
            Ok(()) => files::sync_parent(&path).map_err(writing(&what)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(writing(&what)(error)),
        })
        .await
    }
}

impl StateDirectory {
    /// What a document is called in errors, and its file.
    fn document(&self, name: &str) -> Result<(String, PathBuf), StateError> {
        let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        if begins_well && name.len() <= MAX_NAME && name.chars().all(allowed) {
            Ok((format!("the document {name}"), self.file(DIRECTORY).join(name)))
        } else {
            Err(StateError::Format {
                what: "a document".to_owned(),
                why:
                    "its name is not 1 to 100 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
                        .to_owned(),
            })
        }
    }
}

fn too_large(what: &str) -> StateError {
    StateError::Format { what: what.to_owned(), why: format!("it is larger than {MAX_BYTES} bytes") }
}

/// Removes documents that a crash left half written, anywhere in the directory. Younger ones may be another process's.
pub(super) fn sweep(directory: &StateDirectory) -> Result<(), StateError> {
    for place in [directory.file("."), directory.file(DIRECTORY)] {
        let entries = match fs::read_dir(place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(reading("the documents")(error)),
        };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|file| file.modified()).ok().and_then(|at| at.elapsed().ok());
            let ours = entry.file_name().to_string_lossy().starts_with(files::TEMPORARY);
            if ours && age.is_some_and(|age| age > STALE) {
                fs::remove_file(entry.path()).map_err(writing("the documents"))?;
            }
        }
    }
    Ok(())
}
