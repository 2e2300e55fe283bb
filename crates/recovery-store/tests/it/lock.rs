//! The lock between instances.

use std::time::{Duration, Instant};

use recovery_core::port::{DatabaseAdmin, LockError};
use recovery_store::PostgresDatabase;

use crate::{name, server_with_nova, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_at_a_time_and_the_other_learns_who() {
    let (server, first) = server_with_nova();
    let second = PostgresDatabase::new(Some(server.target("nova")));
    let lock = first.lock("restore 0123 by admin secret from 127.0.0.1").await.unwrap();
    lock.still_held().await.unwrap();
    let begun = Instant::now();
    let Err(LockError::Held { holder }) = second.lock("backup").await else { panic!("it is held") };
    let rest = holder
        .strip_prefix("restore 0123 by admin secret from 127.0.0.1, since ")
        .unwrap_or_else(|| panic!("{holder}"));
    assert!(rest.len() == "12:34:56 UTC".len() && rest.ends_with(" UTC"), "{holder}");
    assert!(begun.elapsed() < Duration::from_secs(2), "it is said at once");
    drop(lock);
    second.lock("backup").await.unwrap();

    // Another database of the same server is another matter.
    server.psql("postgres", "CREATE DATABASE other");
    let _lock = first.lock("x").await.unwrap();
    PostgresDatabase::new(Some(server.target("other"))).lock("y").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_given_back_can_be_had_again_at_once() {
    let (_server, database) = server_with_nova();
    for _ in 0..20 {
        drop(database.lock("again").await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_whose_connection_dies_loses_the_lock_and_learns_it() {
    let (server, first) = server_with_nova();
    let second = PostgresDatabase::new(Some(server.target("nova")));
    let lock = first.lock("dying").await.unwrap();
    assert_eq!(second.terminate_application("nova-recovery: dying").await.unwrap(), 1);
    until("the holder learns it", async || lock.still_held().await.is_err()).await;
    second.lock("next").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_no_held_lock() {
    let (mut server, database) = server_with_nova();
    let lock = database.lock("held").await.unwrap();
    server.stop_immediately();
    lock.still_held().await.unwrap_err();
    assert!(matches!(database.lock("next").await, Err(LockError::Database(_))));
    server.restart();
    database.lock("next").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_a_killed_instance_goes_on_creating_is_not_created_once_the_next_has_the_lock() {
    let (server, killed) = server_with_nova();
    let profile = killed.profile(&name("nova")).await.unwrap();
    let other = crate::connect(&server, "postgres").await.unwrap();
    other.batch_execute("BEGIN; ALTER DATABASE template0 RENAME TO template_away").await.unwrap();
    let creating = tokio::spawn(async move { killed.create_database(&name("scratch"), &profile).await });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE DATABASE%' AND wait_event_type = 'Lock'";
    until("it waits", async || server.psql("postgres", waits) == "1").await;

    let next = PostgresDatabase::new(Some(server.target("nova")));
    let _lock = next.lock("restore").await.unwrap();
    assert_eq!(server.psql("postgres", waits), "0", "it goes on");
    creating.await.unwrap().unwrap_err();
    other.batch_execute("ROLLBACK").await.unwrap();
    assert!(next.databases().await.unwrap().iter().all(|entry| entry.name != name("scratch")));
}
