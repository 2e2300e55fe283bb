use std::time::Duration;

use recovery_core::{
    ErrorCode, Problem,
    port::{Cancelled, ComposeError, ServerError, StateError},
};

/// A server of language models could not be brought to where it was to be.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// Compose could not start or stop it.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// Its container went away while it was starting.
    #[error("the container of {backend} is not there any more")]
    Gone {
        /// Its name for people.
        backend: String,
    },
    /// Its program ended while it was starting.
    #[error("{backend} ended while it was starting{}", status(*exit_code))]
    Ended {
        /// Its name for people.
        backend: String,
        /// Its exit status.
        exit_code: Option<i64>,
        /// The last lines that it printed. May hold anything.
        log: Vec<String>,
    },
    /// Its program ends again and again.
    #[error("{backend} ends each time that it is started: {times} starts so far")]
    CrashLoop {
        /// Its name for people.
        backend: String,
        /// How often.
        times: u64,
        /// The last lines that it printed. May hold anything.
        log: Vec<String>,
    },
    /// It runs, and nothing has changed for long.
    #[error("{backend} is not ready, and nothing has changed for {} s", within.as_secs())]
    Stalled {
        /// Its name for people.
        backend: String,
        /// For how long.
        within: Duration,
        /// What it says when it is asked.
        #[source]
        answer: ServerError,
        /// The last lines that it printed. May hold anything.
        log: Vec<String>,
    },
    /// It has been restarted again and again, and is no better.
    #[error("{backend} {what}, however often it is restarted")]
    GivenUp {
        /// Its name for people.
        backend: String,
        /// What is wrong with it, as part of a sentence.
        what: String,
        /// The last lines that it printed. May hold anything.
        log: Vec<String>,
    },
    /// The variable that names its model cannot be changed.
    #[error("{}", .0.detail)]
    Model(Problem),
    /// What is done cannot be written down.
    #[error(transparent)]
    State(#[from] StateError),
    /// The person has chosen a server of their own meanwhile, which the gateway goes by.
    #[error("a server that is not looked after here was chosen meanwhile")]
    Elsewhere,
    /// Somebody wanted it taken back.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn status(exit_code: Option<i64>) -> String {
    exit_code.map(|code| format!(", with status {code}")).unwrap_or_default()
}

impl LifecycleError {
    /// The last lines that the server printed. They may hold secrets.
    #[must_use]
    pub fn log(&self) -> &[String] {
        match self {
            Self::Ended { log, .. }
            | Self::CrashLoop { log, .. }
            | Self::Stalled { log, .. }
            | Self::GivenUp { log, .. } => log,
            _ => &[],
        }
    }

    /// What a person is told: without what the server printed.
    #[must_use]
    pub fn problem(self) -> Problem {
        let failed = |error: &Self, hint: &str| {
            // A name at the beginning is written as its makers write it: `vLLM`.
            let problem = match error {
                Self::Gone { .. } => Problem::from_words(ErrorCode::ServiceFailed, error),
                _ => Problem::new(ErrorCode::ServiceFailed, format!("{error}.")),
            };
            problem.hint(hint.to_owned())
        };
        match self {
            Self::Compose(error) => error.into(),
            Self::State(error) => error.into(),
            Self::Cancelled(cancelled) => cancelled.into(),
            Self::Model(problem) => problem,
            Self::Elsewhere => Problem::from_words(ErrorCode::Conflict, &self)
                .hint("Ask for the change again if it is wanted all the same."),
            Self::Gone { .. } => failed(&self, "Somebody has removed it. Start it again."),
            Self::Ended { .. } | Self::CrashLoop { .. } => {
                failed(&self, "Its log says why; often the model does not fit into the memory.")
            }
            Self::Stalled { .. } => failed(&self, "Its log says how far it came."),
            Self::GivenUp { .. } => failed(&self, "Its log says why. Start it again when that is mended."),
        }
    }
}
