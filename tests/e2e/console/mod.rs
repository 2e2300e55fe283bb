//! The console in a real browser, against the real service.

mod browser;
mod looks;
mod outage;
mod platform;
mod verdict;
mod work;

use crate::service::World;

/// A world without containers, whatever the machine has.
fn world() -> World {
    World::new().with("DOCKER_HOST", "unix:///nowhere/docker.sock")
}
