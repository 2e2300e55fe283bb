//! Which backups stay: retention and pins, with a clock of the test's own over a pretended database.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use recovery_backup::{BackupError, BackupService, BackupSettings, RetentionPolicy, RetentionReport};
use recovery_core::{
    Actor, BackupInfo, BackupKind, BackupName, ErrorCode, OperationKind, Problem, Verification, VerifyLevel,
    database::PostgresVersion,
    port::{DocumentStore, OperationContext as _, Unwatched},
};
use recovery_testkit::{FakeClock, FakeDatabase, FakePostgresTools, FakeRunner, MemoryDocuments};
use time::macros::datetime;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

struct World {
    backups: BackupService,
    documents: Arc<MemoryDocuments>,
    clock: FakeClock,
    directory: tempfile::TempDir,
}

impl World {
    /// Keeps two checkpoints, and manual backups for thirty days.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let documents = Arc::new(MemoryDocuments::new());
        let clock = FakeClock::new(datetime!(2026-06-30 12:00 UTC));
        let backups = service(&directory, &documents, &clock);
        Self { backups, documents, clock, directory }
    }

    /// Another instance on the same directory, as another process would be.
    fn another(&self) -> BackupService {
        service(&self.directory, &self.documents, &self.clock)
    }

    /// Makes a backup and removes what has had its time.
    async fn make(&self, kind: BackupKind) -> (BackupInfo, RetentionReport) {
        let context = Unwatched::new();
        let lock = self.backups.lock(OperationKind::Backup, context.id(), &Actor::new("test")).await.unwrap();
        let info = self.backups.create(&lock, kind, &context).await.unwrap();
        let report = self.backups.retain(&lock, &info.filename, &context).await.unwrap();
        (info, report)
    }

    /// Makes a checkpoint an hour after what was before.
    async fn checkpoint(&self) -> BackupName {
        self.clock.advance(HOUR);
        self.make(BackupKind::Checkpoint).await.0.filename
    }

    async fn delete(&self, name: &BackupName) -> Result<(), BackupError> {
        let context = Unwatched::new();
        let lock = self
            .backups
            .lock_directory(OperationKind::DeleteBackup, context.id(), &Actor::new("test"))
            .await
            .unwrap();
        self.backups.delete(&lock, name).await
    }

    async fn names(&self) -> Vec<BackupName> {
        self.backups.list().await.unwrap().into_iter().map(|backup| backup.filename).collect()
    }

    fn path(&self, name: &BackupName) -> PathBuf {
        self.directory.path().join("backups").join(name.as_str())
    }
}

fn service(
    directory: &tempfile::TempDir,
    documents: &Arc<MemoryDocuments>,
    clock: &FakeClock,
) -> BackupService {
    let database = FakeDatabase::new("nova");
    database.set_rows("public.notes", 3);
    let runner = FakeRunner::new();
    FakePostgresTools::new(&database, PostgresVersion(150_018))
        .install(&runner, "/usr/lib/postgresql/15/bin");
    let settings = BackupSettings {
        jobs: 1,
        temporary_directory: directory.path().to_owned(),
        tool_directories: vec!["/usr/lib/postgresql/15/bin".into()],
        retention: RetentionPolicy { checkpoints: 2, safety: 1, manual: Some(DAY * 30) },
        ..BackupSettings::new(directory.path().join("backups"))
    };
    let documents: Arc<dyn DocumentStore> = documents.clone();
    BackupService::new(settings, Arc::new(database), Arc::new(runner), documents, Arc::new(clock.clone()))
}

