//! The disk that included directories are on: it may be that of the backups, or of PostgreSQL.

use std::{fs, path::Path};

use recovery_backup::{BackupError, Compression, IncludedDirectory};
use recovery_core::{
    Actor, OperationKind,
    port::{OperationContext, Unwatched},
};
use recovery_testkit::servers::PostgresServer;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{
    disks::SmallDisk,
    files::Staged,
    fixture::Fixture,
    legacy::{dump, gzip, name, tar},
};

const MIB: usize = 1 << 20;
/// To pack so many takes long enough for several looks at the disk.
const PIPES: u32 = 100_000;

fn sources(path: &Path) -> IncludedDirectory {
    IncludedDirectory { name: "sources".parse().unwrap(), path: path.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn room_for_the_dump_and_for_the_files_is_asked_for_together() {
    let disk = SmallDisk::mount("size=48m");
    let place = tempfile::tempdir().unwrap();
    let include = vec![sources(place.path())];
    let fixture = Fixture::on(PostgresServer::start(), |settings| {
        settings.include = include;
        settings.compression = Compression::None;
    });
    fixture.sql("CREATE TABLE big AS SELECT repeat(md5(i::text), 32) FROM generate_series(1, 11000) i");
    fs::write(place.path().join("large"), vec![b'x'; 11 * MIB]).unwrap();
    let backup = fixture.create().await.filename;

    // Beside the archive there is room for either.
    let (backups, target) = (disk.path().join("backups"), disk.path().join("sources"));
    fs::create_dir(&backups).unwrap();
    fs::create_dir(&target).unwrap();
    fs::copy(fixture.path(&backup), backups.join(backup.as_str())).unwrap();
    let service = fixture.another(|settings| {
        settings.directory = backups.clone();
        settings.include = vec![sources(&target)];
    });
    let context = Unwatched::new();
    let lock = service.lock(OperationKind::Restore, context.id(), &Actor::new("test")).await.unwrap();
    let refused = service.restore(&lock, &backup, &context).await.unwrap_err();
    assert!(matches!(refused, BackupError::NoSpace { .. }), "before anything is written: {refused:?}");
    let left: Vec<_> = fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_an_archive_of_the_earlier_service_stop_before_their_disk_is_full() {
    let disk = SmallDisk::mount("size=64m");
    let target = disk.path().join("sources");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("present"), "of today").unwrap();
    let include = vec![sources(&target)];
    let fixture = Fixture::on(PostgresServer::start(), |settings| settings.include = include);
    // Loaded anew, it takes its time, and is more than connections hold back.
    fixture.sql(
        "CREATE FUNCTION slowly() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN
             PERFORM pg_sleep(0.02) WHERE current_database() <> 'nova'; RETURN true; END$$;
         CREATE TABLE slow (body text, CHECK (slowly()));
         INSERT INTO slow SELECT repeat('s', 400000) FROM generate_series(1, 100)",
    );
    let script = dump(&fixture.server, &[]);
    let archive = tar(&[("database.sql", &script), ("sources/", b""), ("sources/file", b"of the archive")]);
    fs::write(fixture.path(&name()), gzip(&archive)).unwrap();

    // Somebody else writes to the disk once there was room enough.
    let filler = disk.path().join("filler");
    let context = Staged::at_phase("loading", move || {
        if !filler.exists() {
            fs::write(&filler, vec![0; 61 * MIB]).unwrap();
        }
    });
    let failed = fixture.restore_in(&name(), &context).await.unwrap_err();
    assert!(matches!(failed, BackupError::SpaceRunsOut { .. }), "{failed:?}");
    assert_eq!(fs::read_to_string(target.join("present")).unwrap(), "of today");
    let left = fs::read_dir(disk.path()).unwrap().count();
    assert_eq!(left, 2, "the directory and what somebody else wrote");
}

#[tokio::test(flavor = "multi_thread")]
async fn packing_stops_before_the_disk_of_the_backups_is_full() {
    let disk = SmallDisk::mount("size=256m");
    // They take time, and nothing of the archive, so that what is written would still fit.
    let place = SmallDisk::mount("size=1m,nr_inodes=0");
    for number in 0..PIPES {
        let path = place.path().join(number.to_string());
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    }
    let fixture = Fixture::on(PostgresServer::start(), |settings| {
        settings.include = vec![sources(place.path())];
        settings.directory = disk.path().to_owned();
    });
    let filler = disk.path().join("filler");
    let context = Staged::at_phase("archiving", move || {
        if !filler.exists() {
            fs::write(&filler, vec![0; 253 * MIB]).unwrap();
        }
    });
    let failed = fixture.try_create(&context).await.unwrap_err();
    assert!(matches!(failed, BackupError::SpaceRunsOut { .. }), "{failed:?}");
    let left: Vec<_> = fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        left.iter().all(|name| name == "filler" || name.to_string_lossy().ends_with(".lock")),
        "{left:?}"
    );
}
