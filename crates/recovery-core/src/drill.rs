//! What a drill is: a restore rehearsed in a scratch database that nobody else sees.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::BackupName;

/// How a drill of a backup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillResult {
    /// The backup was loaded, and its rows are those of its manifest.
    Verified,
    /// The backup is bad: damaged, not loadable, or with other rows than it promises.
    Failed,
    /// It is not known: the server was away, or lacks what the backup needs. Says nothing about the backup.
    CouldNotVerify,
}

impl DrillResult {
    /// The name as it appears in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::CouldNotVerify => "could_not_verify",
        }
    }
}

/// One drill and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drill {
    /// The backup.
    pub filename: BackupName,
    /// When it ended, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// How.
    pub result: DrillResult,
    /// What is wrong with the backup, or why nothing can be said about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// How long it took, in whole seconds.
    pub duration_seconds: u64,
}

/// The drills that are remembered, whatever has become of their backups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillHistory {
    /// The last one.
    #[serde(default)]
    pub last: Option<Drill>,
    /// The last one that found a backup good.
    #[serde(default)]
    pub last_verified: Option<Drill>,
}

impl DrillHistory {
    /// Takes a drill in.
    pub fn add(&mut self, drill: Drill) {
        if drill.result == DrillResult::Verified {
            self.last_verified = Some(drill.clone());
        }
        self.last = Some(drill);
    }

    /// When the next drill is due, where one is to take place every `interval`: as long after the last good one, and
    /// at once where there was none. One that lies in the future was written before the clock was set back, and says
    /// nothing.
    #[must_use]
    pub fn next_due(&self, interval: time::Duration, now: OffsetDateTime) -> OffsetDateTime {
        match &self.last_verified {
            Some(drill) if drill.at <= now => drill.at.saturating_add(interval),
            Some(_) | None => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::{Duration, macros::datetime};

    const NOW: OffsetDateTime = datetime!(2026-01-31 12:00 UTC);

    fn drill(result: DrillResult, at: OffsetDateTime) -> Drill {
        let filename = BackupName::new(crate::BackupKind::Manual, NOW, 1);
        Drill { filename, at, result, problems: Vec::new(), duration_seconds: 1 }
    }

    fn check(drills: &[(DrillResult, OffsetDateTime)], expect: OffsetDateTime) {
        let mut history = DrillHistory::default();
        drills.iter().for_each(|(result, at)| history.add(drill(*result, *at)));
        assert_eq!(history.next_due(Duration::days(7), NOW), expect, "{drills:?}");
    }

    #[test]
    fn only_a_good_drill_puts_the_next_one_off() {
        let yesterday = NOW - Duration::DAY;
        let due = yesterday + Duration::days(7);
        check(&[], NOW);
        check(&[(DrillResult::Verified, yesterday)], due);
        check(&[(DrillResult::Failed, yesterday)], NOW);
        check(&[(DrillResult::CouldNotVerify, yesterday)], NOW);
        check(&[(DrillResult::Verified, yesterday), (DrillResult::CouldNotVerify, NOW)], due);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_put_drills_off() {
        check(&[(DrillResult::Verified, NOW + Duration::days(900))], NOW);
    }
}