#[tokio::test]
async fn what_has_had_its_time_goes_after_a_success() {
    let world = World::new();
    let manual = world.make(BackupKind::Manual).await.0.filename;
    let newer_manual = {
        world.clock.advance(DAY);
        world.make(BackupKind::Manual).await.0.filename
    };
    let first = world.checkpoint().await;
    let second = world.checkpoint().await;
    world.clock.advance(DAY * 31);
    let third = world.checkpoint().await;
    assert_eq!(world.names().await, [&third, &second, &newer_manual, &manual].map(Clone::clone));
    assert!(!world.path(&first).exists());
    // Ages count up to the backup before.
    world.clock.advance(HOUR);
    let (fourth, report) = world.make(BackupKind::Checkpoint).await;
    assert_eq!(world.names().await, [fourth.filename, third, newer_manual]);
    let told: Vec<String> =
        report.removed.iter().map(|removal| format!("{}: {}", removal.filename, removal.why)).collect();
    assert_eq!(
        told,
        [format!("{second}: there are 2 newer checkpoints"), format!("{manual}: it is older than 30 days")]
    );
}

#[tokio::test]
async fn a_backup_that_somebody_reads_stays_until_the_next_success() {
    let world = World::new();
    let first = world.checkpoint().await;
    let second = world.checkpoint().await;
    let reading = world.another().open(&first).await.unwrap();
    world.clock.advance(HOUR);
    let (third, report) = world.make(BackupKind::Checkpoint).await;
    assert_eq!(report.spared.len(), 1, "{report:?}");
    assert_eq!(world.names().await, [third.filename.clone(), second, first]);
    drop(reading);
    let fourth = world.checkpoint().await;
    assert_eq!(world.names().await, [fourth, third.filename]);
}

#[tokio::test]
async fn a_pinned_backup_stays_until_it_is_unpinned() {
    let world = World::new();
    let first = world.checkpoint().await;
    assert!(!world.backups.find(&first).await.unwrap().pinned);
    assert!(world.backups.set_pinned(&first, true).await.unwrap().pinned);
    let second = world.checkpoint().await;
    let third = world.checkpoint().await;
    let fourth = world.checkpoint().await;
    assert_eq!(world.names().await, [fourth.clone(), third, first.clone()]);
    assert!(!world.path(&second).exists());

    let problem = Problem::from(world.delete(&first).await.unwrap_err());
    assert_eq!(problem.code, ErrorCode::Conflict);
    assert!(problem.hint.unwrap().contains("unpin"));
    assert!(world.path(&first).exists());

    // It is told by every instance, and a check leaves it as it is.
    world.another().verify(&first, VerifyLevel::Contents, &Unwatched::new()).await.unwrap();
    let listed = world.another().list().await.unwrap();
    let pinned: Vec<&BackupName> =
        listed.iter().filter(|backup| backup.pinned).map(|backup| &backup.filename).collect();
    assert_eq!(pinned, [&first]);

    assert!(!world.another().set_pinned(&first, false).await.unwrap().pinned);
    let fifth = world.checkpoint().await;
    assert_eq!(world.names().await, [fifth.clone(), fourth]);
    world.delete(&fifth).await.unwrap();
}

#[tokio::test]
async fn only_what_there_is_can_be_pinned() {
    let world = World::new();
    let name: BackupName = "nova-backup-2026-01-31_23-59-59.tar".parse().unwrap();
    for pinned in [true, false] {
        let error = world.backups.set_pinned(&name, pinned).await.unwrap_err();
        assert!(matches!(error, BackupError::NotFound { .. }), "{error:?}");
    }
    assert!(!world.directory.path().join("backups").exists());
}

#[tokio::test]
async fn a_pin_goes_with_its_file() {
    let world = World::new();
    let first = world.checkpoint().await;
    world.backups.set_pinned(&first, true).await.unwrap();
    let copy = fs::read(world.path(&first)).unwrap();
    fs::remove_file(world.path(&first)).unwrap();
    // A name that was pinned is not given to another backup.
    world.clock.set(first.created_at());
    let second = world.make(BackupKind::Checkpoint).await.0.filename;
    assert_eq!(second.attempt(), 2, "{second}");
    world.backups.set_pinned(&second, false).await.unwrap();
    fs::write(world.path(&first), copy).unwrap();
    assert!(!world.backups.find(&first).await.unwrap().pinned);
}

