//! When the next time is. Pure: what was done, what failed and the time in, a pause out.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The pause after a first failure, at most.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The pause after many, at most: something that works again is to be found out soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The first pause is this part of the interval, where that is shorter.
const PART: u32 = 16;
/// How long something in the way is waited for, at most.
const BUSY_PAUSE: Duration = Duration::from_secs(15);

/// Something was done at a time that has not come yet: the clock was set back since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ahead {
    /// That time, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) newest: OffsetDateTime,
    /// When that was noticed, by the clock as it is since.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) noticed_at: OffsetDateTime,
}

impl Ahead {
    /// What is so now, given what was noticed before.
    pub(super) fn look(done: &[OffsetDateTime], before: Option<Self>, now: OffsetDateTime) -> Option<Self> {
        let newest = done.iter().copied().max().filter(|newest| *newest > now)?;
        let same = before.filter(|before| before.newest == newest && before.noticed_at <= now);
        Some(same.unwrap_or(Self { newest, noticed_at: now }))
    }
}

/// Tries that came to nothing since the last success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failures {
    /// How many, those that were cut off included.
    pub(super) count: u32,
    /// When the last one began, UTC.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(super) last: Option<OffsetDateTime>,
    /// Whether the last one came to its end and found something bad: the next is due one interval after it.
    #[serde(default)]
    pub(super) bad: bool,
}

/// How long to wait before it is done the next time; zero where it is due.
///
/// `done` are the times at which it was done well. `quiet` is for how long this process has known of nothing newer: by
/// this, which no setting of the clock changes, it is due one interval later at the latest.
pub(super) fn pause(
    interval: Duration,
    done: &[OffsetDateTime],
    ahead: Option<Ahead>,
    failures: Failures,
    quiet: Duration,
    now: OffsetDateTime,
) -> Duration {
    let past = done.iter().copied().filter(|at| *at <= now).max();
    let since = past.max(ahead.map(|ahead| ahead.noticed_at)).filter(|since| *since <= now);
    let by_clock = since.map_or(Duration::ZERO, |since| interval.saturating_sub(elapsed(since, now)));
    by_clock.min(interval.saturating_sub(quiet)).max(after_failures(interval, failures, now))
}

/// A try whose time has not come yet tells nothing of how long it is ago.
fn after_failures(interval: Duration, failures: Failures, now: OffsetDateTime) -> Duration {
    match failures.last {
        Some(last) if failures.count > 0 && last <= now => {
            let pause = if failures.bad { interval } else { back_off(interval, failures.count) };
            pause.saturating_sub(elapsed(last, now))
        }
        Some(_) | None => Duration::ZERO,
    }
}

/// How long to wait after so many failures in a row: twice as long after each, and never longer than the interval.
pub(super) fn back_off(interval: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = FIRST_PAUSE.min(interval / PART).saturating_mul(1 << doublings);
    pause.min(LONGEST_PAUSE).min(interval)
}

/// How long to wait while something is in the way.
pub(super) fn busy_pause(interval: Duration) -> Duration {
    BUSY_PAUSE.min(interval / PART)
}

