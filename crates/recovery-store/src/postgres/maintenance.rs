//! Sessions in the maintenance database: from there everything is done that the protected database cannot be asked
//! for, because it is damaged, closed, about to be renamed, or gone.

use recovery_core::{
    database::{ConnectionTarget, DatabaseName},
    port::DatabaseError,
};

use super::{
    error::refused,
    session::{APPLICATION_NAME, Session},
};

/// Connects to `postgres`, or to `template1` where that cannot be had or is itself the protected database.
pub(super) async fn connect(target: &ConnectionTarget) -> Result<Session, DatabaseError> {
    connect_as(target, APPLICATION_NAME).await
}

/// The same under another `application_name`.
pub(super) async fn connect_as(
    target: &ConnectionTarget,
    application_name: &str,
) -> Result<Session, DatabaseError> {
    let candidates: Vec<DatabaseName> = ["postgres", "template1"]
        .iter()
        .filter_map(|name| name.parse().ok())
        .filter(|name| *name != target.database)
        .collect();
    let mut last = None;
    for candidate in &candidates {
        match Session::connect(target, candidate, application_name).await {
            Err(
                error @ (DatabaseError::NoSuchDatabase { .. }
                | DatabaseError::NotAllowed { .. }
                | DatabaseError::SignInRefused { .. }),
            ) => last = Some(error),
            result => return result,
        }
    }
    match last {
        // The name in this error would be taken for that of the protected database.
        Some(DatabaseError::NoSuchDatabase { .. }) | None => Err(refused(
            "connecting to a maintenance database",
            "the server has neither a database postgres nor template1 to work from",
        )),
        Some(error) => Err(error),
    }
}
