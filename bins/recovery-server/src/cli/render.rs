//! How things look on a terminal. Pure: values in, text out.

use std::collections::BTreeMap;

use recovery_core::{BackupKind, DrillResult, OperationKind, Progress, Unit, Verification, VerifyLevel};
use time::OffsetDateTime;

use super::{
    schedule,
    table::table,
    view::{Backup, Contents, DatabaseStatus, Directory, Outcome, Restore, Status},
};
use crate::settings::EffectiveSetting;

/// The list of backups.
pub(super) fn backups(backups: &[Backup]) -> String {
    if backups.is_empty() {
        return "There are no backups. Make one with: nova-recovery backup\n".to_owned();
    }
    let rows: Vec<Vec<String>> = backups
        .iter()
        .map(|backup| {
            vec![
                backup.filename.to_string(),
                moment(backup.created_at),
                bytes(backup.size_bytes),
                format!("{}{}", kind(backup.kind), if backup.pinned { ", pinned" } else { "" }),
                verification(backup.verification, backup.verified_level),
            ]
        })
        .collect();
    let mut text = table(&["NAME", "WHEN", "SIZE", "KIND", "CHECKED"], &rows);
    for backup in backups {
        for problem in &backup.problems {
            text.push_str(&format!("{}: {}\n", backup.filename, printable(problem)));
        }
        if let Some(drill) = backup.last_drill.as_ref().filter(|it| it.result == DrillResult::CouldNotVerify)
        {
            let why = drill.problems.first().map_or_else(String::new, |why| format!(": {}", printable(why)));
            text.push_str(&format!("{}: the last drill could not verify it{why}\n", backup.filename));
        }
    }
    text
}

/// What a backup holds of a directory.
fn in_words(directory: &Directory) -> String {
    let Directory { name, files, .. } = directory;
    format!("It holds the directory {name}: {} files, {}.", grouped(*files), bytes(directory.bytes))
}

/// How many keys a backup holds, where it holds any.
fn keys_in_words(keys: u64) -> Option<String> {
    (keys > 0).then(|| format!("It holds {} keys of Redis.", grouped(keys)))
}

/// The list of restores.
pub(super) fn restores(restores: &[Restore]) -> String {
    if restores.is_empty() {
        return "There is no restore that could be rolled back.\n".to_owned();
    }
    let rows: Vec<Vec<String>> = restores
        .iter()
        .map(|restore| {
            vec![
                restore.id.to_string(),
                moment(restore.restored_at),
                restored(restore),
                printable(&restore.replaced_database),
                moment(restore.kept_until),
            ]
        })
        .collect();
    table(&["ID", "WHEN", "RESTORED", "REPLACED DATABASE", "KEPT UNTIL"], &rows)
}

fn restored(restore: &Restore) -> String {
    restore.filename.as_ref().map_or_else(|| "(a rollback)".to_owned(), ToString::to_string)
}

/// The overview.
pub(super) fn status(status: &Status) -> String {
    let backups = &status.backups;
    let newest = backups.latest.as_ref().map_or_else(String::new, |latest| {
        format!("; newest {} ({})", latest.filename, verification(latest.verification, latest.verified_level))
    });
    let mut text = format!(
        "database  {}\nbackups   {}, {}{newest}\n",
        database(&status.database),
        backups.count,
        bytes(backups.total_size_bytes)
    );
    text.push_str(&schedule::line(&status.checkpoints));
    if let Some(operation) = &status.operation {
        text.push_str(&format!(
            "running   {} since {}: {}\n",
            operation.kind,
            moment(operation.started_at),
            progress(&operation.progress)
        ));
    }
    text
}

fn database(database: &DatabaseStatus) -> String {
    if !database.connected {
        return format!(
            "not connected: {}",
            printable(database.error.as_deref().unwrap_or("unknown reason"))
        );
    }
    let size = database.size.as_deref().map(|size| format!(", {}", printable(size))).unwrap_or_default();
    let tables = database.table_count.map(|count| format!(", {count} tables")).unwrap_or_default();
    format!("connected{size}{tables}")
}

