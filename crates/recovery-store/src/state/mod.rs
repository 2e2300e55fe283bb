//! The state directory: what must outlive the process. The journal of operations, the audit log, small documents and
//! the generated admin secret.
//!
//! Several processes may use it at once (the command line beside the service): every change is made under one file
//! lock, and readers need none, because a line is there with its end or is not there, and a document is replaced as a
//! whole. No error shows where the directory is.

mod audit;
mod documents;
mod files;
mod journal;
mod secret;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use recovery_core::port::StateError;
use secrecy::SecretString;

/// The state directory. Cheap to clone.
#[derive(Clone)]
pub struct StateDirectory {
    path: Arc<Path>,
}

impl StateDirectory {
    /// Opens the directory; creates it, for its owner alone, where it is missing.
    ///
    /// # Errors
    /// Fails where it can be neither found nor created, or is no directory.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let directory = Self::at(path);
        files::create_directory(&directory.path).map_err(writing("the journal"))?;
        directory.tidy();
        Ok(directory)
    }

    /// The directory at this path, left as it is until the first change, which creates it where it is missing: for a
    /// program that may only want to read. A directory that does not exist reads as an empty one.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path: PathBuf = path.into();
        Self { path: path.into() }
    }

    /// The secret that admits administrators where none is configured, and the file that holds it. Made of 32 random
    /// bytes on the first call, the same on every later one; only its owner may read the file.
    ///
    /// # Errors
    /// Fails where the file can be neither read nor written, or holds no secret.
    pub fn admin_secret(&self) -> Result<(SecretString, PathBuf), StateError> {
        secret::read_or_generate(self)
    }

    /// Shortens the journal and removes what a crash has left. Nothing depends on it, so it may fail: a directory that
    /// cannot be written shows itself at the first change.
    fn tidy(&self) {
        let results = [("the journal", journal::compact(self)), ("the documents", documents::sweep(self))];
        for (what, result) in results {
            if let Err(error) = result {
                tracing::warn!(%error, what, "the state directory could not be tidied");
            }
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Excludes every other change, by this process or another, until the returned file is dropped.
    fn lock(&self) -> io::Result<File> {
        files::create_directory(&self.path)?;
        let file = files::open_or_create(&self.file("lock"))?;
        file.lock()?;
        Ok(file)
    }

    /// Runs blocking work on the directory beside the async tasks.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let directory = self.clone();
        tokio::task::spawn_blocking(move || work(&directory)).await.unwrap_or_else(|error| {
            Err(StateError::Read { what: "anything".to_owned(), source: io::Error::other(error) })
        })
    }
}

/// Turns an I/O error into one of reading `what`.
fn reading(what: &str) -> impl FnOnce(io::Error) -> StateError {
    move |source| StateError::Read { what: what.to_owned(), source }
}

/// Turns an I/O error into one of writing `what`.
fn writing(what: &str) -> impl FnOnce(io::Error) -> StateError {
    move |source| StateError::Write { what: what.to_owned(), source }
}
