use recovery_core::{
    ErrorCode, Problem, ServiceName,
    port::{Cancelled, EngineError},
};

/// A service could not be restarted, or did not come up.
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// It has no container to restart.
    #[error("the service {service} has no container")]
    NoContainer {
        /// The service.
        service: ServiceName,
    },
    /// Its health check fails.
    #[error("the service {service} is unhealthy after its restart")]
    Unhealthy {
        /// The service.
        service: ServiceName,
        /// The name of the container.
        container: String,
        /// The last lines that it printed.
        last_words: Vec<String>,
    },
    /// Its program has ended and is not started again.
    #[error("the service {service} has ended with exit status {exit_code} after its restart")]
    Ended {
        /// The service.
        service: ServiceName,
        /// The name of the container.
        container: String,
        /// What its program ended with.
        exit_code: i64,
        /// The last lines that it printed.
        last_words: Vec<String>,
    },
    /// Its program ends over and over.
    #[error("the service {service} ends again and again after its restart")]
    CrashLoop {
        /// The service.
        service: ServiceName,
        /// The name of the container.
        container: String,
        /// The last lines that it printed.
        last_words: Vec<String>,
    },
    /// It is neither well nor unwell after all the time that its health check takes.
    #[error("the service {service} did not come up in time after its restart")]
    Slow {
        /// The service.
        service: ServiceName,
        /// The name of the container.
        container: String,
        /// The last lines that it printed.
        last_words: Vec<String>,
    },
    /// The service itself came up, and one that depends on it did not.
    #[error(
        "the service {service} was restarted, and with it what depends on it, of which one failed: {error}"
    )]
    Dependant {
        /// The service that was asked for.
        service: ServiceName,
        /// What went wrong with the other one.
        error: Box<RestartError>,
    },
    /// Somebody asked to stop; what was begun was brought to its end.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The engine did not do what was asked of it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl RestartError {
    fn last_words(&self) -> &[String] {
        match self {
            Self::Unhealthy { last_words, .. }
            | Self::Ended { last_words, .. }
            | Self::CrashLoop { last_words, .. }
            | Self::Slow { last_words, .. } => last_words,
            Self::Dependant { error, .. } => error.last_words(),
            Self::NoContainer { .. } | Self::Cancelled(_) | Self::Engine(_) => &[],
        }
    }
}

impl From<RestartError> for Problem {
    fn from(error: RestartError) -> Self {
        match error {
            RestartError::NoContainer { .. } => Self::from_words(ErrorCode::NotFound, &error)
                .hint("It is not part of what runs. An optional service is started with its profile."),
            RestartError::Cancelled(cancelled) => cancelled.into(),
            RestartError::Engine(error) => error.into(),
            error => {
                let hint = match error.last_words() {
                    [] => {
                        "It has printed nothing. Its settings and its image are the next places to look at."
                            .to_owned()
                    }
                    words => format!("Its log says why. It ends: {}", words.join(" / ")),
                };
                Self::from_words(ErrorCode::ServiceFailed, &error).hint(hint)
            }
        }
    }
}
