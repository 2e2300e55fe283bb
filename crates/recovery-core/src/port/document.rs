use async_trait::async_trait;

use super::StateError;

/// Small named documents that outlive the process: what is known of backups and of replaced databases.
#[async_trait]
pub trait DocumentStore: Send + Sync {
    /// The document's bytes, or `None` where there is none. A document is at most 1 MiB.
    async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError>;

    /// Writes the document as a whole: a reader sees the old one or the new one, also after a crash; durable when this
    /// returns. A name is 1 to 100 of `[a-z0-9._-]` and begins with a letter or digit.
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StateError>;

    /// Removes the document; no error where there is none.
    async fn remove(&self, name: &str) -> Result<(), StateError>;
}
