//! Directories that belong to a backup: they come back with their rows, go with them, and nothing else happens to them.
//! Some of these tests mount, so they run as root.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use recovery_backup::{BackupError, BackupService, IncludedDirectory};
use recovery_core::{
    Actor, BackupKind, OperationId, OperationKind, Problem, Progress,
    port::{Cancelled, OperationContext, StateError, Unwatched},
};
use recovery_testkit::servers::PostgresServer;
use serde_json::Value;
use tokio::sync::Notify;

use crate::fixture::{DATABASE, Fixture};

/// A database with a table of files, and the directory that they are in.
pub(crate) struct World {
    pub fixture: Fixture,
    pub place: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let include = vec![include("sources", &place.path().join("sources"))];
        let fixture = Fixture::on(PostgresServer::start(), |settings| settings.include = include);
        fixture.sql("CREATE TABLE files (name text PRIMARY KEY)");
        fs::create_dir(place.path().join("sources")).unwrap();
        let world = Self { fixture, place };
        world.add("old");
        world
    }

    fn sources(&self) -> PathBuf {
        self.place.path().join("sources")
    }

    /// A file and its row.
    pub(crate) fn add(&self, name: &str) {
        fs::write(self.sources().join(name), name).unwrap();
        self.fixture.sql(&format!("INSERT INTO files VALUES ('{name}')"));
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.sources().join(name)).unwrap();
        self.fixture.sql(&format!("DELETE FROM files WHERE name = '{name}'"));
    }

    /// What is in the directory, which must be what is in the table.
    pub(crate) fn holds(&self) -> Vec<String> {
        let files = self.files();
        let rows = self.fixture.sql("SELECT name FROM files ORDER BY 1");
        assert_eq!(files, rows.lines().collect::<Vec<_>>(), "the files and their rows");
        files
    }

    fn files(&self) -> Vec<String> {
        let mut names = names(&self.sources());
        names.retain(|name| !name.starts_with(".recovery-"));
        names
    }

    /// Everything that restores have put beside the directory or at the top of it.
    pub(crate) fn traces(&self) -> Vec<String> {
        let mut traces = names(self.place.path());
        traces.retain(|name| name != "sources");
        traces.extend(names(&self.sources()).into_iter().filter(|name| name.starts_with(".recovery-")));
        traces
    }

    /// Another instance, after a restart.
    pub(crate) fn restarted(&self) -> BackupService {
        self.fixture.another(|settings| settings.include = vec![include("sources", &self.sources())])
    }
}

