//! PostgreSQL behind the ports [`ProtectedDatabase`](recovery_core::port::ProtectedDatabase), [`DatabaseAdmin`] and
//! [`ResetDatabase`](recovery_core::port::ResetDatabase).
//!
//! Nothing connects before it is asked for something, and nothing needs the protected database itself except what is
//! about its contents: the rest goes through the maintenance database.

mod admin;
mod clear;
mod error;
mod held;
mod load;
mod lock;
mod maintenance;
mod profile;
mod protected;
mod quote;
mod reset;
mod rewrite;
mod roles;
mod script;
mod session;
mod snapshot;
mod swap;
mod tables;
mod ties;
mod transaction;
mod url;

pub use url::{InvalidDatabaseUrl, parse_database_url};

use std::time::Duration;

use deadpool_postgres::Pool;
use recovery_core::{database::ConnectionTarget, port::DatabaseError};

/// A PostgreSQL server and the database on it that is protected.
pub struct PostgresDatabase {
    target: Result<ConnectionTarget, Option<String>>,
    pool: Option<Pool>,
    last_release: lock::LastRelease,
    swap_recovery_limit: Duration,
    lock_limit: Duration,
}

impl PostgresDatabase {
    /// The database behind this target; without one, every call answers that none is configured. Does not connect.
    #[must_use]
    pub fn new(target: Option<ConnectionTarget>) -> Self {
        let pool = target.as_ref().and_then(protected::pool);
        Self::with(target.ok_or(None), pool)
    }

    /// In place of a database whose address cannot be understood: every call answers why.
    #[must_use]
    pub fn misconfigured(why: impl Into<String>) -> Self {
        Self::with(Err(Some(why.into())), None)
    }

    /// How long the caller of a swap that failed waits for the databases to be open again, 15 s unless set. After that
    /// the attempts go on in the background.
    #[must_use]
    pub fn with_swap_recovery_limit(self, limit: Duration) -> Self {
        Self { swap_recovery_limit: limit, ..self }
    }

    /// How long a reset waits for other sessions to let go of the tables, a minute unless set.
    #[must_use]
    pub fn with_lock_limit(self, limit: Duration) -> Self {
        Self { lock_limit: limit, ..self }
    }

    fn with(target: Result<ConnectionTarget, Option<String>>, pool: Option<Pool>) -> Self {
        let last_release = lock::LastRelease::default();
        Self {
            target,
            pool,
            last_release,
            swap_recovery_limit: swap::RECOVERY_LIMIT,
            lock_limit: held::LOCK_LIMIT,
        }
    }

    fn target(&self) -> Result<&ConnectionTarget, DatabaseError> {
        self.target.as_ref().map_err(|why| DatabaseError::NotConfigured { why: why.clone() })
    }
}
