use recovery_core::{BackupFiles, VerifyLevel};
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-06-30 12:00:00 UTC);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A good backup of the live database that was made this long ago.
fn good(kind: BackupKind, ago: Duration) -> BackupInfo {
    at(kind, NOW - ago)
}

fn at(kind: BackupKind, created_at: OffsetDateTime) -> BackupInfo {
    BackupInfo {
        filename: BackupName::new(kind, created_at, 1),
        size_bytes: 1,
        created_at,
        kind,
        verification: Verification::Verified,
        verified_level: Some(VerifyLevel::Hashes),
        verified_at: Some(created_at),
        problems: Vec::new(),
        database: Some("nova".to_owned()),
        server_version: Some("15.18".to_owned()),
        client_version: Some("15.18".to_owned()),
        warnings: Vec::new(),
        pinned: false,
        files: Vec::new(),
        keys: 0,
        last_drill: None,
        uploaded: false,
    }
}

fn checkpoint(hours: u32) -> BackupInfo {
    good(BackupKind::Checkpoint, HOUR * hours)
}

fn manual(days: u32) -> BackupInfo {
    good(BackupKind::Manual, DAY * days)
}

fn pinned(backup: BackupInfo) -> BackupInfo {
    BackupInfo { pinned: true, ..backup }
}

fn failed(backup: BackupInfo) -> BackupInfo {
    BackupInfo { verification: Verification::Failed, ..backup }
}

const POLICY: RetentionPolicy =
    RetentionPolicy { checkpoints: 3, safety: 2, manual: Some(Duration::from_secs(30 * 24 * 3600)) };

/// Compares what goes, as the indices into the list; the first of the list was just made.
#[track_caller]
fn check(backups: &[BackupInfo], expect: &[usize]) {
    check_with(&POLICY, NOW, backups, expect);
}

#[track_caller]
fn check_with(policy: &RetentionPolicy, now: OffsetDateTime, backups: &[BackupInfo], expect: &[usize]) {
    let made = &backups[0].filename;
    // The order of the list must not matter.
    let reversed: Vec<BackupInfo> = backups.iter().rev().cloned().collect();
    for list in [backups, &reversed] {
        let removed = to_remove(list, "nova", made, &[], policy, now);
        let mut found: Vec<usize> = removed
            .iter()
            .map(|removal| backups.iter().position(|backup| backup.filename == removal.filename).unwrap())
            .collect();
        found.sort_unstable();
        assert_eq!(found, expect, "{removed:?}");
    }
}

#[test]
fn the_newest_checkpoints_stay_and_older_ones_go() {
    check(&[checkpoint(0), checkpoint(6), checkpoint(12)], &[]);
    check(&[checkpoint(0), checkpoint(6), checkpoint(12), checkpoint(18), checkpoint(24)], &[3, 4]);
}

#[test]
fn two_of_one_second_are_told_apart_by_their_number() {
    let mut second = checkpoint(6);
    second.filename = BackupName::new(BackupKind::Checkpoint, second.created_at, 2);
    let mut tenth = checkpoint(6);
    tenth.filename = BackupName::new(BackupKind::Checkpoint, tenth.created_at, 10);
    check(&[checkpoint(0), checkpoint(6), second, tenth], &[1]);
}

#[test]
fn manual_backups_go_by_age_and_safety_backups_by_number() {
    let safety = |hours: u32| good(BackupKind::Safety, HOUR * hours);
    check(&[checkpoint(0), checkpoint(1), manual(29), manual(30), manual(31), manual(400)], &[4, 5]);
    check(&[safety(0), safety(1), safety(2), safety(3)], &[2, 3]);
    let for_ever = RetentionPolicy { manual: None, ..POLICY };
    check_with(&for_ever, NOW, &[manual(0), manual(31), manual(4000)], &[]);
}

