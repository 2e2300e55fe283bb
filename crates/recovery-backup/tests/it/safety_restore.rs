//! What a safety backup holds comes back with the database: directories and keys of Redis. A rollback takes all of it
//! back, and nothing of it is lost where Redis is away or the service is cut off.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use recovery_backup::{BackupError, BackupService, RestoreReport};
use recovery_core::{
    Actor, BackupInfo, BackupName, ErrorCode, OperationId, OperationKind, Problem, VerifyLevel,
    port::{BackupMaker, OperationContext, Unwatched},
};
use recovery_testkit::MemoryValue;
use sha2::{Digest, Sha256};

use crate::{
    files::Staged,
    fixture::DATABASE,
    safety::{World, know, service},
};

/// Everything that a reset takes away and a restore brings back.
#[derive(Debug, PartialEq)]
struct State {
    notes: String,
    sources: Vec<String>,
    shots: Vec<String>,
    keys: BTreeMap<(u8, Vec<u8>), MemoryValue>,
}

fn names(directory: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

impl World {
    fn state(&self) -> State {
        State {
            notes: self
                .fixture
                .server
                .psql(DATABASE, "SELECT string_agg(note, ',' ORDER BY note) FROM notes"),
            sources: names(&self.path("sources")),
            shots: names(&self.path("shots")),
            keys: self.keys.contents(),
        }
    }

    /// What a reset does, and what happens afterwards.
    fn reset(&self) {
        self.fixture.sql("DELETE FROM notes; INSERT INTO notes VALUES ('new')");
        for name in ["sources", "shots"] {
            fs::remove_file(self.path(name).join("old")).unwrap();
            fs::write(self.path(name).join("new"), "").unwrap();
        }
        for (database, key) in self.keys.contents().into_keys() {
            let key = String::from_utf8(key).unwrap();
            if database == 6 || !["task:kept", "other"].contains(&key.as_str()) {
                self.keys.remove(database, &key);
            }
        }
        self.keys.put(2, "task:1", "of the time after");
        self.keys.put(2, "task:new", "no backup has this one");
    }

    /// What a key of database 2 holds.
    fn value(&self, key: &str) -> String {
        let value = self.keys.contents()[&(2, key.as_bytes().to_vec())].value.clone();
        String::from_utf8(value).unwrap()
    }

    fn keys_of(&self, database: u8) -> usize {
        self.keys.contents().keys().filter(|(its, _)| *its == database).count()
    }

    async fn restore(
        &self,
        backup: &BackupName,
        context: &dyn OperationContext,
    ) -> Result<RestoreReport, BackupError> {
        self.fixture.restore_in(backup, context).await
    }

    async fn rollback(&self, restore: OperationId) -> recovery_backup::RollbackReport {
        let context = Unwatched::new();
        let lock = self.fixture.lock(OperationKind::Rollback, &context).await;
        self.fixture.backups.rollback(&lock, restore, &context).await.unwrap()
    }

    /// The directories in which is noted what keys held.
    fn noted(&self) -> Vec<String> {
        self.fixture.files().into_iter().filter(|name| name.starts_with(".keys-")).collect()
    }

    async fn restarted(&self) -> (BackupService, Vec<String>) {
        let restarted = service(&self.fixture, self.place.path(), &self.keys);
        let context = Unwatched::new();
        let lock = restarted.lock(OperationKind::CleanUp, context.id(), &Actor::service()).await.unwrap();
        let done = restarted.reconcile(&lock, &[]).await.unwrap().done;
        drop(lock);
        (restarted, done)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_comes_back_and_a_rollback_takes_all_of_it_back() {
    let world = World::new();
    let before = world.state();
    let backup = world.safety_backup(&world.besides()).await.unwrap();
    world.reset();
    let after = world.state();

    let report = world.restore(&backup.filename, &Unwatched::new()).await.unwrap();
    assert_eq!(
        (report.keys_restored, report.files.len(), report.warnings.as_slice()),
        (11, 2, &[] as &[String])
    );
    let mut expected = before;
    // No backup says that it was not there.
    let new = (2, b"task:new".to_vec());
    expected.keys.insert(new.clone(), after.keys[&new].clone());
    assert_eq!(world.state(), expected);
    assert_eq!(world.noted().len(), 1);

    let back = world.rollback(report.id).await;
    assert_eq!((back.keys_restored, back.files.len(), back.warnings.as_slice()), (1, 2, &[] as &[String]));
    assert_eq!(world.state(), after, "keys that there were not before are gone again");
    assert_eq!(world.noted().len(), 1, "{:?}", world.noted());
    let again = world.rollback(back.id).await;
    assert_eq!(world.state(), expected, "a rollback can be taken back as well");

    let context = Unwatched::new();
    let lock = world.fixture.lock(OperationKind::DropReplaced, &context).await;
    world.fixture.backups.drop_replaced(&lock, again.id, &context).await.unwrap();
    assert_eq!(world.noted(), Vec::<String>::new(), "what keys held goes with its database");
    assert!(!world.fixture.backups.has_unwritten_keys().await.unwrap());
    assert_eq!(world.state(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nothing_is_begun() {
    let world = World::new();
    let backup = world.safety_backup(&world.besides()).await.unwrap();
    world.reset();
    let (state, files) = (world.state(), world.fixture.files());
    world.keys.away();
    let problem = Problem::from(world.restore(&backup.filename, &Unwatched::new()).await.unwrap_err());
    assert_eq!(problem.code, ErrorCode::DependencyUnavailable);
    assert!(problem.hint.is_some());
    assert_eq!((world.state(), world.fixture.files()), (state, files));
    assert_eq!(world.fixture.databases(), [DATABASE]);

    // A service that has no Redis says so; a drill has nothing to do with keys.
    let none = world.fixture.another(|_| {});
    let context = Unwatched::new();
    let lock = none.lock(OperationKind::Restore, context.id(), &Actor::new("test")).await.unwrap();
    let refused = none.restore(&lock, &backup.filename, &context).await.unwrap_err();
    assert!(matches!(refused, BackupError::NoKeys), "{refused}");
    let drill = none.drill(&lock, &backup.filename, &context).await.unwrap();
    assert_eq!(drill.problems, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_redis_did_not_take_are_written_as_soon_as_it_does() {
    let world = World::new();
    let before = world.state();
    let backup = world.safety_backup(&world.besides()).await.unwrap();
    world.reset();
    let keys = world.keys.clone();
    let context = Staged::at_phase("writing keys", move || keys.away());
    let report = world.restore(&backup.filename, &context).await.unwrap();
    assert_eq!(report.keys_restored, 0);
    assert!(
        report.warnings[0].contains("not all written back: Redis does not answer"),
        "{:?}",
        report.warnings
    );
    assert!(world.fixture.backups.has_unwritten_keys().await.unwrap());

    // What they are to hold must not go.
    let context = Unwatched::new();
    let lock = world.fixture.lock(OperationKind::DeleteBackup, &context).await;
    let kept = world.fixture.backups.delete(&lock, &backup.filename).await.unwrap_err();
    assert!(matches!(kept, BackupError::BeingRead { .. }), "{kept}");
    assert_eq!(
        world.fixture.backups.under(&lock).remove(&backup.filename, true).await.unwrap_err().code,
        ErrorCode::Busy
    );
    drop(lock);
    let (_, done) = world.restarted().await;
    assert!(done.iter().any(|words| words.contains("still not all written back")), "{done:?}");

    world.keys.back();
    let (restarted, done) = world.restarted().await;
    assert_eq!(done, ["11 keys of Redis followed the database"]);
    assert!(!restarted.has_unwritten_keys().await.unwrap());
    assert_eq!(world.state().keys[&(6, b"odd\r\nkey".to_vec())], before.keys[&(6, b"odd\r\nkey".to_vec())]);
    assert_eq!(world.value("task:1"), "payload 1");
    world.rollback(report.id).await;
    assert_eq!(world.value("task:1"), "of the time after");
    assert_eq!(world.keys_of(6), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_whose_keys_were_never_written_can_be_rolled_back() {
    let world = World::new();
    let backup = world.safety_backup(&world.besides()).await.unwrap();
    world.reset();
    let after = world.state();
    let keys = world.keys.clone();
    let context = Staged::at_phase("writing keys", move || keys.away());
    let report = world.restore(&backup.filename, &context).await.unwrap();
    world.keys.back();
    let back = world.rollback(report.id).await;
    assert_eq!(back.warnings, Vec::<String>::new());
    let (_, done) = world.restarted().await;
    assert_eq!(done, Vec::<String>::new(), "they are not written any more");
    assert_eq!(world.state(), after);
}

/// Cuts a restore off at a step, starts again, and says what was found and done.
async fn cut_off_at(world: &World, backup: &BackupInfo, step: &'static str) -> Vec<String> {
    let context = Staged::stopping_at(step);
    let stopped = context.stopped();
    let lock = world.fixture.lock(OperationKind::Restore, &context).await;
    tokio::select! {
        done = world.fixture.backups.restore(&lock, &backup.filename, &context) => panic!("not stopped: {done:?}"),
        () = stopped.notified() => {}
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("{step} was not reached"),
    }
    drop(lock);
    let (restarted, done) = world.restarted().await;
    assert_eq!(world.restarted().await.1, Vec::<String>::new(), "once is enough");
    assert!(!restarted.has_unwritten_keys().await.unwrap());
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_anywhere_keys_go_with_the_database() {
    let world = World::new();
    let backup = world.safety_backup(&world.besides()).await.unwrap();
    world.reset();
    let after = world.state();
    let done = cut_off_at(&world, &backup, "swapping").await;
    assert_eq!(world.state(), after, "{done:?}");
    for step in ["swapped", "switched files", "writing keys", "wrote keys"] {
        let done = cut_off_at(&world, &backup, step).await;
        assert_eq!(world.keys_of(6), 1, "{step}: {done:?}");
        assert_eq!(world.value("task:1"), "payload 1", "{step}: {done:?}");
        assert_eq!((world.state().notes.as_str(), world.state().shots), ("old", vec!["old".to_owned()]));
        let restore = world.fixture.backups.replaced().await.unwrap().remove(0);
        world.rollback(restore.id).await;
        assert_eq!(world.state(), after, "{step}");
    }
}

/// An archive whose commands were changed by somebody who knows how to make the checksums fit.
fn forged(archive: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = archive.to_vec();
    let replace = |bytes: &mut Vec<u8>, from: &[u8], to: &[u8]| {
        assert_eq!(from.len(), to.len());
        let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
        places.iter().for_each(|at| bytes[*at..at + to.len()].copy_from_slice(to));
        assert!(!places.is_empty(), "{}", String::from_utf8_lossy(from));
    };
    let hashes = |bytes: &[u8]| -> BTreeMap<String, String> {
        tar::Archive::new(bytes)
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let (mut contents, path) = (Vec::new(), entry.path().unwrap().display().to_string());
                std::io::Read::read_to_end(&mut entry, &mut contents).unwrap();
                (path, Sha256::digest(&contents).iter().map(|byte| format!("{byte:02x}")).collect())
            })
            .collect()
    };
    let mut before = hashes(&bytes);
    replace(&mut bytes, from, to);
    for path in ["redis/db2.resp", "manifest.json"] {
        let now = hashes(&bytes);
        if before[path] != now[path] {
            replace(&mut bytes, before[path].as_bytes(), now[path].as_bytes());
        }
        before = BTreeMap::from([("manifest.json".to_owned(), before["manifest.json"].clone())]);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_keys_comes_out_of_an_archive() {
    let world = World::new();
    let backup = world.safety_backup(&world.besides()).await.unwrap();
    let good = fs::read(world.fixture.path(&backup.filename)).unwrap();
    world.reset();
    let state = world.state();
    for (from, to) in [
        ("RESTORE\r\n$6\r\ntask:3", "FLUSHDB\r\n$6\r\ntask:3"),
        ("$1\r\n0\r\n$25\r\n\0dump of a fake\0payload 5", "$1\r\nx\r\n$25\r\n\0dump of a fake\0payload 5"),
    ] {
        let bytes = forged(&good, from.as_bytes(), to.as_bytes());
        fs::write(world.fixture.path(&backup.filename), &bytes).unwrap();
        let backups = &world.fixture.backups;
        let hashes = backups.verify(&backup.filename, VerifyLevel::Hashes, &Unwatched::new()).await.unwrap();
        assert_eq!(hashes.problems, Vec::<String>::new(), "the checksums fit");
        let contents =
            backups.verify(&backup.filename, VerifyLevel::Contents, &Unwatched::new()).await.unwrap();
        assert_eq!(
            contents.problems,
            ["redis/db2.resp holds something else than commands that restore keys"]
        );
        let refused = world.restore(&backup.filename, &Unwatched::new()).await.unwrap_err();
        assert!(matches!(refused, BackupError::Damaged { .. }), "{refused}");
        assert_eq!(world.state(), state);
        assert_eq!(world.fixture.databases(), [DATABASE]);

        fs::remove_file(world.fixture.path(&backup.filename)).unwrap();
        let upload = backups.upload(None, None, &mut bytes.as_slice(), &Unwatched::new()).await.unwrap_err();
        assert!(matches!(upload, BackupError::Damaged { .. }), "{upload}");
        assert_eq!(world.fixture.files(), Vec::<String>::new());
    }
    let taken =
        world.fixture.backups.upload(None, None, &mut good.as_slice(), &Unwatched::new()).await.unwrap();
    assert_eq!((taken.keys, taken.uploaded), (11, true));
    world.restore(&taken.filename, &Unwatched::new()).await.unwrap();
    assert_eq!(world.keys_of(6), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_service_s_own_keys_nor_unknown_directories_are_written() {
    let world = World::new();
    let backup = world.safety_backup(&world.besides()).await.unwrap();
    world.reset();
    let state = world.state();
    let own = world.fixture.another(|settings| settings.own_key_database = Some(6));
    let own = own.with_keys(Arc::new(world.keys.clone()));
    let context = Unwatched::new();
    let lock = own.lock(OperationKind::Restore, context.id(), &Actor::new("test")).await.unwrap();
    let refused = Problem::from(own.restore(&lock, &backup.filename, &context).await.unwrap_err());
    assert_eq!(refused.code, ErrorCode::BackupIncompatible, "{refused:?}");
    drop(lock);
    assert_eq!((world.state(), world.fixture.databases()), (state, vec![DATABASE.to_owned()]));

    let elsewhere = world.fixture.another(|_| {}).with_keys(Arc::new(world.keys.clone()));
    let lock = elsewhere.lock(OperationKind::Restore, context.id(), &Actor::new("test")).await.unwrap();
    let report = elsewhere.restore(&lock, &backup.filename, &context).await.unwrap();
    assert_eq!((report.files.len(), report.warnings.len()), (0, 2), "{:?}", report.warnings);
    assert!(
        report.warnings[1].starts_with("The 1 file(s) of shots are not restored"),
        "{:?}",
        report.warnings
    );
    assert_eq!(world.state().shots, ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_directories_and_keys_follow_the_transaction() {
    let world = World::new();
    world.fixture.sql(
        "CREATE ROLE keeper LOGIN PASSWORD 'keeper-password'; ALTER DATABASE nova OWNER TO keeper;
         ALTER TABLE notes OWNER TO keeper; ALTER SCHEMA public OWNER TO keeper",
    );
    let keeper = world
        .fixture
        .signed_in_with("keeper", "keeper-password", |settings| know(settings, world.place.path()));
    let keeper = keeper.with_keys(Arc::new(world.keys.clone()));
    let context = Unwatched::new();
    let lock = keeper.lock(OperationKind::Restore, context.id(), &Actor::new("test")).await.unwrap();
    let before = world.state();
    let backup = keeper.under(&lock).safety_backup(&world.besides(), &context).await.unwrap();
    world.reset();
    let after = world.state();

    // Away before anything is done: nothing is.
    world.keys.away();
    let refused = keeper.restore(&lock, &backup.filename, &context).await.unwrap_err();
    assert!(matches!(refused, BackupError::Keys(_)), "{refused}");
    world.keys.back();
    assert_eq!(world.state(), after);

    let report = keeper.restore(&lock, &backup.filename, &context).await.unwrap();
    assert_eq!((report.strategy, report.keys_restored, report.files.len()), ("in_place", 11, 2));
    let restored = world.state();
    assert_eq!(
        (&restored.notes, &restored.sources, &restored.shots),
        (&before.notes, &before.sources, &before.shots)
    );
    assert_eq!((world.value("task:1"), world.keys_of(6)), ("payload 1".to_owned(), 1));
    // What was there before is where the answer says.
    let (noted, kept) = (world.noted().remove(0), &report.files[1].kept_as);
    assert!(report.warnings.iter().any(|warning| warning.contains(&noted)), "{:?}", report.warnings);
    assert_eq!(names(&world.path(kept)), ["new"]);
    let noted = fs::read_to_string(world.fixture.directory.path().join(noted).join("db2.resp")).unwrap();
    assert!(noted.contains("of the time after") && noted.contains("UNLINK"), "{noted}");
    assert!(!keeper.has_unwritten_keys().await.unwrap());
}
