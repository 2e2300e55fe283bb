//! What is shown of the services: pure, over one snapshot.

use recovery_core::{
    ServiceName,
    container::{ContainerState, Snapshot},
};

use super::catalogue::{CORE, OWN, Profiles, is_own, names};
use crate::view::{Service, ServiceLists, Services};

/// The core services, there or not, then every other one that runs or ought to.
pub(super) fn listed(snapshot: &Snapshot, profiles: &Profiles) -> Vec<Service> {
    let others = snapshot.services().into_iter().filter(|service| {
        let optional = profiles.of(service).is_some();
        !is_core(service) && !is_own(service) && is_wanted(snapshot, service, optional)
    });
    let mut services = names(CORE);
    services.extend(others.cloned());
    shown(snapshot, profiles, &services)
}

/// The services that count for whether the platform is well: those listed, without the optional ones.
pub(super) fn counted(listed: &[Service]) -> Services {
    Services::of(listed.iter().filter(|service| !service.optional).cloned().collect())
}

/// Everything that there is or could be.
pub(super) fn all(snapshot: &Snapshot, profiles: &Profiles) -> ServiceLists {
    let mut core = names(CORE);
    core.extend(names([OWN]));
    let optional: Vec<ServiceName> = profiles.services().cloned().collect();
    let other = snapshot
        .services()
        .into_iter()
        .filter(|service| !is_core(service) && !is_own(service) && profiles.of(service).is_none());
    let other: Vec<ServiceName> = other.cloned().collect();
    ServiceLists {
        core: shown(snapshot, profiles, &core),
        optional: shown(snapshot, profiles, &optional),
        other: shown(snapshot, profiles, &other),
    }
}

fn shown(snapshot: &Snapshot, profiles: &Profiles, services: &[ServiceName]) -> Vec<Service> {
    services.iter().map(|service| Service::new(snapshot.service(service), profiles.of(service))).collect()
}

fn is_core(service: &ServiceName) -> bool {
    CORE.contains(&service.as_str())
}

/// Whether one of its containers is at work or ought to be. An optional service that was stopped ought not.
fn is_wanted(snapshot: &Snapshot, service: &ServiceName, optional: bool) -> bool {
    snapshot.of_service(service).any(|container| {
        let stopped = matches!(container.state, ContainerState::Exited | ContainerState::Created);
        container.should_run() && !(optional && stopped)
    })
}
