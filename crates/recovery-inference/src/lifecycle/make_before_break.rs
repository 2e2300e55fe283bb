use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Changed, Failed, Left, LifecycleError, Parts, Step, Witness,
    drain::Drain,
    routing::{Route, Routed},
    start::start,
};
use crate::server::BackendSpec;

/// The new server is started beside the old one. Until it answers nothing changes for anybody; then the gateway is
/// told, its caches are waited out while both take requests, and the old one finishes what it has and is stopped.
pub struct MakeBeforeBreak<'a> {
    /// The one that serves.
    pub old: &'a BackendSpec,
    /// The one that is to serve.
    pub new: &'a BackendSpec,
    /// How long the old one is given to finish.
    pub deadline: Duration,
    /// Why the change is made this way, in half a sentence.
    pub reason: &'a str,
}

impl MakeBeforeBreak<'_> {
    /// Makes the change. May be run again after it was cut off anywhere.
    ///
    /// # Errors
    /// The new one did not come up; it is stopped again, and the old one serves as before.
    pub async fn run(&self, parts: &Parts, witness: &dyn Witness) -> Result<Changed, Failed> {
        let (old, new) = (self.old.label(), self.new.label());
        let began = format!("{old} serves on while {new} is started, since {}.", self.reason);
        let started = async {
            witness.step(Step::Starting, began).await?;
            start(parts, self.new, witness).await
        };
        let started = tokio::select! {
            started = started => started,
            cancelled = witness.cancelled() => Err(cancelled.into()),
        };
        // Whoever wants it taken back from here on comes too late: requests go to the new one.
        let model = match started.and_then(|model| Ok(witness.seal().map(|()| model)?)) {
            Ok(model) => model,
            Err(error) => {
                parts.remove(self.new).await;
                return Err(Failed { error, serving: Some(self.old.name().clone()) });
            }
        };
        let Some(since) = self.switch(parts, witness).await else {
            parts.remove(self.new).await;
            let serving = Some(self.old.name().clone());
            return Err(Failed { error: LifecycleError::Elsewhere, serving });
        };
        let drain = Drain {
            server: parts.server(self.old),
            gateway: parts.gateway.as_ref(),
            timing: parts.timing,
            since,
            deadline: self.deadline,
        };
        let left = drain.wait(&|left| witness.tell(Step::Draining, finishes(old, left))).await;
        // From here on there is no way back, and nothing that needs one: the new one serves.
        witness.note(Step::Stopping, format!("{old} is stopped.")).await;
        let stopped = parts.stop(self.old).await;
        Ok(Changed { model, left, warning: stopped.err() })
    }

    /// Leads requests to the new one. Without Redis the gateway cannot be told, and both go on until it can: to stop
    /// the old one would be to drop requests. `None` where the gateway goes by what the person has chosen meanwhile,
    /// which may still lead to the old one.
    async fn switch(&self, parts: &Parts, witness: &dyn Witness) -> Option<Instant> {
        let (old, new) = (self.old.label(), self.new.label());
        witness.note(Step::Draining, format!("{new} answers; the gateway is told.")).await;
        loop {
            match parts.routing.lead(Route::beside(self.new)).await {
                Ok(Routed::Elsewhere) => return None,
                Ok(_) => break,
                Err(_) => {}
            }
            let words = format!("{new} answers; {old} serves on until Redis is back to tell the gateway.");
            witness.tell(Step::Starting, words);
            sleep(parts.timing.poll).await;
        }
        let since = Instant::now();
        let words = format!("{new} answers; {old} goes on until the gateway certainly knows of it.");
        witness.tell(Step::Draining, words);
        Some(since)
    }
}

/// In words, how far a server is with its requests.
pub(super) fn finishes(label: &str, left: Left) -> String {
    match left {
        Left::Requests(1) => format!("{label} finishes its last request."),
        Left::Requests(requests) => format!("{label} finishes {requests} requests."),
        Left::Nothing | Left::Unknown => format!("{label} finishes its requests."),
    }
}
