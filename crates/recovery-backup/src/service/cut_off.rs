//! What became of an operation that was cut off: its steps in the journal compared with what exists, in words. Pure:
//! looking and clearing up are the business of `reconcile`.

use std::collections::BTreeMap;

use recovery_core::{
    OperationId, OperationKind,
    database::DatabaseName,
    port::{JournalEntry, JournalEvent},
};
use serde_json::Value;
use time::OffsetDateTime;

/// An operation that began and did not end, as the journal knows it.
#[derive(Debug)]
pub(super) struct CutOff {
    pub(super) id: OperationId,
    pub(super) kind: OperationKind,
    target: Option<String>,
    steps: BTreeMap<String, (OffsetDateTime, Value)>,
}

/// What there was and is.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The databases before anything was cleared up.
    pub(super) databases: Vec<DatabaseName>,
    /// Those of them that PostgreSQL had begun to drop, and that could not be dropped wholly.
    pub(super) half_dropped: Vec<DatabaseName>,
    /// Scratch databases that were dropped.
    pub(super) dropped: Vec<DatabaseName>,
    /// Partial directories that were removed.
    pub(super) removed: Vec<String>,
    /// Files of backups that there are.
    pub(super) backups: Vec<String>,
}

impl CutOff {
    /// The operations of these entries, oldest first.
    pub(super) fn of(entries: &[JournalEntry]) -> Vec<Self> {
        let mut operations: Vec<Self> = Vec::new();
        for entry in entries {
            match &entry.event {
                JournalEvent::Started { snapshot } => operations.push(Self {
                    id: snapshot.id,
                    kind: snapshot.kind,
                    target: snapshot.target.clone(),
                    steps: BTreeMap::new(),
                }),
                JournalEvent::Step { step, facts } => {
                    if let Some(own) = operations.iter_mut().find(|own| own.id == entry.operation) {
                        own.steps.insert(step.clone(), (entry.at, facts.clone()));
                    }
                }
                JournalEvent::Finished { .. } => {}
            }
        }
        operations
    }

    /// The file of the backup that it makes or deletes.
    pub(super) fn backup(&self) -> Option<&str> {
        match self.kind {
            OperationKind::Backup => self.fact("dumping", "filename"),
            OperationKind::Upload => self.fact("publishing", "filename"),
            OperationKind::FactoryReset => self.fact("safety backup: dumping", "filename"),
            OperationKind::DeleteBackup => self.target.as_deref(),
            _ => None,
        }
    }

    /// When the new archive had been proven and was about to get its name.
    pub(super) fn proven_at(&self) -> Option<OffsetDateTime> {
        let step = match self.kind {
            OperationKind::FactoryReset => "safety backup: publishing",
            _ => "publishing",
        };
        self.steps.get(step).map(|(at, _)| *at)
    }

    /// What became of it; `None` where it had nothing to leave.
    pub(super) fn words(&self, found: &Found) -> Option<String> {
        match self.kind {
            OperationKind::Backup => Some(self.words_of_backup(found)),
            OperationKind::Upload => Some(match self.backup() {
                Some(name) if found.backups.iter().any(|backup| backup == name) => {
                    format!("The upload was cut off after it was complete: {name} was proven, and is kept.")
                }
                _ => format!(
                    "The upload was cut off before it was complete{}.",
                    self.removed(found, "what had arrived of it was removed")
                ),
            }),
            OperationKind::Drill => {
                let dropped = |scratch: &&str| found.dropped.iter().any(|name| name.as_str() == *scratch);
                let scratch = self.fact("drilling", "scratch").filter(dropped);
                let words = scratch
                    .map_or_else(String::new, |name| format!("; its scratch database {name} was dropped"));
                let removed = self.removed(found, "its unpacked files were removed");
                Some(format!(
                    "The restore drill was cut off; the live database had no part in it{words}{removed}."
                ))
            }
            OperationKind::Restore | OperationKind::Rollback => Some(self.words_of_swap(found)),
            OperationKind::DropReplaced => Some(match self.fact("dropping", "database") {
                Some(name) if found.half_dropped.iter().any(|half| half.as_str() == name) => format!(
                    "The removal of the replaced database {name} was cut off half-way. It cannot be used any more: remove it again."
                ),
                Some(name) if found.has(name) => format!(
                    "The removal of the replaced database {name} was cut off. It is still there and can still be rolled back to."
                ),
                Some(name) => {
                    format!("The removal was cut off after it had dropped the replaced database {name}.")
                }
                None => "The removal was cut off before it dropped anything.".to_owned(),
            }),
            OperationKind::DeleteBackup => self.target.as_deref().map(|name| {
                if found.backups.iter().any(|backup| backup == name) {
                    format!("The deletion was cut off: the backup {name} is still there.")
                } else {
                    format!("The deletion was cut off after it had removed the backup {name}.")
                }
            }),
            _ => None,
        }
    }

