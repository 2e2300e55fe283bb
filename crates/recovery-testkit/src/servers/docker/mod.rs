//! Container engines for tests: the one that all tests share, or one of the test's own that may be restarted.

mod project;

pub use project::DockerProject;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use super::{template::new_directory, wait_until, watchdog::Watchdog};

/// A container engine that answers and has the image [`DockerEngine::IMAGE`].
pub struct DockerEngine {
    host: String,
    own: Option<Own>,
}

/// What there is of an engine of the test's own.
struct Own {
    directory: PathBuf,
    watchdog: Watchdog,
}

impl DockerEngine {
    /// The image that containers of tests are made of: a minimal Debian 13 with a shell and Perl.
    pub const IMAGE: &str = "debian:trixie-slim";

    /// The engine that all tests share. Whoever makes something there names it by a [`DockerEngine::project`], and
    /// leaves everything else alone.
    ///
    /// # Panics
    /// Panics where there is none: `cargo xtask test` starts one.
    #[must_use]
    pub fn shared() -> Self {
        Self { host: told("NOVA_RECOVERY_DOCKER_HOST"), own: None }
    }

    /// Starts an engine of the test's own, which may be stopped, killed and frozen. It has a network of its own: its
    /// containers reach each other and nothing else, and ports that they publish are not to be reached from outside.
    ///
    /// # Panics
    /// Panics where it does not start: that takes root, `dockerd` and `unshare`.
    #[must_use]
    pub fn start() -> Self {
        let directory = new_directory(None);
        let host = format!("unix://{}", directory.join("docker.sock").display());
        fs::write(directory.join("daemon.json"), "{}").expect("a configuration file for dockerd");
        let mut args =
            vec!["--net".to_owned(), "--mount".to_owned(), "dockerd".to_owned(), format!("--host={host}")];
        for (option, name) in [
            ("data-root", "data"),
            ("exec-root", "exec"),
            ("pidfile", "docker.pid"),
            ("config-file", "daemon.json"),
        ] {
            args.push(format!("--{option}={}", directory.join(name).display()));
        }
        let watchdog = Watchdog::new(&directory, None, "TERM", Path::new("unshare"), &args);
        let mut engine = Self { host, own: Some(Own { directory, watchdog }) };
        engine.up();
        engine.docker(&["import", &told("NOVA_RECOVERY_BASE_IMAGE"), Self::IMAGE]);
        engine
    }

