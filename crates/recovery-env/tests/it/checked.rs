//! Changes that Compose looks at before they are written.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use async_trait::async_trait;
use recovery_core::{
    ErrorCode, Problem, ServiceName,
    compose::{ComposeModel, ComposeVersion},
    port::{CommandError, Compose, ComposeError, OnProgress},
};
use recovery_env::{EnvError, Environment, Expected, Shown};
use recovery_testkit::{ComposePoint, FakeCompose, MemoryEnvFile};
use tempfile::TempDir;

const SAMPLE: &str = "POSTGRES_PASSWORD=hunter2\nLOG_LEVEL=info\n";

struct Checked {
    file: MemoryEnvFile,
    compose: FakeCompose,
    candidates: TempDir,
}

impl Checked {
    fn new(content: &str) -> Self {
        Self {
            file: MemoryEnvFile::new(content),
            compose: FakeCompose::new("nova"),
            candidates: tempfile::tempdir().unwrap(),
        }
    }

    async fn set(&self, key: &str, value: &str) -> Result<Shown, EnvError> {
        let compose = Arc::new(self.compose.clone());
        let environment =
            Environment::new(Arc::new(self.file.clone())).checked_by(compose, self.candidates.path());
        let updated =
            environment.update(vec![(key.to_owned(), value.to_owned().into())], &Expected::Any).await;
        let left = fs::read_dir(self.candidates.path()).unwrap().count();
        assert_eq!(left, 0, "no candidate is left");
        updated
    }

    async fn assert_refused(&self, key: &str, value: &str, code: ErrorCode) -> Problem {
        let problem = Problem::from(self.set(key, value).await.unwrap_err());
        assert_eq!(problem.code, code, "{problem:?}");
        assert!(problem.hint.is_some() && !format!("{problem:?}").contains("hunter2"), "{problem:?}");
        assert!(self.file.replaced().is_empty(), "nothing is written");
        problem
    }
}

#[tokio::test]
async fn what_compose_accepts_is_written() {
    let checked = Checked::new(SAMPLE);
    checked.compose.demand("LOG_LEVEL");
    checked.set("LOG_LEVEL", "debug").await.unwrap();
    assert_eq!(checked.file.text(), SAMPLE.replace("info", "debug"));
}

#[tokio::test]
async fn what_compose_refuses_is_not_written() {
    let checked = Checked::new(SAMPLE);
    checked.compose.demand("LOG_LEVEL");
    let problem = checked.assert_refused("LOG_LEVEL", "", ErrorCode::EnvironmentRefused).await;
    assert_eq!(
        problem.detail,
        "With this change Docker Compose could not read the project: the Compose files need the variable LOG_LEVEL, which has no value. Nothing was written."
    );
}

#[tokio::test]
async fn a_project_that_was_broken_before_is_told_from_one_that_the_change_breaks() {
    let checked = Checked::new(SAMPLE);
    checked.compose.broken(Some("services must be a mapping"));
    let problem = checked.assert_refused("LOG_LEVEL", "debug", ErrorCode::EnvironmentRefused).await;
    assert!(problem.detail.contains("as little as without it"), "{problem:?}");
    // What mends a project may be written.
    let checked = Checked::new(SAMPLE);
    checked.compose.demand("VLLM_MODEL");
    checked.set("VLLM_MODEL", "Qwen/Qwen3-8B").await.unwrap();
}

#[tokio::test]
async fn without_compose_our_own_reading_must_do() {
    for error in [
        || ComposeError::NotInstalled,
        || ComposeError::TooOld { found: "1.29".to_owned(), needed: "2.0" },
        || ComposeError::NoFile { file: None },
    ] {
        let checked = Checked::new(SAMPLE);
        checked.compose.faults().fail_next(ComposePoint::CheckEnv, error);
        checked.set("LOG_LEVEL", "debug").await.unwrap();
        checked.compose.faults().assert_spent();
    }
}

#[tokio::test]
async fn a_compose_that_does_not_answer_lets_nothing_through() {
    let checked = Checked::new(SAMPLE);
    checked.compose.faults().fail_next(ComposePoint::CheckEnv, || ComposeError::Run {
        doing: "checking".to_owned(),
        source: CommandError::Lost { program: "docker".to_owned(), source: std::io::Error::other("gone") },
    });
    checked.assert_refused("LOG_LEVEL", "debug", ErrorCode::DependencyUnavailable).await;
}

#[tokio::test]
async fn a_directory_that_takes_no_candidate_lets_nothing_through() {
    let checked = Checked::new(SAMPLE);
    let nowhere = checked.candidates.path().join("nowhere");
    let environment = Environment::new(Arc::new(checked.file.clone()))
        .checked_by(Arc::new(checked.compose.clone()), nowhere);
    let update = vec![("LOG_LEVEL".to_owned(), "debug".to_owned().into())];
    let error = environment.update(update, &Expected::Any).await.unwrap_err();
    assert_eq!(Problem::from(error).code, ErrorCode::StorageUnavailable);
    assert!(checked.file.replaced().is_empty());
}

/// Looks at what it is to check.
struct Onlooker;

#[async_trait]
impl Compose for Onlooker {
    async fn version(&self) -> Result<ComposeVersion, ComposeError> {
        Err(ComposeError::NotInstalled)
    }

    async fn model(&self) -> Result<ComposeModel, ComposeError> {
        Err(ComposeError::NotInstalled)
    }

    async fn check_env(&self, candidate: &Path) -> Result<(), ComposeError> {
        let mode = fs::metadata(candidate).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else can read it");
        assert_eq!(fs::read_to_string(candidate).unwrap(), SAMPLE.replace("info", "debug"));
        Ok(())
    }

    async fn start(&self, _: &[ServiceName], _: OnProgress<'_>) -> Result<String, ComposeError> {
        Err(ComposeError::NotInstalled)
    }

    async fn stop(&self, _: &[ServiceName], _: Option<std::time::Duration>) -> Result<String, ComposeError> {
        Err(ComposeError::NotInstalled)
    }

    async fn pull(&self, _: &[ServiceName], _: OnProgress<'_>) -> Result<(), ComposeError> {
        Err(ComposeError::NotInstalled)
    }
}

#[tokio::test]
async fn compose_sees_the_whole_new_content_and_nobody_else_does() {
    let file = MemoryEnvFile::new(SAMPLE);
    let candidates = tempfile::tempdir().unwrap();
    let environment =
        Environment::new(Arc::new(file.clone())).checked_by(Arc::new(Onlooker), candidates.path());
    let update = vec![("LOG_LEVEL".to_owned(), "debug".to_owned().into())];
    environment.update(update, &Expected::Any).await.unwrap();
    assert_eq!(file.text(), SAMPLE.replace("info", "debug"));
}
