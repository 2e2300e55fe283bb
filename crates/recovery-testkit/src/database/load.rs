//! Filling a fake database with a script.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use recovery_core::{
    database::DatabaseName,
    port::{LoadError, LoadSession},
};

use super::{DatabaseFaults, DatabasePoint, FakeSession, server::Server};
use crate::lock;

/// A session that knows `SET`, `CREATE TABLE`, `CREATE EXTENSION` and `COPY` of tables whose names need no quotes, and
/// that panics over rows without a `COPY`.
pub(super) struct FakeLoader {
    pub(super) server: Arc<Mutex<Server>>,
    pub(super) database: DatabaseName,
    pub(super) session: FakeSession,
    pub(super) faults: DatabaseFaults,
    /// The table of the `COPY` that was begun, and what came of it.
    pub(super) copy: Option<(String, Vec<u8>)>,
}

fn refused(sqlstate: &str, message: impl Into<String>) -> LoadError {
    LoadError::Refused { sqlstate: sqlstate.to_owned(), message: message.into() }
}

impl FakeLoader {
    async fn begin(&self) -> Result<(), LoadError> {
        self.faults.pass(DatabasePoint::LoadStatement).await?;
        lock(&self.server).check_reachable("loading a script")?;
        if self.session.is_alive() {
            return Ok(());
        }
        let source = "terminating connection due to administrator command".into();
        let doing = "loading a script".to_owned();
        Err(recovery_core::port::DatabaseError::Unavailable { doing, source }.into())
    }
}

#[async_trait]
impl LoadSession for FakeLoader {
    async fn act_as(&mut self, role: Option<&str>) -> Result<(), LoadError> {
        self.begin().await?;
        match role {
            Some(role) if !lock(&self.server).roles.contains(role) => {
                Err(refused("22023", format!("role \"{role}\" does not exist")))
            }
            _ => Ok(()),
        }
    }

    async fn run(&mut self, statement: &str) -> Result<u64, LoadError> {
        self.begin().await?;
        assert!(self.copy.is_none(), "a statement in the middle of a COPY");
        if statement.contains(';') {
            return Err(refused("42601", "cannot insert multiple commands into a prepared statement"));
        }
        let words: Vec<&str> = statement.split_whitespace().collect();
        let mut server = lock(&self.server);
        match words.as_slice() {
            ["SET", _, "=", _] => Ok(0),
            ["CREATE", "TABLE", table, ..] => {
                let tables = &mut server.get_mut(&self.database)?.contents.tables;
                if tables.contains_key(*table) {
                    return Err(refused("42P07", format!("relation \"{table}\" already exists")));
                }
                tables.insert((*table).to_owned(), 0);
                Ok(0)
            }
            ["CREATE", "EXTENSION", name, ..] => {
                let Some(version) =
                    server.available_extensions.get(*name).and_then(|all| all.last()).cloned()
                else {
                    return Err(refused("0A000", format!("extension \"{name}\" is not available")));
                };
                server.get_mut(&self.database)?.contents.extensions.insert((*name).to_owned(), version);
                Ok(0)
            }
            _ => Err(refused("42601", "syntax error")),
        }
    }

    async fn begin_copy(&mut self, statement: &str) -> Result<(), LoadError> {
        self.begin().await?;
        let words: Vec<&str> = statement.split_whitespace().collect();
        let (Some(&"COPY"), Some(table), Some(&"FROM"), Some(&"stdin")) =
            (words.first(), words.get(1), words.iter().nth_back(1), words.last())
        else {
            return Err(refused("42601", "syntax error"));
        };
        if !lock(&self.server).get_mut(&self.database)?.contents.tables.contains_key(*table) {
            return Err(refused("42P01", format!("relation \"{table}\" does not exist")));
        }
        self.copy = Some(((*table).to_owned(), Vec::new()));
        Ok(())
    }

    async fn copy(&mut self, rows: &[u8]) -> Result<(), LoadError> {
        let (_, bytes) = self.copy.as_mut().expect("a COPY was begun");
        bytes.extend_from_slice(rows);
        Ok(())
    }

    async fn end_copy(&mut self) -> Result<u64, LoadError> {
        self.begin().await?;
        let (table, bytes) = self.copy.take().expect("a COPY was begun");
        let rows = bytes.split_inclusive(|byte| *byte == b'\n').count() as u64;
        *lock(&self.server).get_mut(&self.database)?.contents.tables.entry(table).or_default() += rows;
        Ok(rows)
    }
}
