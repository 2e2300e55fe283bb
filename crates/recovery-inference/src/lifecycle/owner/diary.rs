//! What is said and written down of what the owner does: to those who watch, to the state directory, to Redis and to
//! the journal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use recovery_core::{
    Progress,
    port::{Cancelled, DocumentStore, KeyValue, OperationContext, StateError},
};
use serde_json::json;
use tokio::sync::watch;

use super::{
    super::Protocol,
    record::{Pending, Record},
};
use crate::{
    lifecycle::{State, Status, Step, Witness},
    server::BackendName,
};

/// Where the state stands in Redis: in the database of this service.
pub const STATE_KEY: &str = "nova:system:inference";

/// Everything that is told.
pub(super) struct Diary {
    pub(super) status: watch::Sender<Status>,
    documents: Arc<dyn DocumentStore>,
    redis: Arc<dyn KeyValue>,
    database: u8,
    record: Mutex<Record>,
    /// What stands in Redis.
    written: tokio::sync::Mutex<Option<String>>,
}

impl Diary {
    pub(super) fn new(documents: Arc<dyn DocumentStore>, redis: Arc<dyn KeyValue>, database: u8) -> Self {
        Self {
            status: watch::Sender::new(Status::default()),
            documents,
            redis,
            database,
            record: Mutex::default(),
            written: tokio::sync::Mutex::new(None),
        }
    }

    /// What the last process remembered, which is remembered from now on.
    pub(super) async fn recall(&self) -> Option<Record> {
        // One that cannot be read is as good as none: what runs is looked at.
        let found = Record::load(self.documents.as_ref()).await.ok().flatten();
        if let Some(found) = &found {
            *self.record() = found.clone();
        }
        found
    }

    /// Remembers something, durably when this returns. In memory it holds in any case.
    pub(super) async fn remember(&self, change: impl FnOnce(&mut Record)) -> Result<(), StateError> {
        let record = {
            let mut record = self.record();
            change(&mut record);
            record.clone()
        };
        record.save(self.documents.as_ref()).await
    }

    /// Shows something, and writes it to Redis.
    pub(super) async fn show(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
        self.publish().await;
    }

    /// Writes to Redis what does not stand there yet. Where Redis is away it is written later.
    pub(super) async fn publish(&self) {
        let text = {
            let status = self.status.borrow();
            let (step, detail) = status.progress.clone().unzip();
            json!({
                "backend": status.backend, "state": status.state, "model": status.model,
                "step": step, "detail": detail,
                "error": status.error.as_ref().map(|problem| &problem.detail),
            })
            .to_string()
        };
        let mut written = self.written.lock().await;
        if written.as_ref() != Some(&text) && self.redis.set(self.database, STATE_KEY, &text).await.is_ok() {
            *written = Some(text);
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears how far one change is.
pub(super) struct Told {
    pub(super) diary: Arc<Diary>,
    pub(super) context: Arc<dyn OperationContext>,
}

impl Told {
    /// Writes down that the change begins.
    pub(super) async fn begins(&self, pending: Pending) -> Result<(), StateError> {
        self.diary.remember(|record| record.change = Some(pending)).await
    }

    /// Writes down which way was chosen.
    pub(super) async fn chose(&self, protocol: Protocol) {
        let chosen = |record: &mut Record| {
            if let Some(change) = &mut record.change {
                change.protocol = Some(protocol);
            }
        };
        // Without it the way is chosen anew after a crash.
        let _ = self.diary.remember(chosen).await;
    }
}

#[async_trait]
impl Witness for Told {
    async fn step(&self, step: Step, detail: String) -> Result<(), StateError> {
        self.context.record(step.as_str(), json!({ "detail": detail })).await?;
        self.tell(step, detail);
        self.diary.publish().await;
        Ok(())
    }

    async fn previous(&self, model: &str) -> Result<(), StateError> {
        let previous = |record: &mut Record| {
            if let Some(change) = &mut record.change {
                change.previous_model = Some(model.to_owned());
            }
        };
        self.diary.remember(previous).await
    }

    async fn cancelled(&self) -> Cancelled {
        self.context.cancelled().await;
        Cancelled
    }

    fn seal(&self) -> Result<(), Cancelled> {
        self.context.seal()
    }

    fn tell(&self, step: Step, detail: String) {
        self.show(step, detail, Progress::phase(step.as_str()));
    }

    fn fetching(&self, detail: String, progress: Progress) {
        self.show(Step::Pulling, detail, Progress { phase: Step::Pulling.as_str().to_owned(), ..progress });
    }
}

impl Told {
    fn show(&self, step: Step, detail: String, progress: Progress) {
        self.context.report(progress);
        self.diary.status.send_if_modified(|status| {
            let state = match step {
                Step::Pulling | Step::Starting | Step::Loading => State::Starting,
                Step::Draining => State::Draining,
                Step::Stopping | Step::Updating | Step::Error => State::Switching,
                Step::Ready => State::Ready,
            };
            let progress = Some((step, detail));
            let news = status.state != state || status.progress != progress;
            (status.state, status.progress) = (state, progress);
            news
        });
    }
}

/// The backend that a wish is about.
pub(super) fn backend_of(pending: &Pending) -> Option<BackendName> {
    use super::wish::Wish;
    match &pending.wish {
        Wish::Start { backend } | Wish::SwitchModel { backend, .. } => Some(backend.clone()),
        Wish::Stop => pending.old.clone(),
    }
}
