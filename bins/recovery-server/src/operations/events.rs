//! What happened lately, numbered, for everybody who watches: the newest events stay in a ring, so that a watcher
//! who was away can go on where it stopped.
//!
//! The numbers go on over a restart (they begin at the time of the start in microseconds), so that a number from an
//! earlier run is recognised as too old, never taken for one of this run.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use recovery_core::Operation;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::view;

/// Something that watchers are told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Happening {
    /// An operation began, went on or ended; as it is now.
    Operation(Arc<Operation>),
    /// A service of the platform changed; as it is now.
    Service(Arc<view::Service>),
    /// The servers of language models stand differently; as it is now.
    Backend(Arc<view::BackendStatus>),
}

/// A numbered happening.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its number; each is greater than the one before.
    pub id: u64,
    /// What happened.
    pub happening: Happening,
}

/// What a watcher gets.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// The next event.
    Event(Event),
    /// Events that the watcher has not seen are gone: what it knows is out of date. The number is that of the newest
    /// event; what happens from here on follows.
    Reset(u64),
}

/// The ring of events.
#[derive(Debug)]
pub struct EventHub {
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
    closed: watch::Sender<bool>,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Event>,
    newest: u64,
}

impl EventHub {
    /// How many events are kept.
    pub const CAPACITY: usize = 1000;

    /// A hub without events whose numbers begin at this time.
    #[must_use]
    pub fn new(now: OffsetDateTime) -> Arc<Self> {
        let first = u64::try_from(now.unix_timestamp_nanos() / 1000).unwrap_or_default();
        Arc::new(Self {
            ring: Mutex::new(Ring { events: VecDeque::new(), newest: first }),
            newest: watch::Sender::new(first),
            closed: watch::Sender::new(false),
        })
    }

    /// Tells every watcher.
    pub fn publish(&self, happening: Happening) {
        let id = {
            let mut ring = self.ring();
            ring.newest += 1;
            let id = ring.newest;
            if ring.events.len() == Self::CAPACITY {
                ring.events.pop_front();
            }
            ring.events.push_back(Event { id, happening });
            id
        };
        // Two publishers may come here in either order.
        self.newest.send_if_modified(|newest| {
            let later = id > *newest;
            *newest = id.max(*newest);
            later
        });
    }

    /// Watches from now on, or from after the event of this number.
    pub fn subscribe(self: &Arc<Self>, after: Option<u64>) -> Subscription {
        let newest = self.newest.subscribe();
        let closed = self.closed.subscribe();
        let seen = after.unwrap_or_else(|| self.ring().newest);
        Subscription { hub: Arc::clone(self), seen, newest, closed }
    }

    /// The number of the newest event.
    pub(crate) fn newest(&self) -> u64 {
        self.ring().newest
    }

    /// Ends every subscription: the service stops.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a watcher who has seen everything up to `seen` gets next.
    fn after(&self, seen: u64) -> Option<Delivery> {
        let ring = self.ring();
        if seen == ring.newest {
            return None;
        }
        let oldest = ring.events.front().map_or(ring.newest + 1, |event| event.id);
        if seen > ring.newest || seen + 1 < oldest {
            return Some(Delivery::Reset(ring.newest));
        }
        let index = usize::try_from(seen + 1 - oldest).ok()?;
        ring.events.get(index).cloned().map(Delivery::Event)
    }
}

/// One watcher.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<EventHub>,
    seen: u64,
    newest: watch::Receiver<u64>,
    closed: watch::Receiver<bool>,
}

impl Subscription {
    /// Waits for what comes next; `None` when the service stops. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            self.newest.borrow_and_update();
            if let Some(delivery) = self.hub.after(self.seen) {
                self.seen = match &delivery {
                    Delivery::Event(event) => event.id,
                    Delivery::Reset(newest) => *newest,
                };
                return Some(delivery);
            }
            tokio::select! {
                changed = self.newest.changed() => changed.ok()?,
                _ = self.closed.wait_for(|closed| *closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recovery_core::{Actor, OperationId, OperationKind};
    use time::macros::datetime;

    const START: OffsetDateTime = datetime!(2026-01-31 12:00 UTC);

    fn happening() -> Happening {
        Happening::Operation(Arc::new(Operation::begin(
            OperationId::new(),
            OperationKind::Backup,
            Actor::service(),
            None,
            START,
        )))
    }

    async fn next_id(subscription: &mut Subscription) -> Result<u64, u64> {
        match subscription.next().await.unwrap() {
            Delivery::Event(event) => Ok(event.id),
            Delivery::Reset(id) => Err(id),
        }
    }

    #[tokio::test]
    async fn a_watcher_goes_on_where_it_stopped() {
        let hub = EventHub::new(START);
        let mut first = hub.subscribe(None);
        for _ in 0..3 {
            hub.publish(happening());
        }
        let one = next_id(&mut first).await.unwrap();
        let mut second = hub.subscribe(Some(one));
        assert_eq!(next_id(&mut second).await, Ok(one + 1));
        assert_eq!(next_id(&mut second).await, Ok(one + 2));
        assert!(hub.after(one + 2).is_none());
    }

    #[tokio::test]
    async fn after_a_gap_comes_a_reset_and_then_only_what_is_new() {
        let hub = EventHub::new(START);
        hub.publish(happening());
        let seen = hub.ring().newest;
        for _ in 0..=EventHub::CAPACITY {
            hub.publish(happening());
        }
        let newest = hub.ring().newest;
        let mut late = hub.subscribe(Some(seen));
        assert_eq!(next_id(&mut late).await, Err(newest));
        hub.publish(happening());
        assert_eq!(next_id(&mut late).await, Ok(newest + 1));
        // Everything that is still there can be had.
        let mut just_in_time = hub.subscribe(Some(newest + 1 - EventHub::CAPACITY as u64));
        assert_eq!(next_id(&mut just_in_time).await, Ok(newest + 2 - EventHub::CAPACITY as u64));
    }

    #[tokio::test]
    async fn a_number_of_another_run_is_a_gap() {
        let earlier = EventHub::new(START - time::Duration::hours(1));
        earlier.publish(happening());
        let hub = EventHub::new(START);
        let mut from_earlier = hub.subscribe(Some(earlier.ring().newest));
        assert!(next_id(&mut from_earlier).await.is_err());
        let mut from_nowhere = hub.subscribe(Some(u64::MAX));
        assert!(next_id(&mut from_nowhere).await.is_err());
    }

    #[tokio::test]
    async fn the_end_of_the_service_ends_a_subscription_after_what_it_has_not_seen() {
        let hub = EventHub::new(START);
        let mut subscription = hub.subscribe(None);
        hub.publish(happening());
        hub.close();
        assert!(subscription.next().await.is_some());
        assert!(subscription.next().await.is_none());
    }
}
