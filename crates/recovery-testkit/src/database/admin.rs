//! The ports of PostgreSQL on the fake server.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use recovery_core::{
    database::{
        ConnectionTarget, DatabaseEntry, DatabaseName, DatabaseOverview, DatabaseProfile, RowCounts,
        ServerFacts, SnapshotFacts, Ties,
    },
    port::{
        DatabaseAdmin, DatabaseError, DatabaseLock, DatabaseRewrite, DatabaseSnapshot, LoadSession,
        LockError, ProtectedDatabase, Swap,
    },
};
use serde_json::Value;

use super::{
    DatabaseFaults, DatabasePoint, FakeContents, FakeDatabase, FakeSession,
    load::FakeLoader,
    rewrite::FakeRewrite,
    server::{Server, invalid, refused},
};
use crate::lock;

impl FakeDatabase {
    /// What every call of the administration meets first.
    async fn begin(&self, point: DatabasePoint, doing: &str) -> Result<(), DatabaseError> {
        self.target()?;
        self.faults.pass(point).await?;
        self.locked().check_reachable(doing)
    }
}

#[async_trait]
impl ProtectedDatabase for FakeDatabase {
    async fn ping(&self) -> Result<(), DatabaseError> {
        self.begin(DatabasePoint::Ping, "connecting").await?;
        self.locked().enter(&self.name(), "connecting").map(drop)
    }

    async fn overview(&self) -> Result<DatabaseOverview, DatabaseError> {
        self.begin(DatabasePoint::Overview, "reading sizes").await?;
        let server = self.locked();
        let contents = &server.enter(&self.name(), "reading sizes")?.contents;
        Ok(DatabaseOverview {
            size_bytes: contents.size_bytes(),
            table_count: contents.tables.len() as u64,
            server_version: server.facts.version,
        })
    }

    async fn platform_config(&self, key: &str) -> Result<Option<Value>, DatabaseError> {
        self.begin(DatabasePoint::PlatformConfig, "reading platform_config").await?;
        let server = self.locked();
        Ok(server.enter(&self.name(), "reading platform_config")?.contents.config.get(key).cloned())
    }
}

#[async_trait]
impl DatabaseAdmin for FakeDatabase {
    fn target(&self) -> Result<&ConnectionTarget, DatabaseError> {
        self.configured_target().ok_or(DatabaseError::NotConfigured { why: None })
    }

    async fn server(&self) -> Result<ServerFacts, DatabaseError> {
        self.begin(DatabasePoint::Server, "asking for the version").await?;
        Ok(self.locked().facts.clone())
    }

    async fn databases(&self) -> Result<Vec<DatabaseEntry>, DatabaseError> {
        self.begin(DatabasePoint::Databases, "listing databases").await?;
        let entry = |(name, entry): (&DatabaseName, &super::FakeEntry)| DatabaseEntry {
            name: name.clone(),
            size_bytes: Some(entry.contents.size_bytes()),
            accepts_sessions: entry.accepts_sessions,
            is_invalid: entry.is_invalid,
        };
        Ok(self.locked().databases.iter().map(entry).collect())
    }

    async fn snapshot(&self) -> Result<Box<dyn DatabaseSnapshot>, DatabaseError> {
        self.begin(DatabasePoint::Snapshot, "opening a snapshot").await?;
        let session = self.connect(&self.name(), "recovery snapshot")?;
        let mut server = self.locked();
        let entry = server.enter(&self.name(), "opening a snapshot")?.clone();
        let facts = server.snapshot_facts(&entry);
        let id = format!("{:08X}-{:08X}-1", server.number(), server.number());
        server.snapshots.insert(id.clone(), entry.contents.clone());
        Ok(Box::new(FakeSnapshot {
            id,
            facts,
            contents: entry.contents,
            session,
            server: Arc::clone(&self.server),
            faults: self.faults.clone(),
        }))
    }

    async fn profile(&self, name: &DatabaseName) -> Result<DatabaseProfile, DatabaseError> {
        self.begin(DatabasePoint::Profile, "reading a profile").await?;
        self.locked().get(name).map(|entry| entry.profile.clone())
    }

    async fn available_extensions(&self) -> Result<BTreeMap<String, BTreeSet<String>>, DatabaseError> {
        self.begin(DatabasePoint::AvailableExtensions, "listing extensions").await?;
        Ok(self.locked().available_extensions.clone())
    }

    async fn ties(&self, name: &DatabaseName) -> Result<Ties, DatabaseError> {
        self.begin(DatabasePoint::Ties, "looking for what holds a database").await?;
        Ok(self.locked().databases.get(name).map(|entry| entry.ties.clone()).unwrap_or_default())
    }

    async fn create_missing_roles(&self, roles: &[String]) -> Result<Vec<String>, DatabaseError> {
        self.begin(DatabasePoint::CreateMissingRoles, "creating roles").await?;
        self.locked().create_roles(roles)
    }

    async fn create_database(
        &self,
        name: &DatabaseName,
        profile: &DatabaseProfile,
    ) -> Result<(), DatabaseError> {
        self.begin(DatabasePoint::CreateDatabase, "creating a database").await?;
        self.locked().create(name, profile)
    }

    async fn apply_profile(
        &self,
        name: &DatabaseName,
        profile: &DatabaseProfile,
    ) -> Result<(), DatabaseError> {
        self.begin(DatabasePoint::ApplyProfile, "applying a profile").await?;
        self.locked().apply_profile(name, profile)
    }

