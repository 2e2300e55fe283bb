//! One transaction over one connection, which can be asked for by its id after the connection is gone.

use std::time::{Duration, Instant};

use recovery_core::{
    database::{ConnectionTarget, DatabaseName},
    port::DatabaseError,
};
use tokio_postgres::error::SqlState;

use super::{
    error::refused,
    maintenance,
    quote::Literal,
    session::{Session, StatementError},
};

/// How long the server is asked how a transaction ended.
const ASK_LIMIT: Duration = Duration::from_secs(30);

/// A transaction that is open. Dropping it undoes it.
pub(super) struct Transaction {
    target: ConnectionTarget,
    session: Session,
    id: String,
}

impl Transaction {
    /// Begins it.
    pub(super) async fn begin(
        target: &ConnectionTarget,
        database: &DatabaseName,
        application_name: &str,
    ) -> Result<Self, DatabaseError> {
        let doing = "beginning a transaction";
        let session = Session::connect(target, database, application_name).await?.unlimited();
        session.batch(doing, "BEGIN").await?;
        let id = current(&session, doing).await?;
        Ok(Self { target: target.clone(), session, id })
    }

    /// Its id, by which [`was_committed`] knows it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Its connection.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Commits it. Where the connection breaks before the answer, the server is asked over another one how it ended.
    pub(super) async fn commit(&self, doing: &str) -> Result<(), DatabaseError> {
        // A statement that ended the transaction would have made part of it so for everybody, and this part is not all.
        if current(&self.session, doing).await? != self.id {
            return Err(refused(doing, "a statement of the transaction itself has ended it"));
        }
        match self.session.batch(doing, "COMMIT").await {
            Err(error) if !self.session.is_ready() => {
                match was_committed(&self.target, &self.id, doing).await? {
                    Some(true) => Ok(()),
                    Some(false) | None => Err(error),
                }
            }
            ended => ended,
        }
    }
}

async fn current(session: &Session, doing: &str) -> Result<String, DatabaseError> {
    let id = session.text(doing, "SELECT pg_catalog.pg_current_xact_id()").await?;
    id.ok_or_else(|| refused(doing, "the transaction has no id"))
}

/// Whether a transaction was committed, once it has ended; `None` where the server does not know it: it is too long ago,
/// or was on another server.
pub(super) async fn was_committed(
    target: &ConnectionTarget,
    id: &str,
    doing: &str,
) -> Result<Option<bool>, DatabaseError> {
    let doing = &format!("asking how it ended: {doing}");
    let give_up = Instant::now() + ASK_LIMIT;
    let sql = format!("SELECT pg_catalog.pg_xact_status({}::pg_catalog.xid8)", Literal(id));
    let ask = async || {
        let session = maintenance::connect(target).await?;
        match session.query_raw(doing, &sql, &[]).await {
            Ok(rows) => Ok(rows.first().and_then(|row| row.get::<_, Option<String>>(0))),
            // It is in the future.
            Err(StatementError::Driver(error))
                if error.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into_database_error(doing, session.database())),
        }
    };
    loop {
        match ask().await {
            Ok(Some(status)) if status == "committed" => return Ok(Some(true)),
            Ok(Some(status)) if status == "aborted" => return Ok(Some(false)),
            Ok(None) => return Ok(None),
            Err(error @ DatabaseError::Refused { .. }) => return Err(error),
            Ok(Some(_)) | Err(_) if Instant::now() < give_up => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok(Some(_)) => return Err(DatabaseError::TimedOut { doing: doing.clone() }),
            Err(error) => return Err(error),
        }
    }
}
