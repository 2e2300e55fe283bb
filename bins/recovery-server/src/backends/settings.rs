use std::time::Duration;

use recovery_inference::{lifecycle::Timing, server::Backends};

/// Which servers of language models there are, and how they are run.
#[derive(Clone, Debug)]
pub struct BackendSettings {
    /// The servers.
    pub backends: Backends,
    /// The address of the gateway before them.
    pub gateway: String,
    /// How long things take, and may take.
    pub timing: Timing,
    /// How long a server that is to be stopped is given to finish its requests, where nobody says otherwise.
    pub drain: Duration,
}

impl Default for BackendSettings {
    fn default() -> Self {
        Self {
            backends: Backends::default(),
            gateway: "http://llm-gateway:8001".to_owned(),
            timing: Timing::default(),
            drain: Timing::DRAIN,
        }
    }
}
