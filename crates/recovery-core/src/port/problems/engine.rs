//! What is told of the container engine.

use crate::{ErrorCode, Problem, port::EngineError};

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        Self::from(&error)
    }
}

impl From<&EngineError> for Problem {
    fn from(error: &EngineError) -> Self {
        let problem = |code| Self::from_words(code, error);
        match error {
            EngineError::NoEngine { .. } => problem(ErrorCode::DependencyUnavailable).hint(
                "Check that Docker runs, that DOCKER_HOST is right, and in a container that the engine's socket is mounted.",
            ),
            EngineError::NotAllowed { .. } => problem(ErrorCode::DependencyUnavailable).hint(
                "Give the recovery service the group that owns the engine's socket (group_add in the Compose file), or a socket proxy in DOCKER_HOST.",
            ),
            EngineError::Broken { .. } | EngineError::TimedOut { .. } => {
                problem(ErrorCode::DependencyUnavailable)
                    .hint("Check the container engine (systemctl status docker); recovery goes on by itself when it answers.")
            }
            EngineError::NoSuchContainer { .. } => problem(ErrorCode::NotFound)
                .hint("It was removed or made anew meanwhile: list the services, then try again."),
            EngineError::Conflict { .. } => {
                problem(ErrorCode::Conflict).hint("Look at the state of the service, then try again.")
            }
            EngineError::Forbidden { .. } => problem(ErrorCode::DependencyUnavailable).hint(
                "Allow it at the socket proxy: recovery needs to list, inspect, restart and watch containers and to read their logs.",
            ),
            EngineError::Refused { .. } => problem(ErrorCode::EngineRefused)
                .hint("The log of the recovery service has the engine's own words."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_with_the_engine_says_what_to_do_and_nothing_of_its_insides() {
        let source = || "connect /var/run/docker.sock: hunter2".into();
        let doing = "listing the containers";
        for (error, code) in [
            (EngineError::NoEngine { source: source() }, ErrorCode::DependencyUnavailable),
            (EngineError::NotAllowed { source: source() }, ErrorCode::DependencyUnavailable),
            (EngineError::Broken { doing, source: source() }, ErrorCode::DependencyUnavailable),
            (EngineError::TimedOut { doing }, ErrorCode::DependencyUnavailable),
            (
                EngineError::NoSuchContainer { container: "0123456789abcdef".parse().unwrap() },
                ErrorCode::NotFound,
            ),
            (EngineError::Conflict { doing, source: source() }, ErrorCode::Conflict),
            (EngineError::Forbidden { doing, source: source() }, ErrorCode::DependencyUnavailable),
            (EngineError::Refused { doing, source: source() }, ErrorCode::EngineRefused),
        ] {
            let problem = Problem::from(&error);
            assert_eq!(problem.code, code, "{problem:?}");
            assert!(problem.hint.is_some(), "{problem:?}");
            let words = format!("{problem:?}");
            assert!(!words.contains("hunter2") && !words.contains("docker.sock"), "{words}");
        }
    }
}
