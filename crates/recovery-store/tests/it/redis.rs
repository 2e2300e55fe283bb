//! A Redis that is away, hangs, refuses, and comes back.

use std::time::{Duration, Instant};

use recovery_core::port::{KeyValue, KeyValueError};
use recovery_store::RedisStore;
use recovery_testkit::servers::RedisServer;

use crate::until;

const SOON: Duration = Duration::from_millis(2500);

async fn away(store: &RedisStore) {
    let begun = Instant::now();
    let error = store.get(1, "key").await.unwrap_err();
    assert!(matches!(error, KeyValueError::Unavailable { .. }), "{error:?}");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_and_comes_back_is_used_again() {
    let mut server = RedisServer::start_protected();
    let store = RedisStore::new(&server.url(7).into()).unwrap();
    store.set(1, "key", "value").await.unwrap();
    for _ in 0..2 {
        server.stop();
        away(&store).await;
        away(&store).await;
        server.restart();
        until("it answers again", async || store.ping().await.is_ok()).await;
        until("the other database, too", async || store.get(1, "key").await.is_ok_and(|v| v.is_none())).await;
    }
    server.freeze();
    away(&store).await;
    server.thaw();
    until("it answers again", async || store.get(1, "key").await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_up_late_is_found() {
    let mut server = RedisServer::start();
    server.stop();
    let store = RedisStore::new(&server.url(7).into()).unwrap();
    away(&store).await;
    server.restart();
    until("it answers", async || store.ping().await.is_ok()).await;
    // Where nobody ever listens: a port that was free a moment ago may have been taken since.
    away(&RedisStore::new(&"redis://127.0.0.1:1/7".to_owned().into()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_fails_soon_and_shows_nothing() {
    let server = RedisServer::start_protected();
    for url in [
        format!("redis://:hunter2hunter2@127.0.0.1:{}/7", server.port()),
        format!("redis://127.0.0.1:{}/7", server.port()),
    ] {
        let store = RedisStore::new(&url.into()).unwrap();
        for _ in 0..2 {
            let begun = Instant::now();
            let error = store.get(7, "key").await.unwrap_err();
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