#[tokio::test]
async fn a_pin_outlives_a_disk_that_is_not_mounted() {
    let world = World::new();
    let first = world.checkpoint().await;
    world.backups.set_pinned(&first, true).await.unwrap();
    let (mounted, away) = (world.directory.path().join("backups"), world.directory.path().join("away"));
    fs::rename(&mounted, &away).unwrap();
    let stray = world.checkpoint().await;
    world.backups.set_pinned(&stray, true).await.unwrap();
    fs::rename(&mounted, world.directory.path().join("bare")).unwrap();
    fs::rename(&away, &mounted).unwrap();
    assert!(world.backups.find(&first).await.unwrap().pinned);
}

#[tokio::test]
async fn while_the_pins_cannot_be_read_nothing_goes() {
    let world = World::new();
    let first = world.checkpoint().await;
    world.checkpoint().await;
    world.backups.set_pinned(&first, true).await.unwrap();
    world.documents.put("pins.json", b"not a list of pins").await.unwrap();
    world.clock.advance(HOUR);
    let context = Unwatched::new();
    let lock = world.backups.lock(OperationKind::Backup, context.id(), &Actor::new("test")).await.unwrap();
    let made = world.backups.create(&lock, BackupKind::Checkpoint, &context).await.unwrap();
    let refused = world.backups.retain(&lock, &made.filename, &context).await;
    assert!(matches!(refused, Err(BackupError::State(_))), "{refused:?}");
    drop(lock);
    assert!(matches!(world.delete(&first).await, Err(BackupError::State(_))));
    assert_eq!(world.names().await.len(), 3);
}

#[tokio::test]
async fn one_that_is_found_bad_makes_the_older_good_one_stay() {
    let world = World::new();
    let first = world.checkpoint().await;
    let second = world.checkpoint().await;
    let mut bytes = fs::read(world.path(&second)).unwrap();
    let last = bytes.len() - 2000;
    bytes[last] ^= 1;
    fs::write(world.path(&second), bytes).unwrap();
    let report = world.backups.verify(&second, VerifyLevel::Hashes, &Unwatched::new()).await.unwrap();
    assert_eq!(report.verification, Verification::Failed);
    let third = world.checkpoint().await;
    assert_eq!(world.names().await, [third.clone(), second.clone(), first.clone()]);
    let fourth = world.checkpoint().await;
    assert_eq!(world.names().await, [fourth, third, second], "the bad one stays to be looked at");
}

#[tokio::test]
async fn a_clock_that_is_set_back_between_two_backups_overwrites_and_removes_nothing() {
    let world = World::new();
    let first = world.checkpoint().await;
    let bytes = fs::read(world.path(&first)).unwrap();
    // To the very second of the first one.
    world.clock.set(first.created_at());
    let again = world.make(BackupKind::Checkpoint).await.0.filename;
    assert_eq!((again.created_at(), again.attempt()), (first.created_at(), 2));
    assert_eq!(world.names().await, [&again, &first].map(Clone::clone), "the second one is the newer");
    assert!(fs::read(world.path(&first)).unwrap() == bytes, "the first one is as it was");

    // By a month: two seem to come from the future, and what is made now stays.
    world.clock.set(first.created_at() - DAY * 30);
    let earlier = world.checkpoint().await;
    let next = world.checkpoint().await;
    assert_eq!(world.names().await, [&again, &first, &next, &earlier].map(Clone::clone));
    // Among themselves they are counted as ever.
    let last = world.checkpoint().await;
    assert_eq!(world.names().await, [&again, &first, &last, &next].map(Clone::clone));
    // When the time of the first two has come again, they count too.
    world.clock.set(first.created_at() + HOUR);
    let present = world.checkpoint().await;
    assert_eq!(world.names().await, [present, again]);
}

#[tokio::test]
async fn after_a_leap_of_the_clock_one_success_removes_no_manual_backup() {
    let world = World::new();
    let manual = world.make(BackupKind::Manual).await.0.filename;
    world.clock.advance(DAY);
    let newer = world.make(BackupKind::Manual).await.0.filename;
    world.clock.advance(DAY * 3650);
    let leapt = world.make(BackupKind::Checkpoint).await.0.filename;
    assert_eq!(world.names().await, [leapt, newer, manual]);
}
