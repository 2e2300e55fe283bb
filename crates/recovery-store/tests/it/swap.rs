//! Swapping databases under clients that never stop coming, and swaps that fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use recovery_core::port::{DatabaseAdmin, DatabaseError, ProtectedDatabase, Swap};
use recovery_store::PostgresDatabase;
use recovery_testkit::servers::PostgresServer;

use crate::{connect, name, server_with_nova, until};

fn names() -> Swap {
    Swap { live: name("nova"), incoming: name("nova__restore"), retired: name("nova__before") }
}

/// `nova` holds 1, `nova__restore` holds 2.
fn two_databases() -> (PostgresServer, PostgresDatabase) {
    let (server, database) = server_with_nova();
    server.psql("postgres", "CREATE DATABASE nova__restore");
    server.psql("nova", "CREATE TABLE which AS SELECT 1 AS n");
    server.psql("nova__restore", "CREATE TABLE which AS SELECT 2 AS n");
    (server, database)
}

/// The databases as their owner sees them, who is no superuser.
fn as_owner(server: &PostgresServer, rights: &str) -> PostgresDatabase {
    server.psql(
        "postgres",
        &format!(
            "CREATE ROLE limited LOGIN PASSWORD 'limited password' {rights};
             ALTER DATABASE nova OWNER TO limited; ALTER DATABASE nova__restore OWNER TO limited"
        ),
    );
    let mut target = server.target("nova");
    (target.user, target.password) = ("limited".to_owned(), Some("limited password".to_owned().into()));
    PostgresDatabase::new(Some(target))
}

fn which(server: &PostgresServer, database: &str) -> String {
    server.psql(database, "SELECT n FROM which")
}

fn as_before(server: &PostgresServer) {
    assert_eq!((which(server, "nova"), which(server, "nova__restore")), ("1".to_owned(), "2".to_owned()));
    let retired = server.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'nova__before'");
    assert_eq!(retired, "0");
}

