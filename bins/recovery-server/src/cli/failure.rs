//! How a command ends when it does not succeed: words for a person, a status for a script.

use std::process::ExitCode;

use recovery_core::{ErrorCode, Problem};

use crate::{operations, settings::InvalidSettings};

/// The exit status. `--help` and `docs/command-line.md` list these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was tried, and failed.
    Failed = 1,
    /// The arguments or the settings are wrong; nothing was begun.
    Usage = 2,
    /// What was named does not exist.
    NotFound = 3,
    /// Another operation is in the way.
    Busy = 4,
    /// The backup is damaged, or cannot be used here.
    Damaged = 5,
    /// Something that is needed cannot be used.
    Unavailable = 6,
    /// Somebody cancelled it, or did not confirm.
    Cancelled = 130,
}

impl Status {
    /// The status that belongs to an error.
    #[must_use]
    pub fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::InvalidRequest
            | ErrorCode::InvalidName
            | ErrorCode::InvalidBody
            | ErrorCode::EnvironmentRefused => Self::Usage,
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::Busy => Self::Busy,
            ErrorCode::BackupDamaged | ErrorCode::BackupIncompatible => Self::Damaged,
            ErrorCode::DatabaseUnavailable
            | ErrorCode::DependencyUnavailable
            | ErrorCode::ToolUnavailable
            | ErrorCode::StorageUnavailable => Self::Unavailable,
            ErrorCode::Cancelled | ErrorCode::ConfirmationRequired => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// Why a command did not succeed.
#[derive(Debug)]
pub struct Failure {
    /// The words for a person.
    pub problem: Box<Problem>,
    /// The exit status.
    pub status: Status,
    /// The error with its causes, shown with `--verbose`.
    pub causes: Option<String>,
    /// Whether the result has told it already, so that only the exit status is left.
    pub told: bool,
}

impl Failure {
    /// The arguments or settings are wrong.
    pub fn usage(detail: impl Into<String>) -> Self {
        Problem::new(ErrorCode::InvalidRequest, detail).into()
    }

    /// Something that is needed cannot be used.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Problem::new(ErrorCode::DependencyUnavailable, detail).into()
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }

    /// Adds the causes.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn std::error::Error) -> Self {
        self.causes = Some(operations::chain(error));
        self
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let status = Status::of(problem.code);
        Self { problem: Box::new(problem), status, causes: None, told: false }
    }
}

impl From<InvalidSettings> for Failure {
    fn from(InvalidSettings(errors): InvalidSettings) -> Self {
        let problem = Problem::new(ErrorCode::InvalidRequest, "The settings cannot be used.")
            .hint("`nova-recovery config --reference` describes every setting.");
        let problem = errors.iter().fold(problem, |problem, error| problem.field(&error.name, error.words()));
        problem.into()
    }
}

/// An error of one of the parts.
pub(super) fn of<E>(error: E) -> Failure
where
    E: std::error::Error + Into<Problem>,
{
    let causes = operations::chain(&error);
    Failure { causes: Some(causes), ..Failure::from(error.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_its_status() {
        let check = |code, expect: u8| assert_eq!(Status::of(code) as u8, expect, "{code:?}");
        check(ErrorCode::Internal, 1);
        check(ErrorCode::ToolFailed, 1);
        check(ErrorCode::InsufficientStorage, 1);
        check(ErrorCode::Unauthorized, 1);
        check(ErrorCode::InvalidName, 2);
        check(ErrorCode::NotFound, 3);
        check(ErrorCode::Busy, 4);
        check(ErrorCode::BackupDamaged, 5);
        check(ErrorCode::BackupIncompatible, 5);
        check(ErrorCode::DatabaseUnavailable, 6);
        check(ErrorCode::StorageUnavailable, 6);
        check(ErrorCode::ToolUnavailable, 6);
        check(ErrorCode::Cancelled, 130);
    }
}
