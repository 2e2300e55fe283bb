//! One consistent view of the protected database, which `pg_dump` shares.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use recovery_core::{
    database::{ConnectionTarget, RowCounts, SnapshotFacts},
    port::{DatabaseError, DatabaseSnapshot},
};

use super::{
    profile,
    quote::{Ident, Literal},
    roles,
    session::{APPLICATION_NAME, Session},
    tables::{self, Counted},
};

/// Connections that count rows while `pg_dump` runs.
const COUNTERS: usize = 2;
/// How long another session's lock on a table is waited for.
const LOCK_LIMIT: &str = "60s";
/// How often a snapshot is begun anew because a table was dropped between the snapshot and its lock.
const ATTEMPTS: usize = 5;
/// How many tables one `LOCK TABLE` names.
const LOCK_CHUNK: usize = 500;

/// A transaction that stays open, and everything that it shows but the rows.
pub(super) struct Snapshot {
    target: ConnectionTarget,
    /// Holds the transaction: the snapshot can be imported as long as this lives.
    holder: Session,
    id: String,
    tables: Vec<Counted>,
    facts: SnapshotFacts,
}

impl Snapshot {
    /// Opens a snapshot of the target's database.
    pub(super) async fn open(target: &ConnectionTarget) -> Result<Self, DatabaseError> {
        let mut attempt = 1;
        loop {
            let holder = Session::connect(target, &target.database, APPLICATION_NAME).await?.unlimited();
            holder
                .batch("opening a snapshot", "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                .await?;
            let tables = tables::counted(&holder).await?;
            match lock(&holder, &tables).await? {
                Locked::All => return Self::of(target.clone(), holder, tables).await,
                Locked::SomeAreGone if attempt < ATTEMPTS => attempt += 1,
                Locked::SomeAreGone => {
                    return Err(super::error::refused(
                        "opening a snapshot",
                        "tables are dropped faster than they can be locked",
                    ));
                }
            }
        }
    }

    async fn of(
        target: ConnectionTarget,
        holder: Session,
        tables: Vec<Counted>,
    ) -> Result<Self, DatabaseError> {
        let doing = "opening a snapshot";
        let id: String = holder.query_one(doing, "SELECT pg_catalog.pg_export_snapshot()", &[]).await?.get(0);
        let extensions = holder
            .query("listing extensions", "SELECT extname::text, extversion FROM pg_catalog.pg_extension", &[])
            .await?;
        let size: i64 = holder
            .query_one(
                "reading the database's size",
                "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())",
                &[],
            )
            .await?
            .get(0);
        let facts = SnapshotFacts {
            profile: profile::read(&holder, &target.database).await?,
            extensions: extensions.iter().map(|row| (row.get(0), row.get(1))).collect::<BTreeMap<_, _>>(),
            roles: roles::named(&holder).await?,
            schema_version: schema_version(&holder).await?,
            table_count: u64::try_from(tables.len()).unwrap_or(u64::MAX),
            size_bytes: u64::try_from(size).unwrap_or_default(),
        };
        Ok(Self { target, holder, id, tables, facts })
    }

    /// A further session that sees the same.
    async fn import(&self) -> Result<Session, DatabaseError> {
        let session =
            Session::connect(&self.target, &self.target.database, APPLICATION_NAME).await?.unlimited();
        let sql = format!(
            "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET TRANSACTION SNAPSHOT {}",
            Literal(&self.id)
        );
        session.batch("sharing a snapshot", &sql).await?;
        Ok(session)
    }
}

#[async_trait]
impl DatabaseSnapshot for Snapshot {
    fn id(&self) -> &str {
        &self.id
    }

    fn facts(&self) -> &SnapshotFacts {
        &self.facts
    }

    async fn row_counts(&self) -> Result<RowCounts, DatabaseError> {
        let sessions = try_join_all((0..COUNTERS).map(|_| self.import())).await?;
        let counts = tables::count_rows(&sessions, &self.tables).await?;
        // Only now is it sure that the snapshot outlived the counting.
        self.holder.batch("counting rows", "SELECT 1").await?;
        Ok(counts)
    }
}

enum Locked {
    All,
    SomeAreGone,
}

/// Takes the same lock that reading takes, on every table and until the snapshot goes. `TRUNCATE` and `DROP` pay no
/// heed to snapshots: without the lock, one of them between the counting and the dumping would make the two differ.
async fn lock(holder: &Session, tables: &[Counted]) -> Result<Locked, DatabaseError> {
    let doing = "waiting for locks on tables";
    holder.batch(doing, &format!("SET LOCAL lock_timeout = '{LOCK_LIMIT}'")).await?;
    for chunk in tables.chunks(LOCK_CHUNK) {
        let names: Vec<String> = chunk.iter().map(|table| format!("ONLY {}", table.name)).collect();
        let sql = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
        match holder.batch_raw(doing, &sql).await {
            Ok(()) => {}
            // undefined_table, invalid_schema_name
            Err(error) if matches!(error.sqlstate(), Some("42P01" | "3F000")) => {
                return Ok(Locked::SomeAreGone);
            }
            Err(error) => return Err(error.into_database_error(doing, holder.database())),
        }
    }
    Ok(Locked::All)
}

/// Columns of a `schema_migrations` table that name a migration, the best first.
const NAMES: [&str; 6] = ["version", "name", "filename", "migration", "migration_name", "id"];
/// Columns that say when it was applied.
const TIMES: [&str; 6] = ["applied_at", "installed_at", "executed_at", "run_at", "created_at", "inserted_at"];

/// The newest entry of the `schema_migrations` table, whatever tool keeps it.
async fn schema_version(session: &Session) -> Result<Option<String>, DatabaseError> {
    let doing = "reading the schema's version";
    let found = session
        .query(
            doing,
            "SELECT n.nspname::text, ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
                                           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relname = 'schema_migrations' AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
             ORDER BY n.nspname <> 'public', n.nspname LIMIT 1",
            &[],
        )
        .await?;
    let Some(row) = found.first() else { return Ok(None) };
    let (schema, columns): (String, Vec<String>) = (row.get(0), row.get(1));
    let has = |wanted: &[&'static str]| wanted.iter().copied().find(|name| columns.iter().any(|c| c == name));
    let Some(name) = has(&NAMES) else { return Ok(None) };
    let newest = has(&TIMES).map(|time| format!("{} DESC NULLS LAST, ", Ident(time))).unwrap_or_default();
    // Versions are numbers, texts that begin with a number (of any length), or texts that sort.
    let sql = format!(
        "SELECT {name}::text FROM {schema}.schema_migrations WHERE {name} IS NOT NULL
         ORDER BY {newest}pg_catalog.substring({name}::text, '^[0-9]+')::numeric DESC NULLS LAST, {name}::text DESC
         LIMIT 1",
        name = Ident(name),
        schema = Ident(&schema)
    );
    session.text(doing, &sql).await
}
