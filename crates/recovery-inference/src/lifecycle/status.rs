use serde::{Deserialize, Serialize};

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