/// The settings in effect.
pub(super) fn settings(settings: &[EffectiveSetting]) -> String {
    let rows: Vec<Vec<String>> = settings
        .iter()
        .map(|setting| {
            let value = setting.value.as_deref().map_or_else(|| "(unset)".to_owned(), printable);
            vec![setting.name.to_owned(), setting.source.as_str().to_owned(), value]
        })
        .collect();
    table(&["SETTING", "FROM", "VALUE"], &rows)
}

/// What a restore will do.
pub(super) fn restore_explanation(
    backup: &Backup,
    contents: Option<&Contents>,
    now: &DatabaseStatus,
) -> String {
    let what = contents.map_or_else(
        || "What it holds is not known before it is unpacked.".to_owned(),
        |contents| {
            let database = format!(
                "It holds the database {}: {} tables with {} rows, {} on its server.",
                printable(&contents.database),
                contents.rows.tables.len(),
                grouped(contents.rows.tables.values().sum()),
                bytes(contents.database_size_bytes)
            );
            std::iter::once(database)
                .chain(contents.files.iter().map(in_words))
                .chain(keys_in_words(
                    contents.redis.iter().map(|held| held.keys).fold(0, u64::saturating_add),
                ))
                .collect::<Vec<_>>()
                .join("\n")
        },
    );
    format!(
        "Restoring {} of {} ({}, {}).\n{what}\nIt takes the place of the present database ({}), which is kept and \
         can be brought back with `nova-recovery rollback`.\nWhat was written since the backup will not be in the \
         restored database.",
        backup.filename,
        moment(backup.created_at),
        bytes(backup.size_bytes),
        verification(backup.verification, backup.verified_level),
        database(now)
    )
}

/// What a rollback will do.
pub(super) fn rollback_explanation(restore: &Restore, now: &DatabaseStatus) -> String {
    format!(
        "Taking back the restore of {} ({}).\nThe database that it replaced, {}, becomes the live one again. The \
         present database ({}) is kept the same way.",
        restored(restore),
        moment(restore.restored_at),
        printable(&restore.replaced_database),
        database(now)
    )
}

/// What came of an operation, in one or a few lines.
pub(super) fn outcome(kind: OperationKind, outcome: &Outcome) -> String {
    let name = outcome.filename.as_ref().map_or_else(|| "the backup".to_owned(), ToString::to_string);
    let mut lines = vec![match kind {
        OperationKind::Backup => {
            let size = outcome.size_bytes.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
            let checked = outcome
                .verification
                .map_or_else(String::new, |found| format!(", {}", verification(found, outcome.level)));
            format!("Made {name}{size}{checked}.")
        }
        OperationKind::Upload => {
            let size = outcome.size_bytes.map(|size| format!(" ({})", bytes(size))).unwrap_or_default();
            format!("Took in {name}{size}.")
        }
        OperationKind::Verify | OperationKind::Drill => {
            let found = outcome.verification.unwrap_or(Verification::Unverified);
            format!("{name}: {}.", verification(found, outcome.level))
        }
        OperationKind::Restore => {
            let size = match (outcome.tables, outcome.rows) {
                (Some(tables), Some(rows)) => format!(": {tables} tables with {} rows", grouped(rows)),
                _ => String::new(),
            };
            format!("Restored {name}{size}.")
        }
        OperationKind::Rollback => "Rolled back.".to_owned(),
        other => format!("The {other} is done."),
    }];
    lines.extend(outcome.problems.iter().map(|problem| format!("  {}", printable(problem))));
    lines.extend(outcome.notes.iter().map(|note| printable(note)));
    if !outcome.created_roles.is_empty() {
        lines.push(format!(
            "Roles that were missing were created without the right to sign in: {}.",
            printable(&outcome.created_roles.join(", "))
        ));
    }
    lines.extend(
        outcome
            .removed
            .iter()
            .map(|removed| format!("Removed {}: {}.", removed.filename, printable(&removed.why))),
    );
    for directory in &outcome.files {
        lines.push(match &directory.kept_as {
            Some(kept) => {
                let kept = printable(kept);
                format!("The files of {} were replaced; those before are kept as {kept}.", directory.name)
            }
            None => in_words(directory),
        });
    }
    lines.extend(keys_in_words(outcome.keys));
    if outcome.keys_restored > 0 {
        lines.push(format!("{} keys of Redis hold again what they held.", grouped(outcome.keys_restored)));
    }
    lines.extend(outcome.warnings.iter().map(|warning| format!("Note: {}", printable(warning))));
    if let Some(database) = &outcome.replaced_database {
        let until = outcome.kept_until.map(|at| format!(" until {}", moment(at))).unwrap_or_default();
        lines.push(format!("The database that was there before is kept as {}{until}.", printable(database)));
        if let Some(id) = outcome.id {
            lines.push(format!("To bring it back: nova-recovery rollback {id}"));
        }
    }
    lines.join("\n")
}

