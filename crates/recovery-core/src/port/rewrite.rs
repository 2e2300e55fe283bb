use std::{collections::BTreeSet, path::Path, sync::atomic::AtomicU64};

use async_trait::async_trait;

use super::DatabaseError;
use crate::database::{DatabaseProfile, RowCounts};

/// What a file of SQL holds that `pg_restore` wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Statements that make or change objects: the sections `pre-data` and `post-data`.
    Definitions,
    /// Rows, large objects and the positions of sequences: the section `data`.
    Rows,
}

/// What [`DatabaseRewrite::clear`] has left in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Schemas that are empty now but for extensions, and are not created again.
    pub schemas: BTreeSet<String>,
    /// Extensions.
    pub extensions: BTreeSet<String>,
    /// What had to stay although nobody asked for it, each in words, because it belongs to others.
    pub leftovers: Vec<String>,
}

/// Roles that our own role cannot stand in for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtherRoles {
    /// Those that the server lacks.
    pub missing: BTreeSet<String>,
    /// Those that our role may not act as, so that it can give them nothing.
    pub foreign: BTreeSet<String>,
}

/// One transaction in which the contents of a database are replaced. Others see nothing of it before
/// [`DatabaseRewrite::commit`], and wait where they need what it has locked. Dropping it, or losing the connection,
/// leaves the database as it was; so does any error, after which it is good for nothing else.
#[async_trait]
pub trait DatabaseRewrite: Send + Sync {
    /// Which of these roles are not there, or not ours.
    async fn other_roles(&self, roles: &[String]) -> Result<OtherRoles, DatabaseError>;

    /// Those of these extensions that the database has not, and that our role may not add to it.
    async fn impossible_extensions(&self, names: &[String]) -> Result<Vec<String>, DatabaseError>;

    /// Locks every table against writers, until the transaction ends; others may go on reading. Waits as
    /// [`DatabaseRewrite::clear`] does.
    async fn hold_writers(&self) -> Result<(), DatabaseError>;

    /// Locks every table, then drops everything that the database holds but these extensions and what PostgreSQL makes
    /// for itself. Waits for others to let go of the tables, and gives up after a minute; statements that wait for the
    /// writers' lock are cancelled, as far as our role may. Refuses where there is a table that
    /// [`DatabaseRewrite::hold_writers`] has not seen.
    async fn clear(&self, keep: &BTreeSet<String>) -> Result<Kept, DatabaseError>;

    /// Runs a script; `done` is how many bytes of it are read.
    async fn run(&self, kind: Script, path: &Path, done: &AtomicU64) -> Result<(), DatabaseError>;

    /// Counts the rows of every table, as they are in the transaction.
    async fn row_counts(&self) -> Result<RowCounts, DatabaseError>;

    /// Gives the database the settings, privileges, comment, owner and connection limit of the profile, as far as our
    /// role may, and returns what could not be set, each in words.
    async fn apply_profile(&self, profile: &DatabaseProfile) -> Result<Vec<String>, DatabaseError>;

    /// Makes it so for everybody. After an error the database is as it was, unless the server could not be asked how
    /// it ended: then the error says that it does not answer.
    async fn commit(self: Box<Self>) -> Result<(), DatabaseError>;
}
