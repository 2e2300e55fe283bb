//! What the fake server holds, and the rules by which it changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use recovery_core::{
    database::{DatabaseName, DatabaseProfile, PostgresVersion, ServerFacts, SnapshotFacts},
    port::{DatabaseError, Swap},
};
use tokio::sync::Notify;

use super::{FakeContents, FakeEntry};

pub(crate) type SessionId = u64;

#[derive(Clone, Debug)]
pub(crate) struct SessionState {
    pub database: DatabaseName,
    pub application_name: String,
    pub stubborn: bool,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub running: bool,
    pub refuses_sign_in: bool,
    pub facts: ServerFacts,
    pub databases: BTreeMap<DatabaseName, FakeEntry>,
    pub roles: BTreeSet<String>,
    pub available_extensions: BTreeMap<String, BTreeSet<String>>,
    pub sessions: BTreeMap<SessionId, SessionState>,
    /// Woken whenever sessions end.
    pub ended: Arc<Notify>,
    /// What each open snapshot shows.
    pub snapshots: BTreeMap<String, FakeContents>,
    /// Who has the lock: a number of its own, and the label.
    pub lock: Option<(u64, String)>,
    pub actions: Vec<String>,
    next: u64,
}

pub(crate) fn refused(doing: impl Into<String>, why: impl Into<String>) -> DatabaseError {
    DatabaseError::Refused { doing: doing.into(), source: why.into().into() }
}

pub(crate) fn invalid(doing: impl Into<String>, name: &DatabaseName) -> DatabaseError {
    refused(doing, format!("cannot use invalid database \"{name}\""))
}

fn not_allowed(doing: impl Into<String>) -> DatabaseError {
    DatabaseError::NotAllowed { doing: doing.into(), source: "permission denied".into() }
}

