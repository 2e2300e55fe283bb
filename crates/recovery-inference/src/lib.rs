//! What the machine has for language models, what models need, and which of them to run on it.
//!
//! [`hardware`] finds out what there is: every parser is a pure function of what a tool printed or a file holds.
//! [`estimate`] says how much memory a model needs, in its parts. [`recommend`] chooses a server and a model.

mod backend;
pub mod estimate;
pub mod hardware;
pub mod recommend;

pub use backend::{Backend, UnknownBackend};
