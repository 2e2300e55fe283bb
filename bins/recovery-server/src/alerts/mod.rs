//! Telling people who do not look: that something which the service does by itself fails, once for each reason, and
//! that it works again.
//!
//! Whoever does something says how it went (`Alerts::failed`, `Alerts::well`) and goes on; what is then to be told
//! is worked out and delivered in the background (`Alerts::run`). What was told is remembered beyond the process, so
//! that a restart does not tell it again; what could not be delivered is tried again the next time that it is so.

mod webhook;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use recovery_core::{
    ErrorCode, Problem,
    port::{Clock, DocumentStore, Notice, NoticeEvent, Notifier, NotifyError},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::{operations::chain, view::timestamp};

pub(crate) use webhook::words as why_unreachable;
pub use webhook::{InvalidWebhook, Webhook};

const DOCUMENT: &str = "alerts.json";
/// How long to wait before each further try to deliver a notice.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// What somebody may be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    /// A stable word, such as `checkpoint`.
    pub(crate) name: &'static str,
    /// In words, as part of a sentence: "the automatic backup".
    pub(crate) words: &'static str,
}

/// What was told last of a subject: that it fails, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    reason: ErrorCode,
    detail: String,
    /// When it was first told that it fails, UTC.
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
}

type AllTold = BTreeMap<String, Told>;

/// How a subject stands, as was last said.
#[derive(Clone, Debug)]
enum Standing {
    Failing(Problem),
    /// With what there is to say of it.
    Well(String),
}

/// Who tells, and what there is to tell.
pub(crate) struct Alerts {
    /// `None` where nobody is to be told.
    notifier: Option<Arc<dyn Notifier>>,
    documents: Arc<dyn DocumentStore>,
    clock: Arc<dyn Clock>,
    /// Which installation it is about, in words.
    place: String,
    standing: Mutex<BTreeMap<Subject, Standing>>,
    changed: Notify,
}

impl Alerts {
    pub(crate) fn new(
        notifier: Option<Arc<dyn Notifier>>,
        documents: Arc<dyn DocumentStore>,
        clock: Arc<dyn Clock>,
        place: String,
    ) -> Self {
        Self { notifier, documents, clock, place, standing: Mutex::default(), changed: Notify::new() }
    }

    /// Something failed. Returns at once.
    pub(crate) fn failed(&self, subject: Subject, problem: Problem) {
        self.stands(subject, Standing::Failing(problem));
    }

    /// Something was done well; `words` say what. Returns at once.
    pub(crate) fn well(&self, subject: Subject, words: String) {
        self.stands(subject, Standing::Well(words));
    }

    fn stands(&self, subject: Subject, standing: Standing) {
        self.standing().insert(subject, standing);
        self.changed.notify_one();
    }

    /// Tells what there is to tell, until it is dropped.
    pub(crate) async fn run(&self) {
        let Some(notifier) = &self.notifier else { return };
        let mut told = self.recall().await;
        loop {
            self.changed.notified().await;
            let subjects: Vec<Subject> = self.standing().keys().copied().collect();
            for subject in subjects {
                self.tell(notifier.as_ref(), subject, &mut told).await;
            }
        }
    }

    /// Delivers what is to be told of a subject, if anything is. What has changed while it waits is told instead.
    async fn tell(&self, notifier: &dyn Notifier, subject: Subject, told: &mut AllTold) {
        let mut pauses = PAUSES.iter();
        loop {
            let standing = self.standing().get(&subject).cloned();
            let Some((notice, then)) =
                standing.and_then(|standing| self.untold(subject, &standing, told.get(subject.name)))
            else {
                return;
            };
            match notifier.notify(&notice).await {
                Ok(()) => {
                    tracing::info!(subject = subject.name, event = notice.event.as_str(), "told");
                    match then {
                        Some(then) => told.insert(subject.name.to_owned(), then),
                        None => told.remove(subject.name),
                    };
                    self.remember(told).await;
                    return;
                }
                Err(error) => match pauses.next() {
                    Some(pause) if is_worth_another_try(&error) => tokio::time::sleep(*pause).await,
                    Some(_) | None => {
                        tracing::warn!(subject = subject.name, "nobody could be told: {}", chain(&error));
                        return;
                    }
                },
            }
        }
    }

    /// The notice that is due, and what will have been told then.
    fn untold(
        &self,
        subject: Subject,
        standing: &Standing,
        told: Option<&Told>,
    ) -> Option<(Notice, Option<Told>)> {
        let at = self.clock.now();
        let notice =
            |event, reason, text| Notice { event, subject: subject.name.to_owned(), reason, text, at };
        let (place, words) = (&self.place, subject.words);
        match (standing, told) {
            (Standing::Failing(problem), told) if told.is_none_or(|told| told.reason != problem.code) => {
                let hint = problem.hint.as_deref().map(|hint| format!(" {hint}")).unwrap_or_default();
                let text = format!("{place}: {words} fails. {}{hint}", problem.detail);
                let since = told.map_or(at, |told| told.since);
                let then = Told { reason: problem.code, detail: problem.detail.clone(), since };
                Some((notice(NoticeEvent::Failed, problem.code, text), Some(then)))
            }
            (Standing::Well(done), Some(told)) => {
                let text = format!(
                    "{place}: {words} works again. {done} It had failed since {}: {}",
                    timestamp(told.since.replace_nanosecond(0).unwrap_or(told.since)),
                    told.detail
                );
                Some((notice(NoticeEvent::Recovered, told.reason, text), None))
            }
            (Standing::Failing(_), _) | (Standing::Well(_), None) => None,
        }
    }

    /// What earlier runs told. What cannot be read counts as not told: better twice than never.
    async fn recall(&self) -> AllTold {
        let read = match self.documents.get(DOCUMENT).await {
            Ok(None) => return AllTold::new(),
            Ok(Some(bytes)) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) => Err(chain(&error)),
        };
        read.unwrap_or_else(|why| {
            tracing::warn!("it is not known what was told before: {why}");
            AllTold::new()
        })
    }

    async fn remember(&self, told: &AllTold) {
        let bytes = match serde_json::to_vec(told) {
            Ok(bytes) => bytes,
            Err(error) => return tracing::warn!("what was told cannot be written down: {error}"),
        };
        if let Err(error) = self.documents.put(DOCUMENT, &bytes).await {
            tracing::warn!("what was told is told again after a restart: {}", chain(&error));
        }
    }

    fn standing(&self) -> MutexGuard<'_, BTreeMap<Subject, Standing>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A receiver that refuses what it is given will do so again, unless it is only busy or broken.
fn is_worth_another_try(error: &NotifyError) -> bool {
    match error {
        NotifyError::Unavailable { .. } => true,
        NotifyError::Refused { status } => *status == 429 || *status >= 500,
    }
}

#[cfg(test)]
mod tests;
