//! Fifty clients that reconnect in a loop while the databases are swapped, superusers among them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use recovery_core::port::{DatabaseAdmin, Swap};
use recovery_testkit::servers::PostgresServer;

use crate::{name, server_with_nova, until};

const CLIENTS: usize = 50;

/// What one client saw: when each of its sessions was asked for, when it was answered, and with what.
type Seen = Vec<(Instant, Instant, i32)>;

/// Connects, asks which database this is, and goes; again and again.
async fn client(server: Arc<PostgresServer>, user: &'static str, stop: Arc<AtomicBool>) -> Seen {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port()).dbname("nova").user(user).password(server.password());
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let Ok((session, connection)) = config.connect(tokio_postgres::NoTls).await else { continue };
        tokio::spawn(connection);
        if let Ok(row) = session.query_one("SELECT n FROM which", &[]).await {
            seen.push((asked, Instant::now(), row.get(0)));
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_clients_that_reconnect_all_find_the_new_database_and_only_that() {
    let (server, database) = server_with_nova();
    server.psql("postgres", "CREATE DATABASE nova__restore");
    server.psql("postgres", &format!("CREATE ROLE ordinary LOGIN PASSWORD '{}'", server.password()));
    for (database, n) in [("nova", 1), ("nova__restore", 2)] {
        server.psql(
            database,
            &format!("CREATE TABLE which AS SELECT {n} AS n; GRANT SELECT ON which TO PUBLIC"),
        );
    }
    let (server, stop) = (Arc::new(server), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let user = if number % 3 == 0 { PostgresServer::USER } else { "ordinary" };
            tokio::spawn(client(Arc::clone(&server), user, Arc::clone(&stop)))
        })
        .collect();
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'nova'";
    until("the storm has begun", async || {
        server.try_psql("postgres", sessions).is_ok_and(|count| count.parse::<usize>().unwrap() >= 5)
    })
    .await;

    let swap = Swap { live: name("nova"), incoming: name("nova__restore"), retired: name("nova__before") };
    let begun = Instant::now();
    database.swap(&swap).await.unwrap();
    let swapped = Instant::now();
    until("the clients are back", async || {
        let sessions = sessions.replace("'nova'", "'nova' AND backend_start > now() - interval '1s'");
        server.try_psql("postgres", &sessions).is_ok_and(|count| count != "0")
    })
    .await;
    tokio::task::spawn_blocking({
        let server = Arc::clone(&server);
        move || server.psql("nova", "SELECT 1")
    })
    .await
    .unwrap();
    stop.store(true, Ordering::Relaxed);

    let (mut old, mut new, mut gap) = (0, 0, Duration::ZERO);
    let mut last_old = begun;
    let mut first_new = None;
    for client in clients {
        let mut before = 1;
        for (asked, answered, n) in client.await.unwrap() {
            assert!(n >= before, "a client was in the new database and then in the old one");
            before = n;
            assert!(n == 2 || asked < swapped, "a session that began after the swap is in the old database");
            if n == 1 {
                old += 1;
                last_old = last_old.max(answered);
            } else {
                new += 1;
                first_new = Some(first_new.map_or(answered, |first: Instant| first.min(answered)));
            }
        }
    }
    assert!(old > 0 && new > 0, "{old} answers of the old database, {new} of the new one");
    if let Some(first) = first_new {
        gap = first.saturating_duration_since(last_old);
    }
    println!(
        "{old} answers before, {new} after; the swap took {:?}; nobody was answered for {gap:?}",
        swapped - begun
    );
    // Most of it is the sign-in of fifty clients at once, which a debug build is slow at.
    assert!(gap < Duration::from_secs(3), "{gap:?}");
    assert_eq!(server.psql("nova__before", "SELECT n FROM which"), "1");
}
