//! The lock that keeps two instances of the service from working on one database: an advisory lock in the maintenance
//! database, held by a connection of its own. Where that connection dies, the server frees the lock.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use recovery_core::{
    database::{ConnectionTarget, DatabaseName},
    port::{DatabaseError, DatabaseLock, LockError},
};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::ToSql;

use super::{
    error::refused,
    maintenance,
    session::{APPLICATION_NAME, Session},
};

/// PostgreSQL cuts an `application_name` after so many bytes.
const MAX_NAME_BYTES: usize = 63;
/// A lock that is given back is free only when the server has noticed: so long it is asked again.
const GRACE: Duration = Duration::from_millis(250);
/// The same where it was this process that gave one back a moment ago.
const GRACE_AFTER_RELEASE: Duration = Duration::from_secs(3);
/// How long a session that was left behind may take to end.
const END_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const CHECK_LIMIT: Duration = Duration::from_secs(3);

/// When this process last gave a lock back.
pub(super) type LastRelease = Arc<Mutex<Option<Instant>>>;

/// A lock that is held.
struct Held {
    session: Session,
    key: i64,
    last_release: LastRelease,
}

/// Takes the lock of the target's database, or says who has it.
pub(super) async fn take(
    target: &ConnectionTarget,
    label: &str,
    last_release: &LastRelease,
) -> Result<Box<dyn DatabaseLock>, LockError> {
    let key = key(&target.database);
    let session = maintenance::connect_as(target, &application_name(label)).await?;
    let begun = Instant::now();
    loop {
        let row = session
            .query_one("taking the lock", "SELECT pg_catalog.pg_try_advisory_lock($1)", &[&key])
            .await?;
        if row.get(0) {
            end_left_behind(&session, &target.database).await?;
            return Ok(Box::new(Held { session, key, last_release: Arc::clone(last_release) }));
        }
        if begun.elapsed() > grace(last_release) {
            // Where the holder has just gone, the next attempt gets the lock.
            if let Some(holder) = holder(&session, key).await? {
                return Err(LockError::Held { holder });
            }
        }
        sleep(POLL).await;
    }
}

/// The `application_name` of a session that creates a database for the work on this one.
pub(super) fn creator_name(database: &DatabaseName) -> String {
    format!("{APPLICATION_NAME}-create-{:016x}", key(database))
}

/// A session that creates a database goes on to its end when its client was killed, and nobody would clear up what it
/// leaves then. Whoever has the lock knows that none of them is wanted any more.
async fn end_left_behind(session: &Session, database: &DatabaseName) -> Result<(), DatabaseError> {
    let (doing, name, begun) = ("ending what was left behind", creator_name(database), Instant::now());
    let sql = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
               WHERE application_name = $1";
    while !session.query(doing, sql, &[&name]).await?.is_empty() {
        if begun.elapsed() > END_LIMIT {
            return Err(DatabaseError::TimedOut { doing: doing.to_owned() });
        }
        sleep(POLL).await;
    }
    Ok(())
}

fn grace(last_release: &LastRelease) -> Duration {
    let last = *last_release.lock().unwrap_or_else(PoisonError::into_inner);
    match last {
        Some(at) if at.elapsed() < GRACE_AFTER_RELEASE => GRACE_AFTER_RELEASE,
        _ => GRACE,
    }
}

/// A key that every version of this program computes alike: 64-bit FNV-1a over a prefix and the name.
fn key(database: &DatabaseName) -> i64 {
    let bytes = b"nova-recovery:".iter().chain(database.as_str().as_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    hash.cast_signed()
}

/// The label behind our own name, cut so that PostgreSQL keeps all of it.
fn application_name(label: &str) -> String {
    let mut name = format!("{APPLICATION_NAME}: ");
    // PostgreSQL replaces what is not printable ASCII, differently from version to version.
    for c in label.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }) {
        if name.len() < MAX_NAME_BYTES {
            name.push(c);
        }
    }
    name
}

/// The label of whoever has the lock, and since when.
async fn holder(session: &Session, key: i64) -> Result<Option<String>, DatabaseError> {
    let rows = session
        .query(
            "looking for the holder of the lock",
            "SELECT a.application_name,
                    pg_catalog.to_char(a.backend_start AT TIME ZONE 'UTC', 'HH24:MI:SS \"UTC\"')
             FROM pg_catalog.pg_locks l
             LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
             WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
               AND l.database = (SELECT oid FROM pg_catalog.pg_database
                                 WHERE datname = pg_catalog.current_database())
               AND (l.classid::bigint << 32) | l.objid::bigint = $1",
            &[&key],
        )
        .await?;
    Ok(rows.first().map(|row| {
        let name: Option<String> = row.get(0);
        let name = name.unwrap_or_default();
        let label = name.strip_prefix(APPLICATION_NAME).and_then(|rest| rest.strip_prefix(": "));
        let label = match label.unwrap_or(&name) {
            "" => "a session without a name",
            label => label,
        };
        match row.get::<_, Option<String>>(1) {
            Some(since) => format!("{label}, since {since}"),
            None => label.to_owned(),
        }
    }))
}

#[async_trait]
impl DatabaseLock for Held {
    async fn still_held(&self) -> Result<(), DatabaseError> {
        let doing = "checking the lock";
        let params: [&(dyn ToSql + Sync); 1] = [&self.key];
        let check = self.session.query_one(
            doing,
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l
                            WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
                              AND l.pid = pg_catalog.pg_backend_pid()
                              AND (l.classid::bigint << 32) | l.objid::bigint = $1)",
            &params,
        );
        let row = timeout(CHECK_LIMIT, check)
            .await
            .map_err(|_| DatabaseError::TimedOut { doing: doing.to_owned() })??;
        if row.get(0) { Ok(()) } else { Err(refused(doing, "the lock is no longer held")) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.last_release.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_never_changes() {
        assert_eq!(key(&"nova".parse().unwrap()), 9_004_911_711_547_982_467);
        assert_ne!(key(&"nova".parse().unwrap()), key(&"nova2".parse().unwrap()));
    }

    #[test]
    fn a_label_fits_into_an_application_name() {
        assert_eq!(application_name("restore by root"), "nova-recovery: restore by root");
        assert_eq!(application_name("a\nü"), "nova-recovery: a??");
        assert_eq!(application_name(&"x".repeat(100)).len(), MAX_NAME_BYTES);
    }
}
