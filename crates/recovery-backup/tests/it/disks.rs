//! Disks that are full, fill up or can only be read. They are real ones, small and mounted for the test, so these tests
//! need root and fail where they cannot have it.

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command};

use recovery_backup::BackupError;
use recovery_core::{
    Actor, ErrorCode, OperationKind, Problem, Verification,
    port::{OperationContext, Unwatched},
};

use crate::{
    faults::{create_with, problem, script},
    fixture::{DATABASE, Fixture},
    legacy::{self, dump, gzip, tar},
};

/// A small file system of its own, unmounted when the test ends.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn mount(options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = Self(directory);
        disk.run("mount", &["-t", "tmpfs", "-o", options, "tmpfs"]);
        disk
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, program: &str, args: &[&str]) {
        let done = Command::new(program).args(args).arg(self.0.path()).status().unwrap();
        assert!(done.success(), "{program} {args:?}");
    }

    fn assert_holds_only_locks(&self) {
        let left: Vec<_> =
            fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".lock")), "{left:?}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.run("umount", &["--lazy"]);
    }
}

/// A table whose dump, uncompressed, has so many rows of 66 bytes.
fn large_table(fixture: &Fixture, rows: u32) {
    fixture.sql(&format!(
        "CREATE TABLE big AS SELECT md5(i::text) || md5((i + 1)::text) AS t FROM generate_series(1, {rows}) i"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_is_ended_before_the_disk_is_full() {
    let disk = SmallDisk::mount("size=40m");
    let programs = tempfile::tempdir().unwrap();
    let fixture = Fixture::small();
    let real = fixture.server.programs().display();
    // It leaves 3 MB, on which it would get on without an error for a long time.
    let dump = format!(
        "[ \"$1\" = --version ] && exec {real}/pg_dump --version\n\
         for a; do case $a in --file=*) mkdir \"${{a#--file=}}\"; head -c 37M /dev/zero > \"${{a#--file=}}/1.dat\";; esac; done\n\
         exec sleep 600"
    );
    script(programs.path(), "pg_dump", &dump);
    script(programs.path(), "pg_restore", &format!("exec {real}/pg_restore \"$@\""));
    let backups = fixture.another(|settings| {
        settings.directory = disk.path().to_owned();
        settings.tool_directories = vec![programs.path().to_owned()];
    });
    let error = create_with(&backups).await.unwrap_err();
    assert!(matches!(error, BackupError::SpaceRunsOut { available } if available > 0), "{error:?}");
    assert_eq!(problem::<()>(Err(error)).code, ErrorCode::InsufficientStorage);
    disk.assert_holds_only_locks();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_leaves_no_partial_backup() {
    let disk = SmallDisk::mount("size=40m");
    let fixture = Fixture::small();
    large_table(&fixture, 600_000);
    let backups = fixture.another(|settings| {
        settings.directory = disk.0.path().to_owned();
        settings.compression = recovery_backup::Compression::None;
    });
    let problem = problem(create_with(&backups).await);
    assert_eq!(problem.code, ErrorCode::InsufficientStorage, "{problem:?}");
    disk.assert_holds_only_locks();
    assert_eq!(fixture.sql("SELECT count(*) FROM big").trim(), "600000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_holds_the_dump_and_not_the_archive_leaves_no_partial_backup() {
    let disk = SmallDisk::mount("size=24m");
    let fixture = Fixture::small();
    large_table(&fixture, 230_000);
    let backups = fixture.another(|settings| {
        settings.directory = disk.0.path().to_owned();
        settings.compression = recovery_backup::Compression::None;
    });
    let problem = problem(create_with(&backups).await);
    assert_eq!(problem.code, ErrorCode::InsufficientStorage, "{problem:?}");
    // The disk is looked at now and then; it may be full before.
    let words = ["write the archive", "nearly full"];
    assert!(words.iter().any(|words| problem.detail.contains(words)), "{problem:?}");
    disk.assert_holds_only_locks();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_backup_that_cannot_fit_is_refused_before_it_begins() {
    let disk = SmallDisk::mount("size=24m");
    let fixture = Fixture::small();
    large_table(&fixture, 600_000);
    let backups = fixture.another(|settings| {
        settings.directory = disk.path().to_owned();
        settings.compression = recovery_backup::Compression::None;
    });
    let context = recovery_testkit::RecordingContext::new();
    let lock = backups.lock(OperationKind::Backup, context.id(), &Actor::new("test")).await.unwrap();
    let problem = problem(backups.create(&lock, recovery_core::BackupKind::Manual, &context).await);
    assert_eq!(problem.code, ErrorCode::InsufficientStorage, "{problem:?}");
    assert_eq!(context.step_names(), Vec::<String>::new(), "nothing was dumped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_has_no_room_to_unpack_is_refused_before_it_begins() {
    let disk = SmallDisk::mount("size=48m");
    let fixture = Fixture::small();
    let backups = fixture.another(|settings| settings.directory = disk.0.path().to_owned());
    create_with(&backups).await.unwrap();
    let name = backups.list().await.unwrap().remove(0).filename;
    let dump = fixture.server.pg_dump_text(DATABASE);
    fs::write(disk.0.path().join("filler"), vec![0; 42 << 20]).unwrap();
    let context = Unwatched::new();
    let lock = backups.lock(OperationKind::Restore, context.id(), &Actor::new("test")).await.unwrap();
    let problem = problem(backups.restore(&lock, &name, &context).await);
    assert_eq!(problem.code, ErrorCode::InsufficientStorage, "{problem:?}");
    assert!(problem.detail.contains("are free"), "{problem:?}");
    fixture.assert_untouched(&dump, &[]);
    assert!(
        !fs::read_dir(disk.0.path())
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with(".partial") })
    );
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

/// The database's own files are on a disk that holds them once and not twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_disk_fills_up_in_a_restore_or_a_drill_is_told_and_keeps_what_it_had() {
    let disk = SmallDisk::mount("size=44m,mode=1777");
    let fixture = Fixture::empty();
    let place = disk.path().join("tablespace");
    fs::create_dir(&place).unwrap();
    let owner = fs::metadata(fixture.server.socket_directory()).unwrap();
    std::os::unix::fs::chown(&place, Some(owner.uid()), Some(owner.gid())).unwrap();
    fixture.server.psql("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", place.display()));
    fixture.server.psql("postgres", "ALTER DATABASE nova SET TABLESPACE small");
    large_table(&fixture, 200_000);
    let name = fixture.create().await.filename;
    let script = dump(&fixture.server, &[]);
    fs::write(fixture.path(&legacy::name()), gzip(&tar(&[("database.sql", &script)]))).unwrap();
    let (before, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    for name in [&name, &legacy::name()] {
        let problem = problem(fixture.restore(name).await);
        assert_eq!(problem.code, ErrorCode::InsufficientStorage, "{name}: {problem:?}");
        assert!(problem.hint.is_some(), "{problem:?}");
        fixture.assert_untouched(&before, &files);

        let context = Unwatched::new();
        let lock = fixture.lock(OperationKind::Drill, &context).await;
        let tried = fixture.backups.drill(&lock, name, &context).await;
        assert_eq!(
            tried.map(|_| ()).map_err(Problem::from).unwrap_err().code,
            ErrorCode::InsufficientStorage
        );
        fixture.assert_untouched(&before, &files);
    }
    let found = fixture.backups.find(&name).await.unwrap();
    assert_eq!(found.verification, Verification::Verified, "nothing was found wrong with it");
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
