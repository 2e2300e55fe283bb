//! Real servers for tests: each test starts its own, on a free port of 127.0.0.1, and nothing of it is left behind.
//!
//! A server is a child of a small `sh` watchdog that reads commands from a pipe held by the test. When the pipe closes
//! (the value is dropped, or the test process is killed), the watchdog ends the server and removes its files.
//!
//! This is support for tests: what goes wrong here panics, with words that say what.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot start its server has failed"
)]
#![allow(clippy::disallowed_methods, reason = "tests start real servers, and the watchdog is not under test")]

mod docker;
mod postgres;
mod redis;
mod redis_session;
mod template;
mod watchdog;

pub use docker::{DockerEngine, DockerProject};
pub use postgres::PostgresServer;
pub use redis::RedisServer;
pub use redis_session::{RedisContents, RedisReply, RedisSession};

use std::net::{Ipv4Addr, TcpListener};

/// A port of 127.0.0.1 on which nobody listens just now.
///
/// # Panics
/// Panics where there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on 127.0.0.1");
    listener.local_addr().expect("the address of a listener").port()
}

/// 32 random hexadecimal digits.
fn random_word() -> String {
    use std::io::Read;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .expect("random bytes from /dev/urandom");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Looks until it is so, at most so long.
fn wait_until(limit: std::time::Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = std::time::Instant::now() + limit;
    while !condition() {
        if std::time::Instant::now() > end {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postgresql_server_starts_dies_comes_back_and_leaves_nothing() {
        let mut server = PostgresServer::start();
        let directory = server.socket_directory().to_owned();
        server
            .psql("postgres", "CREATE DATABASE nova; CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)");
        assert_eq!(server.psql("postgres", "SELECT count(*), 'ü' FROM t"), "2|ü");
        assert!(
            server.try_psql("postgres", "SELECT 1; SELECT 1 FROM missing").unwrap_err().contains("missing")
        );
        assert!(server.pg_dump_text("postgres").contains("CREATE TABLE public.t"));
        for stop in [PostgresServer::kill_hard, PostgresServer::stop_immediately, PostgresServer::stop] {
            stop(&mut server);
            assert!(server.try_psql("postgres", "SELECT 1").is_err());
            server.restart();
            assert_eq!(server.psql("postgres", "SELECT count(*) FROM t"), "2");
        }
        drop(server);
        assert!(!directory.exists());
    }

    #[test]
    fn a_redis_server_starts_and_comes_back() {
        let mut server = RedisServer::start_protected();
        let directory = server.directory().to_owned();
        server.stop();
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).is_err());
        server.restart();
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).is_ok());
        drop(server);
        assert!(!directory.exists());
    }
}
