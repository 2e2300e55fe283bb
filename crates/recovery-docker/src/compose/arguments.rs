//! What Compose is called with.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use recovery_core::{ServiceName, port::Command};

use super::{ComposeSettings, program::Program};

/// Pulling an image of tens of gigabytes over a slow line takes hours.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// A service may take its time to stop: vLLM and PostgreSQL finish what they are at.
const LONGEST_STOP: Duration = Duration::from_secs(15 * 60);
/// What Compose takes for itself.
const OF_COMPOSE: Duration = Duration::from_secs(60);
/// Reading files takes no engine, and must not wait for one that hangs.
const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";
/// A project of hundreds of services has a model of some hundred KiB.
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;

/// What Compose is to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task<'a> {
    /// Show the services of all profiles.
    Model,
    /// Load the project and say nothing.
    Check,
    /// List the containers of the project.
    Containers,
    Start(&'a [ServiceName]),
    /// Each is given so long, where that is said.
    Stop(&'a [ServiceName], Option<Duration>),
    Pull(&'a [ServiceName]),
    /// Remove their containers that do not run.
    Remove(&'a [ServiceName]),
}

impl fmt::Display for Task<'_> {
    /// As the beginning of a sentence: "reading the Compose project failed".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, services) = match self {
            Self::Model | Self::Check => return f.write_str("reading the Compose project"),
            Self::Containers => return f.write_str("listing the containers of the Compose project"),
            Self::Start(services) => ("starting", services),
            Self::Stop(services, _) => ("stopping", services),
            Self::Pull(services) => ("pulling the image of", services),
            Self::Remove(services) => ("removing the containers of", services),
        };
        let names: Vec<&str> = services.iter().map(ServiceName::as_str).collect();
        write!(f, "{verb} {}", names.join(", "))
    }
}

/// The project, with the files that define it now.
pub(super) struct Project<'a> {
    pub(super) settings: &'a ComposeSettings,
    pub(super) env_file: &'a Path,
    /// Absolute.
    pub(super) files: Vec<PathBuf>,
}

/// A call without the program that it is for.
pub(super) struct Call {
    args: Vec<OsString>,
    engine: String,
    path: String,
    timeout: Duration,
    /// The `.env` that it reads.
    pub(super) env_file: PathBuf,
}

impl Project<'_> {
    /// The call for a task.
    pub(super) fn command(&self, task: &Task<'_>) -> Call {
        let mut args: Vec<OsString> = vec!["--ansi".into(), "never".into()];
        args.extend(["-p".into(), self.settings.project.as_str().into()]);
        let names =
            |services: &[ServiceName]| services.iter().map(|name| OsString::from(name.as_str())).collect();
        let (verb, names, timeout): (&[&str], Vec<OsString>, Duration) = match task {
            Task::Model => {
                (&["--profile", "*", "config", "--format", "json"], Vec::new(), self.settings.patience)
            }
            Task::Check => (&["config", "--quiet"], Vec::new(), self.settings.patience),
            Task::Containers => {
                (&["ps", "--all", "--no-trunc", "--format", "json"], Vec::new(), self.settings.patience)
            }
            Task::Start(services) => {
                (&["up", "--detach", "--no-deps", "--no-build"], names(services), LONGEST)
            }
            Task::Stop(services, None) => (&["stop"], names(services), LONGEST_STOP),
            Task::Stop(services, Some(grace)) => {
                let mut arguments = vec!["--timeout".into(), grace.as_secs().to_string().into()];
                arguments.extend(names(services));
                (&["stop"], arguments, LONGEST_STOP.max(*grace + OF_COMPOSE))
            }
            Task::Remove(services) => (&["rm", "--force"], names(services), LONGEST_STOP),
            Task::Pull(services) => (&["pull", "--ignore-buildable"], names(services), LONGEST),
        };
        // The containers are those with the project's label, whatever the files say: they are found also where the
        // files are broken.
        if !matches!(task, Task::Containers) {
            args.extend(["--project-directory".into(), self.settings.directory.clone().into_os_string()]);
            args.extend(["--env-file".into(), self.env_file().as_os_str().to_owned()]);
            for file in &self.files {
                args.extend(["-f".into(), file.clone().into_os_string()]);
            }
        }
        args.extend(verb.iter().map(OsString::from));
        args.extend(names);
        let engine = match task {
            Task::Model | Task::Check => NO_ENGINE,
            _ => self.settings.engine.as_str(),
        };
        Call {
            args,
            engine: engine.to_owned(),
            path: self.settings.path.clone(),
            timeout,
            env_file: self.env_file.to_owned(),
        }
    }

    /// Without an `.env`, an empty one: a file of that name elsewhere must not be taken for it.
    fn env_file(&self) -> &Path {
        if self.env_file.exists() { self.env_file } else { Path::new("/dev/null") }
    }
}

impl Call {
    /// The call for this program.
    pub(super) fn of(self, program: &Program) -> Command {
        let mut command = base(program, &self.path).env("DOCKER_HOST", self.engine);
        command.args.extend(self.args);
        command.timeout(self.timeout).stdout_limit(LARGEST_ANSWER)
    }
}

/// The environment of Compose is empty but for this, since it stands above the `.env`: where the engine is, where
/// programs are, and words in English.
pub(super) fn base(program: &Program, path: &str) -> Command {
    let mut command = Command::new(program.program).env("PATH", path).env("LC_ALL", "C.UTF-8");
    command.args.extend(program.first.iter().map(OsString::from));
    // Neither advertisements nor warnings about containers of services that the files do not name (any more).
    command.env("DOCKER_CLI_HINTS", "false").env("COMPOSE_IGNORE_ORPHANS", "true")
}
