//! Compose behind its port, through its command line.
//!
//! What is run ([`arguments`]), how it is found and run ([`program`], [`run`]) and what its output means ([`model`],
//! [`containers`], [`progress`], [`diagnose`]) are parts of their own; those of the last kind are pure functions.

mod arguments;
mod containers;
mod diagnose;
mod files;
mod model;
mod program;
mod progress;
mod run;
mod values;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use recovery_core::{
    ProjectName, ServiceName,
    compose::{ComposeModel, ComposeVersion},
    port::{CommandRunner, Compose, ComposeError, OnProgress},
};

use self::{
    arguments::{Project, Task},
    containers::Containers,
    files::find,
    program::Programs,
};

/// Says which Compose files define the project: a setting, or `COMPOSE_FILE` as it stands in the `.env`.
#[async_trait]
pub trait NamedFiles: Send + Sync {
    /// The files as they are named now; relative ones are looked for in the project's directory. None where Compose's
    /// usual names are meant.
    async fn named(&self) -> Vec<PathBuf>;
}

#[async_trait]
impl NamedFiles for Vec<PathBuf> {
    async fn named(&self) -> Vec<PathBuf> {
        self.clone()
    }
}

/// The Compose project that is looked after, and how Compose is reached.
#[derive(Clone)]
pub struct ComposeSettings {
    /// The project's name.
    pub project: ProjectName,
    /// Its directory, absolute.
    pub directory: PathBuf,
    /// Its Compose files.
    pub files: Arc<dyn NamedFiles>,
    /// Its `.env`. Where there is none, Compose reads an empty one.
    pub env_file: PathBuf,
    /// The container engine, as `DOCKER_HOST` names it.
    pub engine: String,
    /// Where programs are looked for, as `PATH` lists it.
    pub path: String,
    /// How long it may take to read the files or to list the containers.
    pub patience: Duration,
}

impl ComposeSettings {
    /// Where programs are looked for, unless something else is said.
    pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    /// How long reading the files or listing the containers may take, unless something else is said.
    pub const PATIENCE: Duration = Duration::from_secs(30);
}

/// The project, through `docker compose` or `docker-compose`, of version 2 or newer.
///
/// Each call runs the program anew with an environment that holds nothing but what is needed, since Compose prefers
/// what stands there to the `.env`. What is changed is always given by name and with `--no-deps` and `--no-build`.
pub struct ComposeCli {
    settings: ComposeSettings,
    runner: Arc<dyn CommandRunner>,
    programs: Programs,
}

impl ComposeCli {
    /// The project of these settings. Nothing is run before it is asked for something.
    #[must_use]
    pub fn new(settings: ComposeSettings, runner: Arc<dyn CommandRunner>) -> Self {
        let programs = Programs::new(settings.path.clone());
        Self { settings, runner, programs }
    }

    /// The project as it stands now: its Compose files are found anew each time.
    async fn project<'a>(&'a self, env_file: &'a Path) -> Result<Project<'a>, ComposeError> {
        let named = self.settings.files.named().await;
        Ok(Project { settings: &self.settings, env_file, files: find(&self.settings.directory, &named)? })
    }

    async fn read_model(&self, project: &Project<'_>) -> Result<ComposeModel, ComposeError> {
        let output = self.run(project.command(&Task::Model), &Task::Model).await?;
        model::parse(&output.stdout)
            .map_err(|what| ComposeError::Answer { doing: Task::Model.to_string(), what })
    }

    /// The project's containers, after it was made sure that they were made from the directory that is seen here:
    /// relative mounts would lead elsewhere otherwise, and Compose would make containers anew on empty directories.
    async fn containers_of_this_directory(&self, project: &Project<'_>) -> Result<Containers, ComposeError> {
        let version = self.version().await?;
        let output = self.run(project.command(&Task::Containers), &Task::Containers).await?;
        let containers = Containers::parse(&output.stdout, &version)?;
        containers.check_place(&self.settings.project, &self.settings.directory)?;
        Ok(containers)
    }

