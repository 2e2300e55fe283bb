//! How the errors of Compose are told to a person.

use crate::{
    ErrorCode, Problem,
    port::{ComposeError, ImageTrouble},
};

impl From<ComposeError> for Problem {
    fn from(error: ComposeError) -> Self {
        let problem = |code| Self::from_words(code, &error);
        match &error {
            ComposeError::NotInstalled => problem(ErrorCode::ToolUnavailable).hint(
                "Install the Compose plugin of the Docker command line (docker-compose-plugin), or the program docker-compose of version 2.",
            ),
            ComposeError::TooOld { .. } => problem(ErrorCode::ToolUnavailable)
                .hint("Install a newer Compose plugin of the Docker command line (docker-compose-plugin)."),
            ComposeError::NoFile { .. } => problem(ErrorCode::Conflict).hint(
                "Check COMPOSE_PROJECT_DIR and COMPOSE_FILE, and that the project's directory is mounted into the recovery container.",
            ),
            ComposeError::Invalid { .. } => problem(ErrorCode::Conflict)
                .hint("`docker compose config` on the host shows what is wrong. Correct it, then try again."),
            ComposeError::VariableMissing { variable } => problem(ErrorCode::Conflict)
                .hint(format!("Set {variable} in the .env file, then try again.")),
            ComposeError::EnvInvalid { .. } => problem(ErrorCode::Conflict).hint(
                "Look for a quote that is not closed and for a `$` before something that is no name; `docker compose config` on the host shows more.",
            ),
            ComposeError::Elsewhere { .. } => problem(ErrorCode::Conflict).hint(
                "Nothing was changed. Mount the project's directory into the recovery container at the path that it has on the host, and set COMPOSE_PROJECT_DIR to that path: it is the label com.docker.compose.project.working_dir of the running containers.",
            ),
            ComposeError::UnknownService { .. } => problem(ErrorCode::NotFound)
                .hint("Services are those that the Compose files define; their names are compared exactly."),
            ComposeError::DependencyNotReady(unmet) => problem(ErrorCode::Conflict).hint(unmet.hint()),
            ComposeError::ImageMissing { trouble, .. } => {
                let hint = match trouble {
                    ImageTrouble::NotFound => {
                        "Check the image's name in the Compose file, and sign in with `docker login` where its registry asks for that."
                    }
                    ImageTrouble::RegistryAway => {
                        "Check the network of the host, or load the image there with `docker load`, then try again."
                    }
                    ImageTrouble::NotBuilt => "Build it on the host with `docker compose build`, then try again.",
                };
                problem(ErrorCode::Conflict).hint(hint)
            }
            ComposeError::PortTaken { .. } => problem(ErrorCode::Conflict)
                .hint("Stop the program or container that has it, or give the service another port, then try again."),
            ComposeError::NoGpu => problem(ErrorCode::Conflict).hint(
                "Install the NVIDIA Container Toolkit (or the ROCm driver) on the host and restart Docker, or choose a backend that needs no GPU.",
            ),
            ComposeError::NameTaken { .. } => problem(ErrorCode::Conflict)
                .hint("Remove or rename that container, then try again."),
            ComposeError::DiskFull => problem(ErrorCode::InsufficientStorage)
                .hint("Free disk space on the host; `docker system df` shows what images and containers take."),
            ComposeError::EngineUnavailable => problem(ErrorCode::DependencyUnavailable)
                .hint("Check that Docker runs on the host and that DOCKER_HOST is right; its socket must be mounted into the recovery container."),
            ComposeError::EngineRefused => problem(ErrorCode::DependencyUnavailable)
                .hint("Let the user of the recovery service use Docker's socket: add the socket's group to the container (group_add)."),
            ComposeError::TimedOut { .. } => problem(ErrorCode::TimedOut)
                .hint("The log of the service and that of Docker show what it waits for."),
            ComposeError::Run { .. } | ComposeError::Failed { .. } | ComposeError::Answer { .. } => {
                problem(ErrorCode::ToolFailed).hint("The log of the recovery service has the details.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{DependencyCondition, ServiceStanding, UnmetDependency};

    fn check(error: ComposeError, code: ErrorCode, detail: &str) {
        let problem = Problem::from(error);
        assert_eq!((problem.code, problem.detail.as_str()), (code, detail));
        assert!(problem.hint.is_some(), "{problem:?}");
    }

    #[test]
    fn the_words_name_what_is_in_the_way() {
        check(ComposeError::NotInstalled, ErrorCode::ToolUnavailable, "Docker Compose is not installed.");
        check(
            ComposeError::TooOld { found: "1.29.2".into(), needed: "2.0" },
            ErrorCode::ToolUnavailable,
            "Docker Compose 1.29.2 is too old: 2.0 or newer is needed.",
        );
        check(
            ComposeError::NoFile { file: Some("gpu.yml".into()) },
            ErrorCode::Conflict,
            "There is no Compose file gpu.yml.",
        );
        check(ComposeError::NoFile { file: None }, ErrorCode::Conflict, "There is no Compose file.");
        check(
            ComposeError::PortTaken { port: Some(11434) },
            ErrorCode::Conflict,
            "The port 11434 of the host is taken.",
        );
        check(
            ComposeError::ImageMissing {
                image: Some("ollama/ollama".into()),
                trouble: ImageTrouble::NotBuilt,
            },
            ErrorCode::Conflict,
            "The image ollama/ollama has not been built.",
        );
        check(
            ComposeError::Failed { doing: "starting ollama".into(), what: Some("no luck".into()) },
            ErrorCode::ToolFailed,
            "Starting ollama failed: no luck.",
        );
        let unmet = UnmetDependency {
            service: "chat-bridge".parse().unwrap(),
            dependency: "chat-api".parse().unwrap(),
            condition: DependencyCondition::Healthy,
            found: ServiceStanding::Exited(3),
        };
        check(
            ComposeError::DependencyNotReady(unmet),
            ErrorCode::Conflict,
            "The service chat-bridge needs chat-api, which has ended with exit status 3.",
        );
    }

    #[test]
    fn the_directories_are_for_the_log_alone() {
        let directories = "/opt/nova here, /srv/nova there".into();
        let problem =
            Problem::from(ComposeError::Elsewhere { project: "nova".parse().unwrap(), directories });
        assert!(!format!("{problem:?}").contains("/srv"), "{problem:?}");
        assert!(problem.hint.unwrap().contains("COMPOSE_PROJECT_DIR"));
    }
}
