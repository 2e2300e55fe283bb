//! Archives of the earlier service, made as it made them: `pg_dump` in a tar that Python wrote.

use std::{
    fs,
    io::{Read, Write},
};

use flate2::{Compression, write::GzEncoder};
use recovery_core::{
    BackupKind, BackupName, ErrorCode, Problem, Verification, VerifyLevel,
    port::{DatabaseAdmin, Unwatched},
};
use recovery_store::PostgresDatabase;
use recovery_testkit::servers::PostgresServer;

use crate::fixture::{DATABASE, Fixture};

const NAME: &str = "nova-backup-2025-01-31_23-59-59.tar.gz";
/// What the earlier service always said to `pg_dump`.
const USUAL: [&str; 2] = ["--no-owner", "--no-acl"];

fn name() -> BackupName {
    NAME.parse().unwrap()
}

/// The script that `pg_dump` writes with the usual and with these options.
fn dump(server: &PostgresServer, options: &[&str]) -> Vec<u8> {
    let output = server.client("pg_dump", DATABASE).args(USUAL).args(options).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A tar as Python's `tarfile` writes it: the time of a file stands in an extended header before it.
pub(crate) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, contents) in members {
        builder.append_pax_extensions([("mtime", "1738364399.123456".as_bytes())]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(if path.ends_with('/') {
            tar::EntryType::Directory
        } else {
            tar::EntryType::Regular
        });
        header.set_path(path).unwrap();
        header.set_size(contents.len() as u64);
        header.set_mode(if path.ends_with('/') { 0o755 } else { 0o644 });
        header.set_mtime(1_738_364_399);
        header.set_cksum();
        builder.append(&header, *contents).unwrap();
    }
    let mut bytes = builder.into_inner().unwrap();
    // Python fills up to a record.
    bytes.resize(bytes.len().next_multiple_of(10_240), 0);
    bytes
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Puts an archive of this script into the backup directory.
fn put(fixture: &Fixture, script: &[u8]) -> BackupName {
    fs::write(fixture.path(&name()), gzip(&tar(&[("database.sql", script)]))).unwrap();
    name()
}

fn load_everything(fixture: &Fixture) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/everything.sql");
    fixture.sql(&fs::read_to_string(file).unwrap());
}

/// Everything of the database that such an archive holds.
fn held(fixture: &Fixture) -> String {
    fixture.server.pg_dump(DATABASE, &USUAL)
}

