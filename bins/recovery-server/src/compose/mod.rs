//! The Compose project: which profiles it has, and starting and stopping them.

mod files;
mod in_turn;
mod inference;
mod profiles;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use recovery_core::{
    Problem, ProfileName, ServiceName,
    compose::ComposeModel,
    port::{Compose, ComposeError},
};
use tokio::sync::Semaphore;

pub(crate) use files::ComposeFiles;
pub(crate) use inference::ProfilesFollow;
pub(crate) use profiles::ProfileAction;

use in_turn::InTurn;

use crate::{app::App, operations::chain, services::Profiles};

/// How often Compose is asked what its files say.
const INTERVAL: Duration = Duration::from_secs(60);

/// The Compose project.
pub(crate) struct ComposeProject {
    compose: Arc<dyn Compose>,
    /// One permit: Compose is told to change one thing after the other.
    changing: Arc<Semaphore>,
    /// Why the files could not be read when they were last looked at: it is logged once.
    trouble: Mutex<Option<String>>,
}

impl ComposeProject {
    pub(crate) fn new(compose: Arc<dyn Compose>) -> Self {
        Self { compose, changing: Arc::new(Semaphore::new(1)), trouble: Mutex::default() }
    }

    /// Compose for whoever waits for its turn to change something.
    pub(crate) fn in_turn(&self) -> Arc<dyn Compose> {
        Arc::new(InTurn { compose: Arc::clone(&self.compose), changing: Arc::clone(&self.changing) })
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
            let model = self.compose.compose.model().await;
            self.note_model(model.as_ref());
        }
    }

    /// Remembers what Compose said of its files.
    fn note_model(&self, model: Result<&ComposeModel, &ComposeError>) {
        let trouble = match model {
            Ok(model) => {
                self.services.set_profiles(Profiles::with(&profile_of_each(model)));
                None
            }
            Err(error) => Some(chain(error)),
        };
        let mut known = self.compose.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != trouble {
            match &trouble {
                Some(trouble) => tracing::warn!("the Compose files cannot be read: {trouble}"),
                None => tracing::info!("the Compose files can be read"),
            }
            *known = trouble;
        }
    }
}

/// The profile of each service that has one; of several the one that it is known by, else the first.
fn profile_of_each(model: &ComposeModel) -> BTreeMap<ServiceName, ProfileName> {
    let known = Profiles::default();
    let gated = model.services.iter().filter_map(|(name, service)| {
        let known = known.of(name).filter(|profile| service.profiles.contains(*profile));
        known.or_else(|| service.profiles.first()).map(|profile| (name.clone(), profile.clone()))
    });
    gated.collect()
}

#[cfg(test)]
mod tests {
    use recovery_core::compose::ComposeService;

    use super::*;

    #[test]
    fn of_several_profiles_the_known_one_counts() {
        let service = |profiles: &[&str]| ComposeService {
            profiles: profiles.iter().map(|profile| profile.parse().unwrap()).collect(),
            image: None,
            built: false,
            depends_on: Vec::new(),
        };
        let services = [
            ("ollama", service(&["ai", "local-ollama"])),
            ("nova-vllm", service(&["ai", "gpu"])),
            ("searx", service(&["web", "search"])),
            ("postgres", service(&[])),
        ];
        let services = services.map(|(name, service)| (name.parse().unwrap(), service)).into();
        let profiles: Vec<String> = profile_of_each(&ComposeModel { services })
            .into_iter()
            .map(|(service, profile)| format!("{service}: {profile}"))
            .collect();
        assert_eq!(profiles, ["nova-vllm: ai", "ollama: local-ollama", "searx: search"]);
    }
}