    async fn load_session(
        &self,
        name: &DatabaseName,
        application_name: &str,
    ) -> Result<Box<dyn LoadSession>, DatabaseError> {
        self.begin(DatabasePoint::LoadSession, "loading a script").await?;
        Ok(Box::new(FakeLoader {
            session: self.connect(name, application_name)?,
            server: Arc::clone(&self.server),
            database: name.clone(),
            faults: self.faults.clone(),
            copy: None,
        }))
    }

    async fn analyze(&self, name: &DatabaseName, jobs: usize) -> Result<(), DatabaseError> {
        assert!(jobs > 0, "an analysis without connections");
        self.begin(DatabasePoint::Analyze, "analyzing").await?;
        let mut server = self.locked();
        server.enter(name, "analyzing")?;
        server.get_mut(name)?.analyzed = true;
        server.note(format!("analyze {name}"));
        Ok(())
    }

    async fn row_counts(&self, name: &DatabaseName, jobs: usize) -> Result<RowCounts, DatabaseError> {
        assert!(jobs > 0, "a count without connections");
        self.begin(DatabasePoint::RowCounts, "counting rows").await?;
        Ok(self.locked().enter(name, "counting rows")?.contents.row_counts())
    }

    async fn swap(&self, swap: &Swap) -> Result<(), DatabaseError> {
        self.begin(DatabasePoint::Swap, "swapping databases").await?;
        {
            let mut server = self.locked();
            server.check_swap(swap)?;
            server.close_for_swap(swap)?;
        }
        let verdict = self.faults.pass(DatabasePoint::SwapClosed).await;
        let mut server = self.locked();
        if verdict.is_ok() {
            server.rename_for_swap(swap);
        }
        server.reopen_after_swap(swap);
        verdict
    }

    async fn open_to_sessions(&self, name: &DatabaseName) -> Result<(), DatabaseError> {
        self.begin(DatabasePoint::OpenToSessions, "opening a database").await?;
        let mut server = self.locked();
        let entry = server.get_mut(name)?;
        if entry.is_invalid {
            return Err(invalid("opening a database", name));
        }
        entry.accepts_sessions = true;
        server.note(format!("open {name}"));
        Ok(())
    }

    async fn probe(&self, name: &DatabaseName) -> Result<(), DatabaseError> {
        self.begin(DatabasePoint::Probe, "probing").await?;
        self.locked().enter(name, "probing").map(drop)
    }

    async fn drop_database(&self, name: &DatabaseName) -> Result<(), DatabaseError> {
        self.begin(DatabasePoint::DropDatabase, "dropping a database").await?;
        if *name == self.name() {
            return Err(refused("dropping a database", "it is the protected one"));
        }
        self.locked().drop_database(name)
    }

    async fn terminate_application(&self, application_name: &str) -> Result<u64, DatabaseError> {
        self.begin(DatabasePoint::TerminateApplication, "ending sessions").await?;
        Ok(self.locked().terminate(|session| session.application_name == application_name))
    }

    async fn rewrite(
        &self,
        name: &DatabaseName,
        application_name: &str,
    ) -> Result<Box<dyn DatabaseRewrite>, DatabaseError> {
        self.begin(DatabasePoint::Rewrite, "beginning a transaction").await?;
        Ok(Box::new(FakeRewrite::begin(self, name, application_name)?))
    }

    async fn lock(&self, label: &str) -> Result<Box<dyn DatabaseLock>, LockError> {
        self.begin(DatabasePoint::Lock, "taking the lock").await?;
        let mut server = self.locked();
        if let Some((_, holder)) = &server.lock {
            return Err(LockError::Held { holder: holder.clone() });
        }
        let number = server.number();
        server.lock = Some((number, label.to_owned()));
        Ok(Box::new(FakeLock { number, server: Arc::clone(&self.server), faults: self.faults.clone() }))
    }
}

struct FakeSnapshot {
    id: String,
    facts: SnapshotFacts,
    contents: FakeContents,
    session: FakeSession,
    server: Arc<Mutex<Server>>,
    faults: DatabaseFaults,
}

#[async_trait]
impl DatabaseSnapshot for FakeSnapshot {
    fn id(&self) -> &str {
        &self.id
    }

    fn facts(&self) -> &SnapshotFacts {
        &self.facts
    }

    async fn row_counts(&self) -> Result<RowCounts, DatabaseError> {
        self.faults.pass(DatabasePoint::SnapshotRowCounts).await?;
        lock(&self.server).check_reachable("counting rows")?;
        if !self.session.is_alive() {
            let source = "the connection of the snapshot is gone".into();
            return Err(DatabaseError::Unavailable { doing: "counting rows".to_owned(), source });
        }
        Ok(self.contents.row_counts())
    }
}

impl Drop for FakeSnapshot {
    fn drop(&mut self) {
        lock(&self.server).snapshots.remove(&self.id);
    }
}

struct FakeLock {
    number: u64,
    server: Arc<Mutex<Server>>,
    faults: DatabaseFaults,
}

#[async_trait]
impl DatabaseLock for FakeLock {
    async fn still_held(&self) -> Result<(), DatabaseError> {
        self.faults.pass(DatabasePoint::StillHeld).await?;
        match &lock(&self.server).lock {
            Some((number, _)) if *number == self.number => Ok(()),
            _ => {
                let source = "the connection is gone".into();
                Err(DatabaseError::Unavailable { doing: "holding the lock".to_owned(), source })
            }
        }
    }
}

impl Drop for FakeLock {
    fn drop(&mut self) {
        let mut server = lock(&self.server);
        if server.lock.as_ref().is_some_and(|(number, _)| *number == self.number) {
            server.lock = None;
        }
    }
}
