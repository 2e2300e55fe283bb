//! Drills: what they prove, what they leave alone, and when they say that they do not know.

use std::fs;

use recovery_backup::{BackupError, VerifyReport};
use recovery_core::{
    Actor, BackupName, DrillResult, ErrorCode, OperationKind, Problem, Verification, VerifyLevel,
    port::{OperationContext, Unwatched},
};
use recovery_testkit::{RecordingContext, servers::PostgresServer};

use crate::{
    bad_input::{fix_checksum, replace_in_manifest},
    cancel::{LOAD_RUNS, slow_to_load, until},
    faults::script,
    fixture::{DATABASE, Fixture},
};

async fn drill_in(
    fixture: &Fixture,
    name: &BackupName,
    context: &dyn OperationContext,
) -> Result<VerifyReport, BackupError> {
    let lock = fixture.lock(OperationKind::Drill, context).await;
    fixture.backups.drill(&lock, name, context).await
}

async fn drill(fixture: &Fixture, name: &BackupName) -> Result<VerifyReport, BackupError> {
    drill_in(fixture, name, &Unwatched::new()).await
}

async fn verify(fixture: &Fixture, name: &BackupName, level: VerifyLevel) -> Verification {
    fixture.backups.verify(name, level, &Unwatched::new()).await.unwrap().verification
}

