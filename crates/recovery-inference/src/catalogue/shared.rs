//! What was found, and who is looking for it now.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use recovery_core::port::Clock;
use time::{Duration, OffsetDateTime};
use tokio::sync::OnceCell;

use super::{CatalogueError, Found, FoundModel, Place, Query};

/// How long what was found is told without asking again.
const FRESH: Duration = Duration::minutes(10);
/// How long what was found is told while the catalogue is down.
const USABLE: Duration = Duration::days(7);
/// How long a catalogue that failed is left alone: it may be asked too often.
const PAUSE: Duration = Duration::seconds(5);
/// How many answers are kept; the oldest goes.
const MOST: usize = 256;

type Key = (Place, Query);
type Models = Arc<Vec<FoundModel>>;
type Answer = Result<Models, CatalogueError>;

/// Answers that several share.
pub(super) struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: HashMap<Key, Known>,
    asking: HashMap<Key, Arc<OnceCell<Answer>>>,
}

#[derive(Clone, Default)]
struct Known {
    found: Option<(OffsetDateTime, Models)>,
    failed: Option<(OffsetDateTime, CatalogueError)>,
}

impl Shared {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// What is known, or what comes of asking: one question for all who ask for the same at once.
    pub(super) async fn get(
        &self,
        key: Key,
        asking: impl Future<Output = Answer>,
    ) -> Result<Found, CatalogueError> {
        let cell = {
            let now = self.clock.now();
            let mut state = self.lock();
            if let Some(answer) = state.known.get(&key).and_then(|known| known.told(now)) {
                return answer;
            }
            Arc::clone(state.asking.entry(key.clone()).or_default())
        };
        let answer = cell.get_or_init(|| asking).await.clone();
        let now = self.clock.now();
        let mut state = self.lock();
        if state.asking.get(&key).is_some_and(|current| Arc::ptr_eq(current, &cell)) {
            state.asking.remove(&key);
            state.note(&key, now, answer.clone());
        }
        match answer {
            Ok(models) => Ok(Found { models, at: now, stale: None }),
            Err(error) => state.known.get(&key).map_or(Err(error.clone()), |known| known.stale(now, error)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, key: &Key, now: OffsetDateTime, answer: Answer) {
        if self.known.len() >= MOST && !self.known.contains_key(key) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.last()).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        let known = self.known.entry(key.clone()).or_default();
        match answer {
            Ok(models) => *known = Known { found: Some((now, models)), failed: None },
            Err(error) => known.failed = Some((now, error)),
        }
    }
}

impl Known {
    fn last(&self) -> Option<OffsetDateTime> {
        let found = self.found.as_ref().map(|(at, _)| *at);
        found.max(self.failed.as_ref().map(|(at, _)| *at))
    }

    /// What is told without asking.
    fn told(&self, now: OffsetDateTime) -> Option<Result<Found, CatalogueError>> {
        // A clock that was set back makes nothing fresh for ever.
        let within = |at: OffsetDateTime, limit: Duration| (Duration::ZERO..limit).contains(&(now - at));
        if let Some((at, models)) = self.found.as_ref().filter(|(at, _)| within(*at, FRESH)) {
            return Some(Ok(Found { models: Arc::clone(models), at: *at, stale: None }));
        }
        let (_, error) = self.failed.as_ref().filter(|(at, _)| within(*at, PAUSE))?;
        Some(self.stale(now, error.clone()))
    }

    /// What was found earlier, with a mark, or the error.
    fn stale(&self, now: OffsetDateTime, error: CatalogueError) -> Result<Found, CatalogueError> {
        match &self.found {
            Some((at, models)) if now - *at < USABLE => {
                Ok(Found { models: Arc::clone(models), at: *at, stale: Some(error) })
            }
            _ => Err(error),
        }
    }
}
