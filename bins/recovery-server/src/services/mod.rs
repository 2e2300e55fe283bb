//! The services of the platform: which there are, how they stand, restarting them, their logs.

mod catalogue;
mod lists;
mod restart;

use std::sync::{Arc, Mutex, PoisonError};

use actix_web::web::Bytes;
use recovery_core::{
    ErrorCode, Problem, ServiceName,
    container::{Container, Snapshot, Standing},
    port::{ContainerEngine, LogTail},
};
use recovery_docker::Patience;

pub(crate) use catalogue::{Profiles, is_own};
pub(crate) use restart::spared;

use crate::{
    app::App,
    operations::{Failure, Happening},
    view,
};

/// The services, as they are known now.
pub(crate) struct Services {
    engine: Arc<dyn ContainerEngine>,
    pub(crate) patience: Patience,
    shown: Mutex<Shown>,
}

/// What is shown, made once for each snapshot.
struct Shown {
    revision: Option<u64>,
    profiles: Arc<Profiles>,
    listed: Arc<[view::Service]>,
    counted: view::Services,
    listed_json: Bytes,
    all_json: Bytes,
}

impl Services {
    pub(crate) fn new(engine: Arc<dyn ContainerEngine>, patience: Patience) -> Self {
        let shown = Shown {
            revision: None,
            profiles: Arc::new(Profiles::default()),
            listed: Arc::from([]),
            counted: view::Services::default(),
            listed_json: Bytes::new(),
            all_json: Bytes::new(),
        };
        Self { engine, patience, shown: Mutex::new(shown) }
    }

    /// The engine that has the containers.
    pub(crate) fn engine(&self) -> &Arc<dyn ContainerEngine> {
        &self.engine
    }

    /// What is known of the containers.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.engine.snapshot()
    }

    /// From here on these services count as optional.
    pub(crate) fn set_profiles(&self, profiles: Profiles) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown.profiles != profiles {
            shown.profiles = Arc::new(profiles);
            shown.revision = None;
        }
    }

    /// The core services, and the others that run or ought to.
    pub(crate) fn listed(&self) -> Arc<[view::Service]> {
        self.look(|shown| Arc::clone(&shown.listed))
    }

    /// The same, as JSON.
    pub(crate) fn listed_json(&self) -> Bytes {
        self.look(|shown| shown.listed_json.clone())
    }

    /// Every service that there is or could be, as JSON.
    pub(crate) fn all_json(&self) -> Bytes {
        self.look(|shown| shown.all_json.clone())
    }

    /// Those that count for whether the platform is well.
    pub(crate) fn counted(&self) -> view::Services {
        let counted = self.look(|shown| shown.counted.clone());
        match self.snapshot().standing() {
            Standing::Away(problem) => counted.with_problem(problem),
            Standing::Up(_) | Standing::Unasked => counted,
        }
    }

    fn look<T>(&self, at: impl FnOnce(&Shown) -> T) -> T {
        let snapshot = self.engine.snapshot();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.revision != Some(snapshot.revision()) {
            let listed = lists::listed(&snapshot, &shown.profiles);
            shown.revision = Some(snapshot.revision());
            shown.counted = lists::counted(&listed);
            shown.listed_json = json(&listed);
            shown.all_json = json(&lists::all(&snapshot, &shown.profiles));
            shown.listed = listed.into();
        }
        at(&shown)
    }

    /// The last lines that each container of a service printed, with its name.
    pub(crate) async fn logs(
        &self,
        service: &ServiceName,
        lines: usize,
    ) -> Result<Vec<(String, LogTail)>, Failure> {
        let mut snapshot = self.snapshot();
        if !snapshot.is_current() {
            snapshot = self.engine.look().await?;
        }
        let containers: Vec<&Container> = snapshot.of_service(service).collect();
        if containers.is_empty() {
            let words = format!("The service {service} has no container.");
            let hint = "List the services to see which there are; names are compared exactly.";
            return Err(Problem::new(ErrorCode::NotFound, words).hint(hint).into());
        }
        let mut logs = Vec::new();
        for container in containers {
            logs.push((container.name.clone(), self.engine.logs(&container.id, lines).await?));
        }
        Ok(logs)
    }
}

fn json(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

impl App {
    /// Tells those who watch the events of every service that changes, and what becomes of the engine.
    pub(crate) async fn follow_services(&self) {
        let mut before: Arc<[view::Service]> = Arc::from([]);
        let mut snapshot = self.services.snapshot();
        loop {
            match snapshot.standing() {
                Standing::Unasked => {}
                Standing::Up(_) => self.dependencies.note_docker(Ok(())),
                Standing::Away(problem) => self.dependencies.note_docker(Err((**problem).clone())),
            }
            let now = self.services.listed();
            if snapshot.revision() > 0 {
                self.tell_changes(&before, &now);
            }
            before = now;
            snapshot = self.services.engine().newer_than(snapshot.revision()).await;
        }
    }

    fn tell_changes(&self, before: &[view::Service], now: &[view::Service]) {
        let events = self.operations.events();
        for service in now.iter().filter(|service| !before.contains(service)) {
            events.publish(Happening::Service(Arc::new(service.clone())));
        }
        let is_gone = |service: &&view::Service| now.iter().all(|other| other.service != service.service);
        for gone in before.iter().filter(is_gone) {
            events.publish(Happening::Service(Arc::new(gone.gone())));
        }
    }
}
