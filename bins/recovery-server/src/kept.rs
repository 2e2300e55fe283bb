//! For how long replaced databases have been kept, by more than the clock: one that was wrong when they were replaced,
//! or is wrong now, must not end their time.
//!
//! Time counts while the service looks after them: from one look to the next, and at most [`LONGEST`] of it. Whatever
//! the clock leaps over is no more than that; what the service was down for is neither.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use recovery_backup::ReplacedDatabase;
use recovery_core::{OperationId, port::DocumentStore};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::operations::chain;

/// How much may count between two looks, at most.
pub(crate) const LONGEST: Duration = Duration::from_secs(1200);
const DOCUMENT: &str = "kept-databases.json";

/// What is remembered from one look to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Ledger {
    /// When the last look was, UTC.
    #[serde(with = "time::serde::rfc3339::option")]
    looked_at: Option<OffsetDateTime>,
    /// For how many milliseconds each was kept, by what it is rolled back by.
    kept: BTreeMap<String, u64>,
}

impl Ledger {
    /// Counts the time since the last look, and says which have had theirs.
    fn look(&mut self, replaced: &[ReplacedDatabase], now: OffsetDateTime) -> Vec<OperationId> {
        let passed =
            self.looked_at.map_or(Duration::ZERO, |last| (now - last).try_into().unwrap_or_default());
        let passed = u64::try_from(passed.min(LONGEST).as_millis()).unwrap_or(u64::MAX);
        let mut expired = Vec::new();
        let mut kept = BTreeMap::new();
        for entry in replaced {
            let id = entry.id.to_string();
            let so_far = self.kept.get(&id).map_or(0, |before| before.saturating_add(passed));
            let keep = (entry.kept_until - entry.restored_at).try_into().unwrap_or(Duration::ZERO);
            // A time further off than it is kept for was written down by a clock that was ahead.
            let promised = entry.kept_until > now && entry.kept_until - now <= keep;
            if Duration::from_millis(so_far) >= keep && !promised {
                expired.push(entry.id);
            }
            kept.insert(id, so_far);
        }
        *self = Self { looked_at: Some(now), kept };
        expired
    }
}

/// Knows which replaced databases need not be kept any longer.
pub(crate) struct KeptTime {
    documents: Arc<dyn DocumentStore>,
    ledger: Mutex<Option<Ledger>>,
}

impl KeptTime {
    pub(crate) fn new(documents: Arc<dyn DocumentStore>) -> Self {
        Self { documents, ledger: Mutex::default() }
    }

    /// Which of all the replaced databases have had their time. Where what was counted is lost, it begins anew.
    pub(crate) async fn expired(
        &self,
        replaced: &[ReplacedDatabase],
        now: OffsetDateTime,
    ) -> Vec<OperationId> {
        let mut known = self.ledger.lock().await;
        let before = match known.take() {
            Some(ledger) => ledger,
            None => self.read().await,
        };
        let mut ledger = before.clone();
        let expired = ledger.look(replaced, now);
        if !(before.kept.is_empty() && ledger.kept.is_empty()) {
            self.write(&ledger).await;
        }
        *known = Some(ledger);
        expired
    }

    async fn read(&self) -> Ledger {
        let read = match self.documents.get(DOCUMENT).await {
            Ok(None) => return Ledger::default(),
            Ok(Some(bytes)) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            Err(error) => Err(chain(&error)),
        };
        read.unwrap_or_else(|why| {
            tracing::warn!(
                "it is not known for how long replaced databases were kept; it counts anew: {why}"
            );
            Ledger::default()
        })
    }

    /// Where it cannot be written down, this process knows it all the same.
    async fn write(&self, ledger: &Ledger) {
        let written = match serde_json::to_vec(ledger) {
            Ok(bytes) => self.documents.put(DOCUMENT, &bytes).await.map_err(|error| chain(&error)),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = written {
            tracing::warn!("for how long replaced databases were kept is forgotten by the next start: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-01-31 12:00 UTC);
    const HOUR: Duration = Duration::from_secs(3600);
    const STEP: Duration = Duration::from_secs(600);

    fn replaced(at: OffsetDateTime) -> ReplacedDatabase {
        ReplacedDatabase {
            id: OperationId::new(),
            filename: None,
            restored_at: at,
            replaced_database: "nova__before".parse().unwrap(),
            kept_until: at + HOUR * 72,
            files: Vec::new(),
            keys: None,
        }
    }

    /// How many looks ten minutes apart, the first of them at `from`, it takes until it has had its time.
    fn looks(ledger: &mut Ledger, entry: &ReplacedDatabase, from: OffsetDateTime) -> u32 {
        let found = (0..5000_u32)
            .find(|look| !ledger.look(std::slice::from_ref(entry), from + STEP * *look).is_empty());
        found.expect("it is kept for ever")
    }

    #[test]
    fn it_goes_when_its_time_is_over_whatever_the_clock_said() {
        let three_days = 72 * 6;
        for wrong in [0, -1000, 1000] {
            let entry = replaced(NOW + time::Duration::days(wrong));
            assert_eq!(looks(&mut Ledger::default(), &entry, NOW), three_days, "{wrong} days");
        }
    }

    #[test]
    fn a_leap_of_the_clock_ends_no_time() {
        let entry = replaced(NOW);
        let mut ledger = Ledger::default();
        assert!(ledger.look(std::slice::from_ref(&entry), NOW).is_empty());
        // What the leap counts for is two looks.
        assert_eq!(looks(&mut ledger, &entry, NOW + HOUR * 24 * 366), 72 * 6 - 2);
    }

    #[test]
    fn restarts_do_not_begin_it_anew_and_what_is_gone_is_forgotten() {
        let entry = replaced(NOW);
        let mut ledger = Ledger::default();
        let mut clock = NOW;
        while ledger.look(std::slice::from_ref(&entry), clock).is_empty() {
            // A start every seven seconds.
            ledger = serde_json::from_slice(&serde_json::to_vec(&ledger).unwrap()).unwrap();
            clock += Duration::from_secs(7);
        }
        assert!(clock - NOW < HOUR * 72 + Duration::from_secs(8));
        ledger.look(&[], clock);
        assert!(ledger.kept.is_empty());
    }
}
