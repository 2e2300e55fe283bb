//! The tables of the protected database as a factory reset needs them: [`ResetDatabase`].

mod catalog;
mod count;
mod order;
mod reach;
mod sequences;
mod wipe;

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use recovery_core::{
    port::{DatabaseError, ResetDatabase, ResetTransaction},
    schema::{Count, Doomed, Reach, Schema, TableWipe, WipedRows},
};

use self::{catalog::Catalog, reach::Search};
use super::{
    PostgresDatabase,
    error::refused,
    held::{self, Against},
    session::{APPLICATION_NAME, Session},
    transaction::{self, Transaction},
};

/// A view that stays the same, in which temporary tables can be made. Whoever only wants an estimate waits for nobody.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ";
const QUICK: &str = "SET LOCAL lock_timeout = '3s'";

impl PostgresDatabase {
    /// A session with a transaction that nobody commits.
    async fn looking(&self, exact: bool) -> Result<Session, DatabaseError> {
        let target = self.target()?;
        let session = Session::connect(target, &target.database, APPLICATION_NAME).await?;
        let session = if exact { session.unlimited() } else { session };
        session.batch("beginning to look", BEGIN).await?;
        if !exact {
            session.batch("beginning to look", QUICK).await?;
        }
        Ok(session)
    }
}

async fn schema(session: &Session, exact: bool) -> Result<Schema, DatabaseError> {
    let catalog = Catalog::read(session).await?;
    let tables = if exact {
        let counts = count::exact(session, catalog.tables.iter()).await?;
        counts.into_iter().map(|(name, rows)| (name, Count { rows, exact: true })).collect()
    } else {
        count::quick(session, &catalog).await?
    };
    Ok(Schema { tables, foreign_keys: catalog.keys.into_iter().map(|key| key.key).collect() })
}

async fn reach(session: &Session, doomed: &Doomed, exact: bool) -> Result<Reach, DatabaseError> {
    let catalog = Catalog::read(session).await?;
    let mut search = if exact {
        Search::exact(session, &catalog, doomed)
    } else {
        Search::quick(session, &catalog, doomed).await?
    };
    search.run().await
}

#[async_trait]
impl ResetDatabase for PostgresDatabase {
    async fn schema(&self, exact: bool) -> Result<Schema, DatabaseError> {
        schema(&self.looking(exact).await?, exact).await
    }

    async fn reach(&self, doomed: &Doomed, exact: bool) -> Result<Reach, DatabaseError> {
        reach(&self.looking(exact).await?, doomed, exact).await
    }

    async fn begin_reset(&self, application_name: &str) -> Result<Box<dyn ResetTransaction>, DatabaseError> {
        let target = self.target()?;
        let transaction = Transaction::begin(target, &target.database, application_name).await?;
        Ok(Box::new(Reset { transaction, lock_limit: self.lock_limit, failed: AtomicBool::new(false) }))
    }

    async fn was_committed(&self, transaction: &str) -> Result<Option<bool>, DatabaseError> {
        transaction::was_committed(self.target()?, transaction, "committing the reset").await
    }
}

struct Reset {
    transaction: Transaction,
    lock_limit: Duration,
    /// Something went wrong, or was given up half-way: it must not be committed.
    failed: AtomicBool,
}

impl Reset {
    /// Does a step, after which nothing can be committed unless it was done to its end.
    async fn step<T>(
        &self,
        step: impl Future<Output = Result<T, DatabaseError>> + Send,
    ) -> Result<T, DatabaseError> {
        if self.failed.swap(true, Ordering::Relaxed) {
            return Err(refused("going on with the reset", "a step of it has failed before"));
        }
        let done = step.await?;
        self.failed.store(false, Ordering::Relaxed);
        Ok(done)
    }
}

#[async_trait]
impl ResetTransaction for Reset {
    fn id(&self) -> &str {
        self.transaction.id()
    }

    async fn hold_writers(&self) -> Result<(), DatabaseError> {
        let locks = held::lock_tables(self.transaction.session(), Against::Writers, self.lock_limit);
        self.step(locks).await.map(drop)
    }

    async fn schema(&self) -> Result<Schema, DatabaseError> {
        self.step(schema(self.transaction.session(), true)).await
    }

    async fn reach(&self, doomed: &Doomed) -> Result<Reach, DatabaseError> {
        let session = self.transaction.session();
        let looking = async {
            // The lists that are made on the way go, too.
            session.batch("beginning to look", "SAVEPOINT looking").await?;
            let reach = reach(session, doomed, true).await?;
            session.batch("ending to look", "ROLLBACK TO looking; RELEASE looking").await?;
            Ok(reach)
        };
        self.step(looking).await
    }

    async fn wipe(&self, wipe: &TableWipe, done: &AtomicU64) -> Result<WipedRows, DatabaseError> {
        self.step(wipe::wipe(self.transaction.session(), wipe, done)).await
    }

    async fn commit(self: Box<Self>) -> Result<(), DatabaseError> {
        self.step(self.transaction.commit("committing the reset")).await
    }
}
