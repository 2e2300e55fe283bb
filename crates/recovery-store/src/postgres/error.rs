//! What PostgreSQL and its driver say, as [`DatabaseError`].

use recovery_core::{database::DatabaseName, port::DatabaseError};
use tokio_postgres::{Error, error::SqlState};

/// An error of the driver, met while `doing` something about the database `name`.
pub(super) fn database_error(error: Error, doing: &str, name: &DatabaseName) -> DatabaseError {
    let doing = doing.to_owned();
    let Some(state) = error.code().cloned() else {
        return without_state(error, doing);
    };
    if state == SqlState::INVALID_CATALOG_NAME {
        return DatabaseError::NoSuchDatabase { name: name.clone() };
    }
    if state == SqlState::OBJECT_IN_USE {
        // How many sessions there are stands in the detail only, in the server's language.
        return DatabaseError::StillInUse { name: name.clone(), sessions: 1 };
    }
    if state == SqlState::QUERY_CANCELED || state == SqlState::LOCK_NOT_AVAILABLE {
        return DatabaseError::TimedOut { doing };
    }
    let source = Box::new(error);
    match state.code() {
        "42501" => DatabaseError::NotAllowed { doing, source },
        "53100" => DatabaseError::DiskFull { doing, source },
        // 53300: too many connections.
        "53300" => DatabaseError::Unavailable { doing, source },
        code if code.starts_with("28") => DatabaseError::SignInRefused { source },
        code if code.starts_with("08") || code.starts_with("57P") => {
            DatabaseError::Unavailable { doing, source }
        }
        _ => DatabaseError::Refused { doing, source },
    }
}

/// The same for an error met while connecting, where a database that is closed to sessions counts as not answering.
pub(super) fn connect_error(error: Error, doing: &str, name: &DatabaseName) -> DatabaseError {
    if error.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) {
        return DatabaseError::Unavailable { doing: doing.to_owned(), source: Box::new(error) };
    }
    database_error(error, doing, name)
}

/// Errors that the driver finds itself.
fn without_state(error: Error, doing: String) -> DatabaseError {
    // The driver keeps its error kinds to itself: its words are all there is to tell a sign-in that cannot be done
    // (for example no password where one is asked for) from a broken connection.
    let words = error.to_string();
    if words.starts_with("authentication error") || words.starts_with("invalid configuration") {
        return DatabaseError::SignInRefused { source: Box::new(error) };
    }
    let broken = error.is_closed()
        || std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>())
        || words.starts_with("error connecting");
    if broken {
        DatabaseError::Unavailable { doing, source: Box::new(error) }
    } else {
        DatabaseError::Refused { doing, source: Box::new(error) }
    }
}

/// A refusal of our own.
pub(super) fn refused(doing: &str, why: impl Into<String>) -> DatabaseError {
    DatabaseError::Refused { doing: doing.to_owned(), source: why.into().into() }
}
