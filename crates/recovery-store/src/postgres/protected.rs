//! The protected database as the status page and the sign-in see it: a small pool, and calls that end soon.

use std::{future::Future, time::Duration};

use async_trait::async_trait;
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use recovery_core::{
    database::{ConnectionTarget, DatabaseOverview, PostgresVersion},
    port::{DatabaseError, ProtectedDatabase},
};
use serde_json::Value;
use tokio_postgres::{NoTls, error::SqlState};

use super::{
    PostgresDatabase,
    error::{connect_error, database_error, refused},
    session::{APPLICATION_NAME, CONNECT_LIMIT, config},
};

const CONNECTIONS: usize = 3;
/// How long a call may take, the wait for a connection included.
const CALL_LIMIT: Duration = Duration::from_secs(3);

/// A pool that connects when it is first asked.
pub(super) fn pool(target: &ConnectionTarget) -> Option<Pool> {
    let manager = Manager::from_config(
        config(target, &target.database, APPLICATION_NAME),
        NoTls,
        // Asks each connection before it is used again: a swap ends all of them at once.
        ManagerConfig { recycling_method: RecyclingMethod::Verified },
    );
    Pool::builder(manager)
        .max_size(CONNECTIONS)
        .timeouts(Timeouts { wait: Some(CALL_LIMIT), create: Some(CONNECT_LIMIT), recycle: Some(CALL_LIMIT) })
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move {
                let settings = format!(
                    "SET statement_timeout = {0}; SET lock_timeout = {0}; SET idle_in_transaction_session_timeout = {0}",
                    CALL_LIMIT.as_millis()
                );
                client.batch_execute(&settings).await.map_err(HookError::Backend)
            })
        }))
        .runtime(Runtime::Tokio1)
        .build()
        // Fails only where timeouts are set without a runtime.
        .ok()
}

impl PostgresDatabase {
    /// Runs something on a connection of the pool within the time that a call may take.
    async fn on_pool<T, F>(&self, doing: &str, work: impl FnOnce(Object) -> F) -> Result<T, DatabaseError>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let target = self.target()?;
        let pool = self.pool.as_ref().ok_or(DatabaseError::NotConfigured { why: None })?;
        let call = async {
            let client = pool.get().await.map_err(|error| pool_error(error, doing, target))?;
            work(client).await.map_err(|error| database_error(error, doing, &target.database))
        };
        // Where the time is up, dropping the call gives the connection back in the middle of a statement; that one
        // ends by its own statement_timeout, and the pool asks the connection before it is used again.
        tokio::time::timeout(CALL_LIMIT, call)
            .await
            .unwrap_or_else(|_| Err(DatabaseError::TimedOut { doing: doing.to_owned() }))
    }
}

fn pool_error(error: PoolError, doing: &str, target: &ConnectionTarget) -> DatabaseError {
    match error {
        PoolError::Backend(error) => connect_error(error, doing, &target.database),
        PoolError::Timeout(_) => DatabaseError::Unavailable {
            doing: doing.to_owned(),
            source: format!("no connection within {} s", CALL_LIMIT.as_secs()).into(),
        },
        other => DatabaseError::Unavailable { doing: doing.to_owned(), source: Box::new(other) },
    }
}

#[async_trait]
impl ProtectedDatabase for PostgresDatabase {
    async fn ping(&self) -> Result<(), DatabaseError> {
        self.on_pool("asking for a sign of life", |client| async move {
            client.simple_query("SELECT 1").await.map(drop)
        })
        .await
    }

    async fn overview(&self) -> Result<DatabaseOverview, DatabaseError> {
        let doing = "reading the database's size";
        let row = self
            .on_pool(doing, |client| async move {
                client
                    .query_one(
                        "SELECT pg_catalog.pg_database_size(pg_catalog.current_database()),
                                (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c
                                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                                 WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
                                   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
                                pg_catalog.current_setting('server_version_num')",
                        &[],
                    )
                    .await
            })
            .await?;
        let (size, tables, version): (i64, i64, String) = (row.get(0), row.get(1), row.get(2));
        let version = version.parse().map_err(|_| refused(doing, "the version is not a number"))?;
        Ok(DatabaseOverview {
            size_bytes: u64::try_from(size).unwrap_or_default(),
            table_count: u64::try_from(tables).unwrap_or_default(),
            server_version: PostgresVersion(version),
        })
    }

    async fn platform_config(&self, key: &str) -> Result<Option<Value>, DatabaseError> {
        let key = key.to_owned();
        let row = self
            .on_pool("reading the platform's configuration", |client| async move {
                // By the search path that Nova's own services have, so without a schema.
                let sql = "SELECT pg_catalog.to_jsonb(value) FROM platform_config WHERE key = $1";
                match client.query_opt(sql, &[&key]).await {
                    Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
                    result => result,
                }
            })
            .await?;
        Ok(row.and_then(|row| row.get(0)))
    }
}
