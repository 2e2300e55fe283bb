use std::{path::Path, time::Duration};

use async_trait::async_trait;

use super::CommandError;
use crate::{
    Progress, ProjectName, ServiceName,
    compose::{ComposeModel, ComposeVersion, DependencyCondition, UnmetDependency},
};

/// Why an image cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageTrouble {
    /// The registry does not have it, or does not show it to us.
    NotFound,
    /// The registry does not answer.
    RegistryAway,
    /// It would have to be built, which is not done here.
    NotBuilt,
}

/// Compose cannot do what it was asked to. The words hold no path, no value of a variable and nothing that a program
/// printed, unless a variant says so.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// Neither the plugin of the Docker command line nor the program of its own is there.
    #[error("Docker Compose is not installed")]
    NotInstalled,
    /// It is there, and too old.
    #[error("Docker Compose {found} is too old: {needed} or newer is needed")]
    TooOld {
        /// Its version.
        found: String,
        /// The first one that is enough.
        needed: &'static str,
    },
    /// There is no Compose file.
    #[error("there is no Compose file{}", file.as_ref().map(|file| format!(" {file}")).unwrap_or_default())]
    NoFile {
        /// The file that was named, without its directories; `None` where the usual names were looked for.
        file: Option<String>,
    },
    /// The Compose files cannot be used.
    #[error("the Compose files of {project} cannot be used{}", said(what))]
    Invalid {
        /// The project.
        project: ProjectName,
        /// What Compose says of them, without paths and values.
        what: Option<String>,
    },
    /// A variable that the Compose files demand is not set.
    #[error("the Compose files need the variable {variable}, which has no value")]
    VariableMissing {
        /// Its name.
        variable: String,
    },
    /// The `.env` cannot be read by Compose.
    #[error("Compose cannot read the .env file{}", line.map(|line| format!(" (line {line})")).unwrap_or_default())]
    EnvInvalid {
        /// The line, where Compose says it.
        line: Option<u32>,
    },
    /// The containers of the project were made from another directory than the one that is seen here.
    #[error(
        "the containers of {project} were started from another directory than the one that recovery sees"
    )]
    Elsewhere {
        /// The project.
        project: ProjectName,
        /// Both directories: for the log.
        #[source]
        directories: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The Compose files have no such service.
    #[error("the Compose files have no service {service}")]
    UnknownService {
        /// The service.
        service: ServiceName,
    },
    /// A service that another one needs is not as it must be.
    #[error("the service {} needs {}, which {}", .0.service, .0.dependency, .0.found)]
    DependencyNotReady(UnmetDependency),
    /// An image cannot be had.
    #[error("the image{} {}", image.as_ref().map(|image| format!(" {image}")).unwrap_or_default(), match trouble {
        ImageTrouble::NotFound => "is not there, and cannot be pulled: no registry offers it",
        ImageTrouble::RegistryAway => "is not there, and its registry does not answer",
        ImageTrouble::NotBuilt => "has not been built",
    })]
    ImageMissing {
        /// Its name, where Compose says it.
        image: Option<String>,
        /// Why.
        trouble: ImageTrouble,
    },
    /// Another program or container has the port of the host that a container is to have.
    #[error("the port{} of the host is taken", port.map(|port| format!(" {port}")).unwrap_or_default())]
    PortTaken {
        /// The port, where the engine says it.
        port: Option<u16>,
    },
    /// The engine has no access to a GPU.
    #[error("the container engine cannot give containers a GPU")]
    NoGpu,
    /// Another container has the name that a container is to have.
    #[error("another container has the name{} already", container.as_ref().map(|name| format!(" {name}")).unwrap_or_default())]
    NameTaken {
        /// The name, where the engine says it.
        container: Option<String>,
    },
    /// The disk of the engine is full.
    #[error("the disk of the container engine is full")]
    DiskFull,
    /// The container engine does not answer.
    #[error("the container engine does not answer")]
    EngineUnavailable,
    /// The container engine does not let recovery in.
    #[error("the container engine refuses recovery")]
    EngineRefused,
    /// It took too long, and was stopped.
    #[error("{doing} did not end in time")]
    TimedOut {
        /// What Compose was doing, for example `starting ollama`.
        doing: String,
        /// What ran.
        #[source]
        source: CommandError,
    },
    /// Compose could not be run to its end.
    #[error("{doing} failed: Compose could not be run")]
    Run {
        /// What Compose was to do.
        doing: String,
        /// Why not.
        #[source]
        source: CommandError,
    },
    /// Compose failed in another way.
    #[error("{doing} failed{}", said(what))]
    Failed {
        /// What Compose was doing.
        doing: String,
        /// What it says went wrong, without paths and values; `None` where that cannot be told.
        what: Option<String>,
    },
    /// Compose succeeded, and its answer cannot be read.
    #[error("{doing} failed: the answer of Compose cannot be understood")]
    Answer {
        /// What Compose was doing.
        doing: String,
        /// What is wrong with the answer. Nothing of the answer itself.
        what: String,
    },
}

fn said(what: &Option<String>) -> String {
    what.as_ref().map(|what| format!(": {what}")).unwrap_or_default()
}

impl UnmetDependency {
    /// What to do about it.
    pub(super) fn hint(&self) -> String {
        let dependency = &self.dependency;
        match self.condition {
            DependencyCondition::Started => format!("Start {dependency} first, then try again."),
            DependencyCondition::Healthy => {
                format!(
                    "Start {dependency} if it does not run, and try again when it is healthy; its log says what keeps it."
                )
            }
            DependencyCondition::Completed => {
                format!("Let {dependency} run to its end first; its log says why it has not.")
            }
        }
    }
}

/// Hears how far Compose is.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// The Compose project that is looked after.
///
/// What changes something works on the services that are named and on nothing else: never on what they depend on. It
/// is refused where the project's containers were made from another directory than the one that is seen here, since
/// Compose would then make them anew with other mounts. When a future is dropped, Compose is stopped where it stands;
/// what it has changed so far stays.
#[async_trait]
pub trait Compose: Send + Sync {
    /// The version of Compose.
    async fn version(&self) -> Result<ComposeVersion, ComposeError>;

    /// The services that the Compose files define, of every profile, with the `.env` as it stands.
    async fn model(&self) -> Result<ComposeModel, ComposeError>;

    /// Whether Compose can load the project with this file in place of its `.env`.
    async fn check_env(&self, candidate: &Path) -> Result<(), ComposeError>;

    /// Starts services, or makes those that run anew where their definition has changed; images that are not there are
    /// pulled, none is built. Those named together are started in the order in which they need each other; what else
    /// they depend on must be as they need it. Returns what Compose said, a line for each thing done.
    async fn start(&self, services: &[ServiceName], progress: OnProgress<'_>)
    -> Result<String, ComposeError>;

    /// Stops services; the containers stay. One that does not run is left alone. A program that has not ended after
    /// `grace` is killed; without one, after the time that its own definition gives it. Returns what Compose said.
    async fn stop(&self, services: &[ServiceName], grace: Option<Duration>) -> Result<String, ComposeError>;

    /// Pulls the images of services anew; one that is built is left alone.
    async fn pull(&self, services: &[ServiceName], progress: OnProgress<'_>) -> Result<(), ComposeError>;
}