impl Server {
    pub(crate) fn new(protected: &DatabaseName) -> Self {
        let maintenance = "postgres".parse().expect("the name of a database");
        let plpgsql = ("plpgsql".to_owned(), BTreeSet::from(["1.0".to_owned()]));
        Self {
            running: true,
            refuses_sign_in: false,
            facts: ServerFacts {
                version: PostgresVersion(150_018),
                superuser: true,
                may_create_databases: true,
                may_create_roles: true,
            },
            databases: BTreeMap::from([
                (maintenance, FakeEntry::owned_by("nova")),
                (protected.clone(), FakeEntry::owned_by("nova")),
            ]),
            roles: BTreeSet::from(["nova".to_owned()]),
            available_extensions: BTreeMap::from([plpgsql]),
            sessions: BTreeMap::new(),
            ended: Arc::default(),
            snapshots: BTreeMap::new(),
            lock: None,
            actions: Vec::new(),
            next: 1,
        }
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn note(&mut self, action: String) {
        self.actions.push(action);
    }

    pub(crate) fn stop(&mut self) {
        self.running = false;
        self.sessions.clear();
        self.snapshots.clear();
        self.lock = None;
        self.ended.notify_waiters();
    }

    /// What every call meets first.
    pub(crate) fn check_reachable(&self, doing: &str) -> Result<(), DatabaseError> {
        if !self.running {
            let source = "connection refused".into();
            return Err(DatabaseError::Unavailable { doing: doing.to_owned(), source });
        }
        if self.refuses_sign_in {
            return Err(DatabaseError::SignInRefused { source: "password authentication failed".into() });
        }
        Ok(())
    }

    pub(crate) fn get(&self, name: &DatabaseName) -> Result<&FakeEntry, DatabaseError> {
        self.databases.get(name).ok_or_else(|| DatabaseError::NoSuchDatabase { name: name.clone() })
    }

    pub(crate) fn get_mut(&mut self, name: &DatabaseName) -> Result<&mut FakeEntry, DatabaseError> {
        self.databases.get_mut(name).ok_or_else(|| DatabaseError::NoSuchDatabase { name: name.clone() })
    }

    /// The database, as a session that begins in it sees it.
    pub(crate) fn enter(&self, name: &DatabaseName, doing: &str) -> Result<&FakeEntry, DatabaseError> {
        self.check_reachable(doing)?;
        let entry = self.get(name)?;
        if entry.is_invalid {
            Err(invalid(doing, name))
        } else if entry.accepts_sessions {
            Ok(entry)
        } else {
            Err(refused(doing, format!("database \"{name}\" is not currently accepting connections")))
        }
    }

    pub(crate) fn connect(
        &mut self,
        database: &DatabaseName,
        application_name: &str,
        stubborn: bool,
    ) -> Result<SessionId, DatabaseError> {
        self.enter(database, "connecting")?;
        let session = SessionState {
            database: database.clone(),
            application_name: application_name.to_owned(),
            stubborn,
        };
        let id = self.number();
        self.sessions.insert(id, session);
        Ok(id)
    }

    pub(crate) fn sessions_of(&self, database: &DatabaseName) -> u64 {
        self.sessions.values().filter(|session| session.database == *database).count() as u64
    }

    /// Ends the sessions that match, but for the stubborn ones; returns how many ended.
    pub(crate) fn terminate(&mut self, matches: impl Fn(&SessionState) -> bool) -> u64 {
        let before = self.sessions.len();
        self.sessions.retain(|_, session| session.stubborn || !matches(session));
        self.ended.notify_waiters();
        (before - self.sessions.len()) as u64
    }

    fn check_free(&mut self, name: &DatabaseName) -> Result<(), DatabaseError> {
        self.terminate(|session| session.database == *name);
        match self.sessions_of(name) {
            0 => Ok(()),
            sessions => Err(DatabaseError::StillInUse { name: name.clone(), sessions }),
        }
    }

    pub(crate) fn snapshot_facts(&self, entry: &FakeEntry) -> SnapshotFacts {
        let mut roles = entry.contents.roles.clone();
        roles.insert(entry.profile.owner.clone());
        roles.extend(profile_roles(&entry.profile));
        SnapshotFacts {
            profile: entry.profile.clone(),
            extensions: entry.contents.extensions.clone(),
            roles: roles.into_iter().collect(),
            schema_version: entry.contents.schema_version.clone(),
            table_count: entry.contents.tables.len() as u64,
            size_bytes: entry.contents.size_bytes(),
        }
    }

    pub(crate) fn create_roles(&mut self, roles: &[String]) -> Result<Vec<String>, DatabaseError> {
        let missing: Vec<String> = roles.iter().filter(|role| !self.roles.contains(*role)).cloned().collect();
        if missing.is_empty() {
            return Ok(missing);
        }
        if !self.facts.may_create_roles {
            return Err(not_allowed("creating roles"));
        }
        if let Some(reserved) = missing.iter().find(|role| role.starts_with("pg_") || role.is_empty()) {
            return Err(refused("creating roles", format!("role name \"{reserved}\" is reserved")));
        }
        self.roles.extend(missing.iter().cloned());
        self.note(format!("create roles {}", missing.join(", ")));
        Ok(missing)
    }

    pub(crate) fn create(
        &mut self,
        name: &DatabaseName,
        profile: &DatabaseProfile,
    ) -> Result<(), DatabaseError> {
        if !self.facts.may_create_databases {
            return Err(not_allowed("creating a database"));
        }
        if self.databases.contains_key(name) {
            return Err(refused("creating a database", format!("database \"{name}\" already exists")));
        }
        self.check_roles([profile.owner.clone()])?;
        if profile.tablespace != "pg_default" {
            let why = format!("tablespace \"{}\" does not exist", profile.tablespace);
            return Err(refused("creating a database", why));
        }
        let mut entry = FakeEntry::owned_by(&profile.owner);
        entry.profile.encoding.clone_from(&profile.encoding);
        entry.profile.locale_provider = profile.locale_provider;
        entry.profile.collate.clone_from(&profile.collate);
        entry.profile.ctype.clone_from(&profile.ctype);
        entry.profile.locale.clone_from(&profile.locale);
        entry.profile.icu_rules.clone_from(&profile.icu_rules);
        self.databases.insert(name.clone(), entry);
        self.note(format!("create {name}"));
        Ok(())
    }

    pub(crate) fn apply_profile(
        &mut self,
        name: &DatabaseName,
        profile: &DatabaseProfile,
    ) -> Result<(), DatabaseError> {
        self.get(name)?;
        self.check_roles(profile_roles(profile).chain([profile.owner.clone()]))?;
        let own = &mut self.get_mut(name)?.profile;
        own.owner.clone_from(&profile.owner);
        own.connection_limit = profile.connection_limit;
        own.comment.clone_from(&profile.comment);
        own.settings.clone_from(&profile.settings);
        own.privileges.clone_from(&profile.privileges);
        self.note(format!("apply profile to {name}"));
        Ok(())
    }

    fn check_roles(&self, roles: impl IntoIterator<Item = String>) -> Result<(), DatabaseError> {
        match roles.into_iter().find(|role| !self.roles.contains(role)) {
            None => Ok(()),
            Some(role) => Err(refused("naming a role", format!("role \"{role}\" does not exist"))),
        }
    }

    /// Whether the swap can begin: its databases are there, its new name is not taken, and we may rename.
    pub(crate) fn check_swap(&self, swap: &Swap) -> Result<(), DatabaseError> {
        let different =
            swap.live != swap.incoming && swap.live != swap.retired && swap.incoming != swap.retired;
        assert!(different, "the names of a swap are all different: {swap:?}");
        if !self.facts.may_create_databases {
            return Err(not_allowed("swapping databases"));
        }
        self.get(&swap.incoming)?;
        for name in [&swap.live, &swap.incoming] {
            let ties = self.databases.get(name).map(|entry| &entry.ties);
            if let Some(error) = ties.and_then(|ties| ties.against_rename(name)) {
                return Err(error);
            }
        }
        if self.databases.contains_key(&swap.live) && self.databases.contains_key(&swap.retired) {
            let why = format!("database \"{}\" already exists", swap.retired);
            return Err(refused("swapping databases", why));
        }
        Ok(())
    }

    /// Closes the databases of a swap and ends their sessions. After an error all are open again.
    pub(crate) fn close_for_swap(&mut self, swap: &Swap) -> Result<(), DatabaseError> {
        for name in [&swap.live, &swap.incoming] {
            if let Some(entry) = self.databases.get_mut(name) {
                entry.accepts_sessions = false;
            }
        }
        let free = self.check_free(&swap.live).and_then(|()| self.check_free(&swap.incoming));
        if free.is_err() {
            self.reopen_after_swap(swap);
        }
        free
    }

    pub(crate) fn reopen_after_swap(&mut self, swap: &Swap) {
        for name in [&swap.live, &swap.incoming, &swap.retired] {
            if let Some(entry) = self.databases.get_mut(name) {
                entry.accepts_sessions = true;
            }
        }
    }

    pub(crate) fn rename_for_swap(&mut self, swap: &Swap) {
        if let Some(retired) = self.databases.remove(&swap.live) {
            self.databases.insert(swap.retired.clone(), retired);
        }
        if let Some(incoming) = self.databases.remove(&swap.incoming) {
            self.databases.insert(swap.live.clone(), incoming);
        }
        self.note(format!("swap in {} and keep {}", swap.incoming, swap.retired));
    }

    pub(crate) fn drop_database(&mut self, name: &DatabaseName) -> Result<(), DatabaseError> {
        let Some(entry) = self.databases.get(name) else { return Ok(()) };
        if let Some(error) = entry.ties.against_drop(name) {
            return Err(error);
        }
        if !self.facts.may_create_databases {
            return Err(not_allowed("dropping a database"));
        }
        self.check_free(name)?;
        self.databases.remove(name);
        self.note(format!("drop {name}"));
        Ok(())
    }

    /// Loads what a dump holds into an empty database, as `pg_restore` does: whole or with the first complaint.
    pub(crate) fn load(&mut self, name: &DatabaseName, contents: FakeContents) -> Result<(), String> {
        if let Some(role) = contents.roles.iter().find(|role| !self.roles.contains(*role)) {
            return Err(format!("could not execute query: ERROR:  role \"{role}\" does not exist"));
        }
        let offered = &self.available_extensions;
        if let Some(missing) = contents.extensions.keys().find(|name| !offered.contains_key(*name)) {
            return Err(format!("could not execute query: ERROR:  extension \"{missing}\" is not available"));
        }
        let entry =
            self.databases.get_mut(name).ok_or_else(|| format!("database \"{name}\" does not exist"))?;
        if !entry.contents.is_empty() {
            return Err("could not execute query: ERROR:  relation already exists".to_owned());
        }
        entry.contents = contents;
        entry.analyzed = false;
        self.note(format!("load {name}"));
        Ok(())
    }
}

/// The roles that the settings and privileges of a database name.
fn profile_roles(profile: &DatabaseProfile) -> impl Iterator<Item = String> {
    let settings = profile.settings.iter().filter_map(|setting| setting.role.clone());
    let privileges = profile.privileges.iter().flatten();
    let granted = privileges.flat_map(|grant| [Some(grant.grantor.clone()), grant.grantee.clone()]).flatten();
    settings.chain(granted)
}
