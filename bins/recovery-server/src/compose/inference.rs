//! Profiles of the servers of language models: they are started and stopped by the one task that owns them.

use recovery_core::{Actor, ErrorCode, Operation, Problem, ProfileName};
use recovery_env::{EnvError, Environment};
use recovery_inference::{
    lifecycle::{Done, Wish},
    server::{BackendName, BackendSpec, Backends},
};

use super::profiles::{Chosen, ProfileAction, follow};
use crate::{
    actions::to_value,
    app::App,
    backends::{Answer, Change},
    operations::Failure,
    view,
};

/// Lets `COMPOSE_PROFILES` in the `.env` name the server that serves, and no other one.
pub(crate) struct ProfilesFollow {
    environment: Environment,
    profiles: Vec<(BackendName, ProfileName)>,
}

impl ProfilesFollow {
    pub(crate) fn new(environment: Environment, backends: &Backends) -> Self {
        let profiles = backends.iter().map(|spec| (spec.name().clone(), spec.profile().clone())).collect();
        Self { environment, profiles }
    }

    /// This one serves from now on.
    pub(crate) async fn serving(&self, serving: Option<&BackendName>) -> Result<(), Problem> {
        for (name, profile) in &self.profiles {
            let action = if serving == Some(name) { ProfileAction::Start } else { ProfileAction::Stop };
            follow(&self.environment, profile, action).await.map_err(|error| {
                let problem = Failure::of::<EnvError>(error).log();
                Problem { detail: format!("COMPOSE_PROFILES does not follow. {}", problem.detail), ..problem }
            })?;
        }
        Ok(())
    }
}

impl App {
    /// The server of language models that a profile is there for, where its owner has to act: not to stop one that does
    /// not serve anyway.
    ///
    /// # Errors
    /// Servers are being changed: which of them may be stopped is known afterwards.
    pub(super) fn backend_of(
        &self,
        chosen: &Chosen,
        action: ProfileAction,
    ) -> Result<Option<&BackendSpec>, Problem> {
        let found = chosen.services.iter().find_map(|service| self.backends.specs.of_service(service));
        let Some(spec) = found else { return Ok(None) };
        let own = action == ProfileAction::Start || self.is_owned(spec)?;
        Ok(Some(spec).filter(|_| own))
    }

    /// Starts or stops the server of a profile as [`App::change_backend`] does.
    ///
    /// # Errors
    /// It is refused, and nothing has changed.
    pub(super) async fn change_profile_of_backend(
        &self,
        actor: Actor,
        spec: &BackendSpec,
        chosen: Chosen,
        action: ProfileAction,
    ) -> Result<Operation, Failure> {
        let wish = match action {
            ProfileAction::Start => Wish::Start { backend: spec.name().clone() },
            ProfileAction::Stop => Wish::Stop,
        };
        let label = spec.label().to_owned();
        let result = move |done: Done, warning: Option<Problem>| async move {
            let output = match (&done.serving, &done.model) {
                (Some(_), Some(model)) => format!("{label} serves the model {model}."),
                (Some(_), None) => format!("{label} serves."),
                (None, _) => format!("{label} is stopped."),
            };
            let warning = done.warning.or(warning).map(|problem| problem.detail);
            let Chosen { profile, services } = chosen;
            to_value(view::ProfileChanged::new(&profile, &services, action, output, warning))
        };
        match self.change_backend(Change { actor, wish, drain: None }, result).await? {
            Answer::Accepted(operation) => Ok(*operation),
            Answer::AlreadyStarting(_) => {
                let problem = Problem::new(ErrorCode::Busy, "It is being started already.");
                Err(self.with_backend_change(problem.hint("Wait until it is done.")).into())
            }
        }
    }
}
