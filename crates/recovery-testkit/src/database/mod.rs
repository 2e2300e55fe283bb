//! A PostgreSQL server in memory, with one protected database.

mod admin;
mod contents;
mod load;
mod rewrite;
mod server;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use recovery_core::{
    database::{ConnectionTarget, DatabaseName, PostgresVersion, ServerAddress},
    port::DatabaseError,
};
use serde_json::Value;

use crate::{Faults, lock};

pub use contents::{FakeContents, FakeEntry};
pub(crate) use server::{Server, SessionId};

/// Where a [`FakeDatabase`] can fail or be held up: one for each call of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabasePoint {
    /// `ping`.
    Ping,
    /// `overview`.
    Overview,
    /// `platform_config`.
    PlatformConfig,
    /// `server`.
    Server,
    /// `databases`.
    Databases,
    /// `snapshot`.
    Snapshot,
    /// `row_counts` of a snapshot.
    SnapshotRowCounts,
    /// `profile`.
    Profile,
    /// `available_extensions`.
    AvailableExtensions,
    /// `ties`.
    Ties,
    /// `create_missing_roles`.
    CreateMissingRoles,
    /// `create_database`.
    CreateDatabase,
    /// `apply_profile`.
    ApplyProfile,
    /// `load_session`.
    LoadSession,
    /// Each statement of a load session, and the end of its rows.
    LoadStatement,
    /// `analyze`.
    Analyze,
    /// `row_counts`.
    RowCounts,
    /// `swap`, before anything is done.
    Swap,
    /// `swap`, when both databases are closed and their sessions have ended: names stay, both are opened again.
    SwapClosed,
    /// `open_to_sessions`.
    OpenToSessions,
    /// `probe`.
    Probe,
    /// `drop_database`.
    DropDatabase,
    /// `terminate_application`.
    TerminateApplication,
    /// `lock`.
    Lock,
    /// `still_held`.
    StillHeld,
    /// `rewrite`.
    Rewrite,
    /// `clear` of a rewrite.
    RewriteClear,
    /// `run` of a rewrite.
    RewriteRun,
    /// `commit` of a rewrite, before anything is done.
    RewriteCommit,
}

/// The faults of a [`FakeDatabase`].
pub type DatabaseFaults = Faults<DatabasePoint, DatabaseError>;

/// A PostgreSQL server in memory and the role of recovery on it. It implements `DatabaseAdmin` and
/// `ProtectedDatabase`; clones are further instances of the service on the same server.
///
/// It knows databases with their profiles and contents, sessions, roles, extensions, open snapshots and the lock.
/// Stricter than production: it panics over a call with no jobs and over a swap whose names are not all different.
#[derive(Clone, Debug)]
pub struct FakeDatabase {
    target: Option<Arc<ConnectionTarget>>,
    server: Arc<Mutex<Server>>,
    faults: DatabaseFaults,
}

impl FakeDatabase {
    /// The password of [`FakeDatabase::new`].
    pub const PASSWORD: &str = "a-password-for-tests";

