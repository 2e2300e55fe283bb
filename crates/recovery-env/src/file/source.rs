//! The file as it is found: what it is, and what stands in it.

use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use recovery_core::port::EnvFileError;

use super::DiskEnvFile;

/// How long another writer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// The file, opened.
pub(super) struct Source {
    /// Where it is, with every symbolic link followed.
    pub(super) path: PathBuf,
    pub(super) file: File,
}

impl Source {
    /// Opens it for reading.
    pub(super) fn open(path: &Path) -> Result<Self, EnvFileError> {
        Self::open_with(path, OpenOptions::new().read(true))
    }

    /// Opens it for reading and writing, and keeps every other writer away. A file that says it is read-only is so,
    /// also for a user who may write everything.
    pub(super) fn open_to_write(path: &Path) -> Result<Self, EnvFileError> {
        let began = Instant::now();
        loop {
            let source = Self::open_with(path, OpenOptions::new().read(true).write(true))?;
            if source.metadata()?.mode() & 0o222 == 0 {
                return Err(EnvFileError::ReadOnly);
            }
            source.lock(File::try_lock)?;
            if source.is_in_place()? {
                return Ok(source);
            }
            // Whoever had the lock has put another file there.
            if began.elapsed() > PATIENCE {
                return Err(EnvFileError::Locked);
            }
        }
    }

    fn open_with(path: &Path, options: &OpenOptions) -> Result<Self, EnvFileError> {
        let path = fs::canonicalize(path).map_err(cannot_open)?;
        // Before it is opened: to open a pipe would wait for somebody at its other end.
        if !fs::metadata(&path).map_err(cannot_open)?.is_file() {
            return Err(EnvFileError::NotAFile);
        }
        let file = options.open(&path).map_err(cannot_open)?;
        Ok(Self { path, file })
    }

    /// Waits until nobody writes it in place. File systems that know no locks are read without.
    pub(super) fn lock_shared(&self) -> Result<(), EnvFileError> {
        self.lock(File::try_lock_shared)
    }

    fn lock(&self, attempt: impl Fn(&File) -> Result<(), TryLockError>) -> Result<(), EnvFileError> {
        let began = Instant::now();
        loop {
            match attempt(&self.file) {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Err(EnvFileError::Locked),
                Err(TryLockError::Error(error)) => {
                    tracing::debug!("the .env file cannot be locked: {error}");
                    return Ok(());
                }
            }
        }
    }

    /// Everything that stands in it.
    pub(super) fn read(&mut self) -> Result<Vec<u8>, EnvFileError> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(0)).map_err(EnvFileError::Read)?;
        let limit = DiskEnvFile::LARGEST as u64 + 1;
        (&mut self.file).take(limit).read_to_end(&mut bytes).map_err(EnvFileError::Read)?;
        if bytes.len() > DiskEnvFile::LARGEST {
            return Err(EnvFileError::TooLarge { limit: DiskEnvFile::LARGEST });
        }
        Ok(bytes)
    }

    pub(super) fn metadata(&self) -> Result<Metadata, EnvFileError> {
        self.file.metadata().map_err(EnvFileError::Read)
    }

    /// Whether the file that stands at the path is still the one that was opened.
    pub(super) fn is_in_place(&self) -> Result<bool, EnvFileError> {
        let (opened, there) = (self.metadata()?, fs::metadata(&self.path));
        match there {
            Ok(there) => Ok((opened.dev(), opened.ino()) == (there.dev(), there.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(EnvFileError::Missing),
            Err(error) => Err(EnvFileError::Read(error)),
        }
    }
}

fn cannot_open(error: io::Error) -> EnvFileError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => EnvFileError::Missing,
        io::ErrorKind::IsADirectory => EnvFileError::NotAFile,
        io::ErrorKind::ReadOnlyFilesystem => EnvFileError::ReadOnly,
        _ => EnvFileError::Read(error),
    }
}
