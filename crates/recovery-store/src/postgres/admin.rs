//! [`DatabaseAdmin`]: each call opens the connections that it needs and closes them again.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use recovery_core::{
    crash_point,
    database::{
        ConnectionTarget, DatabaseEntry, DatabaseName, DatabaseProfile, PostgresVersion, RowCounts,
        ServerFacts, Ties,
    },
    port::{
        DatabaseAdmin, DatabaseError, DatabaseLock, DatabaseRewrite, DatabaseSnapshot, LoadSession,
        LockError, Swap,
    },
};

use super::{
    PostgresDatabase,
    error::refused,
    load::Loader,
    lock, maintenance, profile,
    quote::Ident,
    rewrite::Rewrite,
    roles,
    session::{APPLICATION_NAME, Session},
    snapshot::Snapshot,
    swap::swap,
    tables, ties,
};

/// The most connections that one call opens.
const MAX_JOBS: usize = 16;

impl PostgresDatabase {
    async fn maintenance(&self) -> Result<Session, DatabaseError> {
        maintenance::connect(self.target()?).await
    }

    /// Connections for work on the rows of a database, which must not change them.
    async fn workers(&self, name: &DatabaseName, jobs: usize) -> Result<Vec<Session>, DatabaseError> {
        let target = self.target()?;
        let options = maintenance::connect(target).await?.options_without_triggers().await?;
        let connect = async || {
            Session::connect_with(target, name, APPLICATION_NAME, &options).await.map(Session::unlimited)
        };
        try_join_all((0..jobs.clamp(1, MAX_JOBS)).map(|_| connect())).await
    }
}

#[async_trait]
impl DatabaseAdmin for PostgresDatabase {
    fn target(&self) -> Result<&ConnectionTarget, DatabaseError> {
        Self::target(self)
    }

    async fn server(&self) -> Result<ServerFacts, DatabaseError> {
        let session = self.maintenance().await?;
        let version = PostgresVersion(profile::server_version(&session).await?);
        let row = session
            .query_one(
                "reading our rights",
                "SELECT rolsuper, rolsuper OR rolcreatedb, rolsuper OR rolcreaterole FROM pg_catalog.pg_roles
                 WHERE rolname = CURRENT_USER",
                &[],
            )
            .await?;
        Ok(ServerFacts {
            version,
            superuser: row.get(0),
            may_create_databases: row.get(1),
            may_create_roles: row.get(2),
        })
    }

    async fn databases(&self) -> Result<Vec<DatabaseEntry>, DatabaseError> {
        let doing = "listing databases";
        let session = self.maintenance().await?;
        let names = session
            .query(
                doing,
                // DATCONNLIMIT_INVALID_DB of PostgreSQL's pg_database.h is -2.
                "SELECT oid, datname::text, datallowconn,
                        pg_catalog.has_database_privilege(oid, 'CONNECT')
                        OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE'),
                        datconnlimit = -2
                 FROM pg_catalog.pg_database WHERE NOT datistemplate ORDER BY datname",
                &[],
            )
            .await?;
        let mut entries = Vec::new();
        for row in &names {
            let (oid, name, accepts_sessions, size_is_ours): (u32, String, bool, bool) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            let is_invalid = row.get(4);
            let size_bytes = if size_is_ours {
                match size_of(&session, oid).await {
                    Ok(size) => size,
                    // Dropped since it was listed.
                    Err(DatabaseError::NoSuchDatabase { .. }) => continue,
                    Err(error) => return Err(error),
                }
            } else {
                None
            };
            let name = name.parse().map_err(|_| refused(doing, "a database has no valid name"))?;
            entries.push(DatabaseEntry { name, size_bytes, accepts_sessions, is_invalid });
        }
        Ok(entries)
    }

    async fn snapshot(&self) -> Result<Box<dyn DatabaseSnapshot>, DatabaseError> {
        Ok(Box::new(Snapshot::open(self.target()?).await?))
    }

    async fn profile(&self, name: &DatabaseName) -> Result<DatabaseProfile, DatabaseError> {
        profile::read(&self.maintenance().await?, name).await
    }

    async fn available_extensions(&self) -> Result<BTreeMap<String, BTreeSet<String>>, DatabaseError> {
        let rows = self
            .maintenance()
            .await?
            .query(
                "listing the extensions that can be installed",
                "SELECT name::text, version FROM pg_catalog.pg_available_extension_versions",
                &[],
            )
            .await?;
        let mut extensions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in &rows {
            extensions.entry(row.get(0)).or_default().insert(row.get(1));
        }
        Ok(extensions)
    }

    async fn ties(&self, name: &DatabaseName) -> Result<Ties, DatabaseError> {
        ties::read(&self.maintenance().await?, name).await
    }

    async fn create_missing_roles(&self, roles: &[String]) -> Result<Vec<String>, DatabaseError> {
        roles::create_missing(&self.maintenance().await?, roles).await
    }

