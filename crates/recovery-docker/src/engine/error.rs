//! What an error of the client says of the engine. Told by status and kind, never by words.

use std::{error::Error as StdError, io::ErrorKind};

use containers_api::conn::hyper::StatusCode;
use docker_api::Error;
use recovery_core::{container::ContainerId, port::EngineError};

/// An error of a call that is about the engine as a whole.
pub(super) fn of_engine(doing: &'static str, error: Error) -> EngineError {
    match status(&error) {
        Some(StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED | StatusCode::METHOD_NOT_ALLOWED) => {
            EngineError::Forbidden { doing, source: error.into() }
        }
        Some(StatusCode::CONFLICT) => EngineError::Conflict { doing, source: error.into() },
        Some(_) => EngineError::Refused { doing, source: error.into() },
        None => of_connection(doing, error),
    }
}

/// An error of a call that is about one container.
pub(super) fn of_container(doing: &'static str, container: &ContainerId, error: Error) -> EngineError {
    match status(&error) {
        Some(StatusCode::NOT_FOUND) => EngineError::NoSuchContainer { container: container.clone() },
        _ => of_engine(doing, error),
    }
}

/// Whether an answer came and could not be read.
pub(super) fn is_unreadable(error: &EngineError) -> bool {
    let EngineError::Broken { source, .. } = error else { return false };
    matches!(source.downcast_ref::<Error>(), Some(Error::SerdeJsonError(_)))
}

/// No answer came, or none that can be understood.
fn of_connection(doing: &'static str, error: Error) -> EngineError {
    // Both wrappers are transparent: the error of hyper does not stand in the chain of causes.
    let connecting = match &error {
        Error::Hyper(error) | Error::Error(containers_api::conn::Error::Hyper(error)) => error.is_connect(),
        _ => false,
    };
    let mut kind = None;
    let mut next: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(cause) = next {
        kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(kind);
        next = cause.source();
    }
    let source = error.into();
    match kind {
        Some(ErrorKind::PermissionDenied) => EngineError::NotAllowed { source },
        _ if connecting => EngineError::NoEngine { source },
        _ => EngineError::Broken { doing, source },
    }
}

fn status(error: &Error) -> Option<StatusCode> {
    match error {
        Error::Fault { code, .. } | Error::Error(containers_api::conn::Error::Fault { code, .. }) => {
            Some(*code)
        }
        _ => None,
    }
}
