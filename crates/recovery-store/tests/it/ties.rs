//! What holds a database where it is: told by name, with the remedy, in place of a session that nobody finds.

use std::process::Stdio;

use recovery_core::{
    database::Ties,
    port::{DatabaseAdmin, DatabaseError},
};
use recovery_store::PostgresDatabase;
use recovery_testkit::servers::PostgresServer;

use crate::{connect, name, until};

/// A server on which databases can be replicated, with `nova` protected and `old` beside it.
fn server_with_old() -> (PostgresServer, PostgresDatabase) {
    let programs = PostgresServer::start().programs().to_owned();
    let server = PostgresServer::start_with(&programs, &["wal_level=logical"]);
    server.psql("postgres", "CREATE DATABASE nova");
    server.psql("postgres", "CREATE DATABASE old");
    let database = PostgresDatabase::new(Some(server.target("nova")));
    (server, database)
}

async fn refused_drop(database: &PostgresDatabase, words: &str) {
    let error = database.drop_database(&name("old")).await.unwrap_err();
    assert!(matches!(&error, DatabaseError::Tied { what, .. } if what.contains(words)), "{error:?}");
    let databases = database.databases().await.unwrap();
    assert!(databases.iter().any(|entry| entry.name == name("old") && entry.accepts_sessions));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_holds_a_database_is_found_and_named_when_it_cannot_be_dropped() {
    let (server, database) = server_with_old();
    assert_eq!(database.ties(&name("old")).await.unwrap(), Ties::default());

    let other = connect(&server, "old").await.unwrap();
    other
        .batch_execute("CREATE TABLE t (a int); BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'held'")
        .await
        .unwrap();
    assert_eq!(database.ties(&name("old")).await.unwrap().prepared_transactions, 1);
    assert_eq!(database.ties(&name("nova")).await.unwrap(), Ties::default(), "it is that of another");
    refused_drop(&database, "1 prepared transaction(s)").await;
    let other = connect(&server, "old").await.unwrap();
    other.batch_execute("ROLLBACK PREPARED 'held'").await.unwrap();

    server.psql(
        "old",
        "CREATE SUBSCRIPTION news CONNECTION 'dbname=elsewhere' PUBLICATION p WITH (connect = false, slot_name = NONE)",
    );
    assert_eq!(database.ties(&name("old")).await.unwrap().subscriptions, ["news"]);
    refused_drop(&database, "the subscription(s) news").await;
    server.psql("old", "DROP SUBSCRIPTION news");

    server.psql("old", "SELECT pg_create_logical_replication_slot('listener', 'test_decoding')");
    assert_eq!(database.ties(&name("old")).await.unwrap().replication_slots, ["listener"]);
    let mut listener = server.client("pg_recvlogical", "old");
    listener.args(["--dbname=old", "--slot=listener", "--start", "--file=/dev/null", "--no-loop"]);
    let mut listener = listener.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let active = "SELECT active FROM pg_replication_slots WHERE slot_name = 'listener'";
    until("the slot is read from", async || server.psql("postgres", active) == "t").await;
    refused_drop(&database, "the replication slot(s) listener").await;
    listener.kill().unwrap();
    listener.wait().unwrap();
    until("nobody reads from it", async || server.psql("postgres", active) == "f").await;
    database.drop_database(&name("old")).await.expect("a slot that is not in use goes with its database");
}
