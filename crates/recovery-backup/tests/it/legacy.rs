//! Archives of the earlier service, made as it made them: `pg_dump` in a tar that Python wrote.

use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};
use recovery_core::{
    BackupKind, BackupName, ErrorCode, Problem, Verification, VerifyLevel,
    port::{DatabaseAdmin, Unwatched},
};
use recovery_store::PostgresDatabase;
use recovery_testkit::{RecordingContext, servers::PostgresServer};

use crate::{
    everything::load_everything,
    fixture::{DATABASE, Fixture},
};

const NAME: &str = "nova-backup-2025-01-31_23-59-59.tar.gz";
/// What the earlier service always said to `pg_dump`.
const USUAL: [&str; 2] = ["--no-owner", "--no-acl"];

pub(crate) fn name() -> BackupName {
    NAME.parse().unwrap()
}

/// The script that `pg_dump` writes with the usual and with these options.
pub(crate) fn dump(server: &PostgresServer, options: &[&str]) -> Vec<u8> {
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

/// Everything of the database that such an archive holds.
fn held(fixture: &Fixture) -> String {
    fixture.server.pg_dump(DATABASE, &USUAL)
}

/// As `assert_eq`, showing the lines that differ.
fn assert_same(one: &str, other: &str) {
    let lacks = |one: &str, other: &str| {
        one.lines().filter(|line| !other.lines().any(|there| there == *line)).collect::<Vec<_>>().join("\n")
    };
    assert!(one == other, "this is new:\n{}\nthis is missing:\n{}", lacks(one, other), lacks(other, one));
}

async fn check_round_trip(options: &[&str]) {
    round_trip(&Fixture::empty(), options).await;
}

async fn round_trip(fixture: &Fixture, options: &[&str]) {
    load_everything(fixture);
    // From 17 on, large objects are dumped together where owners and privileges are the same, which are not restored.
    fixture.sql("SELECT lo_unlink(424242), lo_from_bytea(424242, decode(repeat('00ff', 50000), 'hex'))");
    let before = held(fixture);
    let live = DATABASE.parse().unwrap();
    let database = PostgresDatabase::new(Some(fixture.server.target(DATABASE)));
    let profile = database.profile(&live).await.unwrap();
    let name = put(fixture, &dump(&fixture.server, options));
    fixture.sql("DELETE FROM secrets; DROP TABLE events CASCADE; SELECT lo_unlink(424242)");
    let damaged = held(fixture);

    let report = fixture.restore(&name).await.unwrap();
    assert_same(&held(fixture), &before);
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
    assert_same(&held(fixture), &damaged);
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
        report.warnings.iter().any(|words| words.starts_with("The 1 file(s) of sources")),
        "{:?}",
        report.warnings
    );
    assert_eq!(fixture.count("messages"), 5000);
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

fn on(version: u32) -> Fixture {
    Fixture::on(PostgresServer::start_version(version), |_| {})
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_an_old_archive_comes_back_on_17() {
    round_trip(&on(17), &["--clean"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_archive_goes_from_15_to_17_and_back() {
    let (old, new) = (on(15), on(17));
    load_everything(&old);
    put(&new, &dump(&old.server, &["--clean", "--if-exists"]));
    let there = new.restore(&name()).await.unwrap();
    assert_eq!(there.created_roles, ["reporting", "Ünïcode \"röle\""]);
    assert_eq!(there.warnings.len(), 2, "{:?}", there.warnings);

    // Back again, by a pg_dump that writes settings which 15 does not know, from a server that is newer.
    let script = dump(&new.server, &[]);
    assert!(String::from_utf8_lossy(&script).contains("SET transaction_timeout = 0"));
    put(&old, &script);
    old.sql("DROP TABLE events CASCADE");
    let back = old.restore(&name()).await.unwrap();
    assert_eq!((back.tables, back.rows), (there.tables, there.rows));
    assert!(
        back.warnings
            .iter()
            .any(|words| words.starts_with("It was made on PostgreSQL 17, and the server is 15.")),
        "{:?}",
        back.warnings
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_archive_is_rehearsed_and_taken_in() {
    let fixture = Fixture::small();
    let script = dump(&fixture.server, &[]);
    let good = gzip(&tar(&[("database.sql", &script)]));
    let context = Unwatched::new();
    let taken = fixture.backups.upload(Some(&name()), None, &mut &good[..], &context).await.unwrap();
    assert_eq!((taken.filename, taken.kind), (name(), BackupKind::Legacy));
    assert_eq!(taken.verification, Verification::Verified);

    let other: BackupName = "nova-checkpoint-2025-02-01_00-00-00.tar.gz".parse().unwrap();
    let (files, cut) = (fixture.files(), &good[..good.len() / 2]);
    let refused = fixture.backups.upload(Some(&other), None, &mut &cut[..], &Unwatched::new()).await;
    assert_eq!(Problem::from(refused.unwrap_err()).code, ErrorCode::BackupDamaged);
    assert_eq!(fixture.files(), files);

    let before = fixture.server.pg_dump_text(DATABASE);
    let drill = async |name: &BackupName| {
        let context = Unwatched::new();
        let lock = fixture.lock(recovery_core::OperationKind::Drill, &context).await;
        fixture.backups.drill(&lock, name, &context).await
    };
    assert_eq!(drill(&name()).await.unwrap().verification, Verification::Verified);
    fixture.assert_untouched(&before, &files);
    fs::write(fixture.path(&other), cut).unwrap();
    assert_eq!(drill(&other).await.unwrap().verification, Verification::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_restore_of_an_old_archive_leaves_nothing() {
    let fixture = Fixture::small();
    fixture.sql(
        "CREATE FUNCTION public.slow() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
             IF current_database() <> 'nova' THEN PERFORM pg_sleep(60); END IF; RETURN true; END $$;
         CREATE TABLE slow (id int CHECK (slow())); INSERT INTO slow VALUES (1)",
    );
    let name = put(&fixture, &dump(&fixture.server, &[]));
    let (before, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    let context = RecordingContext::new();
    let lock = fixture.lock(recovery_core::OperationKind::Restore, &context).await;
    let restoring = fixture.backups.restore(&lock, &name, &context);
    let cancelling = async {
        let loading =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY public.slow%' AND state = 'active'";
        while fixture.server.psql("postgres", loading).trim() != "1" {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        context.cancel();
    };
    let (restored, ()) = tokio::join!(restoring, cancelling);
    assert_eq!(Problem::from(restored.unwrap_err()).code, ErrorCode::Cancelled);
    fixture.assert_untouched(&before, &files);
}
