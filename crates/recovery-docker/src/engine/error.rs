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
    // The wrappers are transparent: what they hold does not itself stand in the chain of causes.
    let connecting = match &error {
        Error::Hyper(error) | Error::Error(containers_api::conn::Error::Hyper(error)) => error.is_connect(),
        _ => false,
    };
    let mut kind = match &error {
        Error::IO(error) => Some(error.kind()),
        _ => None,
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_status_and_kind() {
        let doing = "listing the containers";
        let id: ContainerId = "0123456789abcdef".parse().unwrap();
        let fault = |code| Error::Fault { code, message: "words".to_owned() };
        let of = |code| format!("{:?}", of_container(doing, &id, fault(code)));
        assert!(of(StatusCode::NOT_FOUND).starts_with("NoSuchContainer"));
        assert!(of(StatusCode::CONFLICT).starts_with("Conflict"));
        assert!(of(StatusCode::FORBIDDEN).starts_with("Forbidden"));
        assert!(of(StatusCode::INTERNAL_SERVER_ERROR).starts_with("Refused"));
        let without_container = of_engine(doing, fault(StatusCode::NOT_FOUND));
        assert!(matches!(without_container, EngineError::Refused { .. }));

        let io = |kind: ErrorKind| of_engine(doing, Error::IO(kind.into()));
        assert!(matches!(io(ErrorKind::PermissionDenied), EngineError::NotAllowed { .. }));
        assert!(matches!(io(ErrorKind::ConnectionReset), EngineError::Broken { .. }));
        let unreadable = serde_json::from_str::<bool>("{").map_err(Error::SerdeJsonError).unwrap_err();
        assert!(is_unreadable(&of_engine(doing, unreadable)));
        assert!(!is_unreadable(&io(ErrorKind::ConnectionReset)));
    }
}
