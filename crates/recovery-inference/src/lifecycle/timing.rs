use std::time::Duration;

/// How long things take, and may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For how long after a change of its settings the gateway may go by any mixture of old and new ones.
    pub gateway_cache: Duration,
    /// How much longer is waited, for clocks and slow answers.
    pub margin: Duration,
    /// Between two looks at a server that starts or finishes its requests.
    pub poll: Duration,
    /// How long a server that starts may show no sign of progress.
    pub stall: Duration,
    /// Between two looks at the gateway's settings.
    pub keep: Duration,
    /// Between two looks at the health of the server that serves.
    pub monitor: Duration,
}

impl Timing {
    /// How long a server is given to finish its requests, where nobody says otherwise.
    pub const DRAIN: Duration = Duration::from_secs(300);

    /// How long after a change of its settings the gateway certainly goes by the new ones.
    #[must_use]
    pub fn settled(&self) -> Duration {
        self.gateway_cache + self.margin
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            gateway_cache: Duration::from_secs(10),
            margin: Duration::from_secs(2),
            poll: Duration::from_millis(500),
            stall: Duration::from_secs(600),
            keep: Duration::from_secs(1),
            monitor: Duration::from_secs(30),
        }
    }
}
