//! A world that does not play along: missing programs, wrong passwords, servers that die.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use recovery_backup::{BackupError, BackupService};
use recovery_core::{
    Actor, BackupKind, ErrorCode, OperationKind, Problem,
    port::{OperationContext, Unwatched},
};
use recovery_testkit::servers::PostgresServer;

use crate::{
    cancel::{Gate, LOAD_RUNS, slow_to_load, until},
    fixture::{DATABASE, Fixture},
};

pub(crate) fn problem<T: std::fmt::Debug>(result: Result<T, BackupError>) -> Problem {
    let problem = Problem::from(result.unwrap_err());
    assert!(problem.hint.is_some(), "{problem:?}");
    problem
}

pub(crate) async fn create_with(backups: &BackupService) -> Result<(), BackupError> {
    let context = Unwatched::new();
    let lock = backups.lock(OperationKind::Backup, context.id(), &Actor::new("test")).await?;
    backups.create(&lock, BackupKind::Manual, &context).await.map(drop)
}

pub(crate) fn script(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A fixture whose PostgreSQL programs are these scripts.
fn with_programs(dump: &str, restore: &str) -> (Fixture, tempfile::TempDir) {
    let programs = tempfile::tempdir().unwrap();
    script(programs.path(), "pg_dump", dump);
    script(programs.path(), "pg_restore", restore);
    let directories = vec![programs.path().to_owned()];
    let fixture = Fixture::on(PostgresServer::start(), |settings| settings.tool_directories = directories);
    (fixture, programs)
}

fn version(program: &str, version: &str) -> String {
    format!("[ \"$1\" = --version ] && echo \"{program} (PostgreSQL) {version}\" && exit 0")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_pg_dump_the_answer_says_what_to_install() {
    let empty = tempfile::tempdir().unwrap();
    let fixture = Fixture::small();
    let backups = fixture.another(|settings| settings.tool_directories = vec![empty.path().to_owned()]);
    let problem = problem(create_with(&backups).await);
    assert_eq!(problem.code, ErrorCode::ToolUnavailable);
    assert!(problem.detail.contains("no PostgreSQL client was found"), "{problem:?}");
    assert_eq!(fixture.files(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_older_than_the_server_is_refused() {
    let (fixture, _programs) = with_programs(&version("pg_dump", "9.6.24"), &version("pg_restore", "9.6.24"));
    let problem = problem(create_with(&fixture.backups).await);
    assert_eq!(problem.code, ErrorCode::ToolUnavailable);
    assert!(problem.detail.contains("found 9.6"), "{problem:?}");
    assert_eq!(fixture.files(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_not_checked_with_programs_older_than_it() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let programs = tempfile::tempdir().unwrap();
    script(programs.path(), "pg_restore", &version("pg_restore", "9.6.24"));
    let backups = fixture.another(|settings| settings.tool_directories = vec![programs.path().to_owned()]);
    let problem = problem(backups.verify(&name, Default::default(), &Unwatched::new()).await);
    assert_eq!(problem.code, ErrorCode::ToolUnavailable, "{problem:?}");
    assert!(problem.detail.contains("found 9.6"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_fails_is_no_backup_and_says_why() {
    let major = "pg_dump (PostgreSQL) $(ls /usr/lib/postgresql | sort -n | tail -1).0";
    let dump = format!(
        "[ \"$1\" = --version ] && echo \"{major}\" && exit 0\n\
         for a; do case $a in --file=*) mkdir \"${{a#--file=}}\"; echo PGDMP > \"${{a#--file=}}/toc.dat\";; esac; done\n\
         echo 'pg_dump: error: the moon is full' >&2; exit 1"
    );
    let (fixture, _programs) = with_programs(&dump, "exit 1");
    let problem = problem(create_with(&fixture.backups).await);
    assert_eq!(problem.code, ErrorCode::ToolFailed);
    assert!(
        problem.detail.contains("exit status 1") && problem.detail.contains("the moon is full"),
        "{problem:?}"
    );
    assert_eq!(fixture.files(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_without_showing_it() {
    let fixture = Fixture::small();
    let backups = fixture.signed_in_as(PostgresServer::USER, "wrong-and-secret");
    let error = create_with(&backups).await.unwrap_err();
    assert!(!format!("{error:?}").contains("wrong-and-secret"));
    let problem = problem::<()>(Err(error));
    assert_eq!(problem.code, ErrorCode::DatabaseUnavailable);
    assert!(problem.detail.contains("refuses the sign-in"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_database_is_told_and_backups_are_listed_all_the_same() {
    let mut fixture = Fixture::small();
    let backup = fixture.create().await;
    fixture.server.stop_immediately();
    let problem = problem(create_with(&fixture.backups).await);
    assert_eq!(problem.code, ErrorCode::DatabaseUnavailable);
    assert_eq!(fixture.backups.list().await.unwrap().len(), 1);
    let report =
        fixture.backups.verify(&backup.filename, Default::default(), &Unwatched::new()).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_during_a_dump_leaves_no_backup() {
    let mut fixture = Fixture::small();
    let gate = Gate::new(&fixture);
    let backups = fixture.another(|settings| settings.tool_directories = gate.programs());
    let making = tokio::spawn(async move { create_with(&backups).await });
    gate.open_into_a_lock(&fixture).await;
    fixture.server.stop_immediately();
    let problem = problem(making.await.unwrap());
    assert_eq!(problem.code, ErrorCode::DatabaseUnavailable, "{problem:?}");
    assert_eq!(fixture.files(), Vec::<String>::new());
    fixture.server.restart();
    assert!(fixture.create().await.size_bytes > 0, "the next backup works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_during_a_load_stays_what_it_was() {
    let mut fixture = Fixture::small();
    slow_to_load(&fixture);
    let backup = fixture.create().await;
    let (dump, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    let backups = fixture.another(|_| {});
    let name = backup.filename.clone();
    let restoring = tokio::spawn(async move {
        let context = Unwatched::new();
        let lock = backups.lock(OperationKind::Restore, context.id(), &Actor::new("test")).await?;
        backups.restore(&lock, &name, &context).await
    });
    until(&fixture, LOAD_RUNS).await;
    fixture.server.stop_immediately();
    let problem = problem(restoring.await.unwrap());
    assert_eq!(problem.code, ErrorCode::DatabaseUnavailable, "{problem:?}");

    fixture.server.restart();
    let context = Unwatched::new();
    let lock = fixture.lock(OperationKind::Restore, &context).await;
    let done = fixture.backups.reconcile(&lock, &[]).await.unwrap().done;
    assert_eq!(done.len(), 1, "{done:?}");
    fixture.assert_untouched(&dump, &files);
}
