//! The container engine of the tests and of `cargo xtask up`.
//!
//! The engine that the developer has is used where it answers. Otherwise, as root on Debian, one of our own is started
//! by hand, without systemd: its images and containers lie under `target`, and the last command that uses it stops it.

mod base;
mod compose;
mod daemon;
pub(crate) mod images;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{packages, shell, workspace};

/// Where an engine listens that the system starts.
const SYSTEM: &str = "unix:///var/run/docker.sock";

/// An engine that answers, has the base image, and the programs that speak with it.
pub(crate) struct Engine {
    /// Its address, as the Docker command line takes it in `DOCKER_HOST`.
    pub(crate) host: String,
    /// The Docker command line.
    pub(crate) docker: PathBuf,
    /// Docker Compose, as a program of its own.
    pub(crate) compose: PathBuf,
    /// The base image as a file, which another engine can import.
    pub(crate) base: PathBuf,
    /// Held while an engine of our own is used; `None` where it is the developer's.
    own: Option<Use>,
}

/// Who uses the engine of our own: each command holds the lock on a file, shared with the others.
struct Use {
    places: Places,
    lock: File,
}

/// Where the files of the engine of our own lie.
#[derive(Clone)]
struct Places {
    /// What it keeps, and what is kept for it. Under `target`.
    directory: PathBuf,
    /// What it needs while it runs. Short, since the kernel takes no long path for a socket.
    run: PathBuf,
}

impl Places {
    fn of_this_checkout() -> Result<Self> {
        let directory = workspace::target_directory()?.join("docker");
        fs::create_dir_all(&directory)?;
        let mut hasher = DefaultHasher::new();
        directory.hash(&mut hasher);
        let run = PathBuf::from(format!("/run/nova-recovery-{:016x}", hasher.finish()));
        Ok(Self { directory, run })
    }

    fn host(&self) -> String {
        format!("unix://{}", self.run.join("docker.sock").display())
    }
}

impl Engine {
    /// Finds or starts an engine, and installs what that takes.
    pub(crate) fn take() -> Result<Self> {
        let places = Places::of_this_checkout()?;
        let (host, own) = match theirs() {
            Some(host) => (host, None),
            None => {
                packages::ensure_engine().with_context(|| {
                    format!(
                        "no container engine answers (DOCKER_HOST, or else {SYSTEM}), and none can be started"
                    )
                })?;
                (places.host(), Some(Use::begin(&places)?))
            }
        };
        let docker = program()?;
        let compose = compose::program()?;
        let base = places.directory.join("trixie-slim.tar");
        let engine = Self { host, docker, compose, base, own };
        base::ensure(&engine)?;
        Ok(engine)
    }

    /// The environment variables by which the tests find it.
    pub(crate) fn variables(&self) -> Vec<(String, PathBuf)> {
        vec![
            ("NOVA_RECOVERY_DOCKER_HOST".to_owned(), PathBuf::from(&self.host)),
            ("NOVA_RECOVERY_DOCKER".to_owned(), self.docker.clone()),
            ("NOVA_RECOVERY_COMPOSE".to_owned(), self.compose.clone()),
            ("NOVA_RECOVERY_BASE_IMAGE".to_owned(), self.base.clone()),
        ]
    }

    /// The Docker command line, for this engine.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command_for(&self.docker, &self.host, arguments)
    }

    /// Whether it has an image of this name.
    pub(crate) fn has_image(&self, name: &str) -> bool {
        shell::quiet(&mut self.command(&["image", "inspect", name])).is_ok()
    }

    /// Leaves an engine of our own running when this command ends.
    pub(crate) fn keep(mut self) {
        if let Some(own) = self.own.take() {
            let pid = own.places.run.join("docker.pid");
            eprintln!(
                "the container engine goes on running, until the next `cargo xtask test` or `up` ends or by: kill $(cat {})",
                pid.display()
            );
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(own) = self.own.take()
            && let Err(error) = own.end()
        {
            eprintln!("the container engine was not stopped: {error:#}");
        }
    }
}

impl Use {
    /// Starts the engine where it does not run.
    fn begin(places: &Places) -> Result<Self> {
        // One after the other: two must not start it, nor may it be stopped while it is looked at.
        let _turn = turn(places)?;
        let lock = lock_file(places, "users.lock")?;
        lock.lock_shared()?;
        daemon::start(places)?;
        Ok(Self { places: places.clone(), lock })
    }

    /// Stops the engine where nobody else uses it.
    fn end(self) -> Result<()> {
        let _turn = turn(&self.places)?;
        self.lock.unlock()?;
        match self.lock.try_lock() {
            Ok(()) => daemon::stop(&self.places),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

fn turn(places: &Places) -> Result<File> {
    let lock = lock_file(places, "turn.lock")?;
    lock.lock()?;
    Ok(lock)
}

fn lock_file(places: &Places, name: &str) -> Result<File> {
    let path = places.directory.join(name);
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .with_context(|| path.display().to_string())
}

/// The engine that the developer has.
fn theirs() -> Option<String> {
    let docker = program().ok()?;
    let told = ["NOVA_RECOVERY_DOCKER_HOST", "DOCKER_HOST"].into_iter().filter_map(variable);
    told.chain([SYSTEM.to_owned()]).find(|host| answers(&docker, host))
}

#[expect(clippy::disallowed_methods, reason = "a developer's tool asks the developer's environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether an engine answers there.
fn answers(docker: &Path, host: &str) -> bool {
    let mut ask = command_for(docker, host, &["version", "--format", "{{.Server.Version}}"]);
    shell::quiet(&mut ask).is_ok()
}

fn command_for(docker: &Path, host: &str, arguments: &[&str]) -> Command {
    let mut command = shell::command(docker);
    command.env("DOCKER_HOST", host).env_remove("DOCKER_CONTEXT").args(arguments);
    command
}

/// The Docker command line.
fn program() -> Result<PathBuf> {
    match shell::find("docker") {
        Some(docker) => Ok(docker),
        None => bail!("the Docker command line is not installed (Debian: apt-get install docker.io)"),
    }
}