    /// A server 15.18 with an empty protected database of this name; recovery signs in as the superuser `nova`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let target = ConnectionTarget {
            address: ServerAddress::Host("postgres".to_owned()),
            port: 5432,
            user: "nova".to_owned(),
            password: Some(Self::PASSWORD.to_owned().into()),
            database: name.parse().expect("the name of a database"),
        };
        let server = Server::new(&target.database);
        Self {
            target: Some(Arc::new(target)),
            server: Arc::new(Mutex::new(server)),
            faults: Faults::default(),
        }
    }

    /// As if no database were configured: every call says so.
    #[must_use]
    pub fn unconfigured() -> Self {
        let mut fake = Self::new("nova");
        fake.target = None;
        fake
    }

    /// What is to fail.
    #[must_use]
    pub fn faults(&self) -> &DatabaseFaults {
        &self.faults
    }

    /// The protected database's name. Panics where none is configured.
    #[must_use]
    pub fn name(&self) -> DatabaseName {
        self.target.as_ref().expect("a database is configured").database.clone()
    }

    /// Stops the server: nothing answers, every session, snapshot and lock is gone.
    pub fn stop(&self) {
        self.locked().stop();
    }

    /// Starts the server again.
    pub fn start(&self) {
        self.locked().running = true;
    }

    /// Refuses every sign-in from now on, or no longer.
    pub fn refuse_sign_in(&self, refuse: bool) {
        self.locked().refuses_sign_in = refuse;
    }

    /// Changes the server's version.
    pub fn set_version(&self, version: PostgresVersion) {
        self.locked().facts.version = version;
    }

    /// Takes the rights to create databases and roles from the role of recovery.
    pub fn demote(&self) {
        let facts = &mut self.locked().facts;
        facts.superuser = false;
        facts.may_create_databases = false;
        facts.may_create_roles = false;
    }

    /// The roles of the server.
    #[must_use]
    pub fn roles(&self) -> Vec<String> {
        self.locked().roles.iter().cloned().collect()
    }

    /// Creates a role.
    pub fn add_role(&self, role: &str) {
        self.locked().roles.insert(role.to_owned());
    }

    /// Lets the server offer a version of an extension.
    pub fn offer_extension(&self, name: &str, version: &str) {
        let mut server = self.locked();
        server.available_extensions.entry(name.to_owned()).or_default().insert(version.to_owned());
    }

    /// The names of all databases, also the maintenance database `postgres`.
    #[must_use]
    pub fn database_names(&self) -> Vec<String> {
        self.locked().databases.keys().map(ToString::to_string).collect()
    }

    /// A database as it is now; `None` where there is none.
    #[must_use]
    pub fn entry(&self, name: &DatabaseName) -> Option<FakeEntry> {
        self.locked().databases.get(name).cloned()
    }

    /// Puts a database there, in place of one of the same name.
    pub fn put_entry(&self, name: &DatabaseName, entry: FakeEntry) {
        self.locked().databases.insert(name.clone(), entry);
    }

    /// Removes a database, as an accident would.
    pub fn remove_entry(&self, name: &DatabaseName) -> Option<FakeEntry> {
        self.locked().databases.remove(name)
    }

    /// Changes a database. Panics where there is none.
    pub fn change<T>(&self, name: &DatabaseName, change: impl FnOnce(&mut FakeEntry) -> T) -> T {
        change(self.locked().databases.get_mut(name).unwrap_or_else(|| panic!("no database {name}")))
    }

    /// Sets the rows of a table of the protected database, named `schema.table`, and creates it where it is missing.
    pub fn set_rows(&self, table: &str, rows: u64) {
        self.change(&self.name(), |entry| entry.contents.tables.insert(table.to_owned(), rows));
    }

    /// The rows of every table of the protected database. Panics where there is no such database.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<String, u64> {
        self.change(&self.name(), |entry| entry.contents.tables.clone())
    }

    /// Sets a row of `platform_config` of the protected database.
    pub fn set_platform_config(&self, key: &str, value: Value) {
        self.change(&self.name(), |entry| entry.contents.set_config(key, value));
    }

    /// Begins a session of another program, which ends when its database is closed for a swap.
    ///
    /// # Errors
    /// Where the database is missing or closed, or the server is away.
    pub fn connect(&self, name: &DatabaseName, application_name: &str) -> Result<FakeSession, DatabaseError> {
        let id = self.locked().connect(name, application_name, false)?;
        Ok(FakeSession { server: Arc::clone(&self.server), id })
    }

    /// Begins a session that does not end when it is told to.
    ///
    /// # Errors
    /// Where the database is missing or closed, or the server is away.
    pub fn connect_stubborn(&self, name: &DatabaseName) -> Result<FakeSession, DatabaseError> {
        let id = self.locked().connect(name, "stubborn", true)?;
        Ok(FakeSession { server: Arc::clone(&self.server), id })
    }

    /// How many sessions a database has.
    #[must_use]
    pub fn sessions(&self, name: &DatabaseName) -> u64 {
        self.locked().sessions_of(name)
    }

    /// How many snapshots are open.
    #[must_use]
    pub fn open_snapshots(&self) -> usize {
        self.locked().snapshots.len()
    }

    /// The label of the lock, where somebody has it.
    #[must_use]
    pub fn lock_holder(&self) -> Option<String> {
        self.locked().lock.as_ref().map(|(_, label)| label.clone())
    }

    /// Breaks the connection that holds the lock.
    pub fn break_lock(&self) {
        self.locked().lock = None;
    }

    /// What was done to the server, in order, in words such as `create nova__restore_1` or `swap in …`.
    #[must_use]
    pub fn actions(&self) -> Vec<String> {
        self.locked().actions.clone()
    }

    pub(crate) fn locked(&self) -> MutexGuard<'_, Server> {
        lock(&self.server)
    }

    pub(crate) fn configured_target(&self) -> Option<&ConnectionTarget> {
        self.target.as_deref()
    }
}

/// A session of another program. Dropping it disconnects.
#[derive(Debug)]
pub struct FakeSession {
    server: Arc<Mutex<Server>>,
    id: SessionId,
}

impl FakeSession {
    /// Whether the server has not ended it.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        lock(&self.server).sessions.contains_key(&self.id)
    }

    /// Returns when the server ends it.
    pub async fn ended(&self) {
        let ended = lock(&self.server).ended.clone();
        loop {
            let notified = ended.notified();
            tokio::pin!(notified);
            // Enabled before the look, so that an end between look and wait is not missed.
            notified.as_mut().enable();
            if !self.is_alive() {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for FakeSession {
    fn drop(&mut self) {
        lock(&self.server).sessions.remove(&self.id);
    }
}
