//! A snapshot shows one moment, whatever happens after it and however the database is set up.

use recovery_core::port::{DatabaseAdmin, DatabaseError};

use crate::{connect, name, server_with_nova, until};

/// Tables of every kind, in schemas and under names that need quotes.
const EVERY_KIND: &str = r#"
CREATE SCHEMA "Größe ""x""";
CREATE TABLE "Größe ""x""" . "T.able" (a int); INSERT INTO "Größe ""x""" . "T.able" SELECT generate_series(1, 3);
CREATE TABLE "select" (a int); INSERT INTO "select" VALUES (1);
CREATE UNLOGGED TABLE unlogged (a int); INSERT INTO unlogged SELECT generate_series(1, 4);
CREATE TABLE parent (a int); INSERT INTO parent SELECT generate_series(1, 5);
CREATE TABLE child (b int) INHERITS (parent); INSERT INTO child SELECT generate_series(1, 6);
CREATE TABLE parted (a int, b int) PARTITION BY LIST (a);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2) PARTITION BY RANGE (b);
CREATE TABLE parted_2_low PARTITION OF parted_2 FOR VALUES FROM (0) TO (10);
INSERT INTO parted SELECT 1, n FROM generate_series(1, 7) n; INSERT INTO parted SELECT 2, n FROM generate_series(1, 8) n;
CREATE TABLE guarded (a int); INSERT INTO guarded SELECT generate_series(1, 9);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
CREATE POLICY none ON guarded USING (false);
CREATE TABLE empty ();
CREATE VIEW view AS TABLE parent; CREATE MATERIALIZED VIEW matview AS TABLE parent;
CREATE TEMPORARY TABLE temporary AS SELECT 1;
CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE foreign_table (a text) SERVER files OPTIONS (filename '/nowhere');
CREATE TABLE of_extension (a int); INSERT INTO of_extension VALUES (1); ALTER EXTENSION file_fdw ADD TABLE of_extension;
SELECT lo_create(0) FROM generate_series(1, 10);
"#;

