//! Safety backups before a factory reset: they hold everything that it takes away, or there is none.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use recovery_backup::{BackupService, BackupSettings, IncludedDirectory, Manifest};
use recovery_core::{
    Actor, BackupInfo, BackupKind, ErrorCode, OperationKind, Problem, VerifyLevel,
    keys::KeySelection,
    port::{BackupMaker, Besides, OperationContext, Unwatched},
};
use recovery_testkit::{MemoryKeyValue, servers::PostgresServer};

use crate::fixture::{DATABASE, Fixture};

/// A database, an included directory, one that only a reset knows, and keys.
pub(crate) struct World {
    pub fixture: Fixture,
    pub place: tempfile::TempDir,
    pub keys: MemoryKeyValue,
}

/// The system's own database.
const OWN: u8 = 7;

impl World {
    pub(crate) fn new() -> Self {
        let (place, keys) = (tempfile::tempdir().unwrap(), MemoryKeyValue::new());
        for name in ["sources", "shots"] {
            fs::create_dir(place.path().join(name)).unwrap();
            fs::write(place.path().join(name).join("old"), name).unwrap();
        }
        let mut fixture = Fixture::on(PostgresServer::start(), |_| {});
        fixture.backups = service(&fixture, place.path(), &keys);
        fixture.sql("CREATE TABLE notes (note text); INSERT INTO notes VALUES ('old')");
        for number in 0..10 {
            keys.put(2, format!("task:{number}"), format!("payload {number}"));
        }
        keys.put(2, "task:kept", "kept");
        keys.put(2, "other", "other");
        keys.put(6, "odd\r\nkey", "\r\n*1\r\n$8\r\nFLUSHALL\r\n");
        Self { fixture, place, keys }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Everything that a reset of this world would take away.
    pub(crate) fn besides(&self) -> Besides {
        Besides {
            directories: vec![self.path("sources"), self.path("shots")],
            keys: vec![
                KeySelection {
                    database: 2,
                    patterns: vec!["task:*".into()],
                    except: vec!["task:kept".into()],
                },
                KeySelection::everything(6),
                KeySelection::everything(8),
            ],
        }
    }

    pub(crate) async fn safety_backup(&self, besides: &Besides) -> Result<BackupInfo, Problem> {
        let context = Unwatched::new();
        let lock = self.fixture.lock(OperationKind::Backup, &context).await;
        self.fixture.backups.under(&lock).safety_backup(besides, &context).await
    }
}

/// What a service of this world is told.
pub(crate) fn know(settings: &mut BackupSettings, place: &Path) {
    let known = |name: &str| IncludedDirectory { name: name.parse().unwrap(), path: place.join(name) };
    settings.include = vec![known("sources")];
    settings.reset_directories = vec![known("shots"), known("sources")];
    settings.own_key_database = Some(OWN);
}

/// Another instance, after a restart.
pub(crate) fn service(fixture: &Fixture, place: &Path, keys: &MemoryKeyValue) -> BackupService {
    fixture.another(|settings| know(settings, place)).with_keys(Arc::new(keys.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_safety_backup_holds_all_that_a_reset_takes_away() {
    let world = World::new();
    let backup = world.safety_backup(&world.besides()).await.unwrap();
    assert_eq!(
        (backup.kind, backup.keys, backup.warnings.as_slice()),
        (BackupKind::Safety, 11, &[] as &[String])
    );
    let held: Vec<(&str, u64)> =
        backup.files.iter().map(|files| (files.name.as_str(), files.files)).collect();
    assert_eq!(held, [("sources", 1), ("shots", 1)]);

    let manifest = world.fixture.backups.manifest(&backup.filename).await.unwrap();
    assert_eq!(manifest.format_version, Manifest::WITH_KEYS);
    assert_eq!(
        manifest.redis.iter().map(|keys| (keys.database, keys.keys)).collect::<Vec<_>>(),
        [(2, 10), (6, 1)]
    );
    for level in [VerifyLevel::Hashes, VerifyLevel::Contents] {
        let report = world.fixture.backups.verify(&backup.filename, level, &Unwatched::new()).await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }

    // Without this program: tar, sha256sum, and commands that redis-cli takes as they are.
    let into = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar")
        .arg("-xf")
        .arg(world.fixture.path(&backup.filename))
        .arg("-C")
        .arg(into.path())
        .status();
    assert!(unpacked.unwrap().success());
    let summed = Command::new("sha256sum")
        .args(["--check", "--quiet", "SHA256SUMS"])
        .current_dir(into.path())
        .status();
    assert!(summed.unwrap().success());
    assert_eq!(fs::read_to_string(into.path().join("files/shots/old")).unwrap(), "shots");
    assert_eq!(
        fs::read_to_string(into.path().join("redis/db6.resp")).unwrap(),
        "*6\r\n$7\r\nRESTORE\r\n$8\r\nodd\r\nkey\r\n$1\r\n0\r\n$36\r\n\0dump of a fake\0\r\n*1\r\n$8\r\nFLUSHALL\r\n\r\n\
         $7\r\nREPLACE\r\n$6\r\nABSTTL\r\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_and_files_a_safety_backup_is_a_plain_one() {
    let world = World::new();
    let plain = world.fixture.another(|_| {});
    let context = Unwatched::new();
    let lock = plain.lock(OperationKind::Backup, context.id(), &Actor::new("test")).await.unwrap();
    let backup = plain.under(&lock).safety_backup(&Besides::default(), &context).await.unwrap();
    assert_eq!(plain.manifest(&backup.filename).await.unwrap().format_version, Manifest::PLAIN);
    drop(lock);
    // Keys that nothing matches are none.
    let nothing = Besides { keys: vec![KeySelection::everything(9)], directories: Vec::new() };
    let backup = world.safety_backup(&nothing).await.unwrap();
    assert_eq!(
        (backup.keys, world.fixture.backups.manifest(&backup.filename).await.unwrap().format_version),
        (0, 2)
    );
}

/// Asks for a backup that must not be made, and says why it was not.
async fn refused(world: &World, besides: &Besides) -> Problem {
    let before = world.fixture.files();
    let problem = world.safety_backup(besides).await.unwrap_err();
    assert_eq!(world.fixture.files(), before, "nothing is left of it");
    assert_eq!(world.fixture.server.psql(DATABASE, "SELECT note FROM notes"), "old");
    problem
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_held_is_a_reason_to_have_no_safety_backup() {
    let world = World::new();
    world.keys.away();
    let problem = refused(&world, &world.besides()).await;
    assert_eq!(
        (problem.code, problem.detail.as_str()),
        (ErrorCode::DependencyUnavailable, "Redis does not answer.")
    );
    world.keys.back();

    for database in [OWN, 16, 255] {
        let besides = Besides { keys: vec![KeySelection::everything(database)], directories: Vec::new() };
        assert_eq!(refused(&world, &besides).await.code, ErrorCode::BackupIncompatible, "{database}");
    }
    let backups = world.fixture.directory.path().to_owned();
    for path in [world.path("unknown"), world.place.path().to_owned(), world.path("shots/inner"), backups] {
        let besides = Besides { directories: vec![path.clone()], keys: Vec::new() };
        assert_eq!(refused(&world, &besides).await.code, ErrorCode::Conflict, "{}", path.display());
    }
    // What a backup cannot hold is left out of others, and a reason to have none of this.
    let mut deep = world.path("sources");
    deep.extend(std::iter::repeat_n("d", 300));
    fs::create_dir_all(&deep).unwrap();
    let problem = refused(&world, &world.besides()).await;
    assert!(problem.detail.contains("what the backup lacks would be lost"), "{problem:?}");
    let other = world.fixture.create().await;
    assert!(other.warnings[0].contains("lies too deep"), "{:?}", other.warnings);
    fs::remove_dir_all(world.path("sources/d")).unwrap();
    // Not even root can read what is nothing but a loop.
    fs::remove_dir_all(world.path("shots")).unwrap();
    std::os::unix::fs::symlink(world.path("shots"), world.path("shots")).unwrap();
    assert_eq!(refused(&world, &world.besides()).await.code, ErrorCode::StorageUnavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_directory_holds_nothing_and_a_nested_one_is_held_once() {
    let world = World::new();
    fs::remove_dir_all(world.path("shots")).unwrap();
    fs::create_dir(world.path("sources/inner")).unwrap();
    let besides = Besides {
        directories: vec![world.path("shots"), world.path("sources/inner"), world.path("sources")],
        keys: Vec::new(),
    };
    let backup = world.safety_backup(&besides).await.unwrap();
    assert_eq!(backup.files.iter().map(|files| files.name.as_str()).collect::<Vec<_>>(), ["sources"]);
    assert!(backup.warnings[0].starts_with("shots: the directory cannot be read"), "{:?}", backup.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_backups_can_be_removed_but_not_those_that_are_read_or_pinned() {
    let world = World::new();
    let (first, second) = (world.fixture.create().await, world.fixture.create().await);
    world.fixture.backups.set_pinned(&second.filename, true).await.unwrap();
    let context = Unwatched::new();
    let lock = world.fixture.lock(OperationKind::Backup, &context).await;
    let maker = world.fixture.backups.under(&lock);
    maker.still_held().await.unwrap();
    let reader = world.fixture.backups.open(&first.filename).await.unwrap();
    assert_eq!(maker.remove(&first.filename, true).await.unwrap_err().code, ErrorCode::Busy);
    drop(reader);
    assert_eq!(maker.remove(&second.filename, false).await.unwrap_err().code, ErrorCode::Conflict);
    assert_eq!(maker.backups().await.unwrap().len(), 2);
    maker.remove(&first.filename, false).await.unwrap();
    maker.remove(&second.filename, true).await.unwrap();
    assert_eq!(maker.backups().await.unwrap(), []);
    assert_eq!(maker.remove(&first.filename, false).await.unwrap_err().code, ErrorCode::NotFound);
}
