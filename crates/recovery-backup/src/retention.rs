//! Which backups have had their time. Pure: a list, a policy and the time in, names and reasons out.
//!
//! What is not certainly good does not count and is not removed either: an operator should see it. Whatever the policy
//! and the clock say, the backup that was just made stays, and so does the newest good one of each kind.

use std::{cmp::Reverse, fmt, time::Duration};

use recovery_core::{BackupInfo, BackupKind, BackupName, Verification};
use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use crate::IncludeName;

/// How many backups are kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// How many checkpoints; 0 counts as 1.
    pub checkpoints: usize,
    /// How many safety backups; 0 counts as 1.
    pub safety: usize,
    /// How long backups that somebody asked for; `None` is for ever.
    pub manual: Option<Duration>,
}

impl Default for RetentionPolicy {
    /// Five checkpoints, five safety backups, and thirty days.
    fn default() -> Self {
        Self { checkpoints: 5, safety: 5, manual: Some(Duration::from_secs(30 * 24 * 3600)) }
    }
}

/// A backup that has had its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// Its name.
    pub filename: BackupName,
    /// Why it goes.
    pub why: RemovalReason,
}

/// Why a backup goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalReason {
    /// There are so many newer ones of its kind.
    Newer(BackupKind, usize),
    /// It is older than this.
    Age(Duration),
}

impl fmt::Display for RemovalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer(kind, kept) => {
                let kind = if *kind == BackupKind::Checkpoint { "checkpoints" } else { "safety backups" };
                write!(f, "there are {kept} newer {kind}")
            }
            Self::Age(age) => write!(f, "it is older than {} days", age.as_secs() / (24 * 3600)),
        }
    }
}

impl Serialize for RemovalReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What may go after `made`, a backup of the database `live`, was made at `now`. Where `made` is not in the list as a
/// good backup, nothing may. Of each directory that belongs to every backup, `includes`, the newest good backup that has
/// any files of it stays, too: one that was away for a while must not push out what is left of it.
#[must_use]
pub fn to_remove(
    backups: &[BackupInfo],
    live: &str,
    made: &BackupName,
    includes: &[IncludeName],
    policy: &RetentionPolicy,
    now: OffsetDateTime,
) -> Vec<Removal> {
    let mut good: Vec<&BackupInfo> = backups.iter().filter(|backup| is_good(backup, live)).collect();
    if !good.iter().any(|backup| backup.filename == *made) {
        return Vec::new();
    }
    // The clock may have been wrong, then or now. What seems to come from the future may be older than everything
    // else: until its time has come it neither counts nor goes. What was just made is the newest, whatever its name.
    good.retain(|backup| backup.filename == *made || backup.created_at <= now);
    good.sort_by_key(|backup| {
        Reverse((backup.filename == *made, backup.created_at, backup.filename.attempt()))
    });
    // Ages count up to the good backup before this one: a clock that has just leapt ahead makes nothing old by itself.
    let today = good.get(1).map_or(now, |before| before.created_at);
    let holds = |backup: &BackupInfo, include: &IncludeName| {
        backup.files.iter().any(|files| files.name == include.as_str() && files.files > 0)
    };
    let last_with_files: Vec<&BackupName> = includes
        .iter()
        .filter_map(|include| good.iter().find(|backup| holds(backup, include)))
        .map(|backup| &backup.filename)
        .collect();
    let counted: Vec<&BackupInfo> = good.into_iter().filter(|backup| !backup.pinned).collect();
    let of = |kind: BackupKind| counted.iter().filter(move |backup| backup.kind == kind);
    let by_number = |kind, kept: usize| {
        let kept = kept.max(1);
        of(kind).skip(kept).map(move |backup| Removal {
            filename: backup.filename.clone(),
            why: RemovalReason::Newer(kind, kept),
        })
    };
    let by_age = policy.manual.into_iter().flat_map(|age| {
        let old = move |backup: &&&BackupInfo| today - backup.created_at > age;
        of(BackupKind::Manual)
            .skip(1)
            .filter(old)
            .map(move |backup| Removal { filename: backup.filename.clone(), why: RemovalReason::Age(age) })
    });
    by_number(BackupKind::Checkpoint, policy.checkpoints)
        .chain(by_number(BackupKind::Safety, policy.safety))
        .chain(by_age)
        .filter(|removal| removal.filename != *made && !last_with_files.contains(&&removal.filename))
        .collect()
}

/// Whether a restore could rely on it: proven, readable, and of this database. What the earlier service made cannot be
/// proven and is not ours to remove; what came from elsewhere stays until somebody deletes it, and pushes out nothing.
fn is_good(backup: &BackupInfo, live: &str) -> bool {
    backup.kind != BackupKind::Legacy
        && !backup.uploaded
        && backup.verification == Verification::Verified
        && backup.problems.is_empty()
        && backup.database.as_deref() == Some(live)
}

#[cfg(test)]
mod tests;
