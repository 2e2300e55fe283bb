//! The contract suites on the real adapters.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use recovery_core::{
    database::DatabaseName,
    port::{DatabaseAdmin, ProtectedDatabase, ResetDatabase},
    schema::TableName,
};
use recovery_store::{PostgresDatabase, RedisStore, StateDirectory};
use recovery_testkit::{
    SampleRow, SampleTable, contract, sample_sql,
    servers::{PostgresServer, RedisServer},
};
use serde_json::Value;

use crate::{connect_as, server_with_nova};

struct RealServer {
    server: PostgresServer,
    database: PostgresDatabase,
}

#[async_trait]
impl contract::ResetFixture for RealServer {
    fn database(&self) -> &dyn ResetDatabase {
        &self.database
    }

    async fn create(&self, tables: &[SampleTable]) {
        self.server.psql("nova", &sample_sql(tables));
    }

    async fn rows(&self, table: &SampleTable) -> Vec<SampleRow> {
        crate::reset::rows(&self.server, table)
    }

    async fn hold(&self, table: &TableName) -> Box<dyn Send + Sync> {
        let session = crate::connect(&self.server, "nova").await.unwrap();
        let sql = format!("BEGIN; INSERT INTO public.\"{}\" VALUES (-1)", table.name);
        session.batch_execute(&sql).await.unwrap();
        Box::new(session)
    }

    async fn end_sessions(&self, application_name: &str) {
        self.database.terminate_application(application_name).await.unwrap();
    }
}

struct Session(tokio_postgres::Client);

#[async_trait]
impl contract::OtherSession for Session {
    async fn is_alive(&self) -> bool {
        self.0.simple_query("SELECT 1").await.is_ok()
    }
}

#[async_trait]
impl contract::DatabaseFixture for RealServer {
    fn admin(&self) -> &dyn DatabaseAdmin {
        &self.database
    }

    fn protected(&self) -> &dyn ProtectedDatabase {
        &self.database
    }

    fn another_instance(&self) -> Box<dyn DatabaseAdmin> {
        Box::new(PostgresDatabase::new(Some(self.server.target("nova"))))
    }

    async fn set_rows(&self, database: &DatabaseName, table: &str, rows: u64) {
        self.server.psql(
            database.as_str(),
            &format!(
                "CREATE TABLE IF NOT EXISTS public.{table} (id bigint);
                 BEGIN; DELETE FROM public.{table};
                 INSERT INTO public.{table} SELECT generate_series(1, {rows}); COMMIT"
            ),
        );
    }

    async fn set_platform_config(&self, key: &str, value: &Value) {
        self.server.psql(
            "nova",
            &format!(
                "CREATE TABLE IF NOT EXISTS platform_config (key text PRIMARY KEY, value jsonb NOT NULL);
                 INSERT INTO platform_config VALUES ($k${key}$k$, $v${value}$v$)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            ),
        );
    }

    async fn close_to_sessions(&self, database: &DatabaseName) {
        self.server.psql("postgres", &format!("ALTER DATABASE \"{database}\" ALLOW_CONNECTIONS false"));
    }

    async fn cut_off_a_drop(&self, database: &DatabaseName) {
        let mark = format!("UPDATE pg_database SET datconnlimit = -2 WHERE datname = '{database}'");
        self.server.psql("postgres", &mark);
    }

    fn scripts(&self, directory: &Path, table: &str, rows: u64) -> [PathBuf; 2] {
        let paths = ["definitions", "rows"].map(|name| directory.join(name));
        let lines: String = (1..=rows).map(|row| format!("{row}\n")).collect();
        fs::write(&paths[0], format!("SET search_path = '';\nCREATE TABLE public.{table} (id bigint);\n"))
            .unwrap();
        fs::write(&paths[1], format!("COPY public.{table} (id) FROM stdin;\n{lines}\\.\n")).unwrap();
        paths
    }

    async fn connect(
        &self,
        database: &DatabaseName,
        application_name: &str,
    ) -> Box<dyn contract::OtherSession> {
        Box::new(Session(connect_as(&self.server, database.as_str(), application_name).await.unwrap()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_keeps_the_promises_of_a_protected_database() {
    let (server, database) = server_with_nova();
    contract::protected_database(&RealServer { server, database }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_keeps_the_promises_of_database_administration() {
    let (server, database) = server_with_nova();
    contract::database_admin(&RealServer { server, database }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_does_postgresql_17() {
    let (server, database) = crate::with_nova(PostgresServer::start_version(17));
    contract::protected_database(&RealServer { server, database }).await;
    let (server, database) = crate::with_nova(PostgresServer::start_version(17));
    contract::database_admin(&RealServer { server, database }).await;
    let (server, database) = crate::with_nova(PostgresServer::start_version(17));
    contract::reset_database(&impatient(server, database)).await;
}

/// Does not wait for others as long as it would in earnest.
fn impatient(server: PostgresServer, database: PostgresDatabase) -> RealServer {
    RealServer { server, database: database.with_lock_limit(Duration::from_millis(600)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_keeps_the_promises_of_a_database_that_is_reset() {
    let (server, database) = server_with_nova();
    contract::reset_database(&impatient(server, database)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_target_nothing_is_configured() {
    let none = PostgresDatabase::new(None);
    contract::database_unconfigured(&none, &none).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_the_promises_of_a_key_value_store_and_a_key_space() {
    let keeps = async |mut server: RedisServer| {
        let store = RedisStore::new(&server.url(7).into()).unwrap();
        contract::key_value(&store).await;
        contract::key_space(&store).await;
        server.stop();
        contract::key_value_away(&store).await;
        contract::key_space_away(&store).await;
    };
    tokio::join!(keeps(RedisServer::start()), keeps(RedisServer::start_protected()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_directory_keeps_the_promises_of_its_ports() {
    let path = tempfile::tempdir().unwrap();
    let open = async || StateDirectory::open(path.path().join("state")).unwrap();
    contract::documents(open).await;
    contract::journal(open).await;
    contract::audit_log(open).await;
}
