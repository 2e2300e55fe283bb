//! How an error that ends an operation is written to the log, once, with its whole chain, while the caller gets the
//! words that may leave the process.

use std::fmt::Write as _;

use recovery_core::{ErrorCode, Problem};

/// What ended an operation: the words for outside, and the chain of causes for the log.
#[derive(Debug)]
pub struct Failure {
    problem: Problem,
    chain: String,
}

impl Failure {
    /// An error of one of the parts.
    pub fn of<E>(error: E) -> Self
    where
        E: std::error::Error + Into<Problem>,
    {
        let chain = chain(&error);
        Self { problem: error.into(), chain }
    }

    /// The words for outside.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Writes the chain of causes to the log and gives the words for outside.
    pub fn log(self) -> Problem {
        match self.problem.code {
            ErrorCode::Cancelled => tracing::info!("{}", self.chain),
            // It is the caller who is to mend these.
            ErrorCode::Busy
            | ErrorCode::NotFound
            | ErrorCode::InvalidRequest
            | ErrorCode::InvalidBody
            | ErrorCode::PreconditionFailed
            | ErrorCode::EnvironmentRefused => {
                tracing::info!(code = self.problem.code.as_str(), "{}", self.chain);
            }
            code => tracing::error!(code = code.as_str(), "{}", self.chain),
        }
        self.problem
    }
}

impl<E> From<E> for Failure
where
    E: std::error::Error + Into<Problem>,
{
    fn from(error: E) -> Self {
        Self::of(error)
    }
}

/// An error and its causes on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        // A transparent wrapper repeats its source; once is enough.
        if !text.ends_with(&words) {
            let _ = write!(text, ": {words}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use recovery_core::port::StateError;

    #[test]
    fn the_chain_names_every_cause_once() {
        let error =
            StateError::Write { what: "the journal".into(), source: std::io::Error::other("disk on fire") };
        assert_eq!(chain(&error), "cannot write the journal in the state directory: disk on fire");
        let problem = Failure::of(error).log();
        assert!(!problem.detail.contains("on fire"), "{}", problem.detail);
    }
}
