//! What is done with every table: counting rows, collecting statistics.

use std::{
    collections::BTreeMap,
    error::Error as _,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::try_join_all;
use recovery_core::{database::RowCounts, port::DatabaseError};
use tracing::warn;

use super::session::Session;

/// Ordinary tables and the leaves of partitioned ones, less those of PostgreSQL itself, of extensions, and temporary
/// ones: what a dump holds the rows of. The largest come first, so that no worker is left with one at the end; by
/// `relpages`, which is old but free, while asking for the size would wait for a table that somebody has locked.
const COUNTED: &str = "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                        AND d.deptype = 'e')
    ORDER BY c.relpages DESC, c.oid";

/// Everything that has statistics, less PostgreSQL's own catalogues. A partitioned table stands for its partitions:
/// `ANALYZE` goes down to them.
const ANALYZED: &str = "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE (c.relkind = 'r' OR c.relkind = 'p' OR (c.relkind = 'm' AND c.relispopulated))
      AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY (SELECT pg_catalog.sum(pg_catalog.pg_table_size(t.relid))
              FROM (SELECT c.oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)) t (relid)) DESC, c.oid";

/// The tables whose rows are counted, quoted, the largest first.
pub(super) async fn counted(session: &Session) -> Result<Vec<String>, DatabaseError> {
    names(session, COUNTED).await
}

async fn names(session: &Session, sql: &str) -> Result<Vec<String>, DatabaseError> {
    let rows = session.query("listing the tables", sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Counts the rows of these tables exactly; each session takes the next table as soon as it is done with one.
pub(super) async fn count_rows(sessions: &[Session], tables: &[String]) -> Result<RowCounts, DatabaseError> {
    let next = AtomicUsize::new(0);
    let shares = try_join_all(sessions.iter().map(|session| count_share(session, tables, &next))).await?;
    let large_objects = match sessions.first() {
        Some(session) => count(session, "FROM pg_catalog.pg_largeobject_metadata").await?,
        None => 0,
    };
    Ok(RowCounts { tables: shares.into_iter().flatten().collect(), large_objects })
}

async fn count_share(
    session: &Session,
    tables: &[String],
    next: &AtomicUsize,
) -> Result<BTreeMap<String, u64>, DatabaseError> {
    let mut counts = BTreeMap::new();
    while let Some(table) = tables.get(next.fetch_add(1, Ordering::Relaxed)) {
        counts.insert(table.clone(), count(session, &format!("FROM ONLY {table}")).await?);
    }
    Ok(counts)
}

async fn count(session: &Session, from: &str) -> Result<u64, DatabaseError> {
    let doing = "counting rows";
    let text = session.text(doing, &format!("SELECT pg_catalog.count(*) {from}")).await?;
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| super::error::refused(doing, "the server did not answer with a number"))
}

/// How long one table may take: some wait for a lock that somebody never gives back, or for a foreign server.
const ANALYZE_LIMIT: &str = "10min";

/// Collects statistics on everything that has them. That one table cannot be analysed (an index expression that fails,
/// a foreign partition that is away, a lock held too long) is logged, and no error: its rows are there all the same.
pub(super) async fn analyze(sessions: &[Session]) -> Result<(), DatabaseError> {
    let Some(first) = sessions.first() else { return Ok(()) };
    let tables = names(first, ANALYZED).await?;
    let next = AtomicUsize::new(0);
    try_join_all(sessions.iter().map(|session| analyze_share(session, &tables, &next))).await?;
    Ok(())
}

async fn analyze_share(
    session: &Session,
    tables: &[String],
    next: &AtomicUsize,
) -> Result<(), DatabaseError> {
    let doing = "collecting statistics";
    let settings = format!("SET vacuum_cost_delay = 0; SET statement_timeout = '{ANALYZE_LIMIT}'");
    session.batch(doing, &settings).await?;
    while let Some(table) = tables.get(next.fetch_add(1, Ordering::Relaxed)) {
        if let Err(error) = session.batch(doing, &format!("ANALYZE {table}")).await {
            // What kind of error it is does not tell whose it is: a foreign server's broken connection looks like ours.
            if session.batch(doing, "SELECT 1").await.is_err() {
                return Err(error);
            }
            let reason = error.source().map(ToString::to_string);
            warn!(table, %error, reason, "no statistics for this table");
        }
    }
    Ok(())
}
