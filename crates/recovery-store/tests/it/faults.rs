//! A PostgreSQL that is not there, refuses, hangs or dies: each call says so, soon, and goes on when it is back.

use std::time::{Duration, Instant};

use recovery_core::{
    Problem,
    database::ConnectionTarget,
    port::{DatabaseAdmin, DatabaseError, ProtectedDatabase},
};
use recovery_store::PostgresDatabase;
use recovery_testkit::servers::{PostgresServer, free_port};
use tokio::net::TcpListener;

use crate::{name, server_with_nova, until};

/// Everything that goes out of the process about an error.
fn shown(error: DatabaseError) -> String {
    serde_json::to_string(&Problem::from(error)).unwrap()
}

/// What every kind of call answers to this target, and that it answers soon.
async fn answers(target: ConnectionTarget, is_expected: impl Fn(&DatabaseError) -> bool) {
    let password = secrecy::ExposeSecret::expose_secret(target.password.as_ref().unwrap()).to_owned();
    let database = PostgresDatabase::new(Some(target));
    let (begun, nova) = (Instant::now(), name("nova"));
    let results = tokio::join!(
        database.ping(),
        async { database.overview().await.map(drop) },
        async { database.platform_config("x").await.map(drop) },
        async { database.snapshot().await.map(drop) },
        database.probe(&nova),
    );
    let took = begun.elapsed();
    for result in [results.0, results.1, results.2, results.3, results.4] {
        let error = result.unwrap_err();
        assert!(is_expected(&error), "{error:?}");
        assert!(!format!("{error:?} {error}").contains(&password));
        assert!(!shown(error).contains(&password));
    }
    assert!(took < Duration::from_millis(3500), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_said_to_be_one() {
    let (server, _) = server_with_nova();
    let refused = |error: &DatabaseError| matches!(error, DatabaseError::SignInRefused { .. });
    let wrong = |user: &str, password: &str| ConnectionTarget {
        user: user.to_owned(),
        password: Some(password.to_owned().into()),
        ..server.target("nova")
    };
    answers(wrong("nova", "hunter2hunter2"), refused).await;
    answers(wrong("nobody", "hunter2hunter2"), refused).await;
    let none = PostgresDatabase::new(Some(ConnectionTarget { password: None, ..server.target("nova") }));
    assert!(refused(&none.ping().await.unwrap_err()));
    assert!(refused(&none.server().await.unwrap_err()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_database_is_named_and_the_server_can_still_be_used() {
    let (server, _) = server_with_nova();
    let database = PostgresDatabase::new(Some(server.target("missing")));
    let error = database.ping().await.unwrap_err();
    assert!(
        matches!(&error, DatabaseError::NoSuchDatabase { name } if name.as_str() == "missing"),
        "{error:?}"
    );
    assert!(!database.databases().await.unwrap().is_empty());
    database.lock("restore").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_said_to_be_away() {
    let (server, _) = server_with_nova();
    let away = |error: &DatabaseError| matches!(error, DatabaseError::Unavailable { .. });
    answers(ConnectionTarget { port: free_port(), ..server.target("nova") }, away).await;
    // Takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let away_or_late = |error: &DatabaseError| away(error) || matches!(error, DatabaseError::TimedOut { .. });
    answers(ConnectionTarget { port, ..server.target("nova") }, away_or_late).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_and_comes_back_is_used_again() {
    let (mut server, database) = server_with_nova();
    database.ping().await.unwrap();
    for stop in [PostgresServer::stop_immediately, PostgresServer::kill_hard, PostgresServer::stop] {
        stop(&mut server);
        let error = database.overview().await.unwrap_err();
        assert!(matches!(error, DatabaseError::Unavailable { .. }), "{error:?}");
        server.restart();
        until("it answers again", async || database.ping().await.is_ok()).await;
        database.server().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_the_middle_ends_every_call() {
    let (mut server, database) = server_with_nova();
    server.psql(
        "nova",
        "CREATE VIEW slow AS SELECT 1; CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 100)",
    );
    let snapshot = database.snapshot().await.unwrap();
    // Keeps ANALYZE and TRUNCATE waiting, and the counting of a snapshot that does not have its lock yet.
    let other = crate::connect(&server, "nova").await.unwrap();
    other.batch_execute("BEGIN; LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE").await.unwrap();
    let nova = name("nova");
    let (analyzed, ()) = tokio::join!(database.analyze(&nova, 2), async {
        until("ANALYZE waits", async || {
            server.psql("postgres", "SELECT count(*) FROM pg_locks WHERE NOT granted") != "0"
        })
        .await;
        server.stop_immediately();
    });
    assert!(matches!(analyzed, Err(DatabaseError::Unavailable { .. })), "{analyzed:?}");
    let counted = snapshot.row_counts().await;
    assert!(matches!(counted, Err(DatabaseError::Unavailable { .. })), "{counted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_ends_its_work_on_the_server() {
    let (server, database) = server_with_nova();
    server.psql("nova", "CREATE TABLE t (a int)");
    let other = crate::connect(&server, "nova").await.unwrap();
    other.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nova-recovery'";
    tokio::time::timeout(Duration::from_millis(300), database.row_counts(&name("nova"), 2))
        .await
        .unwrap_err();
    until("our sessions are gone", async || server.psql("postgres", ours) == "0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_sessions_say_who_they_are() {
    let (server, database) = server_with_nova();
    let _snapshot = database.snapshot().await.unwrap();
    database.ping().await.unwrap();
    let ours = "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = 'nova'";
    assert_eq!(server.psql("postgres", ours), "nova-recovery");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_is_as_good_as_a_port() {
    let (server, _) = server_with_nova();
    let url = format!(
        "postgresql://nova:{}@/nova?host={}&port={}",
        server.password(),
        server.socket_directory().display(),
        server.port()
    );
    let target = recovery_store::parse_database_url(&url.into()).unwrap();
    PostgresDatabase::new(Some(target)).ping().await.unwrap();
    let target = recovery_store::parse_database_url(&server.url("nova").into()).unwrap();
    PostgresDatabase::new(Some(target)).ping().await.unwrap();
}
