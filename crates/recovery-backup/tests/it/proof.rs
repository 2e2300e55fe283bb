//! Nothing counts as done that was not proven: archives that the disk has altered, locks that were lost on the way,
//! databases that let nobody in.

use std::fs;

use recovery_backup::BackupError;
use recovery_core::{ErrorCode, port::DatabaseError};
use recovery_testkit::RecordingContext;

use crate::{
    bad_input::{fix_checksum, refused, replace_in_manifest},
    faults::problem,
    fixture::{DATABASE, Fixture},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_the_disk_has_altered_does_not_become_a_backup() {
    let fixture = Fixture::small();
    let directory = fixture.directory.path().to_owned();
    let context = RecordingContext::new().at_phase("verifying", move || {
        let mut entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let work = entries.find(|path| path.to_string_lossy().contains(".partial-")).unwrap();
        let archive = work.join("archive.tar");
        let mut bytes = fs::read(&archive).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(archive, bytes).unwrap();
    });
    let problem = problem(fixture.try_create(&context).await);
    assert_eq!(problem.code, ErrorCode::BackupDamaged, "{problem:?}");
    assert_eq!(fixture.files(), Vec::<String>::new());
    assert!(!context.is_sealed());
}

/// Ends the session that holds the lock of the database when the operation comes to this phase.
fn losing_the_lock_at(fixture: &Fixture, phase: &str) -> RecordingContext {
    let mut psql = fixture.server.client("psql", "postgres");
    psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--command"]).arg(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
         WHERE application_name LIKE 'nova-recovery: %'",
    );
    RecordingContext::new().at_phase(phase, move || {
        let output = psql.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1", "{output:?}");
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_has_lost_its_lock_is_not_published() {
    let fixture = Fixture::small();
    let context = losing_the_lock_at(&fixture, "verifying");
    let refused = fixture.try_create(&context).await.unwrap_err();
    assert!(matches!(refused, BackupError::Database(DatabaseError::Unavailable { .. })), "{refused:?}");
    assert_eq!(fixture.files(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_has_lost_its_lock_does_not_swap() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let (dump, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    let context = losing_the_lock_at(&fixture, "comparing and analyzing");
    let refused = fixture.restore_in(&name, &context).await.unwrap_err();
    assert!(matches!(refused, BackupError::Database(DatabaseError::Unavailable { .. })), "{refused:?}");
    fixture.assert_untouched(&dump, &files);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_that_lets_nobody_in_does_not_go_live() {
    let fixture = Fixture::small();
    fixture.server.psql("postgres", "ALTER DATABASE nova SET session_preload_libraries = 'auto_explain'");
    let name = fixture.create().await.filename;
    let mut bytes = fs::read(fixture.path(&name)).unwrap();
    replace_in_manifest(&mut bytes, "\"auto_explain\"", "\"auto_explode\"");
    fix_checksum(&mut bytes);
    fs::write(fixture.path(&name), bytes).unwrap();
    refused(&fixture, &name, ErrorCode::DatabaseRefused, "refused while connecting").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_a_newer_server_or_client_is_told_before_anything_is_touched() {
    for (field, words) in [("server_version", "made on PostgreSQL"), ("client_version", "made by pg_dump")] {
        let fixture = Fixture::small();
        let name = fixture.create().await.filename;
        let mut bytes = fs::read(fixture.path(&name)).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let field = format!("\"{field}\": ");
        let version = text.split(&field).nth(1).unwrap().split(',').next().unwrap();
        replace_in_manifest(&mut bytes, &format!("{field}{version}"), &format!("{field}990000"));
        fix_checksum(&mut bytes);
        fs::write(fixture.path(&name), bytes).unwrap();
        refused(&fixture, &name, ErrorCode::BackupIncompatible, words).await;
    }
}