    fn words_of_backup(&self, found: &Found) -> String {
        match self.backup() {
            Some(name) if self.proven_at().is_some() && found.backups.iter().any(|backup| backup == name) => {
                format!(
                    "The backup was cut off after it was complete: {name} was read back and proven, and is kept."
                )
            }
            Some(name) => format!(
                "The backup was cut off before it was complete: there is no {name}{}.",
                self.removed(found, "its unfinished files were removed")
            ),
            None => format!(
                "The backup was cut off before it read the database{}.",
                self.removed(found, "its empty directory was removed")
            ),
        }
    }

    /// Of a restore in one transaction of the live database.
    fn words_in_place(&self, found: &Found) -> Option<String> {
        let removed = self.removed(found, "its unpacked files were removed");
        if let Some(safety) = self.fact("committing", "safety") {
            let follows = self.steps.get("committing").and_then(|(_, facts)| facts.get("follows")?.as_bool());
            let follows = if follows == Some(true) {
                " The directories and keys that come with it may not have followed: restore it once more."
            } else {
                ""
            };
            return Some(format!(
                "The restore was cut off while it was committed: the live database is wholly the restored one, or wholly \
                 the one it was. What was there before is in the backup {safety}{removed}.{follows}"
            ));
        }
        let safety = self.fact("rewriting", "safety")?;
        Some(format!(
            "The restore was cut off before it was committed: the live database is the one it was; the backup {safety} \
             that was made of it is kept{removed}."
        ))
    }

    fn words_of_swap(&self, found: &Found) -> String {
        let what = self.kind;
        if let Some(words) = self.words_in_place(found) {
            return words;
        }
        if let Some((live, retired)) = self.swapped(found) {
            let kept = if found.has(retired) {
                format!("; the one before is kept as {retired}, and can be rolled back to")
            } else {
                String::new()
            };
            let now = match what {
                OperationKind::Rollback => "the database that was there before the restore",
                _ => "the restored database",
            };
            return format!("The {what} was cut off after the swap: {live} is {now}{kept}.");
        }
        let mut words =
            format!("The {what} was cut off before the swap: the live database is the one it was");
        if let Some(scratch) =
            self.fact("loading", "scratch").filter(|name| found.dropped.iter().any(|d| d.as_str() == *name))
        {
            words.push_str(&format!("; its scratch database {scratch} was dropped"));
        }
        words.push_str(&self.removed(found, "its unpacked files were removed"));
        words.push('.');
        words
    }

    /// The names of the live database and of the one that it replaced, where the swap was done.
    fn swapped(&self, found: &Found) -> Option<(&str, &str)> {
        let name = |fact| self.fact("swapping", fact);
        let (live, incoming, retired) = (name("live")?, name("incoming")?, name("retired")?);
        let replaces = self.steps.get("swapping").and_then(|(_, facts)| facts.get("replaces")?.as_bool());
        let done = if replaces == Some(false) {
            found.has(live) && !found.has(incoming)
        } else {
            found.has(retired)
        };
        done.then_some((live, retired))
    }

