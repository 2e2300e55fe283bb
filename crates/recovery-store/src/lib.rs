//! PostgreSQL, Redis, directories of the platform and the state directory behind the ports of recovery-core.
//!
//! [`PostgresDatabase`] reaches the protected database and its server, [`RedisStore`] the numbered databases of a
//! Redis server, [`LocalDirectories`] measures and empties directories, and [`StateDirectory`] keeps what must outlive
//! the process. Nothing here reads the environment, starts
//! a program or connects before it is asked for something: an adapter can be made while what it reaches is down.

mod directories;
mod postgres;
mod redis;
mod state;

pub use directories::LocalDirectories;
pub use postgres::{InvalidDatabaseUrl, PostgresDatabase, parse_database_url};
pub use redis::{InvalidRedisUrl, RedisStore};
pub use state::StateDirectory;
