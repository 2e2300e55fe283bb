//! Statistics.

use recovery_core::port::DatabaseAdmin;

use crate::{name, server_with_nova};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_has_statistics_afterwards() {
    let (server, database) = server_with_nova();
    server.psql(
        "nova",
        r#"CREATE TABLE "Ta.ble" (a int); INSERT INTO "Ta.ble" SELECT generate_series(1, 1000);
           CREATE MATERIALIZED VIEW matview AS TABLE "Ta.ble"; CREATE MATERIALIZED VIEW unfilled AS TABLE "Ta.ble" WITH NO DATA;
           CREATE TABLE parted (a int) PARTITION BY RANGE (a);
           CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10); INSERT INTO part VALUES (1), (2);
           CREATE TABLE failing (a int); INSERT INTO failing VALUES (0), (1);
           CREATE FUNCTION divide(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1 / $1';
           SET plpgsql.check_asserts = off;
           CREATE INDEX ON failing (divide(a)) WHERE a > 0;
           ALTER TABLE failing ADD CONSTRAINT none CHECK (true)"#,
    );
    // An index expression that fails under ANALYZE: the function is changed after the index was built.
    server.psql(
        "nova",
        "CREATE OR REPLACE FUNCTION divide(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1 / ($1 - $1)'",
    );
    database.analyze(&name("nova"), 2).await.unwrap();
    let analyzed =
        server.psql("nova", "SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public' ORDER BY 1");
    assert_eq!(analyzed, "Ta.ble\nmatview\npart\nparted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_partition_that_is_away_costs_only_its_own_statistics() {
    let (server, database) = server_with_nova();
    server.psql(
        "nova",
        "CREATE EXTENSION postgres_fdw;
         CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1');
         CREATE USER MAPPING FOR PUBLIC SERVER away OPTIONS (user 'nobody', password 'none');
         CREATE TABLE parted (a int) PARTITION BY RANGE (a);
         CREATE FOREIGN TABLE gone PARTITION OF parted FOR VALUES FROM (0) TO (10) SERVER away;
         CREATE TABLE here PARTITION OF parted FOR VALUES FROM (10) TO (99999);
         INSERT INTO here SELECT generate_series(10, 9999);
         CREATE TABLE plain AS SELECT generate_series(1, 10) AS a",
    );
    server.try_psql("nova", "ANALYZE parted").unwrap_err();
    // One session: it has to go on after the error.
    database.analyze(&name("nova"), 1).await.unwrap();
    let analyzed = server.psql("nova", "SELECT tablename FROM pg_stats WHERE schemaname = 'public'");
    assert!(analyzed.lines().any(|table| table == "plain"), "{analyzed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_a_database_gives_its_sessions_is_not_ours() {
    let (server, database) = server_with_nova();
    server.psql("nova", "CREATE ROLE powerless; CREATE TABLE plain AS SELECT generate_series(1, 10) AS a");
    server.psql("postgres", "ALTER DATABASE nova SET role = 'powerless'");
    assert_eq!(server.psql("nova", "SELECT current_user"), "powerless");
    let counts = database.row_counts(&name("nova"), 1).await.unwrap();
    assert_eq!(counts.tables.get("public.plain"), Some(&10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_partitioned_by_hash_is_counted_as_a_whole() {
    let (server, database) = server_with_nova();
    server.psql(
        "nova",
        "CREATE TABLE hashed (a int, b int) PARTITION BY HASH (a);
         CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0) PARTITION BY LIST (b);
         CREATE TABLE hashed_0_1 PARTITION OF hashed_0 FOR VALUES IN (1);
         CREATE TABLE hashed_0_rest PARTITION OF hashed_0 DEFAULT;
         CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO hashed SELECT i, i % 2 FROM generate_series(1, 1000) i;
         CREATE TABLE ranged (a int) PARTITION BY RANGE (a);
         CREATE TABLE ranged_0 PARTITION OF ranged FOR VALUES FROM (0) TO (10);
         INSERT INTO ranged VALUES (1), (2)",
    );
    let counts = database.row_counts(&name("nova"), 2).await.unwrap().tables;
    let counts: Vec<(&str, u64)> = counts.iter().map(|(table, rows)| (table.as_str(), *rows)).collect();
    assert_eq!(counts, [("public.hashed", 1000), ("public.ranged_0", 2)]);
}
