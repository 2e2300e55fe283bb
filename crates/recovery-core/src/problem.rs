//! Errors as a person and a program outside see them.
//!
//! Each crate has its own error enums for what went wrong inside; at the boundary they become a [`Problem`], whose
//! words are safe to show: no password, connection string or path of the host. The mapping from [`ErrorCode`] to an
//! HTTP status is the server's business.

use serde::{Deserialize, Serialize};

/// Stable, machine-readable names of everything that can go wrong. Serialised in `snake_case`; never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// A value in the request is not acceptable.
    InvalidRequest,
    /// A name in the request is not of the form that such names have.
    InvalidName,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// The route needs the admin secret or a token even from a trusted network.
    CredentialsRequired,
    /// The request comes from a web page of another origin.
    ForbiddenOrigin,
    /// The action needs a confirmation that the request does not carry.
    ConfirmationRequired,
    /// What the request names does not exist.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// Another operation is in the way.
    Busy,
    /// The present state does not allow the action.
    Conflict,
    /// What was to be changed has changed since it was read.
    PreconditionFailed,
    /// The request body is larger than allowed.
    BodyTooLarge,
    /// The part that the request asks for does not exist.
    RangeNotSatisfiable,
    /// The request body is not of a type that the route understands.
    UnsupportedMediaType,
    /// The `Host` header names a server that this is not.
    MisdirectedHost,
    /// The request body is not JSON of the expected shape.
    InvalidBody,
    /// A backup is damaged: bytes differ from what its manifest promises, or are missing.
    BackupDamaged,
    /// A backup is whole, but cannot be used here: its format, its versions or what it needs are not to be had.
    BackupIncompatible,
    /// A change of the `.env` would leave it so that Compose could not read the project, or not as it was meant.
    EnvironmentRefused,
    /// Too many wrong secrets from one client.
    TooManyAttempts,
    /// Something that should not happen; the log has the details.
    Internal,
    /// PostgreSQL does not answer, refuses the sign-in, or broke off.
    DatabaseUnavailable,
    /// PostgreSQL answered, and refused what was asked of it.
    DatabaseRefused,
    /// Another service that is needed does not answer.
    DependencyUnavailable,
    /// The container engine answered, and refused what was asked of it.
    EngineRefused,
    /// The action needs a confirmation of its own: the platform does not work without this service.
    CriticalService,
    /// A service of the platform did not come up.
    ServiceFailed,
    /// A program that is needed is not installed, or not in a usable version.
    ToolUnavailable,
    /// A program that was run failed.
    ToolFailed,
    /// A directory cannot be read or written.
    StorageUnavailable,
    /// Not enough disk space.
    InsufficientStorage,
    /// The operation was cancelled.
    Cancelled,
    /// The operation was cut off by the end of the service.
    Interrupted,
    /// The operation did not end in the time it may take.
    TimedOut,
}

impl ErrorCode {
    /// The name as it appears in JSON, for example `backup_damaged`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidName => "invalid_name",
            Self::Unauthorized => "unauthorized",
            Self::CredentialsRequired => "credentials_required",
            Self::ForbiddenOrigin => "forbidden_origin",
            Self::ConfirmationRequired => "confirmation_required",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Busy => "busy",
            Self::Conflict => "conflict",
            Self::PreconditionFailed => "precondition_failed",
            Self::BodyTooLarge => "body_too_large",
            Self::RangeNotSatisfiable => "range_not_satisfiable",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::MisdirectedHost => "misdirected_host",
            Self::InvalidBody => "invalid_body",
            Self::BackupDamaged => "backup_damaged",
            Self::BackupIncompatible => "backup_incompatible",
            Self::EnvironmentRefused => "environment_refused",
            Self::TooManyAttempts => "too_many_attempts",
            Self::Internal => "internal",
            Self::DatabaseUnavailable => "database_unavailable",
            Self::DatabaseRefused => "database_refused",
            Self::DependencyUnavailable => "dependency_unavailable",
            Self::EngineRefused => "engine_refused",
            Self::CriticalService => "critical_service",
            Self::ServiceFailed => "service_failed",
            Self::ToolUnavailable => "tool_unavailable",
            Self::ToolFailed => "tool_failed",
            Self::StorageUnavailable => "storage_unavailable",
            Self::InsufficientStorage => "insufficient_storage",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::TimedOut => "timed_out",
        }
    }
}

/// What went wrong, in words that may leave the process, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// The kind of error.
    pub code: ErrorCode,
    /// What happened, in one or two sentences.
    pub detail: String,
    /// What the reader can do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What is wrong with single fields of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The operation that failed, or that is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<crate::OperationId>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), hint: None, errors: Vec::new(), operation_id: None }
    }

    /// A problem in the words of an error, made a sentence: a capital letter and a full stop.
    pub fn from_words(code: ErrorCode, words: impl std::fmt::Display) -> Self {
        let words = words.to_string();
        let mut chars = words.chars();
        let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
        Self::new(code, format!("{first}{}.", chars.as_str().trim_end_matches('.')))
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what is wrong with one field of the request.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.push(FieldError { field: field.into(), message: message.into() });
        self
    }

    /// Names the operation that failed, or that is in the way.
    #[must_use]
    pub fn operation(mut self, id: crate::OperationId) -> Self {
        self.operation_id = Some(id);
        self
    }
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The field, as a path into the body such as `updates.LOG_LEVEL`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_a_sentence() {
        for (words, sentence) in [("no room", "No room."), ("Ünicode ends.", "Ünicode ends."), ("éa", "Éa.")]
        {
            assert_eq!(Problem::from_words(ErrorCode::Internal, words).detail, sentence);
        }
    }

    #[test]
    fn the_code_s_name_is_the_one_that_serde_writes() {
        for code in [
            ErrorCode::InvalidRequest,
            ErrorCode::BackupDamaged,
            ErrorCode::TooManyAttempts,
            ErrorCode::TimedOut,
        ] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
