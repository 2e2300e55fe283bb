//! Errors as RFC 9457 has them, and the one table of what each is called.

use recovery_core::{ErrorCode, Problem};
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong (`application/problem+json`).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Names the kind of error; it is a name, not an address.
    #[serde(rename = "type")]
    #[schema(example = "urn:nova-recovery:problem:busy")]
    kind: String,
    /// The kind of error, in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened.
    detail: String,
    /// The kind of error, for programs; it never changes.
    #[schema(example = "busy")]
    code: &'static str,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// What is wrong with single fields of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
    /// The operation that failed, or that is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<String>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub struct FieldProblem {
    /// The field.
    field: String,
    /// What is wrong with it.
    message: String,
}

impl From<&Problem> for ProblemBody {
    fn from(problem: &Problem) -> Self {
        let (status, title) = status_and_title(problem.code);
        Self {
            kind: format!("urn:nova-recovery:problem:{}", problem.code.as_str()),
            title,
            status,
            detail: problem.detail.clone(),
            code: problem.code.as_str(),
            hint: problem.hint.clone(),
            errors: problem
                .errors
                .iter()
                .map(|error| FieldProblem { field: error.field.clone(), message: error.message.clone() })
                .collect(),
            operation_id: problem.operation_id.map(|id| id.to_string()),
        }
    }
}

impl ProblemBody {
    pub(crate) fn status(&self) -> u16 {
        self.status
    }
}

/// The HTTP status and the title of each kind of error.
fn status_and_title(code: ErrorCode) -> (u16, &'static str) {
    match code {
        ErrorCode::InvalidRequest => (400, "Invalid request"),
        ErrorCode::InvalidName => (400, "Invalid name"),
        ErrorCode::ConfirmationRequired => (400, "Confirmation required"),
        ErrorCode::Unauthorized => (401, "Not signed in"),
        ErrorCode::CredentialsRequired => (401, "Explicit credentials required"),
        ErrorCode::ForbiddenOrigin => (403, "Foreign origin"),
        ErrorCode::CriticalService => (403, "Critical service"),
        ErrorCode::NotFound => (404, "Not found"),
        ErrorCode::MethodNotAllowed => (405, "Method not allowed"),
        ErrorCode::Busy => (409, "Another operation is in the way"),
        ErrorCode::Conflict => (409, "Not possible now"),
        ErrorCode::Cancelled => (409, "Cancelled"),
        ErrorCode::PreconditionFailed => (412, "Changed meanwhile"),
        ErrorCode::BodyTooLarge => (413, "Request body too large"),
        ErrorCode::RangeNotSatisfiable => (416, "No such range"),
        ErrorCode::UnsupportedMediaType => (415, "Unsupported media type"),
        ErrorCode::MisdirectedHost => (421, "Misdirected request"),
        ErrorCode::InvalidBody => (422, "Invalid request body"),
        ErrorCode::BackupDamaged => (422, "Damaged backup"),
        ErrorCode::BackupIncompatible => (422, "Incompatible backup"),
        ErrorCode::EnvironmentRefused => (422, "Unreadable environment"),
        ErrorCode::TooManyAttempts => (429, "Too many attempts"),
        ErrorCode::ToolFailed => (500, "A program failed"),
        ErrorCode::StorageUnavailable => (503, "Storage not available"),
        ErrorCode::DatabaseRefused => (502, "PostgreSQL refused"),
        ErrorCode::EngineRefused => (502, "The container engine refused"),
        ErrorCode::ServiceFailed => (502, "A service did not come up"),
        ErrorCode::DatabaseUnavailable => (503, "PostgreSQL not available"),
        ErrorCode::DependencyUnavailable => (503, "A dependency is not available"),
        ErrorCode::ToolUnavailable => (503, "A program is not available"),
        ErrorCode::Interrupted => (503, "Interrupted"),
        ErrorCode::TimedOut => (504, "Timed out"),
        ErrorCode::InsufficientStorage => (507, "Not enough disk space"),
        // A code that this table does not know yet is an internal error of this program.
        ErrorCode::Internal | _ => (500, "Internal error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_status_and_title() {
        use ErrorCode as E;
        let table: String = [
            E::InvalidRequest,
            E::InvalidName,
            E::ConfirmationRequired,
            E::Unauthorized,
            E::CredentialsRequired,
            E::ForbiddenOrigin,
            E::CriticalService,
            E::NotFound,
            E::MethodNotAllowed,
            E::Busy,
            E::Conflict,
            E::Cancelled,
            E::PreconditionFailed,
            E::BodyTooLarge,
            E::UnsupportedMediaType,
            E::RangeNotSatisfiable,
            E::MisdirectedHost,
            E::InvalidBody,
            E::BackupDamaged,
            E::BackupIncompatible,
            E::EnvironmentRefused,
            E::TooManyAttempts,
            E::Internal,
            E::ToolFailed,
            E::DatabaseRefused,
            E::EngineRefused,
            E::ServiceFailed,
            E::DatabaseUnavailable,
            E::DependencyUnavailable,
            E::ToolUnavailable,
            E::StorageUnavailable,
            E::Interrupted,
            E::TimedOut,
            E::InsufficientStorage,
        ]
        .into_iter()
        .map(|code| {
            let (status, title) = status_and_title(code);
            format!("{status} {:<23} {title}\n", code.as_str())
        })
        .collect();
        insta::assert_snapshot!(table, @r#"
        400 invalid_request         Invalid request
        400 invalid_name            Invalid name
        400 confirmation_required   Confirmation required
        401 unauthorized            Not signed in
        401 credentials_required    Explicit credentials required
        403 forbidden_origin        Foreign origin
        403 critical_service        Critical service
        404 not_found               Not found
        405 method_not_allowed      Method not allowed
        409 busy                    Another operation is in the way
        409 conflict                Not possible now
        409 cancelled               Cancelled
        412 precondition_failed     Changed meanwhile
        413 body_too_large          Request body too large
        415 unsupported_media_type  Unsupported media type
        416 range_not_satisfiable   No such range
        421 misdirected_host        Misdirected request
        422 invalid_body            Invalid request body
        422 backup_damaged          Damaged backup
        422 backup_incompatible     Incompatible backup
        422 environment_refused     Unreadable environment
        429 too_many_attempts       Too many attempts
        500 internal                Internal error
        500 tool_failed             A program failed
        502 database_refused        PostgreSQL refused
        502 engine_refused          The container engine refused
        502 service_failed          A service did not come up
        503 database_unavailable    PostgreSQL not available
        503 dependency_unavailable  A dependency is not available
        503 tool_unavailable        A program is not available
        503 storage_unavailable     Storage not available
        503 interrupted             Interrupted
        504 timed_out               Timed out
        507 insufficient_storage    Not enough disk space
        "#);
    }

    #[test]
    fn a_problem_has_every_member_that_it_can_have() {
        let id = "0198f000-0000-7000-8000-000000000001".parse().unwrap();
        let problem = Problem::new(ErrorCode::InvalidBody, "The body lacks a field.")
            .hint("Send it.")
            .field("secret", "is missing")
            .operation(id);
        let body = serde_json::to_string_pretty(&ProblemBody::from(&problem)).unwrap();
        insta::assert_snapshot!(body, @r#"
        {
          "type": "urn:nova-recovery:problem:invalid_body",
          "title": "Invalid request body",
          "status": 422,
          "detail": "The body lacks a field.",
          "code": "invalid_body",
          "hint": "Send it.",
          "errors": [
            {
              "field": "secret",
              "message": "is missing"
            }
          ],
          "operation_id": "0198f000-0000-7000-8000-000000000001"
        }
        "#);
    }
}