const COUNTS: [(&str, u64); 9] = [
    (r#""Größe ""x"""."T.able""#, 3),
    ("public.\"select\"", 1),
    ("public.child", 6),
    ("public.empty", 0),
    ("public.guarded", 9),
    ("public.parent", 5),
    ("public.parted_1", 7),
    ("public.parted_2_low", 8),
    ("public.unlogged", 4),
];

/// Settings that would break everything that relies on defaults.
const HOSTILE: &str = r#"
ALTER DATABASE nova SET search_path TO evil, public; ALTER DATABASE nova SET statement_timeout TO '1ms';
ALTER DATABASE nova SET lock_timeout TO '1ms'; ALTER DATABASE nova SET idle_in_transaction_session_timeout TO '10ms';
ALTER DATABASE nova SET idle_session_timeout TO '400ms'; ALTER DATABASE nova SET row_security TO on;
ALTER DATABASE nova SET quote_all_identifiers TO on; ALTER DATABASE nova SET standard_conforming_strings TO off;
ALTER DATABASE nova SET default_transaction_isolation TO 'serializable';
ALTER DATABASE nova SET default_transaction_read_only TO on; ALTER DATABASE nova SET datestyle TO 'German';
"#;

/// Objects that would be found instead of PostgreSQL's own.
const SHADOWS: &str = r#"
CREATE SCHEMA evil;
CREATE TABLE evil.pg_class (oid oid); CREATE TABLE evil.pg_database (oid oid);
CREATE FUNCTION evil.quote_ident(name) RETURNS text LANGUAGE sql AS 'SELECT ''evil''';
CREATE FUNCTION evil.count(text) RETURNS text LANGUAGE sql AS 'SELECT ''evil''';
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_counted_in_tables_of_every_kind() {
    let (server, database) = server_with_nova();
    server.psql("nova", EVERY_KIND);
    let expect: Vec<(String, u64)> =
        COUNTS.iter().map(|(table, rows)| ((*table).to_owned(), *rows)).collect();

    for hostile in [false, true] {
        if hostile {
            server.psql("nova", SHADOWS);
            server.psql("postgres", HOSTILE);
        }
        let snapshot = database.snapshot().await.unwrap();
        // Longer than the session may be idle by the database's settings.
        tokio::time::sleep(std::time::Duration::from_millis(800)).await;
        let counts = snapshot.row_counts().await.unwrap();
        let mut found: Vec<(String, u64)> = counts.tables.clone().into_iter().collect();
        found.retain(|(table, _)| !table.starts_with("evil."));
        assert_eq!(found, expect);
        assert_eq!(counts.large_objects, 10);
        assert_eq!(snapshot.facts().table_count, counts.tables.len() as u64);
        assert_eq!(database.row_counts(&name("nova"), 3).await.unwrap(), counts);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_stays_as_it_was_and_pg_dump_sees_the_same() {
    let (server, database) = server_with_nova();
    server.psql("nova", "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 100)");
    let snapshot = database.snapshot().await.unwrap();
    server.psql("nova", "INSERT INTO t VALUES (0); DELETE FROM t WHERE a > 50; CREATE TABLE later (a int)");
    let refused = server.try_psql("nova", "SET lock_timeout = '50ms'; TRUNCATE t").unwrap_err();
    assert!(refused.contains("lock timeout"), "what a snapshot shows cannot be truncated away: {refused}");

    let counts = snapshot.row_counts().await.unwrap();
    assert_eq!(counts.tables.into_iter().collect::<Vec<_>>(), [("public.t".to_owned(), 100)]);
    let dump =
        server.pg_dump("nova", &[&format!("--snapshot={}", snapshot.id()), "--data-only", "--inserts"]);
    assert_eq!(dump.matches("INSERT INTO public.t ").count(), 100);

    drop(snapshot);
    crate::until("the snapshot's locks are gone", async || {
        server.try_psql("nova", "SET lock_timeout = '50ms'; TRUNCATE t").is_ok()
    })
    .await;
    assert_eq!(database.row_counts(&name("nova"), 1).await.unwrap().tables["public.t"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_whose_session_was_ended_counts_nothing() {
    let (server, database) = server_with_nova();
    server.psql("nova", "CREATE TABLE t (a int)");
    let snapshot = database.snapshot().await.unwrap();
    assert_eq!(database.terminate_application("nova-recovery").await.unwrap(), 1);
    snapshot.row_counts().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_facts_are_those_of_the_database() {
    let (server, database) = server_with_nova();
    server.psql("postgres", "ALTER DATABASE nova SET work_mem TO '5MB'; COMMENT ON DATABASE nova IS 'here'");
    server.psql("nova", "CREATE EXTENSION file_fdw VERSION '1.0'; CREATE TABLE t (a int)");
    let snapshot = database.snapshot().await.unwrap();
    let facts = snapshot.facts();
    assert_eq!(facts.profile, database.profile(&name("nova")).await.unwrap());
    let extensions: Vec<String> =
        facts.extensions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    assert_eq!(extensions, ["file_fdw 1.0", "plpgsql 1.0"]);
    assert!(facts.size_bytes > 1_000_000);
}

/// Everything that can name a role, each its own.
const ROLES: &str = r#"
CREATE ROLE owner; CREATE ROLE of_database; CREATE ROLE granted; CREATE ROLE by_column; CREATE ROLE in_policy;
CREATE ROLE in_default; CREATE ROLE for_default; CREATE ROLE in_settings; CREATE ROLE mapped; CREATE ROLE "Fu""nction";
CREATE ROLE on_database; CREATE ROLE unrelated; CREATE ROLE elsewhere; CREATE ROLE of_large_object; CREATE ROLE grantor;
ALTER DATABASE nova OWNER TO of_database; GRANT CREATE ON DATABASE nova TO on_database;
ALTER ROLE in_settings IN DATABASE nova SET work_mem TO '1MB'; ALTER ROLE unrelated SET work_mem TO '1MB';
GRANT CONNECT ON DATABASE postgres TO elsewhere; CREATE TABLE other (); ALTER TABLE other OWNER TO elsewhere;
\connect nova
CREATE TABLE t (a int, b int); ALTER TABLE t OWNER TO owner;
GRANT SELECT ON t TO grantor WITH GRANT OPTION; SET ROLE grantor; GRANT SELECT ON t TO granted; RESET ROLE;
GRANT UPDATE (a) ON t TO by_column; CREATE POLICY p ON t TO in_policy USING (true);
ALTER DEFAULT PRIVILEGES FOR ROLE for_default GRANT SELECT ON TABLES TO in_default;
CREATE EXTENSION file_fdw; CREATE SERVER s FOREIGN DATA WRAPPER file_fdw; CREATE USER MAPPING FOR mapped SERVER s;
ALTER SERVER s OWNER TO owner;
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION f OWNER TO "Fu""nction";
SELECT lo_create(4711); ALTER LARGE OBJECT 4711 OWNER TO of_large_object;
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_that_a_dump_names_is_found() {
    let (server, database) = server_with_nova();
    server.psql("postgres", ROLES);
    let mut expect = vec![
        "by_column",
        "for_default",
        "granted",
        "grantor",
        "in_default",
        "in_policy",
        "in_settings",
        "mapped",
        "of_database",
        "of_large_object",
        "on_database",
        "owner",
        "Fu\"nction",
    ];
    let found = async |expect: &mut Vec<&str>| {
        let mut roles = database.snapshot().await.unwrap().facts().roles.clone();
        roles.sort();
        expect.sort_unstable();
        assert_eq!(roles, *expect);
    };
    found(&mut expect).await;
    // The superuser that initdb made is in no list of dependencies.
    server.psql("nova", "CREATE TABLE of_bootstrap ()");
    expect.push("nova");
    found(&mut expect).await;
    server.psql("nova", "DROP TABLE of_bootstrap; SET ROLE owner; GRANT SELECT ON t TO nova");
    found(&mut expect).await;
    let dump = server.pg_dump("nova", &["--create"]);
    assert!(expect.iter().all(|role| dump.contains(&role.replace('"', "\"\""))), "{dump}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_s_version_is_read_from_any_usual_table() {
    let (server, database) = server_with_nova();
    let check = async |table: &str, expect: Option<&str>| {
        server.psql("nova", &format!("DROP TABLE IF EXISTS schema_migrations; {table}"));
        let version = database.snapshot().await.unwrap().facts().schema_version.clone();
        assert_eq!(version.as_deref(), expect, "{table}");
    };
    check("", None).await;
    check("CREATE TABLE schema_migrations (version bigint)", None).await;
    check(
        "CREATE TABLE schema_migrations (version bigint); INSERT INTO schema_migrations VALUES (9), (100)",
        Some("100"),
    )
    .await;
    check("CREATE TABLE schema_migrations (filename text); INSERT INTO schema_migrations VALUES ('9_b'), ('10_a')", Some("10_a"))
        .await;
    check("CREATE TABLE schema_migrations (id serial, name varchar(50)); INSERT INTO schema_migrations (name) VALUES ('b'), ('a')", Some("b"))
        .await;
    check(
        "CREATE TABLE schema_migrations (version text, applied_at timestamptz);
         INSERT INTO schema_migrations VALUES ('2', '2026-01-01'), ('1', '2026-02-01'), ('3', NULL)",
        Some("1"),
    )
    .await;
    check("CREATE TABLE schema_migrations (unusual text); INSERT INTO schema_migrations VALUES ('x')", None)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_dropped_while_its_lock_is_waited_for_is_no_error() {
    let (server, database) = server_with_nova();
    server.psql("nova", "CREATE TABLE going (a int); CREATE TABLE staying (a int)");
    let other = connect(&server, "nova").await.unwrap();
    other.batch_execute("BEGIN; DROP TABLE going").await.unwrap();
    let (snapshot, ()) = tokio::join!(database.snapshot(), async {
        crate::until("the snapshot waits", async || {
            server.psql("postgres", "SELECT count(*) FROM pg_locks WHERE NOT granted") != "0"
        })
        .await;
        other.batch_execute("COMMIT").await.unwrap();
    });
    let counts = snapshot.unwrap().row_counts().await.unwrap();
    assert_eq!(counts.tables.into_keys().collect::<Vec<_>>(), ["public.staying"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_rights_is_told_so() {
    let (server, _) = server_with_nova();
    server.psql(
        "nova",
        "CREATE TABLE t (a int); CREATE ROLE weak LOGIN PASSWORD 'weak password';
         REVOKE CONNECT ON DATABASE nova FROM PUBLIC",
    );
    let mut target = server.target("nova");
    (target.user, target.password) = ("weak".to_owned(), Some("weak password".to_owned().into()));
    let database = recovery_store::PostgresDatabase::new(Some(target));
    let refused = |result: Result<(), DatabaseError>| {
        assert!(matches!(result, Err(DatabaseError::NotAllowed { .. })), "{result:?}");
    };
    refused(database.snapshot().await.map(drop));
    server.psql("postgres", "GRANT CONNECT ON DATABASE nova TO weak");
    refused(database.snapshot().await.map(drop));
    let profile = database.profile(&name("nova")).await.unwrap();
    refused(database.create_database(&name("another"), &profile).await);
    refused(database.create_missing_roles(&["another".to_owned()]).await.map(drop));
    let facts = database.server().await.unwrap();
    assert!(!facts.superuser && !facts.may_create_databases && !facts.may_create_roles);
}

/// The locks that keep tables from being emptied under the dump go with the session that holds them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_whose_session_ends_while_rows_are_counted_counts_nothing() {
    let (server, database) = server_with_nova();
    server.psql("nova", "CREATE TABLE t AS SELECT 1 AS a");
    let snapshot = database.snapshot().await.unwrap();
    let waiting = async |many: &str| {
        let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass";
        until("they wait for the table", async || server.psql("nova", sql) == many).await;
    };
    let other = connect(&server, "nova").await.unwrap();
    let (counted, ()) = tokio::join!(
        async {
            // Behind the other, which waits for the snapshot's own lock.
            waiting("1").await;
            snapshot.row_counts().await
        },
        async {
            let end_holder = async {
                waiting("2").await;
                server.psql(
                    "nova",
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE granted AND relation = 't'::regclass
                     AND mode = 'AccessShareLock'",
                );
            };
            let (locked, ()) = tokio::join!(other.batch_execute("BEGIN; LOCK TABLE t"), end_holder);
            locked.unwrap();
            other.batch_execute("ROLLBACK").await.unwrap();
        }
    );
    assert!(matches!(counted, Err(DatabaseError::Unavailable { .. })), "{counted:?}");
}
