//! Names in the path: decoded once, and valid by their type.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use recovery_core::{BackupName, ErrorCode, OperationId, Problem, ServiceName};

use super::error::ApiError;

/// The name of a backup.
pub(super) struct Backup(pub(super) BackupName);

/// The name of a service.
pub(super) struct Service(pub(super) ServiceName);

/// Any text: who takes it says what is wrong with it.
pub(super) struct Text(pub(super) String);

/// The id of an operation, or of the restore that it was.
pub(super) struct Id(pub(super) OperationId);

impl FromRequest for Backup {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(segment(request, payload).and_then(|text| {
            text.parse().map(Self).map_err(|_| {
                Problem::new(ErrorCode::InvalidName, "This is not the name of a backup.")
                    .hint("Such names look like nova-backup-2026-01-31_23-59-59.tar; list the backups to see them.")
                    .into()
            })
        }))
    }
}

impl FromRequest for Service {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(segment(request, payload).and_then(|text| {
            text.parse().map(Self).map_err(|_| {
                Problem::new(ErrorCode::NotFound, "There is no service of this name.")
                    .hint("List the services to see which there are; names are compared exactly.")
                    .into()
            })
        }))
    }
}

impl FromRequest for Text {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(segment(request, payload).map(Self))
    }
}

impl FromRequest for Id {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(segment(request, payload).and_then(|text| {
            text.parse().map(Self).map_err(|_| {
                Problem::new(ErrorCode::NotFound, "There is nothing with this id.")
                    .hint("Ids are those that the lists of operations and restores give.")
                    .into()
            })
        }))
    }
}

/// The one variable segment of the path, with its percent-encoding taken off.
fn segment(request: &HttpRequest, payload: &mut Payload) -> Result<String, ApiError> {
    web::Path::<String>::from_request(request, payload)
        .into_inner()
        .map(web::Path::into_inner)
        .map_err(|_| ApiError::not_found())
}
