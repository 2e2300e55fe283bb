use recovery_core::Problem;
use serde::{Deserialize, Serialize};

use crate::server::BackendName;

/// How the servers of language models stand, all together: at most one serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// None runs, or none that is looked after.
    #[default]
    Stopped,
    /// One is being started, beside the one that serves or without one.
    Starting,
    /// One serves.
    Ready,
    /// One takes no new requests and finishes what it has.
    Draining,
    /// One is stopped and another one, or the same with another model, takes its place.
    Switching,
    /// None serves, because something failed.
    Error,
}

/// What is being done at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// An image or a model is fetched.
    Pulling,
    /// A container is started.
    Starting,
    /// A server loads its model.
    Loading,
    /// A server finishes its requests.
    Draining,
    /// A container is stopped.
    Stopping,
    /// The model is changed.
    Updating,
    /// It is done.
    Ready,
    /// It failed.
    Error,
}

impl Step {
    /// The name as it appears in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pulling => "pulling",
            Self::Starting => "starting",
            Self::Loading => "loading",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Updating => "updating",
            Self::Ready => "ready",
            Self::Error => "error",
        }
    }
}

/// What a person sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The server that serves, or during a change the one that is to serve.
    pub backend: Option<BackendName>,
    /// How it stands.
    pub state: State,
    /// The model that it answered with.
    pub model: Option<String>,
    /// What is being done, or was done last, and a sentence about it.
    pub progress: Option<(Step, String)>,
    /// What went wrong.
    pub error: Option<Problem>,
}
