//! PostgreSQL behind the ports [`ProtectedDatabase`](recovery_core::port::ProtectedDatabase) and [`DatabaseAdmin`].
//!
//! Nothing connects before it is asked for something, and nothing needs the protected database itself except what is
//! about its contents: the rest goes through the maintenance database.

mod admin;
mod error;
mod lock;
mod maintenance;
mod profile;
mod protected;
mod quote;
mod roles;
mod session;
mod snapshot;
mod swap;
mod tables;
mod url;

pub use url::{InvalidDatabaseUrl, parse_database_url};

use deadpool_postgres::Pool;
use recovery_core::{database::ConnectionTarget, port::DatabaseError};

/// A PostgreSQL server and the database on it that is protected.
pub struct PostgresDatabase {
    target: Result<ConnectionTarget, Option<String>>,
    pool: Option<Pool>,
    last_release: lock::LastRelease,
}

impl PostgresDatabase {
    /// The database behind this target; without one, every call answers that none is configured. Does not connect.
    #[must_use]
    pub fn new(target: Option<ConnectionTarget>) -> Self {
        let pool = target.as_ref().and_then(protected::pool);
        Self { target: target.ok_or(None), pool, last_release: lock::LastRelease::default() }
    }

    /// In place of a database whose address cannot be understood: every call answers why.
    #[must_use]
    pub fn misconfigured(why: impl Into<String>) -> Self {
        Self { target: Err(Some(why.into())), pool: None, last_release: lock::LastRelease::default() }
    }

    fn target(&self) -> Result<&ConnectionTarget, DatabaseError> {
        self.target.as_ref().map_err(|why| DatabaseError::NotConfigured { why: why.clone() })
    }
}
