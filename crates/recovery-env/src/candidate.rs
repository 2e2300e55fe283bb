//! A `.env` that is not yet one: a file for Compose to look at.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use uuid::Uuid;

const PREFIX: &str = "env-candidate-";
/// A candidate that is older was left by a process that was killed. No check takes so long.
const STALE: Duration = Duration::from_secs(60 * 60);

/// A file with the bytes, which nobody else can read. It goes when this is dropped.
pub(crate) struct Candidate {
    path: PathBuf,
}

impl Candidate {
    /// Writes it, and removes what others have left.
    pub(crate) async fn write(directory: &Path, bytes: Vec<u8>) -> io::Result<Self> {
        let directory = directory.to_owned();
        tokio::task::spawn_blocking(move || {
            sweep(&directory);
            let candidate = Self { path: directory.join(format!("{PREFIX}{}", Uuid::new_v4().simple())) };
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&candidate.path)?;
            file.write_all(&bytes)?;
            Ok(candidate)
        })
        .await
        .map_err(io::Error::other)?
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn sweep(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|file| file.modified()).ok().and_then(|at| at.elapsed().ok());
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if ours && age.is_some_and(|age| age > STALE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
