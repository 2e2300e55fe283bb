//! One connection to one database, with settings that nobody else can have changed.

use std::{
    future::Future,
    io::Cursor,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::{SinkExt, Stream, StreamExt};
use recovery_core::{
    database::{ConnectionTarget, DatabaseName, ServerAddress},
    port::DatabaseError,
};
use secrecy::ExposeSecret;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, CopyInSink, NoTls, Row, SimpleQueryMessage, types::ToSql};
use tracing::debug;

use super::error::{connect_error, database_error};

/// Where the rows of a `COPY` go.
pub(super) type CopySink = CopyInSink<Cursor<Vec<u8>>>;

/// What `pg_stat_activity` shows for our sessions.
pub(super) const APPLICATION_NAME: &str = "nova-recovery";
/// How long a connection may take to stand, the sign-in included.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long a statement may take that reads or changes only catalogues.
const CATALOGUE_LIMIT: Duration = Duration::from_secs(30);

/// Sets everything that we depend on and that `ALTER DATABASE`, `ALTER ROLE` or the configuration file may have set
/// otherwise; what this server's version does not have is left out. A session whose client went away ends within a
/// second or two instead of going on counting rows. The role is none of `pg_settings`, and comes first because the rights
/// to all else depend on it.
const SETTINGS: &str = "SET ROLE NONE;
    SELECT pg_catalog.set_config(s.name, w.value, false)
    FROM pg_catalog.pg_settings s
    JOIN (VALUES ('client_connection_check_interval', '1000'), ('datestyle', 'ISO, MDY'),
                 ('default_transaction_isolation', 'read committed'), ('default_transaction_read_only', 'off'),
                 ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'), ('jit', 'off'),
                 ('lock_timeout', '0'), ('quote_all_identifiers', 'off'), ('row_security', 'off'),
                 ('search_path', 'pg_catalog'), ('standard_conforming_strings', 'on'), ('statement_timeout', '0'),
                 ('tcp_keepalives_count', '3'), ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'),
                 ('transaction_timeout', '0')) w (name, value) ON w.name = pg_catalog.lower(s.name)";

/// What must hold before [`SETTINGS`] can be run; these have the last word over what a database or role sets.
const OPTIONS: &str = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0";

/// Keeps event triggers from running, those on login included: they run before the first statement could turn them off.
/// Only from PostgreSQL 17 on and for superusers; to all others it is an error.
const NO_EVENT_TRIGGERS: &str = "-c event_triggers=off";

/// How to connect to a database of the target's server.
pub(super) fn config(target: &ConnectionTarget, database: &DatabaseName, application_name: &str) -> Config {
    let mut config = Config::new();
    match &target.address {
        ServerAddress::Host(host) => config.host(host),
        ServerAddress::SocketDirectory(path) => config.host_path(path),
    };
    config
        .port(target.port)
        .user(&target.user)
        .dbname(database.as_str())
        .application_name(application_name)
        .connect_timeout(CONNECT_LIMIT)
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(30));
    if let Some(password) = &target.password {
        config.password(password.expose_secret());
    }
    config
}

/// A connection. Dropping it ends the session on the server, also in the middle of a statement.
pub(super) struct Session {
    client: Client,
    connection: JoinHandle<()>,
    database: DatabaseName,
    limit: Option<Duration>,
    /// A statement was begun and its answer has not been read to the end.
    in_statement: AtomicBool,
}

impl Session {
    /// Connects.
    pub(super) async fn connect(
        target: &ConnectionTarget,
        database: &DatabaseName,
        application_name: &str,
    ) -> Result<Self, DatabaseError> {
        Self::connect_with(target, database, application_name, OPTIONS).await
    }

    /// The options for [`Session::connect_with`] to a database of the same server that no event trigger of it shall
    /// write to, as far as we may ask for that.
    pub(super) async fn options_without_triggers(&self) -> Result<String, DatabaseError> {
        let sql = "SELECT r.rolsuper AND EXISTS (SELECT FROM pg_catalog.pg_settings s WHERE s.name = 'event_triggers')
                   FROM pg_catalog.pg_roles r WHERE r.rolname = SESSION_USER";
        let may_stop_them: bool = self.query_one("looking for event triggers", sql, &[]).await?.get(0);
        Ok(if may_stop_them { format!("{OPTIONS} {NO_EVENT_TRIGGERS}") } else { OPTIONS.to_owned() })
    }

