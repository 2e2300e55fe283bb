//! Restores by the owner of the database, who may not create another one.

use std::{fs, sync::Arc, sync::atomic::AtomicBool, sync::atomic::Ordering};

use recovery_backup::{BackupError, BackupService, RestoreReport};
use recovery_core::{
    Actor, BackupKind, BackupName, ErrorCode, OperationKind, Problem,
    port::{DatabaseError, OperationContext, Unwatched},
};
use recovery_testkit::{RecordingContext, servers::PostgresServer};

use crate::{
    bad_input::{fix_checksum, replace_in_manifest},
    everything::dump,
    faults::problem,
    fixture::{DATABASE, Fixture},
};

const PASSWORD: &str = "keeper-password";

/// What an ordinary role can make.
const ORDINARY: &str = r#"
CREATE EXTENSION hstore; CREATE EXTENSION pg_trgm;
CREATE SCHEMA fuzzy; CREATE EXTENSION fuzzystrmatch SCHEMA fuzzy;
CREATE SCHEMA "Größe & Co";
COMMENT ON SCHEMA public IS 'ours'; GRANT CREATE ON SCHEMA public TO reader;
CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE money_range AS RANGE (subtype = numeric); CREATE TYPE point3 AS (x float8, y float8);
CREATE COLLATION "Ordnung" (provider = libc, locale = 'C');
CREATE TABLE "Größe & Co"."Tabelle ""mit"" allem" (
    "Schlüssel" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m mood, p positive, r money_range, q point3, tags hstore,
    body text COLLATE "Ordnung" DEFAULT 'it''s; "odd"', doubled bigint GENERATED ALWAYS AS ("Schlüssel" * 2) STORED);
INSERT INTO "Größe & Co"."Tabelle ""mit"" allem" (m, p, r, q, tags, body)
    SELECT 'ok', i, money_range(i, i + 1), ROW (i, 2)::point3, hstore('n', i::text), E'row\t\\ \n\\. ü' || i FROM generate_series(1, 300) i;