    /// Removes the containers that a failed start has made and that never ran, so that nothing is half done. One that
    /// ran stays: its log says why it failed.
    async fn remove_what_never_ran(
        &self,
        project: &Project<'_>,
        services: &[ServiceName],
        before: &Containers,
    ) {
        let left: Vec<ServiceName> = match self.containers_of_this_directory(project).await {
            Ok(now) => {
                services.iter().filter(|name| !before.has(name) && now.only_created(name)).cloned().collect()
            }
            Err(_) => return,
        };
        if !left.is_empty() {
            let task = Task::Remove(&left);
            // Why it failed is told already; a container that is left over is in nobody's way.
            let _ = self.run(project.command(&task), &task).await;
        }
    }

    fn check_known(model: &ComposeModel, services: &[ServiceName]) -> Result<(), ComposeError> {
        match services.iter().find(|service| !model.services.contains_key(*service)) {
            Some(service) => Err(ComposeError::UnknownService { service: service.clone() }),
            None => Ok(()),
        }
    }
}

/// Names the image that cannot be had, where the engine did not and it can only be one.
fn with_image(error: ComposeError, model: &ComposeModel, services: &[ServiceName]) -> ComposeError {
    match (error, services) {
        (ComposeError::ImageMissing { image: None, trouble }, [service]) => {
            let image = model.services.get(service).and_then(|service| service.image.clone());
            ComposeError::ImageMissing { image, trouble }
        }
        (error, _) => error,
    }
}

#[async_trait]
impl Compose for ComposeCli {
    async fn version(&self) -> Result<ComposeVersion, ComposeError> {
        Ok(self.programs.get(self.runner.as_ref()).await?.version)
    }

    async fn model(&self) -> Result<ComposeModel, ComposeError> {
        let project = self.project(&self.settings.env_file).await?;
        self.read_model(&project).await
    }

    async fn check_env(&self, candidate: &Path) -> Result<(), ComposeError> {
        let project = self.project(candidate).await?;
        self.run(project.command(&Task::Check), &Task::Check).await.map(drop)
    }

    async fn start(
        &self,
        services: &[ServiceName],
        progress: OnProgress<'_>,
    ) -> Result<String, ComposeError> {
        if services.is_empty() {
            return Ok(String::new());
        }
        let project = self.project(&self.settings.env_file).await?;
        let (containers, model) =
            tokio::try_join!(self.containers_of_this_directory(&project), self.read_model(&project))?;
        Self::check_known(&model, services)?;
        if let Some(unmet) = model.first_unmet(services, &containers.standing()) {
            return Err(ComposeError::DependencyNotReady(unmet));
        }
        let task = Task::Start(services);
        match self.run_watched(project.command(&task), &task, progress).await {
            Ok(output) => Ok(progress::done(&output.stderr_tail)),
            Err(error) => {
                self.remove_what_never_ran(&project, services, &containers).await;
                Err(with_image(error, &model, services))
            }
        }
    }

    async fn stop(&self, services: &[ServiceName], grace: Option<Duration>) -> Result<String, ComposeError> {
        if services.is_empty() {
            return Ok(String::new());
        }
        let project = self.project(&self.settings.env_file).await?;
        let (_, model) =
            tokio::try_join!(self.containers_of_this_directory(&project), self.read_model(&project))?;
        Self::check_known(&model, services)?;
        let task = Task::Stop(services, grace);
        let output = self.run(project.command(&task), &task).await?;
        Ok(progress::done(&output.stderr_tail))
    }

    async fn pull(&self, services: &[ServiceName], progress: OnProgress<'_>) -> Result<(), ComposeError> {
        if services.is_empty() {
            return Ok(());
        }
        let project = self.project(&self.settings.env_file).await?;
        let model = self.read_model(&project).await?;
        Self::check_known(&model, services)?;
        let task = Task::Pull(services);
        let pulled = self.run_watched(project.command(&task), &task, progress).await;
        pulled.map(drop).map_err(|error| with_image(error, &model, services))
    }
}
