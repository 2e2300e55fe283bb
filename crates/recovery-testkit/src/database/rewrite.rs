//! A transaction on the fake server that replaces the contents of a database.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use recovery_core::{
    database::{DatabaseProfile, RowCounts},
    port::{DatabaseError, DatabaseRewrite, Kept, OtherRoles, Script},
};

use super::{DatabasePoint, FakeContents, FakeDatabase, FakeEntry, FakeSession, server::refused};
use crate::lock;

/// What a transaction would make of the database. Nobody else sees it.
pub(super) struct FakeRewrite {
    database: FakeDatabase,
    session: FakeSession,
    name: recovery_core::database::DatabaseName,
    entry: Mutex<FakeEntry>,
}

impl FakeRewrite {
    pub(super) fn begin(
        database: &FakeDatabase,
        name: &recovery_core::database::DatabaseName,
        application_name: &str,
    ) -> Result<Self, DatabaseError> {
        let session = database.connect(name, application_name)?;
        let entry = Mutex::new(database.locked().enter(name, "beginning a transaction")?.clone());
        Ok(Self { database: database.clone(), session, name: name.clone(), entry })
    }

    fn check(&self, doing: &str) -> Result<(), DatabaseError> {
        self.database.locked().check_reachable(doing)?;
        if self.session.is_alive() {
            return Ok(());
        }
        let source = "the connection of the transaction is gone".into();
        Err(DatabaseError::Unavailable { doing: doing.to_owned(), source })
    }
}

#[async_trait]
impl DatabaseRewrite for FakeRewrite {
    async fn other_roles(&self, roles: &[String]) -> Result<OtherRoles, DatabaseError> {
        self.check("looking for roles")?;
        let server = self.database.locked();
        let missing = roles.iter().filter(|role| !server.roles.contains(*role)).cloned().collect();
        let ours = self.database.configured_target().map(|target| target.user.clone()).unwrap_or_default();
        let is_foreign =
            |role: &&String| server.roles.contains(*role) && !server.facts.superuser && **role != ours;
        Ok(OtherRoles { missing, foreign: roles.iter().filter(is_foreign).cloned().collect() })
    }

    async fn impossible_extensions(&self, names: &[String]) -> Result<Vec<String>, DatabaseError> {
        self.check("looking for extensions")?;
        let server = self.database.locked();
        let installed = lock(&self.entry).contents.extensions.clone();
        let possible =
            |name: &String| installed.contains_key(name) || server.available_extensions.contains_key(name);
        Ok(names.iter().filter(|name| !possible(name)).cloned().collect())
    }

    async fn hold_writers(&self) -> Result<(), DatabaseError> {
        self.check("waiting for other sessions to let go of the tables")
    }

    async fn clear(&self, keep: &BTreeSet<String>) -> Result<Kept, DatabaseError> {
        self.database.faults().pass(DatabasePoint::RewriteClear).await?;
        self.check("emptying the database")?;
        let contents = &mut lock(&self.entry).contents;
        let extensions = std::mem::take(&mut contents.extensions);
        let extensions: std::collections::BTreeMap<_, _> =
            extensions.into_iter().filter(|(name, _)| keep.contains(name)).collect();
        let kept = extensions.keys().cloned().collect();
        *contents = FakeContents { extensions, ..FakeContents::default() };
        Ok(Kept { schemas: BTreeSet::from(["public".to_owned()]), extensions: kept, leftovers: Vec::new() })
    }

    async fn run(&self, kind: Script, path: &Path, done: &AtomicU64) -> Result<(), DatabaseError> {
        self.database.faults().pass(DatabasePoint::RewriteRun).await?;
        let doing = "loading the backup";
        self.check(doing)?;
        let text = std::fs::read(path).map_err(|error| refused(doing, error.to_string()))?;
        done.store(text.len() as u64, Ordering::Relaxed);
        if kind == Script::Rows {
            let contents: FakeContents =
                serde_json::from_slice(&text).map_err(|error| refused(doing, error.to_string()))?;
            let own = &mut lock(&self.entry).contents;
            if !own.tables.is_empty() {
                return Err(refused(doing, "relation already exists"));
            }
            *own = contents;
        }
        Ok(())
    }

    async fn row_counts(&self) -> Result<RowCounts, DatabaseError> {
        self.check("counting rows")?;
        Ok(lock(&self.entry).contents.row_counts())
    }

    async fn apply_profile(&self, profile: &DatabaseProfile) -> Result<Vec<String>, DatabaseError> {
        self.check("setting the properties of the database")?;
        let own = &mut lock(&self.entry).profile;
        own.connection_limit = profile.connection_limit;
        own.comment.clone_from(&profile.comment);
        own.settings.clone_from(&profile.settings);
        let stays = own.owner != profile.owner && !self.database.locked().facts.superuser;
        if stays {
            return Ok(vec![format!("its owner {}", profile.owner)]);
        }
        own.owner.clone_from(&profile.owner);
        own.privileges.clone_from(&profile.privileges);
        Ok(Vec::new())
    }

    async fn commit(self: Box<Self>) -> Result<(), DatabaseError> {
        self.database.faults().pass(DatabasePoint::RewriteCommit).await?;
        self.check("committing the restore")?;
        let entry = FakeEntry { analyzed: false, ..lock(&self.entry).clone() };
        let mut server = self.database.locked();
        *server.get_mut(&self.name)? = entry;
        server.note(format!("rewrite {}", self.name));
        Ok(())
    }
}
