//! Replacing the contents of a database in one transaction.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufReader},
    path::Path,
    slice,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::stream;
use recovery_core::{
    database::{ConnectionTarget, DatabaseName, DatabaseProfile, RowCounts},
    port::{DatabaseError, DatabaseRewrite, Kept, OtherRoles, Script},
};
use tokio::sync::mpsc;

use super::{
    clear,
    error::refused,
    held::{self, Against, LOCK_LIMIT},
    profile,
    script::{self, Piece},
    session::Session,
    tables,
    transaction::Transaction,
};

/// How many pieces are read ahead.
const AHEAD: usize = 8;

pub(super) struct Rewrite {
    transaction: Transaction,
    /// The server's major version.
    major: u32,
    /// The tables that nobody else writes to.
    held: Mutex<Option<BTreeSet<String>>>,
}

impl Rewrite {
    pub(super) async fn begin(
        target: &ConnectionTarget,
        name: &DatabaseName,
        application_name: &str,
    ) -> Result<Self, DatabaseError> {
        let transaction = Transaction::begin(target, name, application_name).await?;
        let major = profile::server_version(transaction.session()).await? / 10_000;
        Ok(Self { transaction, major, held: Mutex::default() })
    }

    fn session(&self) -> &Session {
        self.transaction.session()
    }
}

#[async_trait]
impl DatabaseRewrite for Rewrite {
    async fn other_roles(&self, roles: &[String]) -> Result<OtherRoles, DatabaseError> {
        // Before 16 every member could become the role.
        let right = if self.major >= 16 { "SET" } else { "MEMBER" };
        let rows = self
            .session()
            .query(
                "looking for roles",
                "SELECT w.name, r.oid IS NULL, coalesce(pg_catalog.pg_has_role(r.oid, $2), false)
                 FROM pg_catalog.unnest($1::text[]) w (name)
                 LEFT JOIN pg_catalog.pg_roles r ON r.rolname::text = w.name",
                &[&roles, &right],
            )
            .await?;
        let mut other = OtherRoles::default();
        for row in &rows {
            let (name, is_missing, is_ours): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
            if is_missing {
                other.missing.insert(name);
            } else if !is_ours {
                other.foreign.insert(name);
            }
        }
        Ok(other)
    }

    async fn impossible_extensions(&self, names: &[String]) -> Result<Vec<String>, DatabaseError> {
        let rows = self
            .session()
            .query(
                "looking for extensions",
                "SELECT w.name FROM pg_catalog.unnest($1::text[]) w (name)
                 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extname::text = w.name)
                   AND NOT EXISTS (SELECT FROM pg_catalog.pg_available_extension_versions v
                                   WHERE v.name::text = w.name
                                     AND (NOT v.superuser OR v.trusted
                                          OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER)))",
                &[&names],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn hold_writers(&self) -> Result<(), DatabaseError> {
        let tables = held::lock_tables(self.session(), Against::Writers, LOCK_LIMIT).await?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(tables);
        Ok(())
    }

    async fn clear(&self, keep: &BTreeSet<String>) -> Result<Kept, DatabaseError> {
        let tables = held::lock_tables(self.session(), Against::Everybody, LOCK_LIMIT).await?;
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(new) = held.and_then(|held| tables.difference(&held).next().cloned()) {
            return Err(refused("emptying the database", format!("the table {new} was made meanwhile")));
        }
        clear::clear(self.session(), keep).await
    }

    async fn run(&self, kind: Script, path: &Path, done: &AtomicU64) -> Result<(), DatabaseError> {
        let doing = "loading the backup";
        let unreadable = |error: io::Error| refused(doing, format!("cannot read the script: {error}"));
        let (sender, mut pieces) = mpsc::channel(AHEAD);
        let (path, major) = (path.to_owned(), self.major);
        let reading = tokio::task::spawn_blocking(move || {
            let input = BufReader::with_capacity(256 * 1024, File::open(path)?);
            script::read(kind, major, input, |piece, read| sender.blocking_send((piece, read)).is_ok())
        });
        while let Some((piece, read)) = pieces.recv().await {
            done.store(read, Ordering::Relaxed);
            match piece {
                Piece::Sql(sql) => self.session().batch(doing, &sql).await?,
                Piece::Copy(statement) => {
                    let rows = stream::poll_fn(|context| {
                        pieces.poll_recv(context).map(|next| match next {
                            Some((Piece::Rows(rows), read)) => {
                                done.store(read, Ordering::Relaxed);
                                Some(rows)
                            }
                            // The reader has ended early where there is no end; it says why below.
                            _ => None,
                        })
                    });
                    self.session().copy(doing, &statement, rows).await?;
                }
                Piece::Rows(_) | Piece::End => return Err(refused(doing, "rows of no table")),
            }
        }
        reading.await.map_err(|error| refused(doing, error.to_string()))?.map_err(unreadable)
    }

    async fn row_counts(&self) -> Result<RowCounts, DatabaseError> {
        let names = tables::counted(self.session()).await?;
        tables::count_rows(slice::from_ref(self.session()), &names).await
    }

    async fn apply_profile(&self, wanted: &DatabaseProfile) -> Result<Vec<String>, DatabaseError> {
        profile::apply_what_we_may(self.session(), wanted).await
    }

    async fn commit(self: Box<Self>) -> Result<(), DatabaseError> {
        self.transaction.commit("committing the restore").await
    }
}
