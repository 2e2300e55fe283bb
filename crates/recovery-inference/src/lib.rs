//! What the machine has for language models, what models need, and which of them to run on it.
//!
//! [`hardware`] has the sources of facts: every parser is a pure function of what a tool printed or a file holds, and a
//! [`Detector`] asks all of them over the ports of recovery-core. [`gpu_stats`] asks what the GPUs do now. [`estimate`]
//! says how much memory a model needs, in its parts. [`recommend`] chooses a server and a model, and [`catalogue`] looks
//! for models where they are published. [`server`] describes the servers of language models as data, and speaks with
//! them; [`lifecycle`] changes between them without dropping a request.

mod backend;
pub mod catalogue;
mod detect;
pub mod estimate;
pub mod gpu_stats;
pub mod hardware;
pub mod lifecycle;
pub mod recommend;
pub mod server;
mod tools;

pub use backend::{Backend, UnknownBackend};
pub use detect::{Detector, Places};
pub use tools::Tools;