CREATE TABLE "line
break; " (id serial PRIMARY KEY, other int REFERENCES "line
break; " DEFERRABLE INITIALLY DEFERRED);
INSERT INTO "line
break; " SELECT i, i FROM generate_series(1, 50) i;
SELECT setval('"line
break; _id_seq"', 77);
CREATE TABLE events (id bigint, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_rest PARTITION OF events DEFAULT; CREATE INDEX ON events (id);
INSERT INTO events SELECT i, date '2025-12-01' + i FROM generate_series(1, 90) i;
CREATE VIEW moods AS SELECT m, count(*) AS n FROM "Größe & Co"."Tabelle ""mit"" allem" GROUP BY 1;
CREATE MATERIALIZED VIEW mood_counts AS SELECT * FROM moods;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
COPY nowhere FROM stdin;
RETURN NEW; END $$;
CREATE TRIGGER stamped BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE PROCEDURE nothing() LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;
CREATE AGGREGATE longest (text) (SFUNC = pg_catalog.text_larger, STYPE = text);
CREATE FUNCTION near(point3, point3) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT ($1).x = ($2).x';
CREATE OPERATOR ~~~ (LEFTARG = point3, RIGHTARG = point3, FUNCTION = near);
CREATE FUNCTION to_mood(int) RETURNS mood LANGUAGE sql IMMUTABLE AS $$ SELECT 'ok'::mood $$;
CREATE CAST (int AS mood) WITH FUNCTION to_mood(int);
CREATE TEXT SEARCH CONFIGURATION simple_too (COPY = simple);
CREATE STATISTICS together (dependencies) ON id, at FROM events;
CREATE TABLE secrets (id int PRIMARY KEY, owner text); INSERT INTO secrets VALUES (1, 'x');
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON secrets TO reader USING (owner = current_user);
GRANT SELECT (id) ON secrets TO reader; REVOKE ALL ON FUNCTION near FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA fuzzy GRANT SELECT ON TABLES TO reader;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE PUBLICATION partly FOR TABLE secrets;
SELECT lo_from_bytea(4711, decode(repeat('00ff', 5000), 'hex')); COMMENT ON LARGE OBJECT 4711 IS 'a picture';
COMMENT ON TABLE events IS 'happened';
ALTER DATABASE nova SET search_path TO public, "Größe & Co"; ALTER DATABASE nova SET work_mem TO '7MB';
COMMENT ON DATABASE nova IS 'kept'; REVOKE TEMPORARY ON DATABASE nova FROM PUBLIC;
"#;

/// Takes much away, and leaves much that was not there.
const DAMAGE: &str = r#"
DROP TABLE events CASCADE; DELETE FROM "line
break; "; DROP TYPE mood CASCADE; SELECT lo_unlink(4711); SELECT lo_from_bytea(1, 'stray');
CREATE SCHEMA stray; CREATE TABLE stray.t AS SELECT 1 AS a; CREATE EXTENSION citext; CREATE TABLE stray_text (t citext);
CREATE TYPE stray_mood AS ENUM ('x'); CREATE FUNCTION stray(stray_mood) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE SEQUENCE stray_sequence; CREATE VIEW stray_view AS SELECT * FROM stray.t; CREATE PUBLICATION stray FOR TABLE stray.t;
CREATE TABLE fuzzy.stray (a int); CREATE COLLATION fuzzy.stray (provider = libc, locale = 'C');
GRANT ALL ON SCHEMA public, fuzzy TO PUBLIC; COMMENT ON SCHEMA public IS 'not ours'; COMMENT ON SCHEMA fuzzy IS 'strange';
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA fuzzy GRANT ALL ON SEQUENCES TO reader;
ALTER DATABASE nova RESET ALL; ALTER DATABASE nova SET work_mem TO '5MB'; COMMENT ON DATABASE nova IS NULL;
GRANT ALL ON DATABASE nova TO reader;
"#;

/// A database that belongs to an ordinary role with all that is in it, and the service signed in as that role.
struct Kept {
    fixture: Fixture,
    backups: BackupService,
}

impl Kept {
    fn on(server: PostgresServer, contents: &str) -> Self {
        let fixture = Fixture::on(server, |_| {});
        fixture.server.psql(
            "postgres",
            &format!(
                "CREATE ROLE keeper LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE reader; ALTER DATABASE nova OWNER TO keeper"
            ),
        );
        let kept = Self { backups: fixture.signed_in_as("keeper", PASSWORD), fixture };
        kept.sql(contents);
        kept
    }

    fn small() -> Self {
        Self::on(
            PostgresServer::start(),
            "CREATE TABLE users (id int PRIMARY KEY, name text);
             CREATE TABLE messages (id int PRIMARY KEY, author int REFERENCES users, body text);
             INSERT INTO users SELECT i, 'user ' || i FROM generate_series(1, 100) i;
             INSERT INTO messages SELECT i, 1 + i % 100, repeat('m', 200) FROM generate_series(1, 5000) i;",
        )
    }

    /// Runs SQL as the ordinary role.
    fn sql(&self, sql: &str) -> String {
        self.fixture
            .sql(&format!("SET SESSION AUTHORIZATION keeper; SET client_min_messages = warning; {sql}"))
    }

    async fn create(&self) -> BackupName {
        let context = Unwatched::new();
        let lock = self.backups.lock(OperationKind::Backup, context.id(), &Actor::new("test")).await.unwrap();
        self.backups.create(&lock, BackupKind::Manual, &context).await.unwrap().filename
    }

    async fn restore(&self, name: &BackupName) -> Result<RestoreReport, BackupError> {
        self.restore_in(name, &Unwatched::new()).await
    }

    async fn restore_in(
        &self,
        name: &BackupName,
        context: &dyn OperationContext,
    ) -> Result<RestoreReport, BackupError> {
        let lock =
            self.backups.lock(OperationKind::Restore, context.id(), &Actor::new("test")).await.unwrap();
        self.backups.restore(&lock, name, context).await
    }
}

async fn comes_back(server: PostgresServer) {
    let kept = Kept::on(server, ORDINARY);
    let before = dump(&kept.fixture);
    let name = kept.create().await;
    kept.sql(DAMAGE);
    let damaged = dump(&kept.fixture);

    let report = kept.restore(&name).await.unwrap();
    assert_eq!((report.strategy, &report.replaced_database, report.kept_until), ("in_place", &None, None));
    assert!(report.warnings[0].contains("restored in place"), "{report:?}");
    assert_eq!(report.warnings.len(), 1, "{report:?}");
    assert_eq!(dump(&kept.fixture), before);
    assert_eq!(kept.fixture.databases(), [DATABASE]);

    let safety = report.safety_backup.unwrap();
    assert_eq!(safety.kind(), BackupKind::Safety);
    let back = kept.restore(&safety).await.unwrap();
    assert_ne!(back.safety_backup, Some(safety));
    assert_eq!(dump(&kept.fixture), damaged, "the safety backup is the way back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_createdb_restores_in_place_and_exactly() {
    comes_back(PostgresServer::start_version(15)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_does_on_17() {
    comes_back(PostgresServer::start_version(17)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_leaves_everything_as_it_was() {
    let kept = Kept::small();
    let name = kept.create().await;
    kept.sql("DELETE FROM messages WHERE id > 10; CREATE TABLE newer AS SELECT 1 AS a");
    let (before, files) = (dump(&kept.fixture), kept.fixture.files());
    let untouched = |what: &str| {
        assert!(dump(&kept.fixture) == before, "{what}: the database is as it was");
        assert_eq!(kept.fixture.files(), files, "{what}: no file is left");
    };
    for phase in ["verifying", "writing SQL", "waiting for locks", "loading", "comparing"] {
        let context = RecordingContext::new().cancel_at_phase(phase);
        let result = kept.restore_in(&name, &context).await;
        assert!(matches!(result, Err(BackupError::Cancelled(_))), "{phase}: {result:?}");
        untouched(phase);
    }
    for (who, application) in [("its session", "nova-recovery-load-%"), ("the lock", "nova-recovery: %")] {
        let mut psql = kept.fixture.server.client("psql", "postgres");
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--command"]).arg(format!(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name LIKE '{application}'"
        ));
        let context = RecordingContext::new().at_phase("comparing", move || {
            let output = psql.output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1", "{output:?}");
        });
        let refused = kept.restore_in(&name, &context).await.unwrap_err();
        assert!(
            matches!(refused, BackupError::Database(DatabaseError::Unavailable { .. })),
            "{who}: {refused:?}"
        );
        assert!(!context.is_sealed());
        untouched(who);
    }
    let good = fs::read(kept.fixture.path(&name)).unwrap();
    let mut bytes = good.clone();
    replace_in_manifest(&mut bytes, "\"public.users\": 100", "\"public.users\": 101");
    fix_checksum(&mut bytes);
    fs::write(kept.fixture.path(&name), bytes).unwrap();
    let refused = problem(kept.restore(&name).await);
    assert!(refused.detail.contains("public.users has 100 rows instead of 101"), "{refused:?}");
    untouched("rows that differ");

    fs::write(kept.fixture.path(&name), good).unwrap();
    kept.restore(&name).await.unwrap();
    assert_eq!(kept.fixture.count("messages"), 5000);
}

/// From the safety backup on nobody writes: it would be in no backup, and gone.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_between_the_safety_backup_and_the_restore() {
    let kept = Kept::small();
    let name = kept.create().await;
    let mut client = kept.fixture.server.client("psql", DATABASE);
    client.args(["--no-psqlrc", "-At", "-c", "SELECT count(*) FROM users"]).args([
        "-c",
        "SET statement_timeout = '300ms'",
        "-c",
        "INSERT INTO users VALUES (101, 'lost')",
    ]);
    let context = RecordingContext::new().at_phase("archiving", move || {
        let output = client.output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("100"), "others may read: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("statement timeout"), "{output:?}");
    });
    kept.restore_in(&name, &context).await.unwrap();
    assert_eq!(kept.fixture.count("users"), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_read_and_waits_to_write_is_cancelled_and_keeps_nobody_waiting() {
    let kept = Kept::small();
    let name = kept.create().await;
    let mut client = kept.fixture.server.client("psql", DATABASE);
    client.env("PGUSER", "keeper").env("PGPASSWORD", PASSWORD).args(["--no-psqlrc", "-At", "-c"]).arg(
        "BEGIN; SELECT count(*) FROM users;
         INSERT INTO users VALUES (101, 'late')",
    );
    client.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let (sender, receiver) = std::sync::mpsc::channel();
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%late%' AND wait_event_type = 'Lock'";
    let mut look = kept.fixture.server.client("psql", "postgres");
    look.args(["--no-psqlrc", "-Atc", &format!("{waits} AND pid <> pg_backend_pid()")]);
    let context = RecordingContext::new().at_phase("archiving", move || {
        sender.send(client.spawn().unwrap()).unwrap();
        while look.output().unwrap().stdout != b"1\n" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    kept.restore_in(&name, &context).await.unwrap();
    let output = receiver.recv().unwrap().wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("canceling statement"), "{output:?}");
    assert_eq!(kept.fixture.count("users"), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_wait_and_do_not_fail() {
    let kept = Kept::small();
    let name = kept.create().await;
    kept.sql("DELETE FROM messages WHERE id > 10");
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|number| {
            let stop = Arc::clone(&stop);
            let (target, query) = (
                kept.fixture.server.target(DATABASE),
                "SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM users)",
            );
            let mut psql = kept.fixture.server.client("psql", DATABASE);
            psql.env("PGAPPNAME", format!("reader {number} of {}", target.user));
            tokio::task::spawn_blocking(move || {
                let mut seen = Vec::new();
                loop {
                    let last = stop.load(Ordering::Relaxed);
                    let mut command = std::process::Command::new(psql.get_program());
                    command.envs(psql.get_envs().filter_map(|(name, value)| Some((name, value?))));
                    let output = command.args(["--no-psqlrc", "-Atc", query]).output().unwrap();
                    assert!(output.status.success(), "{output:?}");
                    seen.push(String::from_utf8(output.stdout).unwrap().trim().to_owned());
                    if last {
                        return seen;
                    }
                }
            })
        })
        .collect();
    kept.restore(&name).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        let seen = reader.await.unwrap();
        assert!(seen.iter().all(|count| ["110", "5100"].contains(&count.as_str())), "{seen:?}");
        assert_eq!(seen.last().unwrap(), "5100");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_succeed_is_refused_before_anything_is_touched() {
    let kept = Kept::small();
    let ours = kept.create().await;
    let refused = async |name: &BackupName, code: ErrorCode, words: &str| {
        let (before, files) = (dump(&kept.fixture), kept.fixture.files());
        let problem = Problem::from(kept.restore(name).await.unwrap_err());
        assert_eq!(problem.code, code, "{problem:?}");
        assert!(problem.detail.contains(words) && problem.hint.is_some(), "{words}: {problem:?}");
        assert!(dump(&kept.fixture) == before);
        assert_eq!(kept.fixture.files(), files);
    };
    let good = fs::read(kept.fixture.path(&ours)).unwrap();
    for (from, to, words) in [
        ("\"keeper\"\n", "\"nobody\"\n", "lacks the role(s) nobody"),
        ("\"plpgsql\": \"1.0\"", "\"tsm_abc\": \"1.0\"", "lacks the extension(s) tsm_abc"),
    ] {
        let mut bytes = good.clone();
        replace_in_manifest(&mut bytes, from, to);
        fix_checksum(&mut bytes);
        fs::write(kept.fixture.path(&ours), bytes).unwrap();
        refused(&ours, ErrorCode::BackupIncompatible, words).await;
    }
    fs::write(kept.fixture.path(&ours), &good).unwrap();

    kept.fixture.sql("CREATE EXTENSION file_fdw");
    let with_extension = kept.fixture.create().await.filename;
    kept.fixture.sql("DROP EXTENSION file_fdw");
    refused(&with_extension, ErrorCode::BackupIncompatible, "file_fdw are not installed").await;

    kept.fixture.sql(
        "CREATE FUNCTION guard() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
         CREATE EVENT TRIGGER no_change ON ddl_command_end EXECUTE FUNCTION guard()",
    );
    let with_trigger = kept.fixture.create().await.filename;
    kept.fixture.sql("DROP EVENT TRIGGER no_change; DROP FUNCTION guard");
    refused(&with_trigger, ErrorCode::BackupIncompatible, "only a superuser may make").await;

    kept.fixture.server.psql("postgres", "ALTER DATABASE nova OWNER TO nova");
    refused(&ours, ErrorCode::BackupIncompatible, "is not its own").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_others_in_the_archive_becomes_ours_and_is_said() {
    let kept = Kept::small();
    kept.fixture.sql("CREATE TABLE of_superuser AS SELECT 1 AS a; GRANT SELECT ON of_superuser TO reader");
    let name = kept.fixture.create().await.filename;
    kept.fixture.sql("DROP TABLE of_superuser");
    let report = kept.restore(&name).await.unwrap();
    assert!(report.warnings.iter().any(|warning| warning.contains("anything to nova")), "{report:?}");
    let owner = "SELECT relowner::regrole, has_table_privilege('reader', oid, 'SELECT') FROM pg_class WHERE relname = 'of_superuser'";
    assert_eq!(kept.fixture.sql(owner), "keeper|t");
}
