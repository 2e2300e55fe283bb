//! PostgreSQL, Redis and the state directory behind the ports of recovery-core.
//!
//! [`PostgresDatabase`] reaches the protected database and its server. Nothing here reads the environment, starts a
//! program or connects before it is asked for something: an adapter can be made while what it reaches is down.

mod postgres;

pub use postgres::{InvalidDatabaseUrl, PostgresDatabase, parse_database_url};
