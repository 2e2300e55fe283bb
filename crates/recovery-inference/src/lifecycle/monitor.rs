//! When a server that does not answer is restarted: a pure state machine over times.

use std::{fmt, time::Duration};

use tokio::time::Instant;

/// What is wrong with the server that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sickness {
    /// It has no container.
    Gone,
    /// Its container ended, and nobody stopped it.
    Ended,
    /// It is up now, and has ended since the last look.
    EndsAgain,
    /// Nothing listens at its address.
    Closed,
    /// It answers with this status.
    Status(u16),
    /// It takes requests and does not answer them.
    Hung,
    /// It answers what cannot be understood, or breaks off.
    Confused,
}

impl fmt::Display for Sickness {
    /// As part of a sentence about it: "Ollama …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("has no container any more"),
            Self::Ended => f.write_str("has ended"),
            Self::EndsAgain => f.write_str("ends again and again"),
            Self::Closed => f.write_str("does not listen"),
            Self::Status(status) => write!(f, "answers with status {status}"),
            Self::Hung => f.write_str("takes requests and does not answer"),
            Self::Confused => f.write_str("does not answer as it should"),
        }
    }
}

/// What is to be done about a sickness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet: it may pass.
    Watch,
    /// It is to be restarted.
    Restart,
    /// It is to be restarted, and not before this time: it was restarted not long ago.
    NotBefore(Instant),
    /// It has been restarted so often that it is no use.
    GiveUp,
}

/// Watches over one server.
#[derive(Debug, Default)]
pub struct Monitor {
    in_a_row: u32,
    restarts: u32,
    not_before: Option<Instant>,
    well_since: Option<Instant>,
}

impl Monitor {
    /// So many failures in a row are a sickness.
    pub const FAILURES: u32 = 3;
    /// How long after the first restart the second one may come; each time twice as long.
    pub const FIRST_PAUSE: Duration = Duration::from_secs(30);
    /// The longest time between two restarts.
    pub const LONGEST_PAUSE: Duration = Duration::from_secs(600);
    /// After so much health everything before is forgotten.
    pub const RECOVERED: Duration = Duration::from_secs(600);
    /// So many restarts without that are enough.
    pub const MOST_RESTARTS: u32 = 8;

    /// The server was found well.
    pub fn well(&mut self, now: Instant) {
        self.in_a_row = 0;
        let since = *self.well_since.get_or_insert(now);
        if now.duration_since(since) >= Self::RECOVERED {
            *self = Self { well_since: Some(since), ..Self::default() };
        }
    }

    /// The server was found sick.
    pub fn sick(&mut self, now: Instant) -> Verdict {
        self.well_since = None;
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row < Self::FAILURES {
            return Verdict::Watch;
        }
        if self.restarts >= Self::MOST_RESTARTS {
            return Verdict::GiveUp;
        }
        match self.not_before {
            Some(at) if now < at => Verdict::NotBefore(at),
            _ => Verdict::Restart,
        }
    }

    /// The server was restarted, whatever came of it.
    pub fn restarted(&mut self, now: Instant) {
        let pause = Self::FIRST_PAUSE.saturating_mul(1 << self.restarts.min(16)).min(Self::LONGEST_PAUSE);
        self.not_before = Some(now + pause);
        self.restarts += 1;
        (self.in_a_row, self.well_since) = (0, None);
    }

    /// How many times in a row it was found sick.
    #[must_use]
    pub fn in_a_row(&self) -> u32 {
        self.in_a_row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many seconds lie between restarts of a server that is never well, looked at every five seconds.
    #[test]
    fn pauses_double_up_to_ten_minutes_and_it_ends() {
        let (begin, mut monitor) = (Instant::now(), Monitor::default());
        let (mut restarts, mut now) = (Vec::new(), begin);
        loop {
            match monitor.sick(now) {
                Verdict::Restart => {
                    restarts.push(now.duration_since(begin).as_secs());
                    monitor.restarted(now);
                }
                Verdict::GiveUp => break,
                Verdict::Watch | Verdict::NotBefore(_) => {}
            }
            now += Duration::from_secs(5);
        }
        let pauses: Vec<u64> = restarts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(restarts[0], 10, "the third failure in a row");
        assert_eq!(pauses, [30, 60, 120, 240, 480, 600, 600]);
    }

    #[test]
    fn failures_that_are_not_in_a_row_are_no_sickness() {
        let (now, mut monitor) = (Instant::now(), Monitor::default());
        for _ in 0..10 {
            assert_eq!(monitor.sick(now), Verdict::Watch);
            assert_eq!(monitor.sick(now), Verdict::Watch);
            monitor.well(now);
        }
        monitor.sick(now);
        monitor.sick(now);
        assert_eq!(monitor.sick(now), Verdict::Restart);
    }

    #[test]
    fn ten_minutes_of_health_and_no_less_forget_what_was() {
        for (healthy, expect) in [(600, 30), (595, 60)] {
            let (mut now, mut monitor) = (Instant::now(), Monitor::default());
            monitor.restarted(now);
            let begin = now;
            while now.duration_since(begin) <= Duration::from_secs(healthy) {
                monitor.well(now);
                now += Duration::from_secs(5);
            }
            monitor.restarted(now);
            let verdict = [monitor.sick(now), monitor.sick(now), monitor.sick(now)][2];
            assert_eq!(verdict, Verdict::NotBefore(now + Duration::from_secs(expect)), "{healthy} s");
        }
    }
}
