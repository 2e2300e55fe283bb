//! A `.env` file in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use recovery_core::port::{EnvContent, EnvFile, EnvFileError, EnvVersion};

use crate::{Faults, lock};

/// Where [`MemoryEnvFile`] can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvFilePoint {
    /// Before it is read.
    Read,
    /// Before it is replaced; nothing is written then.
    Replace,
}

/// A `.env` file in memory. Clones share it.
///
/// Stricter than a file: it panics over a replacement that changes nothing.
#[derive(Clone, Debug, Default)]
pub struct MemoryEnvFile {
    content: Arc<Mutex<Option<Vec<u8>>>>,
    replaced: Arc<Mutex<Vec<Vec<u8>>>>,
    faults: Faults<EnvFilePoint, EnvFileError>,
}

impl MemoryEnvFile {
    /// A file with this content.
    #[must_use]
    pub fn new(content: impl Into<Vec<u8>>) -> Self {
        let file = Self::default();
        file.put(content);
        file
    }

    /// No file.
    #[must_use]
    pub fn missing() -> Self {
        Self::default()
    }

    /// What is to fail.
    #[must_use]
    pub fn faults(&self) -> &Faults<EnvFilePoint, EnvFileError> {
        &self.faults
    }

    /// Writes it, as another program would.
    pub fn put(&self, content: impl Into<Vec<u8>>) {
        *lock(&self.content) = Some(content.into());
    }

    /// What stands in it.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(lock(&self.content).as_deref().expect("there is a file")).into_owned()
    }

    /// The contents that were replaced through the port, oldest first.
    #[must_use]
    pub fn replaced(&self) -> Vec<Vec<u8>> {
        lock(&self.replaced).clone()
    }
}

fn version(bytes: &[u8]) -> EnvVersion {
    // Distinct contents have distinct versions, which is all that is promised.
    EnvVersion::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "v")
}

#[async_trait]
impl EnvFile for MemoryEnvFile {
    async fn read(&self) -> Result<EnvContent, EnvFileError> {
        self.faults.pass(EnvFilePoint::Read).await?;
        let bytes = lock(&self.content).clone().ok_or(EnvFileError::Missing)?;
        Ok(EnvContent { version: version(&bytes), bytes })
    }

    async fn replace(&self, bytes: &[u8], expected: &EnvVersion) -> Result<EnvVersion, EnvFileError> {
        self.faults.pass(EnvFilePoint::Replace).await?;
        let mut content = lock(&self.content);
        let old = content.as_mut().ok_or(EnvFileError::Missing)?;
        if version(old) != *expected {
            return Err(EnvFileError::Changed);
        }
        assert_ne!(old, bytes, "a replacement that changes nothing");
        lock(&self.replaced).push(std::mem::replace(old, bytes.to_vec()));
        Ok(version(bytes))
    }
}