#[test]
fn the_newest_good_one_of_a_kind_stays_however_old() {
    check(&[checkpoint(0), checkpoint(1), manual(400), manual(500)], &[3]);
    check(&[checkpoint(0), checkpoint(1), manual(400)], &[]);
    let none = RetentionPolicy { checkpoints: 0, safety: 0, manual: Some(Duration::ZERO) };
    let safety = |hours: u32| good(BackupKind::Safety, HOUR * hours);
    check_with(&none, NOW, &[checkpoint(0), safety(5), manual(5)], &[]);
    check_with(&none, NOW, &[manual(0), checkpoint(1), checkpoint(2), safety(5), safety(6)], &[2, 4]);
}

#[test]
fn what_is_not_certainly_good_neither_counts_nor_goes() {
    let unverified = BackupInfo { verification: Verification::Unverified, ..checkpoint(4) };
    let doubtful = BackupInfo { problems: vec!["the file cannot be read".into()], ..checkpoint(5) };
    let unreadable = BackupInfo { database: None, ..checkpoint(6) };
    let list = [checkpoint(0), failed(checkpoint(2)), unverified, doubtful, unreadable];
    check(&list, &[]);
    let more = [checkpoint(10), checkpoint(11), checkpoint(12), failed(checkpoint(13)), failed(manual(90))];
    check(&[&list[..], &more].concat(), &[7]);
}

#[test]
fn one_that_turned_bad_makes_the_older_good_one_stay() {
    let list = [checkpoint(0), checkpoint(6), checkpoint(12), checkpoint(18)];
    check(&list, &[3]);
    let [first, second, third, fourth] = list;
    check(&[first, failed(second), third, fourth], &[]);
}

#[test]
fn pinned_ones_stay_for_ever_and_do_not_count() {
    check(&[checkpoint(0), pinned(checkpoint(1)), checkpoint(2), checkpoint(3)], &[]);
    check(&[checkpoint(0), checkpoint(1), checkpoint(2), pinned(checkpoint(3)), checkpoint(4)], &[4]);
    check(&[manual(0), manual(1), pinned(manual(4000)), manual(90)], &[3]);
}

#[test]
fn other_databases_and_the_earlier_service_are_left_alone() {
    let other = BackupInfo { database: Some("other".into()), ..checkpoint(1) };
    let old = BackupInfo { database: Some("other".into()), ..manual(400) };
    let legacy = BackupInfo { kind: BackupKind::Legacy, ..manual(900) };
    let list = [checkpoint(0), other.clone(), other, old, legacy, checkpoint(3), checkpoint(4)];
    check(&list, &[]);
}

#[test]
fn what_came_from_elsewhere_stays_and_pushes_out_nothing() {
    let uploaded = |backup: BackupInfo| BackupInfo { uploaded: true, ..backup };
    let list =
        [checkpoint(0), uploaded(checkpoint(1)), uploaded(checkpoint(2)), checkpoint(3), checkpoint(4)];
    check(&list, &[]);
    check(&[checkpoint(0), checkpoint(1), uploaded(manual(400)), uploaded(manual(500))], &[]);
}

#[test]
fn nothing_goes_where_what_was_made_is_not_listed_as_good() {
    let rest = [checkpoint(1), checkpoint(2), checkpoint(3), checkpoint(4), manual(400), manual(500)];
    check(&[&[checkpoint(0)], &rest[..]].concat(), &[3, 4, 6]);
    for bad in [
        failed(checkpoint(0)),
        BackupInfo { verification: Verification::Unverified, ..checkpoint(0) },
        BackupInfo { database: Some("other".into()), ..checkpoint(0) },
    ] {
        check(&[&[bad], &rest[..]].concat(), &[]);
    }
    let unlisted = BackupName::new(BackupKind::Checkpoint, NOW, 7);
    assert_eq!(to_remove(&rest, "nova", &unlisted, &[], &POLICY, NOW), []);
}

