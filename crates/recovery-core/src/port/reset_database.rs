use std::sync::atomic::AtomicU64;

use async_trait::async_trait;

use super::DatabaseError;
use crate::schema::{Doomed, Reach, Schema, TableWipe, WipedRows};

/// The tables of the protected database, as a factory reset needs them.
#[async_trait]
pub trait ResetDatabase: Send + Sync {
    /// The tables and foreign keys. Rows are counted where `exact`, else estimated within moments, however large the
    /// tables are.
    async fn schema(&self, exact: bool) -> Result<Schema, DatabaseError>;

    /// How far a deletion would reach; counted where `exact`, else estimated where counting would take long: then a
    /// number may be of rows of which none would go, but what is not there is not there.
    async fn reach(&self, doomed: &Doomed, exact: bool) -> Result<Reach, DatabaseError>;

    /// Begins the transaction of a reset. Its session carries this `application_name`.
    async fn begin_reset(&self, application_name: &str) -> Result<Box<dyn ResetTransaction>, DatabaseError>;

    /// Whether the transaction of this id was committed; `None` where the server does not know it (any more). Waits for
    /// one that is still under way, for some time.
    async fn was_committed(&self, transaction: &str) -> Result<Option<bool>, DatabaseError>;
}

/// One transaction in which rows are deleted. Others see nothing of it before [`ResetTransaction::commit`], and wait
/// where they need what it has locked. Dropping it, or losing the connection, leaves the database as it was; so does any
/// error, after which it is good for nothing else.
#[async_trait]
pub trait ResetTransaction: Send + Sync {
    /// The transaction's id, by which [`ResetDatabase::was_committed`] knows it.
    fn id(&self) -> &str;

    /// Locks every table against writers until the transaction ends; others may go on reading. Waits a bounded time
    /// for others to let go of the tables, and then fails.
    async fn hold_writers(&self) -> Result<(), DatabaseError>;

    /// The tables and foreign keys, counted, as they are in the transaction.
    async fn schema(&self) -> Result<Schema, DatabaseError>;

    /// How far a deletion would reach, counted, as it is in the transaction.
    async fn reach(&self, doomed: &Doomed) -> Result<Reach, DatabaseError>;

    /// Deletes rows, and lets the sequences of wiped tables begin anew; the triggers of the tables run. `done` is how
    /// many tables are done. Fails where a row would be gone afterwards that was not asked for, or one be there that was
    /// (a trigger, a rule), and names the table.
    async fn wipe(&self, wipe: &TableWipe, done: &AtomicU64) -> Result<WipedRows, DatabaseError>;

    /// Makes it so for everybody. After an error the database is as it was, unless the server could not be asked how
    /// it ended: then the error says that it does not answer.
    async fn commit(self: Box<Self>) -> Result<(), DatabaseError>;
}
