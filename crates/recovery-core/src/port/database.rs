use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde_json::Value;

use super::DatabaseRewrite;
use super::LoadSession;
use crate::database::{
    ConnectionTarget, DatabaseEntry, DatabaseName, DatabaseOverview, DatabaseProfile, RowCounts, ServerFacts,
    SnapshotFacts, Ties,
};

/// PostgreSQL could not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No database is configured, or its address cannot be understood.
    #[error("{}", why.as_deref().unwrap_or("no database is configured"))]
    NotConfigured {
        /// What is wrong with the address, where there is one; without its password.
        why: Option<String>,
    },
    /// The server does not answer, or broke the connection.
    #[error("PostgreSQL does not answer while {doing}")]
    Unavailable {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server refuses the sign-in: wrong password, unknown role, `pg_hba.conf`.
    #[error("PostgreSQL refuses the sign-in")]
    SignInRefused {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database does not exist.
    #[error("the database {name} does not exist")]
    NoSuchDatabase {
        /// Its name.
        name: DatabaseName,
    },
    /// Our role lacks a right.
    #[error("the role that recovery signs in as may not go on while {doing}")]
    NotAllowed {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server is out of disk space.
    #[error("PostgreSQL ran out of disk space while {doing}")]
    DiskFull {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Other sessions would not leave the database.
    #[error("the database {name} is still in use by {sessions} session(s)")]
    StillInUse {
        /// The database.
        name: DatabaseName,
        /// How many sessions it has.
        sessions: u64,
    },
    /// Something that outlives every session holds the database where it is.
    #[error("the database {name} has {what}")]
    Tied {
        /// The database.
        name: DatabaseName,
        /// What it is, and how much of it.
        what: String,
        /// How to get rid of it, as a sentence.
        remedy: &'static str,
    },
    /// Deleting rows did something else than was planned, and is undone.
    #[error("the table {table} {what}, so nothing was deleted")]
    Unplanned {
        /// The table.
        table: String,
        /// What it would have, as a predicate.
        what: String,
    },
    /// The server answered with another error.
    #[error("PostgreSQL refused while {doing}")]
    Refused {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took too long.
    #[error("PostgreSQL did not finish in time while {doing}")]
    TimedOut {
        /// What was being done.
        doing: String,
    },
}

/// The database that is protected, as the status page and the sign-in see it. Every call ends within a few seconds.
#[async_trait]
pub trait ProtectedDatabase: Send + Sync {
    /// Whether it answers a query.
    async fn ping(&self) -> Result<(), DatabaseError>;

    /// Its size and number of tables.
    async fn overview(&self) -> Result<DatabaseOverview, DatabaseError>;

    /// The `value` (jsonb) of a row of the table `platform_config`; `None` where there is no such row or table.
    async fn platform_config(&self, key: &str) -> Result<Option<Value>, DatabaseError>;
}

/// The names of a swap: `live` becomes `retired`, `incoming` becomes `live`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// The protected database's name.
    pub live: DatabaseName,
    /// The database that takes its place.
    pub incoming: DatabaseName,
    /// The name under which the present one is kept; not taken by any database.
    pub retired: DatabaseName,
}

/// The server that holds the protected database, as backups and restores need it. Works through the maintenance
/// database, so that it works while the protected one is damaged, closed or gone.
#[async_trait]
pub trait DatabaseAdmin: Send + Sync {
    /// How to reach the protected database: for `pg_dump` and `pg_restore`. Fails where none is configured.
    fn target(&self) -> Result<&ConnectionTarget, DatabaseError>;

    /// The server's version and our rights.
    async fn server(&self) -> Result<ServerFacts, DatabaseError>;

    /// Every database that is no template.
    async fn databases(&self) -> Result<Vec<DatabaseEntry>, DatabaseError>;

    /// Opens a snapshot of the protected database, which lives as long as the returned value.
    async fn snapshot(&self) -> Result<Box<dyn DatabaseSnapshot>, DatabaseError>;

    /// What belongs to a database without being in its dump.
    async fn profile(&self, name: &DatabaseName) -> Result<DatabaseProfile, DatabaseError>;

    /// The versions of each extension that the server could install.
    async fn available_extensions(&self) -> Result<BTreeMap<String, BTreeSet<String>>, DatabaseError>;

    /// What keeps a database from being renamed or dropped; nothing, where there is no such database.
    async fn ties(&self, name: &DatabaseName) -> Result<Ties, DatabaseError>;

    /// Creates those of the roles that the server lacks, without the right to sign in, and returns their names.
    async fn create_missing_roles(&self, roles: &[String]) -> Result<Vec<String>, DatabaseError>;

    /// Creates an empty database (from `template0`) of this encoding, locale, tablespace and owner. Its other
    /// settings are not applied: see [`DatabaseAdmin::apply_profile`].
    async fn create_database(
        &self,
        name: &DatabaseName,
        profile: &DatabaseProfile,
    ) -> Result<(), DatabaseError>;

    /// Gives a database the settings, privileges, comment, owner and connection limit of the profile.
    async fn apply_profile(
        &self,
        name: &DatabaseName,
        profile: &DatabaseProfile,
    ) -> Result<(), DatabaseError>;

    /// Begins a session that fills a database with the statements of a script.
    async fn load_session(
        &self,
        name: &DatabaseName,
        application_name: &str,
    ) -> Result<Box<dyn LoadSession>, DatabaseError>;

    /// Collects statistics for the planner in every table, over so many connections.
    async fn analyze(&self, name: &DatabaseName, jobs: usize) -> Result<(), DatabaseError>;

    /// Counts the rows of every table of a database, over so many connections.
    async fn row_counts(&self, name: &DatabaseName, jobs: usize) -> Result<RowCounts, DatabaseError>;

    /// Swaps names in one transaction, so that at every moment a database of the live name exists: closes both to new
    /// sessions, ends the sessions they have, renames, and opens both again. After an error the names are as before
    /// and the live database is open; where a prepared transaction holds one of the two, nobody is disturbed and the
    /// error is [`DatabaseError::Tied`]. Where no live database exists, `incoming` just takes its name.
    async fn swap(&self, swap: &Swap) -> Result<(), DatabaseError>;

    /// Lets sessions begin again in a database that an interrupted swap left closed.
    async fn open_to_sessions(&self, name: &DatabaseName) -> Result<(), DatabaseError>;

    /// Connects to a database and runs a query.
    async fn probe(&self, name: &DatabaseName) -> Result<(), DatabaseError>;

    /// Drops a database, ending its sessions; no error where it does not exist. Refuses the protected database. Where
    /// something other than sessions holds it, the error is [`DatabaseError::Tied`].
    async fn drop_database(&self, name: &DatabaseName) -> Result<(), DatabaseError>;

    /// Ends the sessions that carry this `application_name`, and returns how many there were.
    async fn terminate_application(&self, application_name: &str) -> Result<u64, DatabaseError>;

    /// Begins a transaction in which the contents of a database can be replaced. Its session carries this
    /// `application_name`.
    async fn rewrite(
        &self,
        name: &DatabaseName,
        application_name: &str,
    ) -> Result<Box<dyn DatabaseRewrite>, DatabaseError>;

    /// Takes the lock that excludes every other instance of the service on this database, or says who has it. It is
    /// held until the returned value is dropped.
    async fn lock(&self, label: &str) -> Result<Box<dyn DatabaseLock>, LockError>;
}

/// One consistent view of the protected database.
#[async_trait]
pub trait DatabaseSnapshot: Send + Sync {
    /// The id that `pg_dump --snapshot` takes.
    fn id(&self) -> &str;

    /// What the snapshot shows besides the rows.
    fn facts(&self) -> &SnapshotFacts;

    /// Counts the rows of every table in this snapshot.
    async fn row_counts(&self) -> Result<RowCounts, DatabaseError>;
}

/// A lock that is held; dropping it gives it back.
#[async_trait]
pub trait DatabaseLock: Send + Sync {
    /// Fails where the connection that holds the lock is gone, and with it the lock.
    async fn still_held(&self) -> Result<(), DatabaseError>;
}

/// The lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another instance has it.
    #[error("another instance works on this database: {holder}")]
    Held {
        /// The label that it gave; where that is known, also since when.
        holder: String,
    },
    /// The server could not be asked.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