#[test]
fn after_the_clock_was_set_back_what_was_just_made_stays() {
    // Three that were made before the clock was set back by a day seem to come from tomorrow.
    let tomorrow = |hours: u32| at(BackupKind::Checkpoint, NOW + DAY - HOUR * hours);
    check(&[checkpoint(0), tomorrow(0), tomorrow(6), tomorrow(12)], &[]);
    // They do not push out what is made from now on, and are not pushed out themselves.
    let list = [checkpoint(0), checkpoint(1), checkpoint(2), checkpoint(3), tomorrow(0), tomorrow(6)];
    check(&list, &[3]);
    // When their time has come, they count like all others.
    let later = at(BackupKind::Checkpoint, NOW + DAY + HOUR);
    check_with(&POLICY, NOW + DAY + HOUR, &[&[later], &list[..]].concat(), &[1, 2, 3, 4]);
}

#[test]
fn a_backup_whose_own_name_lies_in_the_future_is_still_the_newest() {
    // The clock was set back while it was made.
    let made = at(BackupKind::Checkpoint, NOW + DAY);
    check(&[made, checkpoint(1), checkpoint(2), checkpoint(3)], &[3]);
}

#[test]
fn a_clock_that_leaps_ahead_makes_nothing_old_by_itself() {
    let leap = NOW + DAY * 3650;
    let made = at(BackupKind::Checkpoint, leap);
    check_with(&POLICY, leap, &[made, checkpoint(1), manual(1), manual(29)], &[]);
}

#[test]
fn reasons_are_words() {
    let list = [checkpoint(0), checkpoint(1), checkpoint(2), checkpoint(3), manual(1), manual(31)];
    let removed = to_remove(&list, "nova", &list[0].filename, &[], &POLICY, NOW);
    let words: Vec<String> = removed.iter().map(|removal| removal.why.to_string()).collect();
    assert_eq!(words, ["there are 3 newer checkpoints", "it is older than 30 days"]);
}

#[test]
fn the_newest_that_holds_an_included_directory_stays() {
    let with = |hours: u32, files: &[(&str, u64)]| {
        let directory =
            |(name, files): &(&str, u64)| BackupFiles { name: (*name).to_owned(), files: *files, bytes: 1 };
        BackupInfo { files: files.iter().map(directory).collect(), ..checkpoint(hours) }
    };
    let both: &[(&str, u64)] = &[("sources", 3), ("memory", 1)];
    // One directory is missing from then on, and the other empty: a share that is not mounted.
    let list = [
        with(0, &[]),
        with(6, &[]),
        with(12, &[("memory", 0)]),
        with(18, &[("memory", 1)]),
        with(24, both),
        with(30, both),
    ];
    let gone = |names: &[&str]| {
        let includes: Vec<IncludeName> = names.iter().map(|name| name.parse().unwrap()).collect();
        let removed = to_remove(&list, "nova", &list[0].filename, &includes, &POLICY, NOW);
        let place =
            |removal: &Removal| list.iter().position(|backup| backup.filename == removal.filename).unwrap();
        removed.iter().map(place).collect::<Vec<_>>()
    };
    assert_eq!(gone(&["sources", "memory"]), [5]);
    assert_eq!(gone(&["memory"]), [4, 5]);
    // One that nobody has kept files of, or that is included no more, keeps nothing.
    assert_eq!(gone(&["other"]), [3, 4, 5]);
}

#[test]
fn the_safety_backup_of_a_reset_outlasts_the_next_backups_whatever_their_kind() {
    let reset = BackupInfo { keys: 11, ..good(BackupKind::Safety, HOUR * 2) };
    let checkpoints = (0..20).map(|half| good(BackupKind::Checkpoint, HOUR * half / 20));
    let list: Vec<BackupInfo> = checkpoints.chain([reset.clone()]).collect();
    let policy = RetentionPolicy { checkpoints: 1, safety: 0, manual: Some(HOUR) };
    let gone = to_remove(&list, "nova", &list[0].filename, &[], &policy, NOW);
    assert!(gone.len() > 10 && gone.iter().all(|removal| removal.filename != reset.filename), "{gone:?}");
}