/// Clients that connect, ask, and connect again as fast as they can; each says how long it was without an answer.
async fn storm(
    server: &Arc<PostgresServer>,
    stop: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<Duration>> {
    let client = |stay: bool| {
        let (server, stop) = (Arc::clone(server), Arc::clone(stop));
        tokio::spawn(async move {
            let (mut last, mut gap) = (Instant::now(), Duration::ZERO);
            while !stop.load(Ordering::Relaxed) {
                let Some(client) = connect(&server, "nova").await else { continue };
                while client.simple_query("SELECT n FROM which").await.is_ok() {
                    gap = gap.max(last.elapsed());
                    last = Instant::now();
                    if !stay || stop.load(Ordering::Relaxed) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            gap
        })
    };
    (0..4).map(|number| client(number % 2 == 0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_clients_does_not_stop_a_swap_and_hardly_notices_it() {
    let (server, database) = two_databases();
    let (server, stop) = (Arc::new(server), Arc::new(AtomicBool::new(false)));
    database.ping().await.unwrap();
    let clients = storm(&server, &stop).await;
    until("the storm has begun", async || {
        server
            .psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = 'nova'")
            .parse::<u32>()
            .unwrap()
            >= 2
    })
    .await;

    let mut swap = names();
    for round in 0..6 {
        let begun = Instant::now();
        database.swap(&swap).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "round {round}: {:?}", begun.elapsed());
        database.ping().await.expect("our own connections were ended, too, and are made anew");
        assert_eq!(which(&server, "nova"), if round % 2 == 0 { "2" } else { "1" });
        std::mem::swap(&mut swap.incoming, &mut swap.retired);
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let gap = client.await.unwrap();
        // Most of it is the sign-in, which a debug build is slow at.
        assert!(gap < Duration::from_secs(2), "a client was without an answer for {gap:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_will_not_end_leaves_everything_as_before() {
    let (server, database) = two_databases();
    let other = connect(&server, "nova").await.unwrap();
    other.batch_execute("BEGIN; INSERT INTO which VALUES (3); PREPARE TRANSACTION 'held'").await.unwrap();
    let error = database.swap(&names()).await.unwrap_err();
    assert!(
        matches!(&error, DatabaseError::Tied { what, .. } if what.contains("prepared transaction")),
        "{error:?}"
    );
    assert!(other.simple_query("SELECT 1").await.is_ok(), "nobody was disturbed");
    as_before(&server);
    other.batch_execute("ROLLBACK PREPARED 'held'").await.unwrap();
    database.swap(&names()).await.unwrap();
    assert_eq!((which(&server, "nova"), which(&server, "nova__before")), ("2".to_owned(), "1".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_that_fails_between_closing_and_renaming_opens_the_databases_again() {
    let (server, _) = two_databases();
    // An owner may close and open databases; to rename one takes CREATEDB besides.
    let database = as_owner(&server, "NOCREATEDB");
    let error = database.swap(&names()).await.unwrap_err();
    assert!(matches!(error, DatabaseError::NotAllowed { .. }), "{error:?}");
    as_before(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_waits_for_the_sessions_of_superusers() {
    let (server, _) = two_databases();
    let database = as_owner(&server, "CREATEDB");
    database.ping().await.unwrap();
    let superuser = connect(&server, "nova").await.unwrap();
    let names = names();
    let closed = "SELECT count(*) FROM pg_database WHERE datname = 'nova' AND NOT datallowconn";
    let own = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'nova' AND usename = 'limited'";
    let (result, ()) = tokio::join!(database.swap(&names), async {
        until("the live database is closed", async || server.psql("postgres", closed) == "1").await;
        until("the owner's own sessions are ended", async || server.psql("postgres", own) == "0").await;
        assert!(superuser.simple_query("SELECT 1").await.is_ok(), "only waited for");
        drop(superuser);
    });
    result.unwrap();
    assert_eq!((which(&server, "nova"), which(&server, "nova__before")), ("2".to_owned(), "1".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_is_not_stopped_by_autovacuum() {
    let (server, _) = two_databases();
    let database = as_owner(&server, "CREATEDB");
    // A vacuum that would take minutes.
    server.psql(
        "nova",
        "CREATE TABLE slow (a int) WITH (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_cost_delay = 100,
                                         autovacuum_vacuum_cost_limit = 1);
         INSERT INTO slow SELECT generate_series(1, 200000); DELETE FROM slow WHERE a % 2 = 0",
    );
    server.psql("postgres", "ALTER SYSTEM SET autovacuum_naptime = '1s'");
    server.psql("postgres", "SELECT pg_reload_conf()");
    let vacuums = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE datname = 'nova'";
    until("a worker vacuums", async || server.psql("postgres", vacuums) == "1").await;
    database.swap(&names()).await.unwrap();
    assert_eq!((which(&server, "nova"), which(&server, "nova__before")), ("2".to_owned(), "1".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_does_not_leave_the_database_closed() {
    let (server, database) = two_databases();
    let other = connect(&server, "postgres").await.unwrap();
    other.batch_execute("BEGIN; ALTER DATABASE nova CONNECTION LIMIT 5").await.unwrap();
    let names = names();
    let closed = "SELECT count(*) FROM pg_database WHERE datname = 'nova__restore' AND NOT datallowconn";
    tokio::select! {
        result = database.swap(&names) => panic!("it has to wait for the other's lock: {result:?}"),
        () = until("half of it is done", async || server.psql("postgres", closed) == "1") => {}
    }
    other.batch_execute("COMMIT").await.unwrap();
    // The other's change makes the swap fail, and what it had closed is opened again though nobody waits for it.
    let open = "SELECT count(*) FROM pg_database WHERE datname LIKE 'nova%' AND datallowconn";
    until("it went on to its end", async || server.psql("postgres", open) == "2").await;
    as_before(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_does_not_wait_for_ever_for_somebody_s_lock() {
    let (server, database) = two_databases();
    let other = connect(&server, "postgres").await.unwrap();
    other.batch_execute("BEGIN; ALTER DATABASE nova CONNECTION LIMIT 5").await.unwrap();
    let error = database.swap(&names()).await.unwrap_err();
    assert!(matches!(error, DatabaseError::TimedOut { .. }), "{error:?}");
    as_before(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_a_swap_comes_back_with_one_database_of_the_live_name() {
    let (mut server, database) = two_databases();
    let other = connect(&server, "postgres").await.unwrap();
    other.batch_execute("BEGIN; ALTER DATABASE nova CONNECTION LIMIT 5").await.unwrap();
    let names = names();
    let (result, server) = tokio::join!(database.swap(&names), async move {
        until("the swap waits", async || {
            server.psql("postgres", "SELECT count(*) FROM pg_locks WHERE NOT granted") != "0"
        })
        .await;
        tokio::task::spawn_blocking(move || {
            server.stop_immediately();
            server.restart();
            server
        })
        .await
        .unwrap()
    });
    result.unwrap_err();
    as_before(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_for_longer_finds_its_databases_opened_when_it_is_back() {
    let (mut server, _) = two_databases();
    let database = as_owner(&server, "CREATEDB").with_swap_recovery_limit(Duration::from_millis(100));
    // The swap waits for this session with both databases closed.
    let _superuser = connect(&server, "nova").await.unwrap();
    let names = names();
    let (result, mut server) = tokio::join!(database.swap(&names), async move {
        let closed = "SELECT count(*) FROM pg_database WHERE datname LIKE 'nova%' AND NOT datallowconn";
        until("both are closed", async || server.psql("postgres", closed) == "2").await;
        tokio::task::spawn_blocking(move || {
            server.stop_immediately();
            server
        })
        .await
        .unwrap()
    });
    result.unwrap_err();
    let server = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    })
    .await
    .unwrap();
    for name in ["nova", "nova__restore"] {
        until("it takes sessions again", async || connect(&server, name).await.is_some()).await;
    }
    as_before(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protected_database_may_be_the_usual_maintenance_database() {
    let server = PostgresServer::start();
    server.psql("postgres", "CREATE TABLE which AS SELECT 1 AS n");
    let database = PostgresDatabase::new(Some(server.target("postgres")));
    let profile = database.profile(&name("postgres")).await.unwrap();
    database.create_database(&name("incoming"), &profile).await.unwrap();
    server.psql("incoming", "CREATE TABLE which AS SELECT 2 AS n");
    let swap = Swap { live: name("postgres"), incoming: name("incoming"), retired: name("retired") };
    database.swap(&swap).await.unwrap();
    assert_eq!((which(&server, "postgres"), which(&server, "retired")), ("2".to_owned(), "1".to_owned()));
}
