//! How a problem is answered.

use actix_web::{HttpResponse, ResponseError, body::BoxBody, http::StatusCode};
use recovery_backup::BackupError;
use recovery_core::{ErrorCode, Problem, port::StateError};
use recovery_env::EnvError;

use crate::{
    auth::Refusal,
    operations::{CancelError, Failure},
    view::ProblemBody,
};

/// An answer that is a problem.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub(super) struct ApiError {
    problem: Box<Problem>,
    /// Seconds.
    retry_after: Option<u64>,
    /// The methods that the path does have.
    allow: Option<String>,
}

impl ApiError {
    pub(super) fn not_found() -> Self {
        Problem::new(ErrorCode::NotFound, "There is nothing at this address.")
            .hint("The OpenAPI document at /api/v1/recovery/openapi.json lists every address.")
            .into()
    }

    pub(super) fn method_not_allowed(allow: &str) -> Self {
        let problem = Problem::new(
            ErrorCode::MethodNotAllowed,
            format!("This address can be asked with {allow} only."),
        );
        Self { problem: Box::new(problem), retry_after: None, allow: Some(allow.to_owned()) }
    }

    pub(super) fn internal() -> Self {
        Problem::new(ErrorCode::Internal, "Something went wrong that should not happen.")
            .hint("The log of the recovery service has the details; the x-request-id of this answer finds them.")
            .into()
    }

    /// Too many watch already. Of the codes for what is not to be had now, this one lets a client try again.
    pub(super) fn too_many_watchers() -> Self {
        let problem =
            Problem::new(ErrorCode::DependencyUnavailable, "Too many clients watch the events already.")
                .hint("Close other windows of the console, or ask for the operations instead.");
        Self { problem: Box::new(problem), retry_after: Some(10), allow: None }
    }

    /// For an error of the web framework, which has no words of ours.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let problem = match status {
            StatusCode::NOT_FOUND => return Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => {
                Problem::new(ErrorCode::MethodNotAllowed, "This address cannot be asked in this way.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(ErrorCode::BodyTooLarge, "The request body is too large.")
            }
            status if status.is_client_error() => {
                Problem::new(ErrorCode::InvalidRequest, "The request cannot be understood.")
            }
            _ => return Self::internal(),
        };
        problem.into()
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(ProblemBody::from(self.problem.as_ref()).status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.retry_after {
            response.insert_header(("retry-after", seconds.to_string()));
        }
        if let Some(allow) = &self.allow {
            response.insert_header(("allow", allow.as_str()));
        }
        if self.status_code() == StatusCode::UNAUTHORIZED {
            response.insert_header(("www-authenticate", "Bearer realm=\"nova-recovery\""));
        }
        let mut response = response.json(ProblemBody::from(self.problem.as_ref()));
        response.headers_mut().insert(
            actix_web::http::header::CONTENT_TYPE,
            actix_web::http::header::HeaderValue::from_static("application/problem+json"),
        );
        if let Some(id) = self.problem.operation_id {
            response.extensions_mut().insert(id);
        }
        response.extensions_mut().insert(self.problem.code);
        response
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), retry_after: None, allow: None }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let retry_after = match &refusal {
            Refusal::TooManyAttempts { retry_after } => Some(crate::auth::whole_seconds(*retry_after)),
            _ => None,
        };
        tracing::info!("refused: {}", crate::operations::chain(&refusal));
        Self { problem: Box::new(refusal.into()), retry_after, allow: None }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        failure.log().into()
    }
}

impl From<EnvError> for ApiError {
    fn from(error: EnvError) -> Self {
        Failure::of(error).into()
    }
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        Failure::of(error).into()
    }
}

impl From<StateError> for ApiError {
    fn from(error: StateError) -> Self {
        Failure::of(error).into()
    }
}

impl From<CancelError> for ApiError {
    fn from(error: CancelError) -> Self {
        Problem::from(error).into()
    }
}
