//! Directories with data of the platform behind the port [`DataDirectories`]: looked through and emptied, with every
//! step made from an open directory, so that one that is exchanged for a link meanwhile leads nowhere.

mod empty;
mod measure;
mod open;
mod walk;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use recovery_core::port::{DataDirectories, DirectoryError, DirectorySize, Emptied};

/// How often it is told how far an emptying is.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// The directories of this machine. Needs Linux 5.8, older ones do not say where something is mounted.
///
/// Left alone at the top of a directory is what this service keeps there itself (`.recovery-…`: what a restore has
/// replaced), and what the file system keeps at the top of a mount (`lost+found`).
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDirectories;

#[async_trait]
impl DataDirectories for LocalDirectories {
    async fn measure(&self, path: &Path) -> Result<DirectorySize, DirectoryError> {
        let (path, of) = (path.to_owned(), path.to_owned());
        let measuring = tokio::task::spawn_blocking(move || measure::measure(&path));
        measuring.await.unwrap_or_else(|error| Err(ended(&of, error)))
    }

    async fn empty(
        &self,
        path: &Path,
        report: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Emptied, DirectoryError> {
        let (owned, gone) = (path.to_owned(), Arc::new(AtomicU64::new(0)));
        let so_far = Arc::clone(&gone);
        let mut emptying = tokio::task::spawn_blocking(move || empty::empty(&owned, &so_far));
        loop {
            let ended_with = tokio::time::timeout(REPORT_EVERY, &mut emptying).await;
            report(gone.load(Relaxed));
            if let Ok(result) = ended_with {
                return result.unwrap_or_else(|error| Err(ended(path, error)));
            }
        }
    }
}

/// The work did not come to its end.
fn ended(path: &Path, error: tokio::task::JoinError) -> DirectoryError {
    DirectoryError::Unreadable { path: path.to_owned(), source: std::io::Error::other(error) }
}
