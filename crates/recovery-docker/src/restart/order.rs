//! What depends on what, as Compose wrote it on the containers.

use std::collections::{BTreeMap, BTreeSet};

use recovery_core::{
    ServiceName,
    container::{Container, ContainerState, Snapshot},
};

/// The services in the order in which they are restarted: each after those that it depends on. Where they depend on
/// each other in a circle, and otherwise, in the order of their names; `last` after all others.
#[must_use]
pub fn restart_order(
    snapshot: &Snapshot,
    services: &BTreeSet<ServiceName>,
    last: Option<&ServiceName>,
) -> Vec<ServiceName> {
    let needs: BTreeMap<&ServiceName, BTreeSet<ServiceName>> =
        services.iter().map(|service| (service, needs(snapshot, service))).collect();
    let mut order: Vec<ServiceName> = Vec::new();
    let mut left: BTreeSet<&ServiceName> = services.iter().filter(|service| Some(*service) != last).collect();
    while !left.is_empty() {
        let is_free = |service: &&&ServiceName| {
            needs.get(**service).is_none_or(|needs| !needs.iter().any(|need| left.contains(need)))
        };
        let Some(next) = left.iter().find(is_free).or_else(|| left.first()).copied() else { break };
        left.remove(next);
        order.push(next.clone());
    }
    order.extend(last.filter(|last| services.contains(*last)).cloned());
    order
}

/// The services that must be restarted after this one, and after each other, in the order in which that is done. Only
/// those that are at work, and none of the spared.
pub(super) fn dependants(
    snapshot: &Snapshot,
    service: &ServiceName,
    spared: &BTreeSet<ServiceName>,
) -> Vec<ServiceName> {
    let mut found: BTreeSet<ServiceName> = BTreeSet::new();
    let mut new = vec![service.clone()];
    while let Some(restarted) = new.pop() {
        for container in snapshot.containers().iter().filter(|container| is_at_work(container)) {
            let dependant = container.service();
            let follows = shares_network(snapshot, container, &restarted)
                || container.compose.depends_on.iter().any(|on| on.restart && on.service == restarted);
            let is_new = dependant != service && !spared.contains(dependant) && !found.contains(dependant);
            if follows && is_new {
                found.insert(dependant.clone());
                new.push(dependant.clone());
            }
        }
    }
    restart_order(snapshot, &found, None)
}

/// What a service depends on, by `depends_on` and by `network_mode: service:…`.
fn needs(snapshot: &Snapshot, service: &ServiceName) -> BTreeSet<ServiceName> {
    let mut needs = BTreeSet::new();
    for container in snapshot.of_service(service) {
        needs.extend(container.compose.depends_on.iter().map(|on| on.service.clone()));
        let host = container.network_of.as_ref().and_then(|id| snapshot.container(id));
        needs.extend(host.map(|host| host.service().clone()));
    }
    needs.remove(service);
    needs
}

fn shares_network(snapshot: &Snapshot, container: &Container, service: &ServiceName) -> bool {
    let host = container.network_of.as_ref().and_then(|id| snapshot.container(id));
    host.is_some_and(|host| host.service() == service)
}

/// Whether it runs, or tries to. One that was stopped stays stopped.
fn is_at_work(container: &Container) -> bool {
    let tries = matches!(container.state, ContainerState::Running | ContainerState::Restarting);
    tries && !container.compose.one_off
}
