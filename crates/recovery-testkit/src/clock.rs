//! A clock that stands still until it is told otherwise.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use recovery_core::port::Clock;
use time::OffsetDateTime;

use crate::lock;

/// A clock that only a test moves. Clones show the same time.
#[derive(Clone, Debug)]
pub struct FakeClock(Arc<Mutex<OffsetDateTime>>);

impl FakeClock {
    /// A clock that shows this time, in UTC.
    #[must_use]
    pub fn new(now: OffsetDateTime) -> Self {
        Self(Arc::new(Mutex::new(now.to_offset(time::UtcOffset::UTC))))
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, now: OffsetDateTime) {
        *lock(&self.0) = now.to_offset(time::UtcOffset::UTC);
    }

    /// Lets time go by.
    pub fn advance(&self, by: Duration) {
        *lock(&self.0) += by;
    }
}

impl Default for FakeClock {
    /// Noon on 31 January 2026.
    fn default() -> Self {
        Self::new(time::macros::datetime!(2026-01-31 12:00:00 UTC))
    }
}

impl Clock for FakeClock {
    fn now(&self) -> OffsetDateTime {
        *lock(&self.0)
    }
}
