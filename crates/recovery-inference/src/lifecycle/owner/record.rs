//! What outlives the service: a small document in the state directory, and what becomes of it at the next start.

use std::{collections::BTreeSet, time::Duration};

use recovery_core::port::{DocumentStore, StateError};
use serde::{Deserialize, Serialize};

use super::{super::Selection, wish::Wish};
use crate::{lifecycle::Protocol, server::BackendName};

/// The document's name.
const NAME: &str = "inference.json";
const VERSION: u32 = 1;

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// The backend that serves.
    pub(super) active: Option<BackendName>,
    /// A change that is under way.
    pub(super) change: Option<Pending>,
}

/// A change that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) wish: Wish,
    /// The one that served when it began.
    pub(super) old: Option<BackendName>,
    /// Which way was chosen, once that is so.
    pub(super) protocol: Option<Protocol>,
    /// The model before, once it is changed.
    pub(super) previous_model: Option<String>,
    deadline_s: u64,
}

impl Pending {
    pub(super) fn new(wish: Wish, old: Option<BackendName>, deadline: Duration) -> Self {
        Self { wish, old, protocol: None, previous_model: None, deadline_s: deadline.as_secs() }
    }

    pub(super) fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s)
    }
}

impl Record {
    /// What the last process left; nothing where there is none, or one that cannot be read: what runs is looked at
    /// then.
    pub(super) async fn load(documents: &dyn DocumentStore) -> Result<Option<Self>, StateError> {
        let bytes = documents.get(NAME).await?;
        let record = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        Ok(record.filter(|record| record.version == VERSION))
    }

    pub(super) async fn save(&self, documents: &dyn DocumentStore) -> Result<(), StateError> {
        let record = Self { version: VERSION, ..self.clone() };
        let bytes = serde_json::to_vec(&record).map_err(|error| StateError::Format {
            what: "what runs of the inference servers".to_owned(),
            why: error.to_string(),
        })?;
        documents.put(NAME, &bytes).await
    }
}

/// What a service that has just started does about the servers that it finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Adoption {
    /// A change was cut off: it is made again, which every step of it bears.
    GoOn(Pending),
    /// This one serves.
    Serves(BackendName),
    /// None serves, and none is to.
    Nothing,
    /// The person has chosen a server of their own: hands off.
    HandsOff,
}

/// Decides it by what was remembered, which servers run, and what the person has chosen, where that can be read.
pub(super) fn adopt(
    record: Option<&Record>,
    running: &BTreeSet<BackendName>,
    chosen: Option<&Selection>,
) -> Adoption {
    if chosen == Some(&Selection::Elsewhere) {
        return Adoption::HandsOff;
    }
    if let Some(pending) = record.and_then(|record| record.change.as_ref()) {
        return Adoption::GoOn(pending.clone());
    }
    let named = match chosen {
        Some(Selection::Backend(name)) => Some(name),
        _ => None,
    };
    let remembered = record.and_then(|record| record.active.as_ref());
    // One that does not run although it is remembered was stopped by somebody while nobody looked.
    let serves = remembered.into_iter().chain(named).find(|name| running.contains(*name));
    match serves.or_else(|| running.first()) {
        Some(name) => Adoption::Serves(name.clone()),
        None => Adoption::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is remembered (`active`), what runs, and what the person has chosen.
    fn check(active: Option<&str>, running: &[&str], chosen: Option<&str>, expect: &str) {
        let name = |text: &str| text.parse::<BackendName>().unwrap();
        let record = active.map(|active| Record {
            active: Some(active).filter(|active| !active.is_empty()).map(name),
            ..Record::default()
        });
        let running = running.iter().copied().map(name).collect();
        let chosen = chosen.map(|text| match text {
            "custom" => Selection::Elsewhere,
            text => text.parse().map_or(Selection::Unset, Selection::Backend),
        });
        let found = match adopt(record.as_ref(), &running, chosen.as_ref()) {
            Adoption::GoOn(_) => "goes on".to_owned(),
            Adoption::Serves(name) => name.to_string(),
            Adoption::Nothing => "-".to_owned(),
            Adoption::HandsOff => "hands off".to_owned(),
        };
        assert_eq!(found, expect, "{active:?} {running:?} {chosen:?}");
    }

    #[test]
    fn what_runs_is_adopted_and_what_was_stopped_stays_so() {
        check(Some("vllm"), &["vllm"], Some("vllm"), "vllm");
        check(Some("vllm"), &["ollama", "vllm"], None, "vllm");
        check(Some("vllm"), &[], Some("vllm"), "-");
        check(Some(""), &["ollama"], Some(""), "ollama");
        check(None, &["ollama", "vllm"], Some("vllm"), "vllm");
        check(None, &["ollama"], Some("vllm"), "ollama");
        check(None, &[], Some("ollama"), "-");
        check(Some("vllm"), &["vllm"], Some("custom"), "hands off");
    }

    #[test]
    fn a_change_that_was_cut_off_goes_on() {
        let pending = Pending::new(Wish::Stop, Some("vllm".parse().unwrap()), Duration::from_secs(7));
        let record = Record { change: Some(pending.clone()), ..Record::default() };
        assert_eq!(adopt(Some(&record), &BTreeSet::new(), None), Adoption::GoOn(pending));
        assert_eq!(
            adopt(Some(&record), &BTreeSet::new(), Some(&Selection::Elsewhere)),
            Adoption::HandsOff,
            "unless the person has chosen otherwise since"
        );
    }
}