/// What is known of a backup: the last result, how thorough it was, and the result of the last drill.
async fn known(
    fixture: &Fixture,
    name: &BackupName,
) -> (Verification, Option<VerifyLevel>, Option<DrillResult>) {
    let info = fixture.backups.find(name).await.unwrap();
    (info.verification, info.verified_level, info.last_drill.map(|drill| drill.result))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_backup_is_proven_and_nothing_is_left() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    // What is live may differ from the backup as it likes.
    fixture.sql("DELETE FROM messages");
    let (dump, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    let context = RecordingContext::new();
    let report = drill_in(&fixture, &name, &context).await.unwrap();
    assert_eq!((report.verification, report.level), (Verification::Verified, VerifyLevel::Restore));
    assert_eq!(report.problems, Vec::<String>::new());
    fixture.assert_untouched(&dump, &files);
    let expect = (Verification::Verified, Some(VerifyLevel::Restore), Some(DrillResult::Verified));
    assert_eq!(known(&fixture, &name).await, expect);
    assert!(context.steps().iter().any(|(step, facts)| step == "drilling" && facts["scratch"].is_string()));

    assert_eq!(verify(&fixture, &name, VerifyLevel::Hashes).await, Verification::Verified);
    assert_eq!(known(&fixture, &name).await, expect, "a quick look takes nothing away");
    let drills = fixture.backups.drills().await;
    assert_eq!(drills.last, drills.last_verified);
    assert_eq!(drills.last.unwrap().filename, name);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_byte_turns_a_proven_backup_to_failed_at_the_next_check() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    drill(&fixture, &name).await.unwrap();
    let path = fixture.path(&name);
    let (mut bytes, modified) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    let middle = bytes.len() * 3 / 4;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    // As a disk does it: the time of the last change stays.
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    for level in [VerifyLevel::Hashes, VerifyLevel::Contents] {
        assert_eq!(verify(&fixture, &name, level).await, Verification::Failed);
    }
    let report = drill(&fixture, &name).await.unwrap();
    assert_eq!(report.verification, Verification::Failed);
    assert!(report.problems[0].contains("has been altered"), "{report:?}");
    let expect = (Verification::Failed, Some(VerifyLevel::Restore), Some(DrillResult::Failed));
    assert_eq!(known(&fixture, &name).await, expect);
    assert!(fixture.backups.drills().await.last_verified.is_some(), "the good one is remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_rows_are_found_and_no_lesser_check_forgives_them() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let mut bytes = fs::read(fixture.path(&name)).unwrap();
    replace_in_manifest(&mut bytes, "\"public.users\": 100", "\"public.users\": 101");
    fix_checksum(&mut bytes);
    fs::write(fixture.path(&name), bytes).unwrap();
    assert_eq!(verify(&fixture, &name, VerifyLevel::Contents).await, Verification::Verified);
    let (dump, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    let report = drill(&fixture, &name).await.unwrap();
    assert_eq!(report.verification, Verification::Failed);
    assert!(report.problems[0].contains("public.users has 100 rows instead of 101"), "{report:?}");
    fixture.assert_untouched(&dump, &files);

    assert_eq!(verify(&fixture, &name, VerifyLevel::Contents).await, Verification::Verified);
    let expect = (Verification::Failed, Some(VerifyLevel::Restore), Some(DrillResult::Failed));
    assert_eq!(known(&fixture, &name).await, expect);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_does_not_load_is_bad_and_a_server_that_went_away_says_nothing() {
    let programs = tempfile::tempdir().unwrap();
    let directories = vec![programs.path().to_owned()];
    let fixture = Fixture::on(PostgresServer::start(), |settings| settings.tool_directories = directories);
    let real = fixture.server.programs().display().to_string();
    script(programs.path(), "pg_dump", &format!("exec {real}/pg_dump \"$@\""));
    let name = fixture.create().await.filename;
    let before = known(&fixture, &name).await;
    let (dump, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());

    // The server crashes, and is back before anybody can ask whether it is there.
    let psql = format!("{real}/psql -d postgres -At -c");
    let crash = format!(
        "kill -9 $({psql} \"SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'\"); \
         until {psql} 'SELECT 1' >&2; do sleep 0.1; done"
    );
    let fails = "[ \"$1\" = --version ] && exec REAL/pg_restore --version\n\
                 CRASH; echo 'pg_restore: error: could not execute query' >&2; exit 1";
    let fails = fails.replace("REAL", &real);
    script(programs.path(), "pg_restore", &fails.replace("CRASH", &crash));
    let problem = Problem::from(drill(&fixture, &name).await.unwrap_err());
    assert_eq!(problem.code, ErrorCode::DatabaseUnavailable, "{problem:?}");
    assert_eq!(known(&fixture, &name).await, (before.0, before.1, Some(DrillResult::CouldNotVerify)));
    fixture.assert_untouched(&dump, &files);

    script(programs.path(), "pg_restore", &fails.replace("CRASH", "true"));
    let report = drill(&fixture, &name).await.unwrap();
    assert_eq!(report.verification, Verification::Failed);
    assert!(report.problems[0].contains("could not execute query"), "{report:?}");
    fixture.assert_untouched(&dump, &files);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_killed_says_nothing_about_the_backup() {
    let programs = tempfile::tempdir().unwrap();
    let directories = vec![programs.path().to_owned()];
    let fixture = Fixture::on(PostgresServer::start(), |settings| settings.tool_directories = directories);
    let real = fixture.server.programs().display().to_string();
    script(programs.path(), "pg_dump", &format!("exec {real}/pg_dump \"$@\""));
    let name = fixture.create().await.filename;
    let before = known(&fixture, &name).await;
    // As the kernel does it where a limit of memory is reached, every time.
    let killed = format!("[ \"$1\" = --version ] && exec {real}/pg_restore --version\nkill -9 $$");
    script(programs.path(), "pg_restore", &killed);
    let problem = Problem::from(drill(&fixture, &name).await.unwrap_err());
    assert_eq!(problem.code, ErrorCode::ToolFailed, "{problem:?}");
    assert_eq!(known(&fixture, &name).await, (before.0, before.1, Some(DrillResult::CouldNotVerify)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_too_few_rights_says_nothing_about_the_backup() {
    let fixture = Fixture::small();
    fixture
        .server
        .psql("postgres", "CREATE ROLE maker LOGIN CREATEDB PASSWORD 'maker'; CREATE ROLE somebody");
    fixture.sql(&format!("ALTER TABLE messages OWNER TO somebody; ALTER DATABASE {DATABASE} OWNER TO maker"));
    let name = fixture.create().await.filename;
    let before = known(&fixture, &name).await;
    let poor = fixture.signed_in_as("maker", "maker");
    let context = Unwatched::new();
    let lock = poor.lock(OperationKind::Drill, context.id(), &Actor::new("test")).await.unwrap();
    let problem = Problem::from(poor.drill(&lock, &name, &context).await.unwrap_err());
    assert_eq!(problem.code, ErrorCode::ToolFailed, "{problem:?}");
    assert_eq!(known(&fixture, &name).await, (before.0, before.1, Some(DrillResult::CouldNotVerify)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_during_a_drill_leaves_what_was_known() {
    let mut fixture = Fixture::small();
    slow_to_load(&fixture);
    let name = fixture.create().await.filename;
    let before = known(&fixture, &name).await;
    let (dump, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    let (backups, drilled) = (fixture.another(|_| {}), name.clone());
    let drilling = tokio::spawn(async move {
        let context = Unwatched::new();
        let lock = backups.lock(OperationKind::Drill, context.id(), &Actor::new("test")).await?;
        backups.drill(&lock, &drilled, &context).await
    });
    until(&fixture, LOAD_RUNS).await;
    fixture.server.stop_immediately();
    let problem = Problem::from(drilling.await.unwrap().unwrap_err());
    assert_eq!(problem.code, ErrorCode::DatabaseUnavailable, "{problem:?}");
    assert_eq!(known(&fixture, &name).await, (before.0, before.1, Some(DrillResult::CouldNotVerify)));

    fixture.server.restart();
    let lock = fixture.lock(OperationKind::CleanUp, &Unwatched::new()).await;
    let done = fixture.backups.reconcile(&lock, &[]).await.unwrap().done;
    assert_eq!(done.len(), 1, "{done:?}");
    fixture.assert_untouched(&dump, &files);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_once_is_tried_once_more() {
    let programs = tempfile::tempdir().unwrap();
    let directories = vec![programs.path().to_owned()];
    let fixture = Fixture::on(PostgresServer::start(), |settings| settings.tool_directories = directories);
    let (real, here) = (fixture.server.programs().display(), programs.path().display());
    script(programs.path(), "pg_dump", &format!("exec {real}/pg_dump \"$@\""));
    let text = format!(
        "[ \"$1\" = --version ] || [ -e {here}/failed ] && exec {real}/pg_restore \"$@\"\n\
         touch {here}/failed; echo 'pg_restore: error: terminating connection' >&2; exit 1"
    );
    script(programs.path(), "pg_restore", &text);
    let name = fixture.create().await.filename;
    assert_eq!(drill(&fixture, &name).await.unwrap().verification, Verification::Verified);
    assert!(programs.path().join("failed").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_lacks_says_nothing_about_the_backup() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let before = known(&fixture, &name).await;
    fixture.server.psql("postgres", "CREATE ROLE reader LOGIN PASSWORD 'reader' IN ROLE pg_read_all_data");
    let poor = fixture.signed_in_as("reader", "reader");
    let context = Unwatched::new();
    let lock = poor.lock(OperationKind::Drill, context.id(), &Actor::new("test")).await.unwrap();
    let problem = Problem::from(poor.drill(&lock, &name, &context).await.unwrap_err());
    assert_eq!(problem.code, ErrorCode::BackupIncompatible);
    let info = poor.find(&name).await.unwrap();
    let drill = info.last_drill.unwrap();
    assert_eq!((info.verification, info.verified_level), (before.0, before.1));
    assert_eq!(drill.result, DrillResult::CouldNotVerify);
    assert!(drill.problems[0].contains("may not create databases"), "{drill:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_drill_is_no_result() {
    let fixture = Fixture::small();
    slow_to_load(&fixture);
    let name = fixture.create().await.filename;
    let (dump, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    let context = RecordingContext::new();
    let (drilled, ()) = tokio::join!(drill_in(&fixture, &name, &context), async {
        until(&fixture, LOAD_RUNS).await;
        assert!(context.cancel());
    });
    assert!(matches!(drilled, Err(BackupError::Cancelled(_))), "{drilled:?}");
    assert_eq!(fixture.backups.drills().await.last, None);
    fixture.assert_untouched(&dump, &files);
}
