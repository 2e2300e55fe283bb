//! Swapping the names of two databases while clients keep coming.
//!
//! Both are closed to new sessions, which stops superusers, too; the sessions that they have are ended; then one
//! transaction renames and opens them again. Whatever goes wrong, the names are as before and the databases open.

use std::time::Duration;

use recovery_core::{
    crash_point,
    database::{ConnectionTarget, DatabaseName},
    port::{DatabaseError, Swap},
};
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::{error::refused, maintenance, quote::Ident, session::Session, ties};

/// How long the sessions of both databases may take to end.
const EMPTY_LIMIT: Duration = Duration::from_secs(10);
/// How long somebody else's lock on one of the databases is waited for, each time.
const LOCK_LIMIT: &str = "3s";
/// How often they are counted.
const EMPTY_POLL: Duration = Duration::from_millis(10);
/// How long after a failure the server is asked what became of it, and told to open the databases, before the caller
/// gets his answer.
pub(super) const RECOVERY_LIMIT: Duration = Duration::from_secs(15);
/// The pauses between the attempts to open the databases after that: the first, which doubles, and the longest.
const FOLLOW_UP_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long they go on.
const FOLLOW_UP_LIMIT: Duration = Duration::from_hours(24);

/// The databases of a swap as the catalogue knows them, whatever they are called.
struct Databases {
    live: Option<u32>,
    incoming: u32,
}

impl Databases {
    fn oids(&self) -> Vec<u32> {
        self.live.into_iter().chain([self.incoming]).collect()
    }
}

/// Carries out the swap. Where it fails and the databases cannot be opened again within `recovery_limit`, a task is
/// left behind that goes on trying.
pub(super) async fn swap(
    target: &ConnectionTarget,
    swap: &Swap,
    recovery_limit: Duration,
) -> Result<(), DatabaseError> {
    let session = maintenance::connect(target).await?;
    if [&swap.live, &swap.incoming, &swap.retired].contains(&session.database()) {
        return Err(refused("swapping databases", "the maintenance database cannot take part"));
    }
    session.batch("preparing a swap", &format!("SET lock_timeout = '{LOCK_LIMIT}'")).await?;
    let databases = look(&session, swap).await?;
    // A prepared transaction holds its database like a session that cannot be ended.
    for name in [&swap.live, &swap.incoming] {
        ties::refuse_rename(&session, name).await?;
    }
    let begun = Instant::now();
    let result = close_empty_rename(&session, swap, &databases).await;
    let Err(error) = result else {
        info!(live = %swap.live, retired = %swap.retired, took = ?begun.elapsed(), "databases swapped");
        return Ok(());
    };
    warn!(%error, "the swap failed; opening the databases again");
    match recover(target, session, swap, &databases, recovery_limit).await {
        // The connection broke after the server had committed.
        Ok(Outcome::Swapped) => Ok(()),
        Ok(Outcome::AsBefore) => Err(error),
        Err(second) => {
            warn!(error = %second, "the databases could not be opened again; trying on in the background");
            tokio::spawn(follow_up(target.clone(), swap.clone(), databases));
            Err(error)
        }
    }
}

async fn look(session: &Session, swap: &Swap) -> Result<Databases, DatabaseError> {
    let oid = async |name: &DatabaseName| oid_of(session, name).await;
    if oid(&swap.retired).await?.is_some() {
        return Err(refused("swapping databases", format!("there is already a database {}", swap.retired)));
    }
    let incoming = oid(&swap.incoming)
        .await?
        .ok_or_else(|| DatabaseError::NoSuchDatabase { name: swap.incoming.clone() })?;
    Ok(Databases { live: oid(&swap.live).await?, incoming })
}

