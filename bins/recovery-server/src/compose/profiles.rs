//! Starting and stopping what belongs to a profile, and `COMPOSE_PROFILES` in the `.env`, which follows.

use std::{collections::BTreeMap, fmt, sync::Arc};

use recovery_core::{
    Actor, ErrorCode, Operation, OperationId, OperationKind, Problem, ProfileName, ServiceName,
    port::{Cancelled, Compose, OperationContext},
};
use recovery_env::{EnvError, EnvKey, Environment};

use crate::{
    actions::to_value,
    app::App,
    operations::{Failure, NewOperation},
    services::Profiles,
    view,
};

/// What is to be done with a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProfileAction {
    Start,
    Stop,
}

impl ProfileAction {
    /// As it stands in requests and answers.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }

    /// The action of this name.
    ///
    /// # Errors
    /// There is none, and there are these.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        match text {
            "start" => Ok(Self::Start),
            "stop" => Ok(Self::Stop),
            _ => Err(Problem::new(ErrorCode::InvalidRequest, "There is no such action.")
                .hint("Actions are start and stop.")
                .field("action", "must be start or stop")),
        }
    }

    fn kind(self) -> OperationKind {
        match self {
            Self::Start => OperationKind::StartProfile,
            Self::Stop => OperationKind::StopProfile,
        }
    }
}

impl fmt::Display for ProfileAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A profile with its services.
pub(super) struct Chosen {
    pub(super) profile: ProfileName,
    /// The one that the profile is there for comes first.
    pub(super) services: Vec<ServiceName>,
}

impl App {
    /// Starts or stops the services of a profile, and nothing else.
    ///
    /// # Errors
    /// Where it cannot be begun: there is no such profile, the Compose files cannot be read, or another change is
    /// under way.
    pub(crate) async fn change_profile(
        &self,
        actor: Actor,
        profile: &str,
        action: ProfileAction,
    ) -> Result<Operation, Failure> {
        let compose = Arc::clone(&self.compose.compose);
        let model = self.begun(async move { Ok(compose.model().await) }).await?;
        self.note_model(model.as_ref());
        let profiles = match &model {
            Ok(model) => model.profiles(),
            // Its name may be right all the same.
            Err(_) => Profiles::default().by_profile(),
        };
        let chosen = choose(profile, profiles)?;
        model?;
        if let Some(spec) = self.backend_of(&chosen, action)? {
            return self.change_profile_of_backend(actor, spec, chosen, action).await;
        }
        let Ok(permit) = Arc::clone(&self.compose.changing).try_acquire_owned() else {
            return Err(self.change_in_the_way().into());
        };
        let target = Some(chosen.profile.to_string());
        let new = NewOperation { id: OperationId::new(), kind: action.kind(), actor, target };
        let (compose, environment) = (Arc::clone(&self.compose.compose), self.environment.clone());
        self.operations
            .start(new, move |context| async move {
                let _permit = permit;
                let output = carry_out(compose.as_ref(), &chosen, action, context.as_ref()).await?;
                let written = follow(&environment, &chosen.profile, action).await;
                let warning = written.err().map(|error| warning(action, error));
                to_value(view::ProfileChanged::new(
                    &chosen.profile,
                    &chosen.services,
                    action,
                    output,
                    warning,
                ))
            })
            .await
    }

    fn change_in_the_way(&self) -> Problem {
        let kinds = [
            OperationKind::StartProfile,
            OperationKind::StopProfile,
            OperationKind::StartBackend,
            OperationKind::StopBackend,
            OperationKind::SwitchModel,
        ];
        let running = self.operations.running().into_iter().find(|operation| kinds.contains(&operation.kind));
        let words = match &running {
            Some(Operation { kind, .. }) if crate::backends::KINDS.contains(kind) => {
                "The container of an inference server is being started or stopped.".to_owned()
            }
            Some(Operation { kind, target: Some(target), .. }) => {
                let done = if *kind == OperationKind::StartProfile { "started" } else { "stopped" };
                format!("The profile {target} is being {done}.")
            }
            _ => "Another change of the Compose project is under way.".to_owned(),
        };
        let problem = Problem::new(ErrorCode::Busy, words).hint("Wait until it is done, or cancel it.");
        match running {
            Some(running) => problem.operation(running.id),
            None => problem,
        }
    }
}

async fn carry_out(
    compose: &dyn Compose,
    chosen: &Chosen,
    action: ProfileAction,
    context: &dyn OperationContext,
) -> Result<String, Failure> {
    match action {
        ProfileAction::Start => {
            let report = |progress| context.report(progress);
            let started = tokio::select! {
                started = compose.start(&chosen.services, &report) => started?,
                // Compose is stopped where it stands.
                () = context.cancelled() => return Err(Cancelled.into()),
            };
            // Whoever cancels it now comes too late: it runs.
            let _ = context.seal();
            Ok(started)
        }
        ProfileAction::Stop => {
            context.seal()?;
            Ok(compose.stop(&chosen.services, None).await?)
        }
    }
}