fn include(name: &str, path: &Path) -> IncludedDirectory {
    IncludedDirectory { name: name.parse().unwrap(), path: path.to_owned() }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Something that is mounted until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(on: &Path, size: &str) -> Self {
        let options = format!("size={size}");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(on).status();
        assert!(status.unwrap().success(), "these tests mount, as root");
        Self(on.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

type Act = Box<dyn Fn() + Send + Sync>;

/// A context that acts at a moment of its operation: does something when a phase begins, or stops for ever, as a crash
/// does, when a step is to be written down.
pub(crate) struct Staged {
    id: OperationId,
    phase: Option<(&'static str, Act)>,
    stop_at: Option<&'static str>,
    stopped: Arc<Notify>,
}

impl Staged {
    pub(crate) fn at_phase(phase: &'static str, act: impl Fn() + Send + Sync + 'static) -> Self {
        let stopped = Arc::default();
        Self { id: OperationId::new(), phase: Some((phase, Box::new(act))), stop_at: None, stopped }
    }

    pub(crate) fn stopping_at(step: &'static str) -> Self {
        Self { id: OperationId::new(), phase: None, stop_at: Some(step), stopped: Arc::default() }
    }

    /// Told when it stops.
    pub(crate) fn stopped(&self) -> Arc<Notify> {
        Arc::clone(&self.stopped)
    }
}

#[async_trait]
impl OperationContext for Staged {
    fn id(&self) -> OperationId {
        self.id
    }

    fn report(&self, progress: Progress) {
        if let Some((phase, act)) = &self.phase
            && progress.phase == *phase
        {
            act();
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    async fn cancelled(&self) {
        std::future::pending::<()>().await;
    }

    fn seal(&self) -> Result<(), Cancelled> {
        Ok(())
    }

    async fn record(&self, step: &str, _facts: Value) -> Result<(), StateError> {
        if self.stop_at == Some(step) {
            self.stopped.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

async fn there_and_back(world: &World, kept_beside: bool) {
    let backup = world.fixture.create().await;
    assert_eq!(backup.warnings, Vec::<String>::new());
    assert_eq!(
        (backup.files[0].name.as_str(), backup.files[0].files, backup.files[0].bytes),
        ("sources", 1, 3)
    );
    world.add("new");
    world.remove("old");

    let report = world.fixture.restore(&backup.filename).await.unwrap();
    assert_eq!(world.holds(), ["old"]);
    assert_eq!(report.warnings, Vec::<String>::new());
    let kept = &report.files[0].kept_as;
    assert_eq!(kept.starts_with("sources.before-"), kept_beside, "{kept}");
    assert_eq!(world.traces(), [kept.as_str()]);

    let context = Unwatched::new();
    let lock = world.fixture.lock(OperationKind::Rollback, &context).await;
    let listed = world.fixture.backups.replaced().await.unwrap();
    assert_eq!(listed[0].files[0].name.as_str(), "sources");
    let back = world.fixture.backups.rollback(&lock, report.id, &context).await.unwrap();
    assert_eq!(world.holds(), ["new"], "the files came back with the rows");
    assert_eq!((back.files.len(), back.warnings.len()), (1, 0));
    let context = Unwatched::new();
    let again = world.fixture.backups.rollback(&lock, back.id, &context).await.unwrap();
    assert_eq!(world.holds(), ["old"], "a rollback can be taken back as well");

    world.fixture.backups.drop_replaced(&lock, again.id, &context).await.unwrap();
    assert_eq!(world.traces(), Vec::<String>::new(), "files that were kept go with their database");
    assert_eq!(world.holds(), ["old"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_back_with_their_rows_and_a_rollback_takes_both_back() {
    there_and_back(&World::new(), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_do_where_the_directory_is_a_mount_point() {
    let world = World::new();
    let _mounted = Mounted::tmpfs(&world.sources(), "64m");
    fs::write(world.sources().join("old"), "old").unwrap();
    there_and_back(&world, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_of_a_backup_is_without_its_file() {
    let world = World::new();
    // Both come after the snapshot; the row is too late for the backup, the file is not.
    let path = world.sources().join("late");
    let context = Staged::at_phase("archiving", move || fs::write(&path, "late").unwrap());
    let backup = world.fixture.try_create(&context).await.unwrap();
    world.fixture.sql("INSERT INTO files VALUES ('late')");
    world.fixture.restore(&backup.filename).await.unwrap();
    assert_eq!(world.files(), ["late", "old"]);
    assert_eq!(world.fixture.count("files"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_without_files_leaves_directories_alone() {
    let world = World::new();
    let without = world.fixture.another(|_| {});
    let context = Unwatched::new();
    let lock = without.lock(OperationKind::Backup, context.id(), &Actor::new("test")).await.unwrap();
    let plain = without.create(&lock, BackupKind::Manual, &context).await.unwrap();
    let manifest = without.manifest(&plain.filename).await.unwrap();
    assert_eq!(manifest.format_version, 1, "an archive without files is of the format that it always was");
    drop(lock);
    fs::write(world.sources().join("new"), "").unwrap();
    let report = world.fixture.restore(&plain.filename).await.unwrap();
    assert_eq!((report.files.len(), report.warnings.len()), (0, 0));
    assert_eq!((world.files(), world.traces().len()), (vec!["new".to_owned(), "old".to_owned()], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_included_on_one_side_only_is_left_alone_and_named() {
    let world = World::new();
    let backup = world.fixture.create().await;
    world.add("new");
    let other = world.place.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("untouched"), "").unwrap();
    let elsewhere = world.fixture.another(|settings| settings.include = vec![include("memory", &other)]);
    let context = Unwatched::new();
    let lock = elsewhere.lock(OperationKind::Restore, context.id(), &Actor::new("test")).await.unwrap();
    let report = elsewhere.restore(&lock, &backup.filename, &context).await.unwrap();
    assert_eq!(report.files, []);
    assert_eq!(
        report.warnings,
        [
            "The backup has no files of memory; that directory is left as it is.",
            "The 1 file(s) of sources are not restored: BACKUP_INCLUDE names no directory for them here."
        ]
    );
    assert_eq!((names(&other), world.files().len()), (vec!["untouched".to_owned()], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_directory_is_no_reason_to_have_no_backup_and_is_not_restored_as_an_empty_one() {
    let world = World::new();
    let away = world.place.path().join("away");
    fs::rename(world.sources(), &away).unwrap();
    let backup = world.fixture.create().await;
    assert_eq!(backup.files, []);
    assert!(backup.warnings[0].starts_with("sources: the directory cannot be read"), "{:?}", backup.warnings);
    fs::rename(&away, world.sources()).unwrap();
    world.fixture.restore(&backup.filename).await.unwrap();
    assert_eq!(world.holds(), ["old"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_fails_leaves_files_and_rows_as_they_were() {
    let world = World::new();
    let backup = world.fixture.create().await;
    world.add("new");
    let before = world.fixture.server.pg_dump_text(DATABASE);
    let files = world.fixture.files();
    for phase in ["loading", "comparing and analyzing"] {
        let context = recovery_testkit::RecordingContext::new().cancel_at_phase(phase);
        let failed = world.fixture.restore_in(&backup.filename, &context).await.unwrap_err();
        assert!(matches!(failed, BackupError::Cancelled(_)), "{failed}");
        assert_eq!(world.holds(), ["new", "old"]);
        assert_eq!(world.traces(), Vec::<String>::new(), "cancelled at {phase}");
    }
    world.fixture.assert_untouched(&before, &files);

    // Something that cannot be switched is found before anything is done.
    let inner = world.sources().join("inner");
    fs::create_dir(&inner).unwrap();
    let mounted = Mounted::tmpfs(&inner, "1m");
    let problem = Problem::from(world.fixture.restore(&backup.filename).await.unwrap_err());
    assert!(
        problem.detail.contains("something is mounted inside it") && problem.hint.is_some(),
        "{problem:?}"
    );
    drop(mounted);
    fs::remove_dir(&inner).unwrap();
    world.fixture.assert_untouched(&before, &files);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_room_for_the_files_is_found_before_anything_is_done() {
    let world = World::new();
    fs::write(world.sources().join("large"), vec![b'x'; 4 << 20]).unwrap();
    let backup = world.fixture.create().await;
    fs::remove_dir_all(world.sources()).unwrap();
    fs::create_dir(world.sources()).unwrap();
    let _mounted = Mounted::tmpfs(&world.sources(), "3m");
    let before = world.fixture.server.pg_dump_text(DATABASE);
    let problem = Problem::from(world.fixture.restore(&backup.filename).await.unwrap_err());
    assert_eq!(problem.code, recovery_core::ErrorCode::InsufficientStorage, "{problem:?}");
    assert_eq!(world.traces(), Vec::<String>::new());
    world.fixture.assert_untouched(&before, &[backup.filename.to_string()]);
}

/// Cuts a restore off at a step, starts again, and says what was found and done.
async fn cut_off_at(world: &World, step: &'static str) -> Vec<String> {
    let backup = world.fixture.create().await;
    world.add("new");
    world.remove("old");
    let context = Staged::stopping_at(step);
    let stopped = Arc::clone(&context.stopped);
    let lock = world.fixture.lock(OperationKind::Restore, &context).await;
    tokio::select! {
        done = world.fixture.backups.restore(&lock, &backup.filename, &context) => panic!("not stopped: {done:?}"),
        () = stopped.notified() => {}
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("{step} was not reached"),
    }
    drop(lock);
    let restarted = world.restarted();
    let context = Unwatched::new();
    let lock = restarted.lock(OperationKind::Restore, context.id(), &Actor::service()).await.unwrap();
    let done = restarted.reconcile(&lock, &[]).await.unwrap().done;
    assert_eq!(restarted.reconcile(&lock, &[]).await.unwrap().done, Vec::<String>::new(), "once is enough");
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_before_the_swap_files_stay_like_the_database() {
    let world = World::new();
    let done = cut_off_at(&world, "swapping").await;
    assert_eq!(world.holds(), ["new"], "{done:?}");
    assert_eq!(world.traces(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_after_the_swap_files_follow_the_database() {
    for step in ["swapped", "switching files", "switched files"] {
        let world = World::new();
        let done = cut_off_at(&world, step).await;
        assert_eq!(world.holds(), ["old"], "{step}: {done:?}");
        assert!(done.iter().any(|words| words.contains("the files of sources followed")), "{step}: {done:?}");
        let restarted = world.restarted();
        let restore = restarted.replaced().await.unwrap().remove(0);
        let context = Unwatched::new();
        let lock = restarted.lock(OperationKind::Rollback, context.id(), &Actor::new("test")).await.unwrap();
        restarted.rollback(&lock, restore.id, &context).await.unwrap();
        assert_eq!(world.holds(), ["new"], "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_is_cut_off_is_finished_and_loses_nothing() {
    let world = World::new();
    let backup = world.fixture.create().await;
    world.add("new");
    world.remove("old");
    let report = world.fixture.restore(&backup.filename).await.unwrap();
    for (step, expected) in [("swapping", "old"), ("switching files", "new")] {
        let context = Staged::stopping_at(step);
        let stopped = Arc::clone(&context.stopped);
        let lock = world.fixture.lock(OperationKind::Rollback, &context).await;
        tokio::select! {
            done = world.fixture.backups.rollback(&lock, report.id, &context) => panic!("not stopped: {done:?}"),
            () = stopped.notified() => {}
        }
        drop(lock);
        let restarted = world.restarted();
        let context = Unwatched::new();
        let lock = restarted.lock(OperationKind::Rollback, context.id(), &Actor::service()).await.unwrap();
        restarted.reconcile(&lock, &[]).await.unwrap();
        assert_eq!(world.holds(), [expected], "cut off at {step}");
        assert_eq!(world.traces().len(), 1, "{:?}", world.traces());
    }
}
