use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{DockerEngine, run};
use crate::servers::random_word;

/// A Compose project of one test: a directory with a Compose file and maybe a `.env`, and whatever the engine has of
/// it. All of it is removed when the value goes.
pub struct DockerProject {
    engine: DockerEngine,
    name: String,
    directory: tempfile::TempDir,
}

impl DockerProject {
    pub(super) fn new(engine: DockerEngine, compose_file: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory for a Compose project");
        let word = random_word();
        let name = format!("nova-test-{}", word.get(..12).expect("a word of 32 digits"));
        let project = Self { engine, name, directory };
        project.write("docker-compose.yml", compose_file);
        project
    }

    /// The name, which no other project has.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory of the project.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of the project, such as `.env`.
    ///
    /// # Panics
    /// Panics where that fails.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file of a Compose project");
    }

    /// Runs Compose in the project and returns what it printed.
    ///
    /// # Panics
    /// Panics with its words where it fails.
    pub fn compose(&self, args: &[&str]) -> String {
        self.try_compose(args).unwrap_or_else(|error| panic!("docker compose {args:?}: {error}"))
    }

    /// As [`DockerProject::compose`]; the error is what it said.
    pub fn try_compose(&self, args: &[&str]) -> Result<String, String> {
        let mut command = self.engine.client(&DockerEngine::compose_program().to_string_lossy());
        command.args(["--project-name", &self.name, "--project-directory"]).arg(self.directory());
        run(command.arg("--file").arg(self.path("docker-compose.yml")).args(args))
    }

    /// The id of the one container of a service, running or not.
    ///
    /// # Panics
    /// Panics where it has none, or several.
    #[must_use]
    pub fn container(&self, service: &str) -> String {
        let listed =
            self.listed(&["ps", "--all", "--no-trunc"], &[&format!("com.docker.compose.service={service}")]);
        match listed.as_slice() {
            [id] => id.clone(),
            other => panic!("{service} has {} containers", other.len()),
        }
    }

    /// The ids of what the engine has of this project.
    fn listed(&self, command: &[&str], labels: &[&str]) -> Vec<String> {
        let project = format!("com.docker.compose.project={}", self.name);
        let filters: Vec<String> = [&[project.as_str()], labels]
            .concat()
            .iter()
            .map(|label| format!("--filter=label={label}"))
            .collect();
        let mut args = [command, &["--quiet"]].concat();
        args.extend(filters.iter().map(String::as_str));
        let listed = self.engine.try_docker(&args).unwrap_or_default();
        listed.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for DockerProject {
    fn drop(&mut self) {
        let kinds: [(&[&str], &[&str]); 3] = [
            (&["ps", "--all"], &["rm", "--force", "--volumes"]),
            (&["network", "ls"], &["network", "rm"]),
            (&["volume", "ls"], &["volume", "rm", "--force"]),
        ];
        for (list, remove) in kinds {
            let ids = self.listed(list, &[]);
            if !ids.is_empty() {
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                // An engine that is gone has taken them along.
                let _ = self.engine.try_docker(&[remove, ids.as_slice()].concat());
            }
        }
    }
}