async fn check_round_trip(options: &[&str]) {
    let fixture = Fixture::empty();
    load_everything(&fixture);
    let before = held(&fixture);
    let live = DATABASE.parse().unwrap();
    let database = PostgresDatabase::new(Some(fixture.server.target(DATABASE)));
    let profile = database.profile(&live).await.unwrap();
    let name = put(&fixture, &dump(&fixture.server, options));
    fixture.sql("DELETE FROM secrets; DROP TABLE events CASCADE; SELECT lo_unlink(424242)");
    let damaged = held(&fixture);

    let report = fixture.restore(&name).await.unwrap();
    assert_eq!(held(&fixture), before, "{options:?}");
    assert_eq!(
        database.profile(&live).await.unwrap(),
        profile,
        "its own properties are those of the one before"
    );
    let counted = database.row_counts(&live, 1).await.unwrap();
    assert_eq!(report.rows, counted.tables.values().sum::<u64>());
    assert_eq!(fixture.databases().len(), 2, "{:?}", fixture.databases());

    let context = Unwatched::new();
    let lock = fixture.lock(recovery_core::OperationKind::Rollback, &context).await;
    fixture.backups.rollback(&lock, report.id, &context).await.unwrap();
    assert_eq!(held(&fixture), damaged);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_an_old_archive_comes_back() {
    check_round_trip(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_an_old_archive_made_with_clean_and_if_exists_comes_back() {
    check_round_trip(&["--clean", "--if-exists"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_an_old_archive_made_with_clean_alone_comes_back() {
    check_round_trip(&["--clean"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_archive_brings_belongs_to_the_owner_of_the_database() {
    let fixture = Fixture::small();
    fixture.sql("CREATE EXTENSION pg_trgm; CREATE EXTENSION file_fdw");
    let name = put(&fixture, &dump(&fixture.server, &[]));
    fixture.server.psql(
        "postgres",
        "CREATE ROLE app LOGIN; ALTER DATABASE nova OWNER TO app; ALTER DATABASE nova SET work_mem TO '5MB'",
    );
    let report = fixture.restore(&name).await.unwrap();
    let owners =
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace
                  AND relkind = 'r'";
    assert_eq!(fixture.sql(owners).trim(), "app");
    assert_eq!(fixture.sql("SHOW work_mem").trim(), "5MB");
    assert!(report.warnings[0].contains("belongs to app"), "{:?}", report.warnings);
    // Only a superuser may make the one, and say something about it.
    assert_eq!(
        report.warnings[1],
        "2 of its statements needed more rights than app has; what they made belongs to nova."
    );
    assert_eq!((report.tables, report.rows), (2, 5100));
    assert_eq!(report.strategy, "swap");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_archive_restores_a_database_that_is_gone() {
    let fixture = Fixture::small();
    let before = held(&fixture);
    let name = put(&fixture, &dump(&fixture.server, &["--clean"]));
    fixture.server.psql("postgres", "DROP DATABASE nova WITH (FORCE)");
    let report = fixture.restore(&name).await.unwrap();
    assert_eq!(report.replaced_database, None);
    assert_eq!(held(&fixture), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_archive_made_with_inserts_is_counted_too() {
    let fixture = Fixture::empty();
    fixture.sql("CREATE TABLE t (i int, s text); INSERT INTO t SELECT i, 'it''s; ' || i FROM generate_series(1, 300) i");
    let name = put(&fixture, &dump(&fixture.server, &["--inserts", "--rows-per-insert=7"]));
    fixture.sql("TRUNCATE t");
    let report = fixture.restore(&name).await.unwrap();
    assert_eq!((report.rows, fixture.count("t")), (300, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_go_to_partitions_by_their_root_are_let_through() {
    let fixture = Fixture::empty();
    fixture.sql(
        "CREATE TABLE p (i int) PARTITION BY RANGE (i); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (50);
         CREATE TABLE p2 PARTITION OF p DEFAULT; INSERT INTO p SELECT generate_series(1, 99)",
    );
    let name = put(&fixture, &dump(&fixture.server, &["--load-via-partition-root"]));
    fixture.sql("TRUNCATE p");
    assert_eq!(fixture.restore(&name).await.unwrap().rows, 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_archive_is_listed_and_checked() {
    let fixture = Fixture::small();
    let script = dump(&fixture.server, &[]);
    let bytes = gzip(&tar(&[("./database.sql", &script), ("sources/", b""), ("sources/a.txt", b"hello")]));
    fs::write(fixture.path(&name()), bytes).unwrap();
    let listed = fixture.backups.list().await.unwrap();
    assert_eq!((listed[0].kind, listed[0].verification), (BackupKind::Legacy, Verification::Unverified));

    for level in [VerifyLevel::Hashes, VerifyLevel::Contents] {
        let report = fixture.backups.verify(&name(), level, &Unwatched::new()).await.unwrap();
        assert_eq!((report.verification, report.level), (Verification::Verified, level));
        let note = &report.notes[0];
        for words in
            ["holds no hashes", "5100 rows of 2 tables", "1 files of sources/ (5 bytes)", "pg_dump (15."]
        {
            assert!(note.contains(words), "{words}: {note}");
        }
    }
    assert_eq!(fixture.backups.find(&name()).await.unwrap().verification, Verification::Verified);
    let problem = Problem::from(fixture.backups.manifest(&name()).await.unwrap_err());
    assert_eq!(problem.code, ErrorCode::BackupIncompatible);

    fixture.sql("DROP TABLE messages");
    let report = fixture.restore(&name()).await.unwrap();
    assert!(
        report.warnings.iter().any(|words| words.contains("1 files of sources/")),
        "{:?}",
        report.warnings
    );
    assert_eq!(fixture.count("messages"), 5000);
}

/// Tries to restore and to verify what is in the file; both must say why not, and nothing may change.
async fn check_refused(fixture: &Fixture, bytes: &[u8], code: ErrorCode, words: &str) {
    fs::write(fixture.path(&name()), bytes).unwrap();
    let (before, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    let problem = Problem::from(fixture.restore(&name()).await.unwrap_err());
    assert_eq!(problem.code, code, "{words}: {problem:?}");
    assert!(problem.detail.contains(words), "{words}: {problem:?}");
    assert!(problem.hint.is_some(), "{problem:?}");
    fixture.assert_untouched(&before, &files);
    if code == ErrorCode::BackupDamaged {
        let report = fixture.backups.verify(&name(), VerifyLevel::Contents, &Unwatched::new()).await.unwrap();
        assert_eq!(report.verification, Verification::Failed, "{words}");
        assert!(report.problems[0].contains(words), "{words}: {report:?}");
    }
}

fn entry(kind: tar::EntryType, path: &[u8], link: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path);
    header.set_entry_type(kind);
    if !link.is_empty() {
        header.set_link_name_literal(link).unwrap();
    }
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_old_archives_are_refused() {
    use tar::EntryType as T;
    let fixture = Fixture::small();
    let script = dump(&fixture.server, &[]);
    let good = tar(&[("database.sql", &script)]);
    let content = &good[..good.len().div_ceil(512) * 512];
    // The members end where the zeros begin.
    let end = content.len() - content.iter().rev().take_while(|byte| **byte == 0).count();
    let members = &content[..end.next_multiple_of(512)];
    let with = |header: &tar::Header| {
        let bytes = [members, header.as_bytes(), &[0; 1024]].concat();
        gzip(&bytes)
    };
    let damaged = ErrorCode::BackupDamaged;
    for (header, words) in [
        (entry(T::Regular, b"../evil", "", 0), "leads elsewhere"),
        (entry(T::Regular, b"/etc/evil", "", 0), "leads elsewhere"),
        (entry(T::Regular, b"sources/../../evil", "", 0), "leads elsewhere"),
        (entry(T::Regular, b"./database.sql", "", 0), "holds database.sql twice"),
        (entry(T::Symlink, b"sources/a", "/etc", 0), "a link that may not be there"),
        (entry(T::Symlink, b"sources/a", "../../x", 0), "a link that may not be there"),
        (entry(T::Link, b"sources/a", "database.sql", 0), "a link that may not be there"),
        (entry(T::Char, b"sources/null", "", 0), "something that is no file"),
        (entry(T::Fifo, b"sources/pipe", "", 0), "something that is no file"),
        (entry(T::GNUSparse, b"sources/sparse", "", 0), "something that is no file"),
        (entry(T::Regular, b"sources/large", "", 1 << 40), "impossible size"),
        (entry(T::XHeader, b"x", "", 1 << 33), "impossible size"),
        (entry(T::GNULongName, b"x", "", 1 << 33), "impossible size"),
        (entry(T::Directory, b"sources", "", 512), "claims contents"),
    ] {
        check_refused(&fixture, &with(&header), damaged, words).await;
    }
    let mut header = entry(T::Regular, b"sources/x", "", 0);
    header.as_mut_bytes()[0] = b'S';
    check_refused(&fixture, &with(&header), damaged, "no tar archive").await;

    let symlink = entry(T::Symlink, b"database.sql", "sources/x", 0);
    let linked = gzip(&[symlink.as_bytes().as_slice(), &[0; 1024]].concat());
    check_refused(&fixture, &linked, damaged, "database.sql is no plain file").await;
    check_refused(&fixture, &gzip(&tar(&[("other.sql", b"x")])), damaged, "no database.sql").await;
    check_refused(&fixture, &gzip(&[members, &[0; 512]].concat()), damaged, "the end of the tar").await;
    check_refused(&fixture, &gzip(members), damaged, "where a header should stand").await;
    let after = [&good, b"more".as_slice()].concat();
    check_refused(&fixture, &gzip(&after), damaged, "follows the end of its tar").await;

    let packed = gzip(&good);
    check_refused(&fixture, b"", damaged, "not compressed with gzip").await;
    check_refused(&fixture, b"not even gzip", damaged, "not compressed with gzip").await;
    check_refused(&fixture, &packed[..packed.len() - 1], damaged, "cut off").await;
    check_refused(&fixture, &packed[..packed.len() / 2], damaged, "cut off").await;
    check_refused(&fixture, &[&packed, b"x".as_slice()].concat(), damaged, "follows its gzip stream").await;
    check_refused(&fixture, &[packed.clone(), packed.clone()].concat(), damaged, "follows its gzip stream")
        .await;
    let mut flipped = packed.clone();
    let checksum = flipped.len() - 6;
    flipped[checksum] ^= 1;
    check_refused(&fixture, &flipped, damaged, "its checksum are wrong").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_in_an_old_archive_is_found() {
    let fixture = Fixture::small();
    let tar = tar(&[("database.sql", &dump(&fixture.server, &[]))]);
    let (packed, mut found) = (gzip(&tar), 0);
    for place in (10..packed.len()).step_by(packed.len() / 60) {
        let mut flipped = packed.clone();
        flipped[place] ^= 0x10;
        fs::write(fixture.path(&name()), &flipped).unwrap();
        let report = fixture.backups.verify(&name(), VerifyLevel::Hashes, &Unwatched::new()).await.unwrap();
        // A bit of a code that stands for nothing changes nothing.
        let mut unpacked = Vec::new();
        let read = flate2::read::GzDecoder::new(&*flipped).read_to_end(&mut unpacked);
        let is_same = read.is_ok() && unpacked == tar;
        let expect = if is_same { Verification::Verified } else { Verification::Failed };
        assert_eq!(report.verification, expect, "at {place}");
        found += usize::from(!is_same);
    }
    assert!(found > 50, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_and_broken_scripts_are_refused() {
    let fixture = Fixture::small();
    let script = String::from_utf8(dump(&fixture.server, &[])).unwrap();
    let evidence = fixture.directory.path().join("evidence");
    let evil = |line: &str| script.replacen("SET xmloption", &format!("{line}\nSET xmloption"), 1);
    let (damaged, incompatible) = (ErrorCode::BackupDamaged, ErrorCode::BackupIncompatible);
    let touch = format!("\\! touch {}", evidence.display());
    for (script, code, words) in [
        (evil(&touch), damaged, "holds a command of psql"),
        (evil("DROP DATABASE nova;"), damaged, "no dump of one database has: DROP DATABASE"),
        (evil("COPY t FROM PROGRAM 'id';"), damaged, "no dump of one database has: COPY T"),
        (evil("\\connect postgres"), damaged, "pg_dump --create"),
        (
            evil("CREATE TABLE public.t (j nonsense);"),
            incompatible,
            "(CREATE TABLE): type \"nonsense\" does not exist",
        ),
        (
            evil("DROP TABLE nonsense;")
                .replace("SET check_function_bodies = false;", "CREATE TABLE public.x ();"),
            incompatible,
            "(DROP TABLE): table \"nonsense\" does not exist",
        ),
        (
            evil("CREATE EXTENSION IF NOT EXISTS pgvectr;"),
            incompatible,
            "the server lacks the extension(s) pgvectr",
        ),
        (evil("SET client_encoding = 'LATIN1';"), incompatible, "the encoding LATIN1"),
        (evil("SET default_tablespace = nowhere;"), incompatible, "(SET): invalid value for parameter"),
        (evil("BEGIN;"), damaged, "within a transaction"),
        (
            script.replace("\n100\tuser 100\n", "\na secret\tuser 100\n"),
            incompatible,
            "(COPY): invalid input syntax for type integer: \"…\"",
        ),
        (
            script.replace("\n100\tuser 100\n", "\n100\tuser 100\n100\tuser 101\n"),
            incompatible,
            "violates unique constraint",
        ),
        (script.replace("\n-- PostgreSQL database dump complete\n", "\n"), damaged, "cut off"),
        (script[..script.len() / 2].to_owned(), damaged, "cut off in the rows of public.messages"),
        (String::new(), damaged, "none that pg_dump has written"),
    ] {
        check_refused(&fixture, &gzip(&tar(&[("database.sql", script.as_bytes())])), code, words).await;
    }
    assert!(!evidence.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_cannot_reach_another_database_by_two_statements_in_one() {
    let fixture = Fixture::small();
    // To PostgreSQL a backslash ends nothing here, to a reader that believes the first line it would.
    let script = String::from_utf8(dump(&fixture.server, &[])).unwrap();
    let evil = "SET standard_conforming_strings = off;\nSET standard_conforming_strings = on;\n\
                COMMENT ON SCHEMA public IS 'x'; DROP DATABASE postgres;";
    let script = script.replacen("SET xmloption", &format!("{evil}\nSET xmloption"), 1);
    let bytes = gzip(&tar(&[("database.sql", script.as_bytes())]));
    check_refused(&fixture, &bytes, ErrorCode::BackupDamaged, "DROP DATABASE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_may_hold_what_looks_like_commands() {
    let fixture = Fixture::empty();
    fixture.sql(
        r"CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
/*
\restrict x
\! rm
*/
RETURN '\connect';
END $f$;
CREATE TABLE t (a text, b text);
INSERT INTO t VALUES (NULL, '\.'), ('\.', E'\\.\n\\.\n'), ('\restrict x', E'\r\n\t'), ('$$; '' -- /*', NULL), ('', '\! id');
COMMENT ON TABLE t IS E'\\restrict y\n\\.\n$$ '';';",
    );
    let before = held(&fixture);
    let name = put(&fixture, &dump(&fixture.server, &[]));
    fixture.sql("TRUNCATE t");
    assert_eq!(fixture.restore(&name).await.unwrap().rows, 5);
    assert_eq!(held(&fixture), before);
}

/// Samples of what the versions of `pg_dump` print: with and without `--clean`, `\restrict` and
/// `SET transaction_timeout`.
#[tokio::test(flavor = "multi_thread")]
async fn scripts_of_every_version_of_pg_dump_are_restored() {
    let fixture = Fixture::empty();
    fixture.sql("CREATE TABLE memories (id int); INSERT INTO memories VALUES (7)");
    let ours: u32 = fixture.sql("SHOW server_version_num").trim().parse::<u32>().unwrap() / 10_000;
    for major in [13, 14, 16, 17] {
        let sample = format!("{}/tests/samples/pg_dump-{major}.sql", env!("CARGO_MANIFEST_DIR"));
        let name = put(&fixture, &fs::read(sample).unwrap());
        let report = fixture.backups.verify(&name, VerifyLevel::Contents, &Unwatched::new()).await.unwrap();
        assert_eq!(report.problems, [""; 0], "{major}");
        assert!(report.notes[0].contains(&format!("pg_dump ({major}.")), "{:?}", report.notes);
        let report = fixture.restore(&name).await.unwrap();
        assert_eq!((report.tables, report.rows), (1, 3), "{major}");
        // The one of 16 comes from such a server, which may be newer than this one.
        let newer = major == 16 && ours < 16;
        assert_eq!(report.warnings.len(), 1 + usize::from(newer), "{major}: {:?}", report.warnings);
        let notes = "SELECT string_agg(coalesce(note, 'NULL'), '|' ORDER BY id) FROM memories";
        assert_eq!(fixture.sql(notes), "\\.|NULL|it's; $$ -- \\restrict", "{major}");
        assert_eq!(fixture.sql("SELECT nextval('memories_id_seq')").trim(), "4");
        assert_eq!(fixture.sql("UPDATE memories SET note = 'x' WHERE id = 1 RETURNING note").trim(), "x;");
        fixture.sql("TRUNCATE memories");
    }
}
