//! The adapters against real servers and a real file system: first what every adapter of a port promises (the contract
//! suites), then what only the real thing can show.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what cannot be is a failed test"
)]

mod contract;
mod directories;
mod faults;
mod keys;
mod lock;
mod profile;
mod redis;
mod reset;
mod snapshot;
mod state;
mod storm;
mod swap;
mod tables;
mod ties;
mod versions;

use std::time::{Duration, Instant};

use recovery_core::database::DatabaseName;
use recovery_store::PostgresDatabase;
use recovery_testkit::servers::PostgresServer;

fn name(text: &str) -> DatabaseName {
    text.parse().unwrap()
}

/// A server with an empty database `nova`, which is protected.
fn server_with_nova() -> (PostgresServer, PostgresDatabase) {
    with_nova(PostgresServer::start())
}

fn with_nova(server: PostgresServer) -> (PostgresServer, PostgresDatabase) {
    server.psql("postgres", "CREATE DATABASE nova");
    let database = PostgresDatabase::new(Some(server.target("nova")));
    (server, database)
}

/// Tries again until it is so; panics where it is not in time.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A session of another program.
async fn connect(server: &PostgresServer, database: &str) -> Option<tokio_postgres::Client> {
    connect_as(server, database, "another program").await
}

async fn connect_as(
    server: &PostgresServer,
    database: &str,
    application_name: &str,
) -> Option<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::Config::new()
        .host("127.0.0.1")
        .port(server.port())
        .user(PostgresServer::USER)
        .password(server.password())
        .dbname(database)
        .application_name(application_name)
        .connect(tokio_postgres::NoTls)
        .await
        .ok()?;
    tokio::spawn(connection);
    Some(client)
}