/// The profile of this name. Names are compared exactly.
fn choose(name: &str, mut profiles: BTreeMap<ProfileName, Vec<ServiceName>>) -> Result<Chosen, Problem> {
    let known = |profiles: &BTreeMap<ProfileName, Vec<ServiceName>>| {
        let names: Vec<&str> = profiles.keys().map(ProfileName::as_str).collect();
        if names.is_empty() {
            "The Compose files define no profiles.".to_owned()
        } else {
            format!("Profiles are {}.", names.join(", "))
        }
    };
    let Some((profile, mut services)) = profiles.remove_entry(name) else {
        return Err(Problem::new(ErrorCode::InvalidRequest, "There is no such profile.")
            .hint(known(&profiles))
            .field("profile", "is not a profile of the Compose files"));
    };
    let table = Profiles::default();
    services.sort_by_key(|service| table.of(service) != Some(&profile));
    Ok(Chosen { profile, services })
}

/// Lets `COMPOSE_PROFILES` in the `.env` say what was done, so that `docker compose up` on the host agrees with it.
pub(super) async fn follow(
    environment: &Environment,
    profile: &ProfileName,
    action: ProfileAction,
) -> Result<(), EnvError> {
    let Ok(key) = "COMPOSE_PROFILES".parse::<EnvKey>() else { return Ok(()) };
    let now = environment.document().await?.0.get(&key);
    if action == ProfileAction::Stop && now.is_none() {
        return Ok(());
    }
    environment.change(&key, |now| listed(&now.unwrap_or_default(), profile, action)).await
}

/// The list with the profile in it once, or without it. The others stay as they are, in their order.
fn listed(list: &str, profile: &ProfileName, action: ProfileAction) -> String {
    let has = |name: &str| name.trim() == profile.as_str();
    let names = || list.split(',').filter(|name| !name.trim().is_empty());
    match action {
        ProfileAction::Start if names().any(has) => list.to_owned(),
        ProfileAction::Start => names().chain([profile.as_str()]).collect::<Vec<_>>().join(","),
        ProfileAction::Stop if names().any(has) => {
            names().filter(|name| !has(name)).collect::<Vec<_>>().join(",")
        }
        ProfileAction::Stop => list.to_owned(),
    }
}

fn warning(action: ProfileAction, error: EnvError) -> String {
    let done = match action {
        ProfileAction::Start => "started, but COMPOSE_PROFILES in the .env does not name it",
        ProfileAction::Stop => "stopped, but COMPOSE_PROFILES in the .env may still name it",
    };
    let problem = Failure::of(error).log();
    let hint = problem.hint.map(|hint| format!(" {hint}")).unwrap_or_default();
    format!("The profile was {done}. {}{hint}", problem.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_keeps_what_else_stands_in_it() {
        let check = |list: &str, action, expect: &str| {
            assert_eq!(listed(list, &"bridges".parse().unwrap(), action), expect, "{list:?} {action:?}");
        };
        use ProfileAction::{Start, Stop};
        check("", Start, "bridges");
        check("local-ollama", Start, "local-ollama,bridges");
        check("local-ollama, website", Start, "local-ollama, website,bridges");
        check("bridges,website", Start, "bridges,website");
        check(" bridges ", Start, " bridges ");
        check("bridges-too,bridge", Start, "bridges-too,bridge,bridges");
        check("bridges", Stop, "");
        check("website,bridges, local-ollama", Stop, "website, local-ollama");
        check("bridges,website,bridges", Stop, "website");
        check("bridges-too", Stop, "bridges-too");
        check("*", Stop, "*");
        check("", Stop, "");
    }

    #[test]
    fn the_service_that_a_profile_is_there_for_comes_first() {
        let services = ["a-helper", "chat-bridge", "z-helper"].map(|name| name.parse().unwrap()).to_vec();
        let profiles = BTreeMap::from([("bridges".parse().unwrap(), services)]);
        let chosen = choose("bridges", profiles.clone()).map_err(|problem| problem.detail).unwrap();
        let names: Vec<&str> = chosen.services.iter().map(ServiceName::as_str).collect();
        assert_eq!(names, ["chat-bridge", "a-helper", "z-helper"]);
        for name in ["bridge", "Bridges", "bridges ", "", "../x", "*"] {
            let problem = choose(name, profiles.clone()).map(|chosen| chosen.profile).unwrap_err();
            assert_eq!(problem.hint.as_deref(), Some("Profiles are bridges."), "{name:?}");
        }
        let problem = choose("x", BTreeMap::new()).map(|chosen| chosen.profile).unwrap_err();
        assert_eq!(problem.hint.as_deref(), Some("The Compose files define no profiles."));
    }
}