fn elapsed(since: OffsetDateTime, now: OffsetDateTime) -> Duration {
    (now - since).try_into().unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-01-31 12:00 UTC);
    const HOUR: Duration = Duration::from_secs(3600);
    const SIX_HOURS: Duration = Duration::from_secs(6 * 3600);

    fn ago(hours: u32) -> OffsetDateTime {
        NOW - HOUR * hours
    }

    #[track_caller]
    fn check(done: &[OffsetDateTime], expect: Duration) {
        let ahead = Ahead::look(done, None, NOW);
        let found = pause(SIX_HOURS, done, ahead, Failures::default(), Duration::ZERO, NOW);
        assert_eq!(found, expect, "{done:?}");
    }

    #[test]
    fn it_is_due_one_interval_after_the_newest() {
        check(&[], Duration::ZERO);
        check(&[NOW], SIX_HOURS);
        check(&[ago(30), ago(1), ago(12)], HOUR * 5);
        check(&[ago(6)], Duration::ZERO);
        check(&[ago(600)], Duration::ZERO);
    }

    #[test]
    fn a_newest_from_the_future_counts_from_when_it_was_noticed() {
        let ahead = NOW + HOUR * 1000;
        check(&[ahead], SIX_HOURS);
        check(&[ahead, ago(20)], SIX_HOURS);
        // One that was made since counts as usual.
        let noticed = Some(Ahead { newest: ahead, noticed_at: ago(20) });
        let at = |done: &[OffsetDateTime]| {
            let kept = Ahead::look(done, noticed, NOW);
            assert_eq!(kept, noticed);
            pause(SIX_HOURS, done, kept, Failures::default(), Duration::ZERO, NOW)
        };
        assert_eq!(at(&[ahead, ago(2)]), HOUR * 4);
        assert_eq!(at(&[ahead]), Duration::ZERO);
        assert_eq!(at(&[ahead, ago(14)]), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_is_set_back_again_and_again_stops_nothing_for_ever() {
        let mut clock = NOW;
        let ahead = NOW + HOUR;
        let (mut noticed, mut quiet) = (None, Duration::ZERO);
        // Each hour the clock is put back by two.
        let waited = (0..7).find(|_| {
            noticed = Ahead::look(&[ahead], noticed, clock);
            let due = pause(SIX_HOURS, &[ahead], noticed, Failures::default(), quiet, clock).is_zero();
            (clock, quiet) = (clock - HOUR, quiet + HOUR);
            due
        });
        assert_eq!(waited, Some(6));
    }

    #[test]
    fn when_the_time_has_come_that_seemed_ahead_it_counts() {
        let ahead = Ahead { newest: ago(1), noticed_at: ago(5) };
        assert_eq!(Ahead::look(&[ago(1)], Some(ahead), NOW), None);
        check(&[ago(1)], HOUR * 5);
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_pauses() {
        let minutes = |count: u32| back_off(SIX_HOURS, count).as_secs() / 60;
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 8, 1000].map(minutes), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        // Short intervals have short pauses, and none is longer than the interval.
        let short = Duration::from_secs(16);
        let seconds = |count: u32| back_off(short, count).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, u32::MAX].map(seconds), [1, 2, 4, 8, 16, 16, 16]);
    }

    #[test]
    fn what_is_due_waits_until_the_pause_after_a_failure_is_over() {
        let check = |count: u32, last: OffsetDateTime, expect: Duration| {
            let failures = Failures { count, last: Some(last), bad: false };
            assert_eq!(pause(SIX_HOURS, &[ago(20)], None, failures, Duration::ZERO, NOW), expect);
        };
        let minute = Duration::from_secs(60);
        check(1, NOW, minute);
        check(3, NOW - minute, minute * 3);
        check(3, NOW - minute * 4, Duration::ZERO);
        check(0, NOW, Duration::ZERO);
        // Set back since: it must not wait until that time has come again.
        check(3, NOW + HOUR, Duration::ZERO);
        // Somebody else has done it meanwhile.
        let failures = Failures { count: 1, last: Some(ago(2)), bad: false };
        assert_eq!(pause(SIX_HOURS, &[ago(1)], None, failures, Duration::ZERO, NOW), HOUR * 5);
    }

    #[test]
    fn something_bad_that_was_found_is_not_looked_for_again_before_the_interval_is_over() {
        let failures = |last| Failures { count: 1, last: Some(last), bad: true };
        let wait = |last| pause(SIX_HOURS, &[ago(20)], None, failures(last), Duration::ZERO, NOW);
        assert_eq!(
            [NOW, ago(2), ago(6), NOW + HOUR].map(wait),
            [SIX_HOURS, HOUR * 4, Duration::ZERO, Duration::ZERO]
        );
    }
}