/// Where an operation is, in a few words.
pub(super) fn progress(progress: &Progress) -> String {
    let phase = printable(&progress.phase).replace('_', " ");
    let count = |number: u64| match progress.unit {
        Unit::Bytes => bytes(number),
        Unit::Tables => format!("{number} tables"),
        Unit::Keys => format!("{number} keys"),
        Unit::Files => format!("{number} files"),
        Unit::Steps => number.to_string(),
    };
    let tables = progress.tables.map(|(done, all)| format!(", table {done} of {all}")).unwrap_or_default();
    match progress.total {
        Some(total) => format!("{phase}: {} of {}{tables}", count(progress.done), count(total)),
        None if progress.done > 0 => format!("{phase}: {}{tables}", count(progress.done)),
        None => phase,
    }
}

fn verification(verification: Verification, level: Option<VerifyLevel>) -> String {
    match (verification, level) {
        (Verification::Verified, Some(level)) => format!("verified ({})", level.as_str()),
        (verification, _) => verification.as_str().to_owned(),
    }
}

fn kind(kind: BackupKind) -> &'static str {
    match kind {
        BackupKind::Manual => "manual",
        BackupKind::Checkpoint => "checkpoint",
        BackupKind::Safety => "safety",
        BackupKind::Legacy => "legacy",
    }
}

pub(super) fn moment(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    format!("{} {:02}:{:02}:{:02} UTC", at.date(), at.hour(), at.minute(), at.second())
}

