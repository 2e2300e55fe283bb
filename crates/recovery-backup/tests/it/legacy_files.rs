//! The directories in an archive of the earlier service: they come back with the database, go back with it, and nothing
//! else happens to them.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use recovery_backup::{IncludedDirectory, RestoreReport};
use recovery_core::{BackupName, ErrorCode, OperationKind, Problem, port::Unwatched};
use recovery_testkit::servers::PostgresServer;
use tar::EntryType as T;

use crate::{
    fixture::{DATABASE, Fixture},
    legacy::{dump, gzip, name},
};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/python-tarfile.tar.gz");

/// A database, and the two directories that the earlier service knew.
struct World {
    fixture: Fixture,
    place: tempfile::TempDir,
}

impl World {
    fn on(server: PostgresServer) -> Self {
        let place = tempfile::tempdir().unwrap();
        let include =
            |name: &str| IncludedDirectory { name: name.parse().unwrap(), path: place.path().join(name) };
        let both = vec![include("sources"), include("memory")];
        let fixture = Fixture::on(server, |settings| settings.include = both);
        fixture.sql("CREATE TABLE notes (id int); INSERT INTO notes VALUES (1)");
        let world = Self { fixture, place };
        fs::create_dir(world.at("sources")).unwrap();
        fs::write(world.at("sources/present"), "of today").unwrap();
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    /// Puts an archive of the database as it is now and of these entries into the backup directory.
    fn put(&self, entries: &[Vec<u8>]) -> BackupName {
        let script = dump(&self.fixture.server, &[]);
        let members = [&[entry(T::Regular, "database.sql", "", &script)], entries].concat();
        let mut bytes = members.concat();
        bytes.resize(bytes.len().next_multiple_of(10_240) + 10_240, 0);
        fs::write(self.fixture.path(&name()), gzip(&bytes)).unwrap();
        name()
    }

    async fn rollback(&self, report: &RestoreReport) {
        let context = Unwatched::new();
        let lock = self.fixture.lock(OperationKind::Rollback, &context).await;
        self.fixture.backups.rollback(&lock, report.id, &context).await.unwrap();
    }

    /// Everything at and beside the directories, kept contents left out.
    fn listing(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(self.place.path(), self.place.path(), &mut found);
        found.retain(|path| !path.contains("before"));
        found.sort();
        found
    }
}

fn walk(root: &Path, directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        if path.is_dir() && !path.is_symlink() {
            walk(root, &path, found);
        }
    }
}

/// An entry as Python's `tarfile` writes it, its time in an extended header.
fn entry(kind: T, path: &str, link: &str, contents: &[u8]) -> Vec<u8> {
    entry_of(kind, path, link, contents, 0o640)
}

fn entry_of(kind: T, path: &str, link: &str, contents: &[u8], mode: u32) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("mtime", "1738364399.25".as_bytes())]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_path(path).unwrap();
    if !link.is_empty() {
        header.set_link_name_literal(link).unwrap();
    }
    header.set_size(contents.len() as u64);
    header.set_mode(mode);
    header.set_uid(1234);
    header.set_gid(4321);
    header.set_mtime(7);
    header.set_cksum();
    builder.append(&header, contents).unwrap();
    let mut bytes = builder.into_inner().unwrap();
    bytes.truncate(bytes.len() - 1024);
    bytes
}

