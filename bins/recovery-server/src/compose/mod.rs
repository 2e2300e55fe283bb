//! The Compose project: which profiles it has, and starting and stopping them.

mod files;
mod profiles;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use recovery_core::{Problem, ProfileName, ServiceName, compose::ComposeModel, port::Compose};
use tokio::sync::Semaphore;

pub(crate) use files::ComposeFiles;
pub(crate) use profiles::ProfileAction;

use crate::{app::App, operations::chain, services::Profiles};

/// How often Compose is asked what its files say.
const INTERVAL: Duration = Duration::from_secs(60);

/// The Compose project.
pub(crate) struct ComposeProject {
    compose: Arc<dyn Compose>,
    /// One permit: Compose is told to change one thing after the other.
    changing: Arc<Semaphore>,
}

impl ComposeProject {
    pub(crate) fn new(compose: Arc<dyn Compose>) -> Self {
        Self { compose, changing: Arc::new(Semaphore::new(1)) }
    }
}

impl App {
    /// Asks Compose again and again for its version and for what its files say.
    pub(crate) async fn follow_compose(&self) {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            self.look_at_compose().await;
        }
    }

    /// Asks Compose once. Where its files cannot be read, what they said last counts, and before that the table of the
    /// known profiles.
    pub(crate) async fn look_at_compose(&self) {
        let version = self.compose.compose.version().await;
        let known = version.is_ok();
        self.dependencies.note_compose(version.map(|version| version.to_string()).map_err(Problem::from));
        if known {
            match self.compose.compose.model().await {
                Ok(model) => self.services.set_profiles(Profiles::with(&profile_of_each(&model))),
                Err(error) => tracing::warn!("the Compose files cannot be read: {}", chain(&error)),
            }
        }
    }
}

/// The profile of each service that has one: the first of several.
fn profile_of_each(model: &ComposeModel) -> BTreeMap<ServiceName, ProfileName> {
    let gated = model.services.iter().filter_map(|(name, service)| {
        service.profiles.first().map(|profile| (name.clone(), profile.clone()))
    });
    gated.collect()
}