/// A size with one decimal, in the binary unit that fits.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (u128::from(bytes) * 10 / 1024, UNITS[0]);
    for next in &UNITS[1..] {
        if tenths < 10 * 1024 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Variables of the `.env`.
pub(super) fn variables(variables: &BTreeMap<String, String>) -> String {
    let rows: Vec<_> = variables.iter().map(|(name, value)| vec![name.clone(), printable(value)]).collect();
    table(&["NAME", "VALUE"], &rows)
}

/// Names from elsewhere must not steer the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn backup(value: serde_json::Value) -> Backup {
        serde_json::from_value(value).unwrap()
    }

    fn two_backups() -> Vec<Backup> {
        vec![
            backup(json!({
                "filename": "nova-backup-2026-01-31_23-59-59.tar", "size_bytes": 936_640_512,
                "created_at": "2026-01-31T23:59:59Z", "kind": "manual", "verification": "verified",
                "verified_level": "contents", "pinned": true, "colour": "blue"
            })),
            backup(json!({
                "filename": "nova-checkpoint-2026-01-30_06-00-00-2.tar", "size_bytes": 12,
                "created_at": "2026-01-30T06:00:00Z", "kind": "checkpoint", "verification": "failed",
                "problems": ["database/toc.dat differs\u{1b}[31m"],
                "last_drill": {
                    "filename": "nova-checkpoint-2026-01-30_06-00-00-2.tar", "at": "2026-01-31T23:59:59Z",
                    "result": "could_not_verify", "problems": ["PostgreSQL does not answer"], "duration_seconds": 1
                }
            })),
        ]
    }

    #[test]
    fn backups_are_a_table_with_their_problems_below() {
        insta::assert_snapshot!(backups(&two_backups()), @r"
        NAME                                       WHEN                     SIZE       KIND            CHECKED
        nova-backup-2026-01-31_23-59-59.tar        2026-01-31 23:59:59 UTC  893.2 MiB  manual, pinned  verified (contents)
        nova-checkpoint-2026-01-30_06-00-00-2.tar  2026-01-30 06:00:00 UTC  12 B       checkpoint      failed
        nova-checkpoint-2026-01-30_06-00-00-2.tar: database/toc.dat differs�[31m
        nova-checkpoint-2026-01-30_06-00-00-2.tar: the last drill could not verify it: PostgreSQL does not answer
        ");
    }

    #[test]
    fn unknown_fields_of_a_service_are_passed_on() {
        let value = serde_json::to_value(&two_backups()[0]).unwrap();
        assert_eq!(value["colour"], json!("blue"));
    }

    #[test]
    fn an_explanation_says_what_goes_and_what_comes() {
        let contents: Contents = serde_json::from_value(json!({
            "database": "nova", "database_size_bytes": 1_073_741_824,
            "rows": {"tables": {"public.memories": 1_234_567, "public.tasks": 1}, "large_objects": 0},
            "files": [{"name": "sources", "files": 1200, "entries": 1300, "bytes": 2048}],
            "redis": [{"database": 2, "keys": 1000}, {"database": 6, "keys": 11}]
        }))
        .unwrap();
        let now = DatabaseStatus {
            connected: true,
            size: Some("893 MB".into()),
            table_count: Some(42),
            ..DatabaseStatus::default()
        };
        let text = restore_explanation(&two_backups()[0], Some(&contents), &now);
        insta::assert_snapshot!(text, @r"
        Restoring nova-backup-2026-01-31_23-59-59.tar of 2026-01-31 23:59:59 UTC (893.2 MiB, verified (contents)).
        It holds the database nova: 2 tables with 1,234,568 rows, 1.0 GiB on its server.
        It holds the directory sources: 1,200 files, 2.0 KiB.
        It holds 1,011 keys of Redis.
        It takes the place of the present database (connected, 893 MB, 42 tables), which is kept and can be brought back with `nova-recovery rollback`.
        What was written since the backup will not be in the restored database.
        ");
    }

    #[test]
    fn a_restore_tells_how_to_take_it_back() {
        let outcome: Outcome = serde_json::from_value(json!({
            "id": "018f0000-0000-7000-8000-000000000000", "filename": "nova-backup-2026-01-31_23-59-59.tar",
            "restored": true, "replaced_database": "nova__before_20260201_000000",
            "kept_until": "2026-02-04T00:00:00Z", "created_roles": ["reader"], "tables": 2, "rows": 12,
            "files": [{"name": "sources", "kept_as": "sources.before-20260201_000000"}], "keys_restored": 1011,
            "warnings": ["pg_restore is newer than the server."]
        }))
        .unwrap();
        insta::assert_snapshot!(super::outcome(OperationKind::Restore, &outcome), @r"
        Restored nova-backup-2026-01-31_23-59-59.tar: 2 tables with 12 rows.
        Roles that were missing were created without the right to sign in: reader.
        The files of sources were replaced; those before are kept as sources.before-20260201_000000.
        1,011 keys of Redis hold again what they held.
        Note: pg_restore is newer than the server.
        The database that was there before is kept as nova__before_20260201_000000 until 2026-02-04 00:00:00 UTC.
        To bring it back: nova-recovery rollback 018f0000-0000-7000-8000-000000000000
        ");
    }

    #[test]
    fn sizes_have_the_unit_that_fits() {
        let check = |input, expect: &str| assert_eq!(bytes(input), expect);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1.0 KiB");
        check(1536, "1.5 KiB");
        check(1024 * 1024 - 1, "1023.9 KiB");
        check(1024 * 1024, "1.0 MiB");
        check(u64::MAX, "16777215.9 TiB");
    }

    #[test]
    fn progress_is_told_in_words() {
        let check = |progress: Progress, expect: &str| assert_eq!(super::progress(&progress), expect);
        check(Progress::phase("swapping_names"), "swapping names");
        check(Progress::bytes("hashing", 512, Some(2048)), "hashing: 512 B of 2.0 KiB");
        check(Progress::bytes("dumping", 512, None), "dumping: 512 B");
        let tables = Progress { tables: Some((3, 9)), ..Progress::bytes("dumping", 512, None) };
        check(tables, "dumping: 512 B, table 3 of 9");
    }

    #[test]
    fn a_database_that_is_down_says_why() {
        let status: Status = serde_json::from_value(json!({
            "services": {}, "database": {"connected": false, "error": "PostgreSQL does not answer."},
            "backups": {"count": 0, "latest": null, "total_size_bytes": 0}
        }))
        .unwrap();
        assert_eq!(
            super::status(&status),
            "database  not connected: PostgreSQL does not answer.\nbackups   0, 0 B\n"
        );
    }
}