    fn removed(&self, found: &Found, words: &str) -> String {
        let own = self.id.short();
        let removed = found.removed.iter().any(|name| name.ends_with(&own));
        if removed { format!("; {words}") } else { String::new() }
    }

    fn fact(&self, step: &str, name: &str) -> Option<&str> {
        self.steps.get(step)?.1.get(name)?.as_str()
    }
}

impl Found {
    fn has(&self, database: &str) -> bool {
        self.databases.iter().any(|name| name.as_str() == database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recovery_core::{Actor, Operation};
    use serde_json::json;

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    /// The words about an operation of this kind with these steps.
    fn check(
        kind: OperationKind,
        target: Option<&str>,
        steps: &[(&str, Value)],
        found: impl FnOnce(&str) -> Found,
        expect: &str,
    ) {
        let id = OperationId::new();
        let operation = Operation::begin(id, kind, Actor::service(), target.map(str::to_owned), AT);
        let mut events = vec![JournalEvent::Started { snapshot: Box::new(operation) }];
        events.extend(
            steps
                .iter()
                .map(|(step, facts)| JournalEvent::Step { step: (*step).into(), facts: facts.clone() }),
        );
        let entries: Vec<JournalEntry> =
            events.into_iter().map(|event| JournalEntry { at: AT, operation: id, event }).collect();
        let cut_off = CutOff::of(&entries).remove(0);
        assert_eq!(cut_off.words(&found(&id.short())).as_deref(), Some(expect));
    }

    fn databases(names: &[&str]) -> Vec<DatabaseName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_restore_in_place_was_committed_or_was_not() {
        let safety = json!({ "safety": "nova-safety-2026-01-31_12-00-00.tar" });
        check(
            OperationKind::Restore,
            None,
            &[("rewriting", safety.clone())],
            |_| Found::default(),
            "The restore was cut off before it was committed: the live database is the one it was; the backup \
             nova-safety-2026-01-31_12-00-00.tar that was made of it is kept.",
        );
        check(
            OperationKind::Restore,
            None,
            &[
                ("rewriting", safety),
                ("committing", json!({ "safety": "nova-safety-2026-01-31_12-00-00.tar", "follows": true })),
            ],
            |_| Found::default(),
            "The restore was cut off while it was committed: the live database is wholly the restored one, or wholly the \
             one it was. What was there before is in the backup nova-safety-2026-01-31_12-00-00.tar. The directories and \
             keys that come with it may not have followed: restore it once more.",
        );
    }

    #[test]
    fn a_backup_is_there_or_is_not() {
        let name = "nova-backup-2026-01-31_12-00-00.tar";
        let dumping = ("dumping", json!({ "filename": name }));
        let publishing = ("publishing", json!({ "filename": name }));
        check(
            OperationKind::Backup,
            None,
            &[],
            |_| Found::default(),
            "The backup was cut off before it read the database.",
        );
        check(
            OperationKind::Backup,
            None,
            std::slice::from_ref(&dumping),
            |id| Found { removed: vec![format!(".partial-{id}")], ..Found::default() },
            "The backup was cut off before it was complete: there is no nova-backup-2026-01-31_12-00-00.tar; its \
             unfinished files were removed.",
        );
        check(
            OperationKind::Backup,
            None,
            &[dumping, publishing],
            |_| Found { backups: vec![name.to_owned()], ..Found::default() },
            "The backup was cut off after it was complete: nova-backup-2026-01-31_12-00-00.tar was read back and \
             proven, and is kept.",
        );
    }

    #[test]
    fn an_upload_is_there_or_is_not_and_a_drill_leaves_nothing() {
        let name = "nova-backup-2026-01-31_12-00-00.tar";
        let publishing = [("publishing", json!({ "filename": name }))];
        let kept = |_: &str| Found { backups: vec![name.to_owned()], ..Found::default() };
        let gone = |id: &str| Found { removed: vec![format!(".partial-{id}")], ..Found::default() };
        let words = "The upload was cut off after it was complete: nova-backup-2026-01-31_12-00-00.tar was proven, and \
                     is kept.";
        check(OperationKind::Upload, None, &publishing, kept, words);
        let words = "The upload was cut off before it was complete; what had arrived of it was removed.";
        check(OperationKind::Upload, Some(name), &[], gone, words);
        check(OperationKind::Upload, None, &publishing, gone, words);
        let drilling = [("drilling", json!({ "scratch": "nova__restore_1" }))];
        let dropped = |_: &str| Found { dropped: databases(&["nova__restore_1"]), ..Found::default() };
        let words = "The restore drill was cut off; the live database had no part in it; its scratch database \
                     nova__restore_1 was dropped.";
        check(OperationKind::Drill, None, &drilling, dropped, words);
    }

    #[test]
    fn a_swap_was_done_or_was_not() {
        let loading = ("loading", json!({ "scratch": "nova__restore_1" }));
        let swapping = |replaces: bool| {
            let (incoming, retired) = ("nova__restore_1", "nova__before_1");
            let facts =
                json!({ "live": "nova", "incoming": incoming, "retired": retired, "replaces": replaces });
            ("swapping", facts)
        };
        check(
            OperationKind::Restore,
            None,
            std::slice::from_ref(&loading),
            |id| Found {
                databases: databases(&["nova", "nova__restore_1"]),
                dropped: databases(&["nova__restore_1"]),
                removed: vec![format!(".partial-{id}")],
                ..Found::default()
            },
            "The restore was cut off before the swap: the live database is the one it was; its scratch database \
             nova__restore_1 was dropped; its unpacked files were removed.",
        );
        check(
            OperationKind::Restore,
            None,
            &[loading, swapping(true)],
            |_| Found { databases: databases(&["nova", "nova__before_1"]), ..Found::default() },
            "The restore was cut off after the swap: nova is the restored database; the one before is kept as \
             nova__before_1, and can be rolled back to.",
        );
        check(
            OperationKind::Rollback,
            None,
            &[swapping(true)],
            |_| Found { databases: databases(&["nova", "nova__restore_1"]), ..Found::default() },
            "The rollback was cut off before the swap: the live database is the one it was.",
        );
        check(
            OperationKind::Restore,
            None,
            &[swapping(false)],
            |_| Found { databases: databases(&["nova"]), ..Found::default() },
            "The restore was cut off after the swap: nova is the restored database.",
        );
        check(
            OperationKind::Restore,
            None,
            &[swapping(false)],
            |_| Found { databases: databases(&["nova__restore_1"]), ..Found::default() },
            "The restore was cut off before the swap: the live database is the one it was.",
        );
    }

    #[test]
    fn what_was_to_go_is_gone_or_is_not() {
        let dropping = [("dropping", json!({ "database": "nova__before_1" }))];
        let kind = OperationKind::DropReplaced;
        let still = |_: &str| Found { databases: databases(&["nova__before_1"]), ..Found::default() };
        check(kind, None, &[], still, "The removal was cut off before it dropped anything.");
        check(
            kind,
            None,
            &dropping,
            still,
            "The removal of the replaced database nova__before_1 was cut off. It is still there and can still be rolled \
             back to.",
        );
        let half_dropped = |_: &str| {
            let names = databases(&["nova__before_1"]);
            Found { databases: names.clone(), half_dropped: names, ..Found::default() }
        };
        check(
            kind,
            None,
            &dropping,
            half_dropped,
            "The removal of the replaced database nova__before_1 was cut off half-way. It cannot be used any more: remove \
             it again.",
        );
        check(
            kind,
            None,
            &dropping,
            |_| Found::default(),
            "The removal was cut off after it had dropped the replaced database nova__before_1.",
        );
        let kind = OperationKind::DeleteBackup;
        check(
            kind,
            Some("a.tar"),
            &[],
            |_| Found { backups: vec!["a.tar".to_owned()], ..Found::default() },
            "The deletion was cut off: the backup a.tar is still there.",
        );
        check(
            kind,
            Some("a.tar"),
            &[],
            |_| Found::default(),
            "The deletion was cut off after it had removed the backup a.tar.",
        );
    }
}
