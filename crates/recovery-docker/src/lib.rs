//! The container engine and Compose behind the ports of `recovery-core`.
//!
//! The engine is reached over its API, Compose through its command line. What a service is, and what may be done to it,
//! is not decided here.

mod compose;
mod engine;
mod restart;

pub use compose::{ComposeCli, ComposeSettings, NamedFiles};
pub use engine::{DockerEngine, InvalidAddress};
pub use restart::{Patience, RestartError, Restarter, restart_order};