    async fn create_database(
        &self,
        name: &DatabaseName,
        profile: &DatabaseProfile,
    ) -> Result<(), DatabaseError> {
        let target = self.target()?;
        let creator = lock::creator_name(&target.database);
        let session = maintenance::connect_as(target, &creator).await?.unlimited();
        let version = profile::server_version(&session).await?;
        session
            .batch_about("creating a database", name, &profile::create_statement(name, profile, version))
            .await
    }

    async fn apply_profile(
        &self,
        name: &DatabaseName,
        profile: &DatabaseProfile,
    ) -> Result<(), DatabaseError> {
        profile::apply(&self.maintenance().await?, name, profile).await
    }

    async fn load_session(
        &self,
        name: &DatabaseName,
        application_name: &str,
    ) -> Result<Box<dyn LoadSession>, DatabaseError> {
        Ok(Box::new(Loader::begin(self.target()?, name, application_name).await?))
    }

    async fn analyze(&self, name: &DatabaseName, jobs: usize) -> Result<(), DatabaseError> {
        tables::analyze(&self.workers(name, jobs).await?).await
    }

    async fn row_counts(&self, name: &DatabaseName, jobs: usize) -> Result<RowCounts, DatabaseError> {
        let sessions = self.workers(name, jobs).await?;
        let names = match sessions.first() {
            Some(session) => tables::counted(session).await?,
            None => Vec::new(),
        };
        tables::count_rows(&sessions, &names).await
    }

    async fn swap(&self, names: &Swap) -> Result<(), DatabaseError> {
        let (target, names, limit) = (self.target()?.clone(), names.clone(), self.swap_recovery_limit);
        // In a task of its own: a caller that goes away must not leave the live database closed.
        tokio::spawn(async move { swap(&target, &names, limit).await })
            .await
            .unwrap_or_else(|error| Err(refused("swapping databases", error.to_string())))
    }

    async fn open_to_sessions(&self, name: &DatabaseName) -> Result<(), DatabaseError> {
        let sql = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", Ident(name.as_str()));
        self.maintenance().await?.batch_about("opening a database to sessions", name, &sql).await
    }

    async fn probe(&self, name: &DatabaseName) -> Result<(), DatabaseError> {
        let session = Session::connect(self.target()?, name, APPLICATION_NAME).await?;
        session.batch("probing a database", "SELECT 1").await
    }

    async fn drop_database(&self, name: &DatabaseName) -> Result<(), DatabaseError> {
        let doing = "dropping a database";
        if *name == self.target()?.database {
            return Err(refused(doing, "the protected database is never dropped"));
        }
        let database = Ident(name.as_str()).to_string();
        // Or clients that keep coming would make it fail. It fails itself where there is no such database, or where an
        // earlier drop was cut off: both are for the next statement to judge. The latter ends the session, so that the
        // next statement needs another one.
        let closing = self.maintenance().await?.unlimited();
        let closed = closing
            .batch_raw(doing, &format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false"))
            .await
            .is_ok();
        drop(closing);
        crash_point("drop:closed");
        let session = self.maintenance().await?.unlimited();
        let mut dropped = session
            .batch_about(doing, name, &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"))
            .await;
        if let Err(error) = dropped {
            dropped = Err(ties::explain_drop(&session, name, error).await);
        }
        if dropped.is_err() && closed && session.is_ready() {
            session
                .batch_about(doing, name, &format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true"))
                .await?;
        }
        dropped
    }

    async fn terminate_application(&self, application_name: &str) -> Result<u64, DatabaseError> {
        let row = self
            .maintenance()
            .await?
            .query_one(
                "ending sessions",
                // The server's own processes have no name: an empty one must not end them.
                "SELECT pg_catalog.count(*) FILTER (WHERE t.ended)
                 FROM (SELECT pg_catalog.pg_terminate_backend(pid) AS ended FROM pg_catalog.pg_stat_activity
                       WHERE application_name = $1 AND application_name <> ''
                         AND pid <> pg_catalog.pg_backend_pid()) t",
                &[&application_name],
            )
            .await?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
    }

    async fn rewrite(
        &self,
        name: &DatabaseName,
        application_name: &str,
    ) -> Result<Box<dyn DatabaseRewrite>, DatabaseError> {
        Ok(Box::new(Rewrite::begin(self.target()?, name, application_name).await?))
    }

    async fn lock(&self, label: &str) -> Result<Box<dyn DatabaseLock>, LockError> {
        lock::take(self.target()?, label, &self.last_release).await
    }
}

async fn size_of(session: &Session, oid: u32) -> Result<Option<u64>, DatabaseError> {
    let sql = "SELECT pg_catalog.pg_database_size($1::oid)";
    let row = session.query_one("reading the size of a database", sql, &[&oid]).await?;
    Ok(row.get::<_, Option<i64>>(0).and_then(|size| u64::try_from(size).ok()))
}
