//! Locks on all tables at once, which nobody else is ended for.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use recovery_core::port::DatabaseError;

use super::session::Session;

/// How long others may keep a table locked, where nothing else is said.
pub(super) const LOCK_LIMIT: Duration = Duration::from_secs(60);
/// How long one attempt to lock all tables may take. Less than the second after which a session that waits looks for
/// deadlocks: whoever waits for us then must find that we have given up, or it would be ended in our place.
const ATTEMPT: &str = "500ms";
const PAUSE: Duration = Duration::from_millis(100);

/// Ordinary and partitioned tables: what others hold locks on. The catalogues are not ours.
const TABLES: &str = "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                        AND d.deptype = 'e')
    ORDER BY c.oid";

/// Whom a lock keeps away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Against {
    /// Those who write; others may read.
    Writers,
    Everybody,
}

impl Against {
    fn mode(self) -> &'static str {
        match self {
            Self::Writers => "EXCLUSIVE",
            Self::Everybody => "ACCESS EXCLUSIVE",
        }
    }
}

/// Sessions that wait for this one and read something before: they would keep it from what it wants, and it them. Those
/// of roles that we may not act for are left alone.
const CANCEL_WAITING: &str = "SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity
    WHERE pg_catalog.pg_backend_pid() = ANY (pg_catalog.pg_blocking_pids(pid))
      AND pg_catalog.pg_has_role(usesysid, 'MEMBER')";

/// The tables on which others have locks, `$1` being whether those count that only read; the first five.
const IN_THE_WAY: &str = "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
    FROM pg_catalog.pg_locks l
    JOIN pg_catalog.pg_class c ON c.oid = l.relation
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_catalog.pg_backend_pid()
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
      AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND ($1 OR l.mode <> 'AccessShareLock')
    GROUP BY 1 ORDER BY 1 LIMIT 5";

/// Locks every table, and returns their names. Nothing is got while something is missing: an attempt is all or none.
/// Attempts are made for so long; then the error names what is in the way.
pub(super) async fn lock_tables(
    session: &Session,
    against: Against,
    limit: Duration,
) -> Result<BTreeSet<String>, DatabaseError> {
    let doing = "waiting for other sessions to let go of the tables";
    let give_up = Instant::now() + limit;
    loop {
        let tables: BTreeSet<String> =
            session.query("listing the tables", TABLES, &[]).await?.iter().map(|row| row.get(0)).collect();
        if tables.is_empty() {
            return Ok(tables);
        }
        session.batch(doing, "SAVEPOINT before_locks").await?;
        session.batch(doing, &format!("SET LOCAL statement_timeout = '{ATTEMPT}'")).await?;
        let list: Vec<&str> = tables.iter().map(String::as_str).collect();
        let lock = format!("LOCK TABLE ONLY {} IN {} MODE", list.join(", ONLY "), against.mode());
        match session.batch_raw(doing, &lock).await {
            Ok(()) => {
                session.batch(doing, "SET LOCAL statement_timeout = 0; RELEASE before_locks").await?;
                return Ok(tables);
            }
            // query_canceled, lock_not_available, deadlock_detected; undefined_table, invalid_schema_name: it was
            // dropped since.
            Err(error)
                if matches!(error.sqlstate(), Some("57014" | "55P03" | "40P01" | "42P01" | "3F000")) =>
            {
                session.batch(doing, "ROLLBACK TO before_locks; RELEASE before_locks").await?;
                if Instant::now() > give_up {
                    return Err(DatabaseError::TimedOut { doing: in_the_way(session, against).await? });
                }
                if against == Against::Everybody {
                    session.query(doing, CANCEL_WAITING, &[]).await?;
                }
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into_database_error(doing, session.database())),
        }
    }
}

/// What is being waited for, in words.
async fn in_the_way(session: &Session, against: Against) -> Result<String, DatabaseError> {
    let doing = "looking for locks";
    let readers = against == Against::Everybody;
    let rows = session.query(doing, IN_THE_WAY, &[&readers]).await?;
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let tables = if names.is_empty() { "the tables".to_owned() } else { names.join(", ") };
    Ok(format!("waiting for other sessions to let go of {tables}"))
}
