//! A world that does not play along: missing programs, full disks, servers that die.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, sync::Arc};

use recovery_backup::{BackupError, BackupService, BackupSettings};
use recovery_core::{
    Actor, BackupKind, ErrorCode, OperationKind, Problem,
    port::{OperationContext, SystemClock, Unwatched},
};
use recovery_process::ProcessRunner;
use recovery_store::PostgresDatabase;
use recovery_testkit::{MemoryDocuments, servers::PostgresServer};

use crate::{
    cancel::{Gate, LOAD_RUNS, slow_to_load, until},
    fixture::{DATABASE, Fixture},
};

fn problem<T: std::fmt::Debug>(result: Result<T, BackupError>) -> Problem {
    let problem = Problem::from(result.unwrap_err());
    assert!(problem.hint.is_some(), "{problem:?}");
    problem
}

async fn create_with(backups: &BackupService) -> Result<(), BackupError> {
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
    let mut target = fixture.server.target(DATABASE);
    target.password = Some("wrong-and-secret".into());
    let backups = BackupService::new(
        BackupSettings::new(fixture.directory.path()),
        Arc::new(PostgresDatabase::new(Some(target))),
        Arc::new(ProcessRunner::new()),
        Arc::new(MemoryDocuments::default()),
        Arc::new(SystemClock),
    );
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

/// A small file system of its own, unmounted when the test ends.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = Self(directory);
        disk.run("mount", &["-t", "tmpfs", "-o", options, "tmpfs"]);
        disk
    }

    fn run(&self, program: &str, args: &[&str]) {
        let done = Command::new(program).args(args).arg(self.0.path()).status().unwrap();
        assert!(done.success(), "{program} {args:?}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.run("umount", &["--lazy"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_leaves_no_partial_backup() {
    let disk = SmallDisk::mount("size=24m");
    let fixture = Fixture::small();
    fixture.sql("CREATE TABLE big AS SELECT md5(i::text) || md5((i + 1)::text) AS t FROM generate_series(1, 600000) i");
    let backups = fixture.another(|settings| {
        settings.directory = disk.0.path().to_owned();
        settings.compression = recovery_backup::Compression::None;
    });
    let problem = problem(create_with(&backups).await);
    assert_eq!(problem.code, ErrorCode::InsufficientStorage, "{problem:?}");
    let left: Vec<_> = fs::read_dir(disk.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".lock")), "{left:?}");
    assert_eq!(fixture.sql("SELECT count(*) FROM big").trim(), "600000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_found_before_anything_is_written() {
    let disk = SmallDisk::mount("size=2m");
    let fixture = Fixture::small();
    let backups = fixture.another(|settings| settings.directory = disk.0.path().to_owned());
    let problem = problem(create_with(&backups).await);
    assert_eq!(problem.code, ErrorCode::InsufficientStorage);
    assert!(problem.detail.contains("are free"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_directory_is_told_and_its_backups_can_still_be_used() {
    let disk = SmallDisk::mount("size=64m");
    let fixture = Fixture::small();
    let backups = fixture.another(|settings| settings.directory = disk.0.path().to_owned());
    create_with(&backups).await.unwrap();
    disk.run("mount", &["-o", "remount,ro"]);
    let problem = problem(create_with(&backups).await);
    assert_eq!(problem.code, ErrorCode::StorageUnavailable);
    let name = backups.list().await.unwrap().remove(0).filename;
    let report = backups.verify(&name, Default::default(), &Unwatched::new()).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    fixture.sql("DELETE FROM messages");
    let context = Unwatched::new();
    let lock = backups.lock(OperationKind::Restore, context.id(), &Actor::new("test")).await.unwrap();
    backups.restore(&lock, &name, &context).await.unwrap();
    assert_eq!(fixture.count("messages"), 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_can_be_freed_by_deleting_a_backup() {
    let disk = SmallDisk::mount("size=64m");
    let fixture = Fixture::small();
    let backups = fixture.another(|settings| settings.directory = disk.0.path().to_owned());
    create_with(&backups).await.unwrap();
    let filler = disk.0.path().join("filler");
    let full = fs::write(&filler, vec![0; 80 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    fs::remove_file(disk.0.path().join(".lock")).unwrap();
    let name = backups.list().await.unwrap().remove(0).filename;
    let context = Unwatched::new();
    let actor = Actor::new("test");
    let lock = backups.lock_directory(OperationKind::DeleteBackup, context.id(), &actor).await.unwrap();
    backups.delete(&lock, &name).await.unwrap();
    assert!(backups.list().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_root_makes_belongs_to_the_owner_of_the_directory_and_links_are_not_followed() {
    use std::os::unix::fs::{MetadataExt, chown, symlink};
    let fixture = Fixture::small();
    chown(fixture.directory.path(), Some(65534), Some(65534)).unwrap();
    let name = fixture.create().await.filename;
    for file in [fixture.path(&name), fixture.directory.path().join(".lock")] {
        assert_eq!(fs::metadata(&file).unwrap().uid(), 65534, "{}", file.display());
    }
    let precious = tempfile::NamedTempFile::new().unwrap();
    fs::remove_file(fixture.directory.path().join(".lock")).unwrap();
    symlink(precious.path(), fixture.directory.path().join(".lock")).unwrap();
    assert_eq!(problem(create_with(&fixture.backups).await).code, ErrorCode::StorageUnavailable);
    assert_eq!(fs::metadata(precious.path()).unwrap().uid(), 0);
}