    /// As [`Session::connect`], with these options for the server.
    pub(super) async fn connect_with(
        target: &ConnectionTarget,
        database: &DatabaseName,
        application_name: &str,
        options: &str,
    ) -> Result<Self, DatabaseError> {
        let connecting = async {
            let mut config = config(target, database, application_name);
            config.options(options);
            let (client, connection) =
                config.connect(NoTls).await.map_err(|error| connect_error(error, "connecting", database))?;
            let connection = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    debug!(%error, "a connection to PostgreSQL broke");
                }
            });
            let session = Self {
                client,
                connection,
                database: database.clone(),
                limit: Some(CATALOGUE_LIMIT),
                in_statement: AtomicBool::new(false),
            };
            session.batch("preparing a session", SETTINGS).await?;
            Ok(session)
        };
        tokio::time::timeout(CONNECT_LIMIT, connecting).await.unwrap_or_else(|_| {
            Err(DatabaseError::Unavailable {
                doing: "connecting".to_owned(),
                source: format!("no answer within {} s", CONNECT_LIMIT.as_secs()).into(),
            })
        })
    }

    /// From here on statements may take as long as they need: for those that go through data.
    pub(super) fn unlimited(mut self) -> Self {
        self.limit = None;
        self
    }

    /// The database that this is a session of.
    pub(super) fn database(&self) -> &DatabaseName {
        &self.database
    }

    /// Whether the connection is known to be gone.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether a statement can be run: the connection stands, and no earlier one was given up half-way.
    pub(super) fn is_ready(&self) -> bool {
        !self.is_closed() && !self.in_statement.load(Ordering::Relaxed)
    }

    /// Runs a statement with parameters and returns its rows.
    pub(super) async fn query(
        &self,
        doing: &str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        self.within_limit(doing, self.client.query(sql, params)).await
    }

    /// As [`Session::query`], for a statement that always has one row.
    pub(super) async fn query_one(
        &self,
        doing: &str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, DatabaseError> {
        self.within_limit(doing, self.client.query_one(sql, params)).await
    }

    /// As [`Session::query`], with the driver's own error.
    pub(super) async fn query_raw(
        &self,
        doing: &str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StatementError> {
        self.statement(doing, self.client.query(sql, params)).await
    }

    /// Runs any number of statements without parameters.
    pub(super) async fn batch(&self, doing: &str, sql: &str) -> Result<(), DatabaseError> {
        self.within_limit(doing, self.client.batch_execute(sql)).await
    }

    /// As [`Session::batch`]; `about` is the database that errors are about.
    pub(super) async fn batch_about(
        &self,
        doing: &str,
        about: &DatabaseName,
        sql: &str,
    ) -> Result<(), DatabaseError> {
        self.batch_raw(doing, sql).await.map_err(|error| error.into_database_error(doing, about))
    }

    /// As [`Session::batch`], with the driver's own error.
    pub(super) async fn batch_raw(&self, doing: &str, sql: &str) -> Result<(), StatementError> {
        self.statement(doing, self.client.batch_execute(sql)).await
    }

    /// Runs one statement, by a message that can hold no second one, and returns how many rows it changed.
    pub(super) async fn single(&self, doing: &str, sql: &str) -> Result<u64, StatementError> {
        self.statement(doing, self.client.execute_typed(sql, &[])).await
    }

    /// Begins a `COPY … FROM stdin`; its rows go into the returned sink.
    pub(super) async fn copy_in(&self, doing: &str, sql: &str) -> Result<CopySink, StatementError> {
        self.statement(doing, self.client.copy_in(sql)).await
    }

    /// Waits for a step of a `COPY` that was begun.
    pub(super) async fn copying<T>(
        &self,
        doing: &str,
        step: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StatementError> {
        self.statement(doing, step).await
    }

    /// Runs one statement in one round trip and returns the first column of its first row, as text.
    pub(super) async fn text(&self, doing: &str, sql: &str) -> Result<Option<String>, DatabaseError> {
        let messages = self.within_limit(doing, self.client.simple_query(sql)).await?;
        Ok(messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten().map(str::to_owned),
            _ => None,
        }))
    }

    /// Sends rows to a `COPY … FROM STDIN` until there are no more.
    pub(super) async fn copy(
        &self,
        doing: &str,
        statement: &str,
        mut rows: impl Stream<Item = Vec<u8>> + Unpin,
    ) -> Result<(), DatabaseError> {
        let copying = async {
            let sink = self.client.copy_in::<_, Cursor<Vec<u8>>>(statement).await?;
            let mut sink = pin!(sink);
            while let Some(chunk) = rows.next().await {
                sink.send(Cursor::new(chunk)).await?;
            }
            sink.finish().await.map(drop)
        };
        self.within_limit(doing, copying).await
    }

    async fn within_limit<T>(
        &self,
        doing: &str,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DatabaseError> {
        self.statement(doing, statement)
            .await
            .map_err(|error| error.into_database_error(doing, &self.database))
    }

    async fn statement<T>(
        &self,
        doing: &str,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StatementError> {
        self.in_statement.store(true, Ordering::Relaxed);
        let result = match self.limit {
            Some(limit) => tokio::time::timeout(limit, statement)
                .await
                .map_err(|_| StatementError::TimedOut { doing: doing.to_owned() })?,
            None => statement.await,
        };
        self.in_statement.store(false, Ordering::Relaxed);
        result.map_err(StatementError::Driver)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // An idle connection says goodbye by itself once its client is gone; one that waits for an answer would wait
        // on, and the server would work on, for nobody.
        if self.in_statement.load(Ordering::Relaxed) {
            self.connection.abort();
        }
    }
}

/// A statement failed, as the driver says it.
pub(super) enum StatementError {
    /// The server or the driver refused.
    Driver(tokio_postgres::Error),
    /// It took too long.
    TimedOut { doing: String },
}

impl StatementError {
    /// The error for those outside.
    pub(super) fn into_database_error(self, doing: &str, about: &DatabaseName) -> DatabaseError {
        match self {
            Self::Driver(error) => database_error(error, doing, about),
            Self::TimedOut { doing } => DatabaseError::TimedOut { doing },
        }
    }

    /// The SQLSTATE, where the server gave one.
    pub(super) fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Driver(error) => error.code().map(tokio_postgres::error::SqlState::code),
            Self::TimedOut { .. } => None,
        }
    }
}
