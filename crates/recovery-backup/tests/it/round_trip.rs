//! The everyday way: back up, damage, restore, roll back.

use recovery_backup::BackupSettings;
use recovery_core::{
    Actor, BackupKind, OperationKind, Verification, VerifyLevel,
    port::{OperationContext, Unwatched},
};
use recovery_testkit::{RecordingContext, servers::PostgresServer};

use crate::fixture::{DATABASE, Fixture};

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_back_and_a_rollback_takes_the_restore_back() {
    let fixture = Fixture::small();
    let backup = fixture.create().await;
    assert_eq!((backup.kind, backup.verification), (BackupKind::Manual, Verification::Verified));
    assert_eq!(backup.size_bytes, std::fs::metadata(fixture.path(&backup.filename)).unwrap().len());
    fixture.sql("DELETE FROM messages WHERE id > 10");

    let report = fixture.restore(&backup.filename).await.unwrap();
    assert_eq!((report.tables, report.rows), (2, 5100));
    assert_eq!(fixture.count("messages"), 5000);
    let kept = report.replaced_database.unwrap();
    assert_eq!(fixture.databases(), [DATABASE, kept.as_str()]);

    let context = Unwatched::new();
    let lock = fixture.lock(OperationKind::Rollback, &context).await;
    let rolled_back = fixture.backups.rollback(&lock, report.id, &context).await.unwrap();
    assert_eq!(fixture.count("messages"), 10);
    let restores = fixture.backups.replaced().await.unwrap();
    assert_eq!(restores.iter().map(|restore| restore.id).collect::<Vec<_>>(), [rolled_back.id]);

    let context = Unwatched::new();
    fixture.backups.rollback(&lock, rolled_back.id, &context).await.unwrap();
    assert_eq!(fixture.count("messages"), 5000, "a rollback can be taken back as well");
    let last = fixture.backups.replaced().await.unwrap().remove(0);
    fixture.backups.drop_replaced(&lock, last.id, &context).await.unwrap();
    assert_eq!(fixture.databases(), [DATABASE]);
    assert!(fixture.backups.rollback(&lock, last.id, &context).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_of_one_second_do_not_collide_and_are_listed_newest_first() {
    let fixture = Fixture::small();
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(fixture.create().await.filename);
    }
    made.reverse();
    let listed: Vec<_> =
        fixture.backups.list().await.unwrap().into_iter().map(|backup| backup.filename).collect();
    assert_eq!(listed, made);

    let context = Unwatched::new();
    let actor = Actor::service();
    let lock =
        fixture.backups.lock_directory(OperationKind::DeleteBackup, context.id(), &actor).await.unwrap();
    fixture.backups.delete(&lock, &made[1]).await.unwrap();
    assert_eq!(fixture.backups.list().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_goes_through_the_phases() {
    let fixture = Fixture::small();
    let context = RecordingContext::new();
    let backup = fixture.try_create(&context).await.unwrap();
    assert_eq!(context.phases(), ["preparing", "dumping", "archiving", "verifying", "publishing"]);
    let context = RecordingContext::new();
    fixture.restore_in(&backup.filename, &context).await.unwrap();
    assert_eq!(
        context.phases(),
        ["preparing", "verifying", "loading", "comparing and analyzing", "swapping"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_is_remembered_for_the_very_file() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    assert_eq!(fixture.backups.find(&name).await.unwrap().verified_level, Some(VerifyLevel::Hashes));
    let context = Unwatched::new();
    let report = fixture.backups.verify(&name, VerifyLevel::Contents, &context).await.unwrap();
    assert_eq!((report.verification, report.problems), (Verification::Verified, vec![]));
    fixture.backups.verify(&name, VerifyLevel::Hashes, &context).await.unwrap();
    assert_eq!(fixture.backups.find(&name).await.unwrap().verified_level, Some(VerifyLevel::Contents));

    let file = std::fs::File::options().write(true).open(fixture.path(&name)).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(fixture.backups.find(&name).await.unwrap().verification, Verification::Unverified);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_compression_is_restored() {
    for compression in ["none", "gzip:6", "auto"] {
        let fixture = Fixture::on(PostgresServer::start(), |settings: &mut BackupSettings| {
            settings.compression = compression.parse().unwrap();
        });
        fixture.sql("CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i");
        let backup = fixture.create().await;
        let context = Unwatched::new();
        let report = fixture.backups.verify(&backup.filename, VerifyLevel::Contents, &context).await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new(), "{compression}");
        fixture.sql("DROP TABLE t");
        fixture.restore(&backup.filename).await.unwrap();
        assert_eq!(fixture.count("t"), 1000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_planner_knows_the_tables_of_a_restored_database() {
    let fixture = Fixture::small();
    let backup = fixture.create().await;
    fixture.restore(&backup.filename).await.unwrap();
    let analyzed = "SELECT count(*) FROM pg_stats WHERE schemaname = 'public' AND tablename = 'messages'";
    assert_eq!(fixture.sql(analyzed).trim(), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_database_with_a_long_and_odd_name() {
    let server = PostgresServer::start();
    let name = "a=b 'c' \"d\" postgresql://ü ".to_owned() + &"x".repeat(30);
    server.psql("postgres", &format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\"")));
    let directory = tempfile::tempdir().unwrap();
    let backups = crate::fixture::service_for(&server, &name, directory.path(), Default::default(), |_| {});
    let context = Unwatched::new();
    let lock = backups.lock(OperationKind::Backup, context.id(), &Actor::service()).await.unwrap();
    let backup = backups.create(&lock, BackupKind::Manual, &context).await.unwrap();
    let report = backups.restore(&lock, &backup.filename, &context).await.unwrap();
    assert!(report.replaced_database.is_some());
    assert_eq!(backups.replaced().await.unwrap().len(), 1);
}

/// The hash of an `enum` comes from the OIDs of its values, which the restored database has others of.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_partitioned_by_the_hash_of_an_enum_comes_back() {
    let fixture = Fixture::empty();
    let values: Vec<String> = (0..40).map(|number| format!("'v{number}'")).collect();
    fixture.sql(&format!(
        "CREATE TYPE kind AS ENUM ({});
         CREATE TABLE parted (kind kind, i int) PARTITION BY HASH (kind);
         CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO parted SELECT ('v' || i)::kind, i FROM generate_series(0, 39) i",
        values.join(", ")
    ));
    let where_they_lie = || fixture.sql("SELECT tableoid::regclass, i FROM parted ORDER BY i");
    let before = where_they_lie();
    let name = fixture.create().await.filename;
    fixture.sql("TRUNCATE parted");
    let report = fixture.restore(&name).await.unwrap();
    assert_eq!((report.rows, fixture.count("parted")), (40, 40));
    assert_ne!(where_they_lie(), before, "no row went to another partition, which shows nothing");
}
