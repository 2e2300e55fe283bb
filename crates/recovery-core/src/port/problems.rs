//! How the errors of the ports are told to a person: one place, so that the words and hints stay alike.

mod compose;
mod engine;

use super::{Cancelled, DatabaseError, KeyValueError, LockError, StateError};
use crate::{ErrorCode, Problem};

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        let problem = |code| Self::from_words(code, &error);
        match &error {
            DatabaseError::NotConfigured { .. } => problem(ErrorCode::DatabaseUnavailable)
                .hint("Set DATABASE_URL, or POSTGRES_HOST, POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB."),
            DatabaseError::Unavailable { .. } => problem(ErrorCode::DatabaseUnavailable)
                .hint("Check that PostgreSQL runs and that the host and port of DATABASE_URL are right, then try again."),
            DatabaseError::SignInRefused { .. } => problem(ErrorCode::DatabaseUnavailable)
                .hint("Check the user and password of DATABASE_URL, and pg_hba.conf of the server."),
            DatabaseError::NoSuchDatabase { .. } => problem(ErrorCode::DatabaseUnavailable)
                .hint("Check the database name of DATABASE_URL. Restoring a backup creates the database."),
            DatabaseError::NotAllowed { .. } => problem(ErrorCode::DatabaseRefused)
                .hint("Let recovery sign in as a superuser, or as the owner of the database with CREATEDB and CREATEROLE."),
            DatabaseError::DiskFull { .. } => problem(ErrorCode::InsufficientStorage)
                .hint("Free disk space on the database server. A restore needs room for a second copy of the database."),
            DatabaseError::StillInUse { .. } => problem(ErrorCode::Busy)
                .hint("Stop the programs that hold these sessions (see pg_stat_activity), then try again."),
            DatabaseError::Tied { remedy, .. } => problem(ErrorCode::Conflict).hint(*remedy),
            DatabaseError::Unplanned { .. } => problem(ErrorCode::Conflict).hint(
                "Look for triggers and rules of this table and of those that refer to it (\\d in psql) that delete or keep rows.",
            ),
            DatabaseError::Refused { .. } => problem(ErrorCode::DatabaseRefused)
                .hint("The log of the recovery service has PostgreSQL's own words."),
            DatabaseError::TimedOut { .. } => problem(ErrorCode::TimedOut)
                .hint("Look for sessions that hold locks (pg_stat_activity, pg_locks), then try again."),
        }
    }
}

impl From<LockError> for Problem {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Held { .. } => Self::from_words(ErrorCode::Busy, &error)
                .hint("Wait until it is done; its instance shows its progress."),
            LockError::Database(error) => error.into(),
        }
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        let full = match &error {
            StateError::Write { source, .. } => {
                matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
            }
            StateError::Read { .. } | StateError::Format { .. } => false,
        };
        if full {
            Self::from_words(ErrorCode::InsufficientStorage, &error).hint("Free space where STATE_DIR lies.")
        } else {
            Self::from_words(ErrorCode::StorageUnavailable, &error)
                .hint("Check that STATE_DIR exists and that the recovery service may write to it.")
        }
    }
}

impl From<KeyValueError> for Problem {
    fn from(error: KeyValueError) -> Self {
        Self::from_words(ErrorCode::DependencyUnavailable, &error)
            .hint("Check that Redis runs and that REDIS_URL is right.")
    }
}

impl From<Cancelled> for Problem {
    fn from(error: Cancelled) -> Self {
        Self::from_words(ErrorCode::Cancelled, error)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_state_directory_that_is_full_is_told_from_one_that_cannot_be_used() {
        for (kind, code) in [
            (ErrorKind::StorageFull, ErrorCode::InsufficientStorage),
            (ErrorKind::QuotaExceeded, ErrorCode::InsufficientStorage),
            (ErrorKind::PermissionDenied, ErrorCode::StorageUnavailable),
        ] {
            let error = StateError::Write { what: "the journal".to_owned(), source: Error::from(kind) };
            let problem = Problem::from(error);
            assert_eq!(problem.code, code, "{problem:?}");
            assert!(problem.hint.is_some());
        }
    }
}