async fn oid_of(session: &Session, name: &DatabaseName) -> Result<Option<u32>, DatabaseError> {
    let sql = "SELECT oid FROM pg_catalog.pg_database WHERE datname = $1";
    let rows = session.query("looking for a database", sql, &[&name.as_str()]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

async fn close_empty_rename(
    session: &Session,
    swap: &Swap,
    databases: &Databases,
) -> Result<(), DatabaseError> {
    let (live, incoming, retired) =
        (Ident(swap.live.as_str()), Ident(swap.incoming.as_str()), Ident(swap.retired.as_str()));
    // The live one last: from here on the clients wait.
    let closing = format!("ALTER DATABASE {incoming} ALLOW_CONNECTIONS false");
    session.batch_about("closing the incoming database", &swap.incoming, &closing).await?;
    crash_point("swap:incoming-closed");
    if databases.live.is_some() {
        let closing = format!("ALTER DATABASE {live} ALLOW_CONNECTIONS false");
        session.batch_about("closing the live database", &swap.live, &closing).await?;
        crash_point("swap:live-closed");
    }
    let give_up = Instant::now() + EMPTY_LIMIT;
    let mut renaming = String::from("BEGIN;");
    if databases.live.is_some() {
        renaming.push_str(&format!("ALTER DATABASE {live} RENAME TO {retired};"));
    }
    renaming.push_str(&format!(
        "ALTER DATABASE {incoming} RENAME TO {live}; ALTER DATABASE {live} ALLOW_CONNECTIONS true;"
    ));
    if databases.live.is_some() {
        renaming.push_str(&format!("ALTER DATABASE {retired} ALLOW_CONNECTIONS true;"));
    }
    renaming.push_str("COMMIT");
    loop {
        empty(session, swap, databases, give_up).await?;
        crash_point("swap:emptied");
        match session.batch_about("renaming databases", &swap.live, &renaming).await {
            // A worker of the server's own (autovacuum) has come in between, which no closing keeps out.
            Err(DatabaseError::StillInUse { .. }) if Instant::now() < give_up => {
                session.batch("renaming databases", "ROLLBACK").await?;
            }
            result => return result,
        }
    }
}

/// Ends the sessions of both databases and waits until they are gone.
///
/// A session that was starting when the databases were closed may have passed the check already and not be in
/// `pg_stat_activity` yet: until it is, it holds a lock on its database. Those that held one when we first looked are
/// waited for; those that come later find the database closed and end by themselves.
///
/// To end a session that we may not end is an error, so that those of superusers and of other roles are only waited
/// for. Processes without a user are the server's own, of which only a superuser sees what they are: the others leave
/// them to the renaming, which ends autovacuum workers itself.
async fn empty(
    session: &Session,
    swap: &Swap,
    databases: &Databases,
    give_up: Instant,
) -> Result<(), DatabaseError> {
    let doing = "ending the sessions of a database";
    let oids = databases.oids();
    let starting = "SELECT l.pid FROM pg_catalog.pg_locks l
                    WHERE l.locktype = 'object' AND l.classid = 'pg_catalog.pg_database'::pg_catalog.regclass
                      AND l.objid = ANY ($1) AND l.granted AND l.pid <> pg_catalog.pg_backend_pid()";
    let rows = session.query(doing, starting, &[&oids]).await?;
    let starters: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    let end_them = format!(
        "SELECT s.datid,
                CASE WHEN me.rolsuper
                       OR (NOT r.rolsuper AND (pg_catalog.pg_has_role(r.oid, 'USAGE')
                                               OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE')))
                     THEN pg_catalog.pg_terminate_backend(s.pid) END
         FROM pg_catalog.pg_stat_activity s
         JOIN pg_catalog.pg_roles me ON me.rolname = CURRENT_USER
         LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.usesysid
         WHERE s.datid = ANY ($1) AND s.pid <> pg_catalog.pg_backend_pid()
           AND (me.rolsuper OR s.usesysid IS NOT NULL)
         UNION ALL SELECT NULL, true FROM ({starting}) l WHERE l.pid = ANY ($2)"
    );
    loop {
        let left = session.query(doing, &end_them, &[&oids, &starters]).await?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > give_up {
            let of_live = left.iter().any(|row| row.get::<_, Option<u32>>(0) == databases.live);
            let name = if of_live { &swap.live } else { &swap.incoming };
            let sessions = u64::try_from(left.len()).unwrap_or(u64::MAX);
            return Err(DatabaseError::StillInUse { name: name.clone(), sessions });
        }
        sleep(EMPTY_POLL).await;
    }
}

enum Outcome {
    Swapped,
    AsBefore,
}

/// Finds out what became of a swap that failed, and opens the databases under the names that they have now.
async fn recover(
    target: &ConnectionTarget,
    session: Session,
    swap: &Swap,
    databases: &Databases,
    limit: Duration,
) -> Result<Outcome, DatabaseError> {
    let give_up = Instant::now() + limit;
    let mut session = Some(session);
    loop {
        let attempt = async {
            let session = match session.take() {
                Some(session) if session.is_ready() => session,
                _ => maintenance::connect(target).await?,
            };
            open_again(&session, swap, databases).await
        };
        match attempt.await {
            Err(DatabaseError::Unavailable { .. } | DatabaseError::TimedOut { .. })
                if Instant::now() < give_up =>
            {
                sleep(Duration::from_millis(200)).await;
            }
            result => return result,
        }
    }
}

/// Opens the databases when the server is back at last: nobody waits for it any more, but the clients do.
async fn follow_up(target: ConnectionTarget, swap: Swap, databases: Databases) {
    let give_up = Instant::now() + FOLLOW_UP_LIMIT;
    let (mut pause, longest) = FOLLOW_UP_PAUSES;
    loop {
        sleep(pause).await;
        pause = longest.min(pause * 2);
        let attempt = async { open_again(&maintenance::connect(&target).await?, &swap, &databases).await };
        match attempt.await {
            Ok(outcome) => {
                let swapped = matches!(outcome, Outcome::Swapped);
                return info!(live = %swap.live, swapped, "the databases of a failed swap are open again");
            }
            Err(error) if Instant::now() > give_up => {
                return error!(
                    live = %swap.live, %error,
                    "the databases of a failed swap could not be opened; the next start will try"
                );
            }
            Err(error) => {
                warn!(live = %swap.live, %error, next = ?pause, "the databases are not open again yet");
            }
        }
    }
}

async fn open_again(session: &Session, swap: &Swap, databases: &Databases) -> Result<Outcome, DatabaseError> {
    let doing = "opening the databases again";
    // Without a transaction this is a warning, and no error.
    session.batch(doing, "ROLLBACK").await?;
    let swapped = oid_of(session, &swap.live).await? == Some(databases.incoming);
    let names = session
        .query(
            doing,
            "SELECT datname::text FROM pg_catalog.pg_database WHERE oid = ANY ($1) AND NOT datallowconn
             ORDER BY datname = $2 DESC",
            &[&databases.oids(), &swap.live.as_str()],
        )
        .await?;
    for row in &names {
        let name: String = row.get(0);
        session.batch(doing, &format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", Ident(&name))).await?;
    }
    Ok(if swapped { Outcome::Swapped } else { Outcome::AsBefore })
}
