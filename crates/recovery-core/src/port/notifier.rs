use async_trait::async_trait;
use time::OffsetDateTime;

use crate::ErrorCode;

/// What a [`Notice`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeEvent {
    /// Something that the service does by itself failed, or fails for another reason than before.
    Failed,
    /// It works again.
    Recovered,
}

impl NoticeEvent {
    /// The name as it appears in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Recovered => "recovered",
        }
    }
}

/// Something that a person who does not look at the service should hear of. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub event: NoticeEvent,
    /// To what: a stable word such as `checkpoint`.
    pub subject: String,
    /// Why it failed; of a recovery, why it had failed before.
    pub reason: ErrorCode,
    /// All of it in a few sentences.
    pub text: String,
    /// When, UTC.
    pub at: OffsetDateTime,
}

/// A notice was not taken. The words hold no part of the address that it was sent to: that may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// Nobody answers there, or not in time.
    #[error("the receiver of notices does not answer: {why}")]
    Unavailable {
        /// Why, in words.
        why: String,
    },
    /// Somebody answers and does not take it.
    #[error("the receiver of notices refused one with status {status}")]
    Refused {
        /// The status of the answer.
        status: u16,
    },
}

/// Tells people who do not look at the service.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Delivers a notice, once. Takes a few seconds at most, whatever the receiver does; tries nothing again.
    async fn notify(&self, notice: &Notice) -> Result<(), NotifyError>;
}
