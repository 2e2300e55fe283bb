//! The `.env` file on a disk.

mod replace;
mod source;

use std::path::PathBuf;

use async_trait::async_trait;
use recovery_core::port::{EnvContent, EnvFile, EnvFileError, EnvVersion};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use source::Source;

/// A `.env` file on a disk of this machine.
///
/// - It is replaced by a rename, which keeps its mode and its owner. Where that cannot be, because the file alone is
///   mounted into a container or the directory may not be written, it is written in place; readers of this crate wait
///   meanwhile, and its content is put back when that fails.
/// - What stood there before is kept as `<name>.previous` beside it; where the directory may not be written, in the
///   directory given to [`DiskEnvFile::keeping_in`]. A file whose content cannot be kept is not written in place.
/// - All who write through this type, in whatever process, exclude each other by a lock on the file. Other programs do
///   not know that lock: what they write is noticed up to the moment of the rename.
/// - A symbolic link is followed, and stays.
///
/// Needs a tokio runtime.
#[derive(Clone, Debug)]
pub struct DiskEnvFile {
    place: Place,
}

/// Where the file is, and how its contents are named.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    spare_directory: Option<PathBuf>,
    salt: Uuid,
}

impl DiskEnvFile {
    /// The largest file that is read or written, in bytes.
    pub const LARGEST: usize = 4 * 1024 * 1024;

    /// The file at this path, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { place: Place { path: path.into(), spare_directory: None, salt: Uuid::new_v4() } }
    }

    /// Sets a directory in which the previous content is kept where that cannot be beside the file.
    #[must_use]
    pub fn keeping_in(mut self, directory: impl Into<PathBuf>) -> Self {
        self.place.spare_directory = Some(directory.into());
        self
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Place) -> Result<T, EnvFileError> + Send + 'static,
    ) -> Result<T, EnvFileError> {
        let place = self.place.clone();
        // The task ends without a result only where it panicked or the runtime stops.
        tokio::task::spawn_blocking(move || work(&place))
            .await
            .unwrap_or_else(|error| Err(EnvFileError::Read(std::io::Error::other(error))))
    }
}

impl Place {
    /// Names a content. The salt keeps a version from being a means to guess a secret in the file: everything else in
    /// it may be known.
    fn version(&self, bytes: &[u8]) -> EnvVersion {
        let digest = Sha256::new().chain_update(self.salt.as_bytes()).chain_update(bytes).finalize();
        EnvVersion::new(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }
}

#[async_trait]
impl EnvFile for DiskEnvFile {
    async fn read(&self) -> Result<EnvContent, EnvFileError> {
        self.blocking(|place| {
            let mut source = Source::open(&place.path)?;
            source.lock_shared()?;
            let bytes = source.read()?;
            Ok(EnvContent { version: place.version(&bytes), bytes })
        })
        .await
    }

    async fn replace(&self, bytes: &[u8], expected: &EnvVersion) -> Result<EnvVersion, EnvFileError> {
        if bytes.len() > Self::LARGEST {
            return Err(EnvFileError::TooLarge { limit: Self::LARGEST });
        }
        let (bytes, expected) = (bytes.to_vec(), expected.clone());
        self.blocking(move |place| {
            replace::replace(place, &bytes, &expected)?;
            Ok(place.version(&bytes))
        })
        .await
    }
}