    /// Its address, as `DOCKER_HOST` takes it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path of its socket.
    ///
    /// # Panics
    /// Panics where it listens on none.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.host.strip_prefix("unix://").expect("an engine on a Unix-domain socket").into()
    }

    /// The path of Docker Compose, a program of its own.
    ///
    /// # Panics
    /// Panics where nobody has told.
    #[must_use]
    pub fn compose_program() -> PathBuf {
        told("NOVA_RECOVERY_COMPOSE").into()
    }

    /// Runs the Docker command line and returns what it printed.
    ///
    /// # Panics
    /// Panics with its words where it fails.
    pub fn docker(&self, args: &[&str]) -> String {
        self.try_docker(args).unwrap_or_else(|error| panic!("docker {args:?}: {error}"))
    }

    /// As [`DockerEngine::docker`]; the error is what it said.
    pub fn try_docker(&self, args: &[&str]) -> Result<String, String> {
        run(self.client(&told("NOVA_RECOVERY_DOCKER")).args(args))
    }

    /// A Compose project of the test's own with this Compose file. Nothing is started yet; all that belongs to the
    /// project is removed when the value goes.
    ///
    /// # Panics
    /// Panics where the file cannot be written.
    #[must_use]
    pub fn project(&self, compose_file: &str) -> DockerProject {
        DockerProject::new(Self { host: self.host.clone(), own: None }, compose_file)
    }

    /// A program that speaks with the engine, with nothing else of the developer's environment.
    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("DOCKER_HOST", &self.host);
        command
    }

    /// Ends the engine as an administrator would: its containers are ended first.
    ///
    /// # Panics
    /// Panics where it is the shared one.
    pub fn stop(&mut self) {
        // Those that do not hear SIGTERM would take ten seconds.
        self.kill_containers();
        self.signal("TERM");
        self.watchdog().wait();
    }

    /// Kills the engine; its containers run on.
    ///
    /// # Panics
    /// Panics where it is the shared one.
    pub fn kill_hard(&mut self) {
        self.signal("KILL");
        self.watchdog().wait();
        // Its containerd dies with it; a new engine would take a process that nobody has waited for to be alive.
        let _ = fs::remove_file(self.directory().join("exec/containerd/containerd.pid"));
    }

    /// Starts it again, after it was stopped or killed.
    ///
    /// # Panics
    /// Panics where it is the shared one, or does not start.
    pub fn up(&mut self) {
        let own = self.own.as_mut().expect("an engine of the test's own: the shared one stays as it is");
        if own.watchdog.is_alive() {
            return;
        }
        own.watchdog.start();
        let ready = wait_until(Duration::from_secs(60), || self.answers() || !self.watchdog().is_alive());
        let log = || fs::read_to_string(self.directory().join("log")).unwrap_or_default();
        assert!(
            ready && self.answers(),
            "dockerd does not start (as root, with docker.io installed?):\n{}",
            log()
        );
    }

    /// Stops the engine in its tracks: connections are taken by the kernel, and nobody answers them. Containers run on.
    ///
    /// # Panics
    /// Panics where it is the shared one.
    pub fn freeze(&mut self) {
        self.signal("STOP");
    }

    /// Undoes [`DockerEngine::freeze`].
    ///
    /// # Panics
    /// Panics where it is the shared one.
    pub fn thaw(&mut self) {
        self.signal("CONT");
    }

    fn answers(&self) -> bool {
        self.try_docker(&["version"]).is_ok()
    }

    fn kill_containers(&self) {
        let containers = self.try_docker(&["ps", "--quiet"]).unwrap_or_default();
        let containers: Vec<&str> = containers.split_whitespace().collect();
        if !containers.is_empty() {
            // One may have ended by itself meanwhile.
            let _ = self.try_docker(&[&["rm", "--force"], containers.as_slice()].concat());
        }
    }

    fn signal(&mut self, name: &str) {
        self.watchdog().signal(name);
    }

    fn watchdog(&mut self) -> &mut Watchdog {
        &mut self.own.as_mut().expect("an engine of the test's own: the shared one stays as it is").watchdog
    }

    fn directory(&self) -> &Path {
        &self.own.as_ref().expect("an engine of the test's own").directory
    }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        if self.own.is_none() {
            return;
        }
        self.thaw();
        // Containers of one that was killed run on until the next one ends them.
        if !std::thread::panicking() {
            self.up();
        }
        self.kill_containers();
    }
}

/// What `cargo xtask test` tells of the engine.
fn told(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set; `cargo xtask test` starts a container engine and sets it, and so does \
             `eval \"$(cargo xtask servers)\"`"
        )
    })
}

/// Runs a program to its end.
fn run(command: &mut Command) -> Result<String, String> {
    let out = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if !out.status.success() {
        return Err(format!("{}: {}", out.status, String::from_utf8_lossy(&out.stderr)));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLEEPER: &str = "services:\n  sleeper:\n    image: debian:trixie-slim\n    init: true\n    command: [sleep, infinity]\n";

    #[test]
    fn a_project_runs_beside_others_and_leaves_nothing() {
        let engine = DockerEngine::shared();
        let (one, other) = (engine.project(SLEEPER), engine.project(SLEEPER));
        one.compose(&["up", "--detach"]);
        other.compose(&["up", "--detach"]);
        assert_ne!(one.container("sleeper"), other.container("sleeper"));
        let name = one.name().to_owned();
        let left = || {
            let filter = format!("label=com.docker.compose.project={name}");
            let containers = engine.docker(&["ps", "--all", "--quiet", "--filter", &filter]);
            containers + &engine.docker(&["network", "ls", "--quiet", "--filter", &filter])
        };
        assert!(!left().is_empty());
        drop(one);
        assert_eq!(left(), "");
        assert!(engine.try_docker(&["inspect", &other.container("sleeper")]).is_ok());
    }

    #[test]
    fn an_engine_of_its_own_dies_comes_back_and_leaves_nothing() {
        let mut engine = DockerEngine::start();
        let directory = engine.directory().to_owned();
        let id = engine.docker(&["run", "--detach", "--init", DockerEngine::IMAGE, "sleep", "infinity"]);
        let running = |engine: &DockerEngine| engine.docker(&["ps", "--quiet", "--no-trunc"]);
        engine.kill_hard();
        assert!(engine.try_docker(&["ps"]).is_err());
        engine.up();
        assert_eq!(running(&engine), "", "without live-restore, a new engine ends what the killed one left");
        engine.docker(&["start", id.trim()]);
        engine.stop();
        assert!(engine.try_docker(&["ps"]).is_err());
        engine.up();
        assert_eq!(running(&engine), "");
        drop(engine);
        assert!(!directory.exists());
    }
}
