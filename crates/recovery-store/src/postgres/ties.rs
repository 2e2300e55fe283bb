//! What holds a database where it is, besides sessions: they can be ended, this is not ours to end.

use recovery_core::{
    database::{DatabaseName, Ties},
    port::DatabaseError,
};

use super::session::Session;

/// Reads them from the shared catalogues, so that no session in the database itself is needed.
pub(super) async fn read(session: &Session, name: &DatabaseName) -> Result<Ties, DatabaseError> {
    let sql = "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_xacts WHERE database = $1),
                      ARRAY(SELECT slot_name::text FROM pg_catalog.pg_replication_slots
                            WHERE database = $1 AND NOT temporary ORDER BY 1),
                      ARRAY(SELECT s.subname::text FROM pg_catalog.pg_subscription s
                            JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = $1 ORDER BY 1)";
    let row = session.query_one("looking for what holds a database", sql, &[&name.as_str()]).await?;
    Ok(Ties {
        prepared_transactions: u64::try_from(row.get::<_, i64>(0)).unwrap_or_default(),
        replication_slots: row.get(1),
        subscriptions: row.get(2),
    })
}

/// Why a database cannot be renamed now.
pub(super) async fn refuse_rename(session: &Session, name: &DatabaseName) -> Result<(), DatabaseError> {
    match read(session, name).await?.against_rename(name) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Why a database cannot be dropped, where it is not for its sessions.
pub(super) async fn explain_drop(
    session: &Session,
    name: &DatabaseName,
    error: DatabaseError,
) -> DatabaseError {
    if !session.is_ready() || !matches!(error, DatabaseError::StillInUse { .. }) {
        return error;
    }
    match read(session, name).await {
        Ok(ties) => ties.against_drop(name).unwrap_or(error),
        Err(_) => error,
    }
}
