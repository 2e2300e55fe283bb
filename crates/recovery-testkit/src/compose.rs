//! A Compose project in memory.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use recovery_core::{
    Progress, ProjectName, ServiceName,
    compose::{ComposeModel, ComposeService, ComposeVersion, DependencyCondition, ServiceStanding},
    port::{Compose, ComposeError, ImageTrouble, OnProgress},
};

use crate::{Faults, lock};

/// Where [`FakeCompose`] can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComposePoint {
    /// Asked for its version.
    Version,
    /// Asked for the services.
    Model,
    /// Asked whether an `.env` can be used.
    CheckEnv,
    /// Before the first service is started.
    Start,
    /// Before the first service is stopped.
    Stop,
    /// Before an image is pulled.
    Pull,
}

/// A container of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeContainer {
    /// Another one for each container that was ever made.
    pub id: u64,
    /// How it stands.
    pub standing: ServiceStanding,
}

/// A Compose project with its containers and the images of an engine. Clones share it.
///
/// Stricter than Compose: it panics over a call without services, over a service that is named twice, over a
/// service that is given no time to stop, and over two changes at the same time, which Compose lets pass and no caller should make.
#[derive(Clone)]
pub struct FakeCompose {
    project: ProjectName,
    state: Arc<Mutex<State>>,
    changing: Arc<AtomicBool>,
    ids: Arc<AtomicU64>,
    faults: Faults<ComposePoint, ComposeError>,
    watcher: Arc<Mutex<Option<Watcher>>>,
}

/// Hears of each service that was started or stopped.
type Watcher = Arc<dyn Fn(&str, bool) + Send + Sync>;

#[derive(Default)]
struct State {
    model: ComposeModel,
    containers: BTreeMap<ServiceName, FakeContainer>,
    /// Images that no registry has.
    missing: Vec<String>,
    demanded: Vec<String>,
    broken: Option<String>,
    /// How long each service was given when it was last stopped.
    graces: BTreeMap<ServiceName, Option<Duration>>,
    elsewhere: bool,
    uninstalled: bool,
}

impl FakeCompose {
    /// A project without services.
    #[must_use]
    pub fn new(project: &str) -> Self {
        Self {
            project: project.parse().expect("the name of a project"),
            state: Arc::default(),
            changing: Arc::default(),
            ids: Arc::default(),
            faults: Faults::default(),
            watcher: Arc::default(),
        }
    }

    /// Tells this of each service that is started (`true`) or stopped, when it is done.
    pub fn tell(&self, watcher: impl Fn(&str, bool) + Send + Sync + 'static) {
        *lock(&self.watcher) = Some(Arc::new(watcher));
    }

    fn happened(&self, service: &ServiceName, started: bool) {
        let watcher = lock(&self.watcher).clone();
        if let Some(watcher) = watcher {
            watcher(service.as_str(), started);
        }
    }

    /// What is to fail.
    #[must_use]
    pub fn faults(&self) -> &Faults<ComposePoint, ComposeError> {
        &self.faults
    }

    /// Defines a service.
    pub fn define(&self, name: &str, service: ComposeService) {
        lock(&self.state).model.services.insert(service_name(name), service);
    }

    /// Gives a service a container that stands so, as somebody else would.
    pub fn put(&self, name: &str, standing: ServiceStanding) {
        let container = FakeContainer { id: self.ids.fetch_add(1, Relaxed), standing };
        lock(&self.state).containers.insert(service_name(name), container);
    }

    /// The container of a service.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<FakeContainer> {
        lock(&self.state).containers.get(name).cloned()
    }

    /// How long a service was given when it was last stopped; `None` where its definition said it.
    ///
    /// # Panics
    /// Panics where it was never stopped.
    #[must_use]
    pub fn grace(&self, name: &str) -> Option<Duration> {
        *lock(&self.state).graces.get(name).expect("a service that was stopped")
    }

    /// Takes an image away from every registry.
    pub fn no_image(&self, image: &str) {
        lock(&self.state).missing.push(image.to_owned());
    }

    /// Lets the Compose files demand a variable of the `.env`.
    pub fn demand(&self, variable: &str) {
        lock(&self.state).demanded.push(variable.to_owned());
    }

    /// Breaks the Compose files, or mends them.
    pub fn broken(&self, what: Option<&str>) {
        lock(&self.state).broken = what.map(str::to_owned);
    }

    /// Lets the running containers have been made from another directory, or from this one again.
    pub fn elsewhere(&self, elsewhere: bool) {
        lock(&self.state).elsewhere = elsewhere;
    }

    /// Removes Compose from the machine, or installs it again.
    pub fn uninstalled(&self, uninstalled: bool) {
        lock(&self.state).uninstalled = uninstalled;
    }

    fn check_installed(&self) -> Result<(), ComposeError> {
        if lock(&self.state).uninstalled { Err(ComposeError::NotInstalled) } else { Ok(()) }
    }

    fn read(&self) -> Result<ComposeModel, ComposeError> {
        self.check_installed()?;
        let state = lock(&self.state);
        match &state.broken {
            Some(what) => {
                Err(ComposeError::Invalid { project: self.project.clone(), what: Some(what.clone()) })
            }
            None => Ok(state.model.clone()),
        }
    }

    /// What stands before every change.
    fn begin(&self, services: &[ServiceName], change: bool) -> Result<Changing, ComposeError> {
        assert!(!services.is_empty(), "nothing was named");
        let mut sorted = services.to_vec();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| pair[0] != pair[1]), "named twice: {services:?}");
        assert!(!self.changing.swap(true, Relaxed), "two changes of one project at the same time");
        let changing = Changing(Arc::clone(&self.changing));
        let model = self.read()?;
        let state = lock(&self.state);
        let live = |container: &FakeContainer| {
            !matches!(container.standing, ServiceStanding::Absent | ServiceStanding::Exited(_))
        };
        if change && state.elsewhere && state.containers.values().any(live) {
            let directories = "/there and /here".into();
            return Err(ComposeError::Elsewhere { project: self.project.clone(), directories });
        }
        match services.iter().find(|service| !model.services.contains_key(*service)) {
            Some(service) => Err(ComposeError::UnknownService { service: service.clone() }),
            None => Ok(changing),
        }
    }

    fn image(&self, service: &ServiceName) -> Result<(), ComposeError> {
        let state = lock(&self.state);
        let image = state.model.services.get(service).and_then(|service| service.image.clone());
        match image {
            Some(image) if state.missing.contains(&image) => {
                Err(ComposeError::ImageMissing { image: Some(image), trouble: ImageTrouble::NotFound })
            }
            _ => Ok(()),
        }
    }
}

