//! The sample stack: stand-ins for Nova's services, a Compose project for the service to look after.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    docker::{Engine, images},
    shell, workspace,
};

/// Compose's name for the stack of `up`: not that of a real Nova, which the same engine may run.
pub(crate) const PROJECT: &str = "nova-sample";
/// What the project has besides `docker/compose.sample.yml`.
const DEPENDENCIES: &str = "\
# Written by `cargo xtask up`. PostgreSQL and Redis run outside of Docker there: these two only stand for them, so that
# what needs them can be started. compose.sample.yml is a copy of the one under docker/.
services:
  postgres: &stand-in
    image: nova-sample-service
    init: true
    restart: unless-stopped
    environment: {NAME: postgres, PORT: 5432}
    healthcheck: {test: [CMD, sample-service, check], interval: 2s, timeout: 5s, start_period: 20s, retries: 2}

  redis:
    <<: *stand-in
    environment: {NAME: redis, PORT: 6379}
";
const ENV: &str = "\
# The environment of the sample stack; the service shows and changes it.
COMPOSE_PROFILES=
LOG_LEVEL=info
NOVA_INFERENCE_MODE=hybrid
DEFAULT_CHAT_MODEL=
";

/// The stack, running. Stopped when dropped.
pub(crate) struct Stack {
    engine: Engine,
    project: &'static str,
    directory: PathBuf,
    running: bool,
}

impl Stack {
    /// Finds or starts an engine, and starts the stack there.
    pub(crate) fn start(project: &'static str, directory: &Path) -> Result<Self> {
        let engine = Engine::take()?;
        images::sample_service(&engine)?;
        fs::create_dir_all(directory)?;
        fs::write(directory.join("compose.yml"), DEPENDENCIES)?;
        fs::copy(workspace::root().join("docker/compose.sample.yml"), directory.join("compose.sample.yml"))?;
        if !directory.join(".env").exists() {
            fs::write(directory.join(".env"), ENV)?;
        }
        let mut stack = Self { engine, project, directory: directory.to_owned(), running: true };
        println!("starting the sample stack (Compose project {project}) …");
        if let Err(error) = stack.compose(&["up", "--detach", "--remove-orphans", "--wait"]) {
            stack.stop()?;
            return Err(error).context("the sample stack does not start");
        }
        Ok(stack)
    }

    /// What tells the service of it.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let path = |name: &str| self.directory.join(name).to_string_lossy().into_owned();
        vec![
            ("DOCKER_HOST", self.engine.host.clone()),
            ("COMPOSE_PROJECT_NAME", self.project.to_owned()),
            ("COMPOSE_PROJECT_DIR", self.directory.to_string_lossy().into_owned()),
            ("COMPOSE_FILE", format!("{}:{}", path("compose.yml"), path("compose.sample.yml"))),
            ("NOVA_ENV_FILE", path(".env")),
        ]
    }

    /// Ends the program of a service as the kernel does when memory is short; it stays down.
    pub(crate) fn kill(&self, service: &str) -> Result<()> {
        let container = format!("{}-{service}-1", self.project);
        shell::quiet(&mut self.engine.command(&["update", "--restart", "no", &container]))?;
        shell::quiet(&mut self.engine.command(&["kill", &container]))
    }

    /// Removes its containers, those of profiles too.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if std::mem::take(&mut self.running) {
            self.compose(&["--profile", "*", "down", "--remove-orphans", "--timeout", "3"])?;
        }
        Ok(())
    }

    /// Compose sees nothing of the developer's environment, as when the service calls it.
    fn compose(&self, arguments: &[&str]) -> Result<()> {
        let mut compose = shell::command(&self.engine.compose);
        compose.env_clear().env("PATH", shell::PATH).env("DOCKER_HOST", &self.engine.host);
        compose
            .args(["--ansi", "never", "--project-name", self.project, "--project-directory"])
            .arg(&self.directory);
        for file in ["compose.yml", "compose.sample.yml"] {
            compose.arg("--file").arg(self.directory.join(file));
        }
        shell::quiet(compose.args(arguments))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("the sample stack was not stopped: {error:#}");
        }
    }
}
