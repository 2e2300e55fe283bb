//! What is remembered of a job from one start of the service to the next: tries that came to nothing, so that a
//! service which crashes over and over does not try over and over.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use recovery_core::{Problem, port::DocumentStore};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::due::{Ahead, Failures};
use crate::operations::chain;

/// What is remembered of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Remembered {
    /// Tries that came to nothing.
    pub(super) failures: Failures,
    /// Whether a try has begun of which it is not known how it ended.
    pub(super) under_way: bool,
    /// How the last one that failed did so.
    pub(super) problem: Option<Problem>,
    /// Whether the clock was set back.
    pub(super) ahead: Option<Ahead>,
}

/// What is remembered of all jobs.
pub(super) struct Memory {
    documents: Arc<dyn DocumentStore>,
    known: Mutex<BTreeMap<&'static str, Remembered>>,
}

impl Memory {
    pub(super) fn new(documents: Arc<dyn DocumentStore>) -> Self {
        Self { documents, known: Mutex::default() }
    }

    /// What is remembered of a job; read once. What cannot be read is forgotten: then it is only tried the sooner.
    pub(super) async fn recall(&self, job: &'static str) -> Remembered {
        if let Some(known) = self.known().get(job) {
            return known.clone();
        }
        let read = match self.documents.get(&document(job)).await {
            Ok(None) => Ok(Remembered::default()),
            Ok(Some(bytes)) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) => Err(chain(&error)),
        };
        let remembered = read.unwrap_or_else(|why| {
            tracing::warn!(job, "it is not known what failed before: {why}");
            Remembered::default()
        });
        self.known().entry(job).or_insert(remembered).clone()
    }

    /// Changes what is remembered. Where it cannot be written down, this process knows it all the same.
    pub(super) async fn change(&self, job: &'static str, change: impl FnOnce(&mut Remembered)) {
        let before = self.recall(job).await;
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return;
        }
        let bytes = serde_json::to_vec(&after);
        self.known().insert(job, after);
        let written = match bytes {
            Ok(bytes) => self.documents.put(&document(job), &bytes).await.map_err(|error| chain(&error)),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = written {
            tracing::warn!(job, "what came of it is forgotten by the next start: {why}");
        }
    }

    /// A try begins. It counts as failed until it is known how it ended: one that takes the process with it must not
    /// be repeated at once by the next.
    pub(super) async fn begins(&self, job: &'static str, now: OffsetDateTime) {
        self.change(job, |remembered| {
            remembered.failures =
                Failures { count: remembered.failures.count.saturating_add(1), last: Some(now), bad: false };
            remembered.under_way = true;
        })
        .await;
    }

    /// The try came to nothing, for this reason where it failed.
    pub(super) async fn ended(&self, job: &'static str, problem: Option<Problem>) {
        self.change(job, |remembered| {
            remembered.under_way = false;
            remembered.problem = problem.or_else(|| remembered.problem.take());
        })
        .await;
    }

    /// The try came to its end, and found something bad.
    pub(super) async fn found_bad(&self, job: &'static str, problem: Problem) {
        self.change(job, |remembered| {
            remembered.under_way = false;
            remembered.failures.bad = true;
            remembered.problem = Some(problem);
        })
        .await;
    }

    /// It was done.
    pub(super) async fn succeeded(&self, job: &'static str) {
        self.change(job, |remembered| {
            *remembered = Remembered { ahead: remembered.ahead, ..Remembered::default() };
        })
        .await;
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<&'static str, Remembered>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn document(job: &str) -> String {
    format!("schedule-{job}.json")
}
