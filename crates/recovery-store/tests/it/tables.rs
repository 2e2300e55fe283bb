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