struct Changing(Arc<AtomicBool>);

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

fn service_name(name: &str) -> ServiceName {
    name.parse().expect("the name of a service")
}

#[async_trait]
impl Compose for FakeCompose {
    async fn version(&self) -> Result<ComposeVersion, ComposeError> {
        self.faults.pass(ComposePoint::Version).await?;
        self.check_installed()?;
        Ok("2.26.1".parse().expect("a version"))
    }

    async fn model(&self) -> Result<ComposeModel, ComposeError> {
        self.faults.pass(ComposePoint::Model).await?;
        self.read()
    }

    async fn check_env(&self, candidate: &Path) -> Result<(), ComposeError> {
        self.faults.pass(ComposePoint::CheckEnv).await?;
        self.read()?;
        let text = std::fs::read_to_string(candidate).map_err(|_| ComposeError::EnvInvalid { line: None })?;
        for (line, number) in text.lines().zip(1..) {
            // Enough of Compose's rules for a fake: a quote that is not closed, and a `$` before nothing.
            if line.matches('"').count() % 2 == 1 || line.contains("${}") {
                return Err(ComposeError::EnvInvalid { line: Some(number) });
            }
        }
        let missing = lock(&self.state)
            .demanded
            .iter()
            .find(|variable| {
                let has_value = |line: &str| {
                    line.strip_prefix(&format!("{variable}=")).is_some_and(|value| !value.is_empty())
                };
                !text.lines().any(has_value)
            })
            .cloned();
        match missing {
            Some(variable) => Err(ComposeError::VariableMissing { variable }),
            None => Ok(()),
        }
    }

    async fn start(
        &self,
        services: &[ServiceName],
        progress: OnProgress<'_>,
    ) -> Result<String, ComposeError> {
        let _changing = self.begin(services, true)?;
        let (model, standing) = {
            let state = lock(&self.state);
            let standing =
                state.containers.iter().map(|(name, container)| (name.clone(), container.standing));
            (state.model.clone(), standing.collect())
        };
        if let Some(unmet) = model.first_unmet(services, &standing) {
            return Err(ComposeError::DependencyNotReady(unmet));
        }
        self.faults.pass(ComposePoint::Start).await?;
        let mut output = Vec::new();
        for service in services {
            progress(Progress::phase("starting"));
            self.image(service)?;
            let ran = {
                let mut state = lock(&self.state);
                let id = self.ids.fetch_add(1, Relaxed);
                let new = FakeContainer { id, standing: ServiceStanding::Absent };
                let container = state.containers.entry(service.clone()).or_insert(new);
                let ran = container.standing.meets(DependencyCondition::Started);
                if !ran {
                    container.standing = ServiceStanding::Running;
                }
                ran
            };
            if !ran {
                self.happened(service, true);
            }
            let done = if ran { "Running" } else { "Started" };
            output.push(format!("Container {}-{service}-1 {done}", self.project));
        }
        Ok(output.join("\n"))
    }

    async fn stop(&self, services: &[ServiceName], grace: Option<Duration>) -> Result<String, ComposeError> {
        assert!(grace != Some(Duration::ZERO), "no time to stop");
        let _changing = self.begin(services, true)?;
        self.faults.pass(ComposePoint::Stop).await?;
        let mut output = Vec::new();
        for service in services {
            lock(&self.state).graces.insert(service.clone(), grace);
            let ran = lock(&self.state).containers.get_mut(service).map(|container| {
                let ran = container.standing.meets(DependencyCondition::Started);
                if ran {
                    container.standing = ServiceStanding::Exited(0);
                }
                ran
            });
            if ran == Some(true) {
                self.happened(service, false);
            }
            if ran.is_some() {
                output.push(format!("Container {}-{service}-1 Stopped", self.project));
            }
        }
        Ok(output.join("\n"))
    }

    async fn pull(&self, services: &[ServiceName], progress: OnProgress<'_>) -> Result<(), ComposeError> {
        let _changing = self.begin(services, false)?;
        self.faults.pass(ComposePoint::Pull).await?;
        progress(Progress::phase("pulling"));
        services.iter().try_for_each(|service| self.image(service))
    }
}