async fn check_the_sample(version: u32) {
    let world = World::on(PostgresServer::start_version(version));
    fs::copy(SAMPLE, world.fixture.path(&name())).unwrap();
    let report = world.fixture.restore(&name()).await.unwrap();
    assert_eq!(report.rows, 3);
    let switched: Vec<&str> = report.files.iter().map(|directory| directory.name.as_str()).collect();
    assert_eq!(switched, ["sources", "memory"]);
    let long = format!("sources/sub/{}.txt", "ö".repeat(70));
    let expected =
        ["memory", "memory/m.json", "sources", "sources/a.txt", "sources/sub", "sources/sub/link", &long];
    assert_eq!(world.listing(), expected);
    assert_eq!(fs::read_link(world.at("sources/sub/link")).unwrap(), Path::new("../a.txt"));
    assert_eq!(world.text("sources/a.txt"), "hello");
    assert!(!world.at("sources/present").exists());

    world.rollback(&report).await;
    assert_eq!(world.text("sources/present"), "of today");
    assert_eq!(world.fixture.sql("SELECT id FROM notes").trim(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_python_wrote_comes_back_with_its_files_on_15() {
    check_the_sample(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_python_wrote_comes_back_with_its_files_on_17() {
    check_the_sample(17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_such_directories_hold_comes_back_as_it_was() {
    let world = World::on(PostgresServer::start());
    let large = vec![b'x'; 600_000];
    let name = world.put(&[
        entry_of(T::Directory, "sources", "", b"", 0o750),
        entry(T::Regular, "sources/large.bin", "", &large),
        entry(T::Directory, "sources/empty/", "", b""),
        entry(T::Regular, "sources/übung/a b\n.txt", "", b"deep"),
        entry(T::Symlink, "sources/link", "übung/a b\n.txt", b""),
        entry(T::Link, "sources/twin", "sources/large.bin", b""),
        entry(T::Symlink, "sources/out", "/etc/passwd", b""),
        entry(T::Link, "sources/foreign", "database.sql", b""),
        entry(T::Fifo, "sources/pipe", "", b""),
        entry(T::Regular, "elsewhere/file", "", b"not ours"),
    ]);
    let report = world.fixture.restore(&name).await.unwrap();

    assert_eq!(world.text("sources/übung/a b\n.txt"), "deep");
    assert_eq!(fs::read_link(world.at("sources/link")).unwrap(), Path::new("übung/a b\n.txt"));
    assert_eq!(fs::read(world.at("sources/twin")).unwrap(), large);
    assert!(fs::read_dir(world.at("sources/empty")).unwrap().next().is_none());
    let data = fs::metadata(world.at("sources/large.bin")).unwrap();
    assert_eq!((data.mode() & 0o7777, data.uid(), data.gid()), (0o640, 1234, 4321));
    assert_eq!((data.mtime(), data.mtime_nsec()), (1_738_364_399, 250_000_000));
    assert_eq!(data.ino(), fs::metadata(world.at("sources/twin")).unwrap().ino(), "one file with two names");
    assert_eq!(fs::metadata(world.at("sources")).unwrap().permissions().mode() & 0o7777, 0o750);
    assert_eq!(
        world.listing(),
        [
            "sources",
            "sources/empty",
            "sources/large.bin",
            "sources/link",
            "sources/twin",
            "sources/übung",
            "sources/übung/a b\n.txt"
        ]
    );
    let said = report.warnings.join(" ");
    assert!(said.contains("3 link(s), device(s) or pipe(s)"), "{said}");
    assert!(said.contains("sources/out, sources/foreign, sources/pipe"), "{said}");
    assert!(said.contains("The backup has no files of memory"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_directory_for_them_the_files_are_left_and_it_is_said() {
    let fixture = Fixture::empty();
    fs::copy(SAMPLE, fixture.path(&name())).unwrap();
    let report = fixture.restore(&name()).await.unwrap();
    assert_eq!((report.rows, report.files.len()), (3, 0));
    for files in ["The 2 file(s) of sources", "The 1 file(s) of memory"] {
        assert!(report.warnings.iter().any(|words| words.starts_with(files)), "{:?}", report.warnings);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_as_the_archive_says_leave_everything_as_it_was() {
    let world = World::on(PostgresServer::start());
    let outside = world.at("outside");
    fs::create_dir(&outside).unwrap();
    for (entries, words) in [
        (vec![entry(T::Regular, "sources/a", "", b"1"), entry(T::Regular, "sources/a", "", b"2")], "twice"),
        (
            vec![
                entry(T::Directory, "sources/d", "", b""),
                entry(T::Symlink, "sources/l", "d", b""),
                entry(T::Regular, "sources/l/a", "", b""),
            ],
            "sources/l/a stands where it cannot be",
        ),
        (
            vec![entry(T::Regular, "sources/f", "", b""), entry(T::Regular, "sources/f/a", "", b"")],
            "sources/f/a",
        ),
        (vec![entry(T::Link, "sources/twin", "sources/nothing", b"")], "another name of nothing"),
        (
            vec![
                entry(T::Directory, "sources/d", "", b""),
                entry(T::Regular, "sources/d/x", "", b"1"),
                entry(T::Symlink, "sources/l", "d", b""),
                entry(T::Link, "sources/twin", "sources/l/x", b""),
            ],
            "sources/twin",
        ),
    ] {
        let name = world.put(&entries);
        let (before, files) = (world.fixture.server.pg_dump_text(DATABASE), world.fixture.files());
        let listing = world.listing();
        let problem = Problem::from(world.fixture.restore(&name).await.unwrap_err());
        assert_eq!(problem.code, ErrorCode::BackupDamaged, "{problem:?}");
        assert!(problem.detail.contains(words), "{words}: {problem:?}");
        world.fixture.assert_untouched(&before, &files);
        assert_eq!(world.listing(), listing, "{words}");
    }
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
}
