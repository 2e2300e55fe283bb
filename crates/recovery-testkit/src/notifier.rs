//! A receiver of notices that remembers them.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use recovery_core::port::{Notice, Notifier, NotifyError};

use crate::{Faults, lock};

/// Where [`RecordingNotifier`] can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyPoint {
    /// While a notice is delivered; it is not taken then.
    Deliver,
}

/// Takes notices and remembers them. Clones share them.
///
/// Stricter than a real receiver: it panics over a notice without words, with a subject that is no stable word, or
/// with a time that is not UTC.
#[derive(Clone, Debug, Default)]
pub struct RecordingNotifier {
    taken: Arc<Mutex<Vec<Notice>>>,
    faults: Faults<NotifyPoint, NotifyError>,
}

impl RecordingNotifier {
    /// One that has taken nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is to fail.
    #[must_use]
    pub fn faults(&self) -> &Faults<NotifyPoint, NotifyError> {
        &self.faults
    }

    /// The notices that were taken, oldest first.
    #[must_use]
    pub fn taken(&self) -> Vec<Notice> {
        lock(&self.taken).clone()
    }
}

#[async_trait]
impl Notifier for RecordingNotifier {
    async fn notify(&self, notice: &Notice) -> Result<(), NotifyError> {
        let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(word(&notice.subject), "not a stable word: {:?}", notice.subject);
        assert!(!notice.text.trim().is_empty(), "a notice without words");
        assert!(notice.at.offset().is_utc(), "a time that is not UTC: {}", notice.at);
        self.faults.pass(NotifyPoint::Deliver).await?;
        lock(&self.taken).push(notice.clone());
        Ok(())
    }
}
