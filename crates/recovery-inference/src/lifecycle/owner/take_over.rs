//! What the owner does about the servers that it finds: when it begins, and when somebody else has started one.

use std::{collections::BTreeSet, time::Duration};

use recovery_core::container::Snapshot;

use super::{
    Origin, Owner, Refusal,
    check::{Seen, look},
    record::{Adoption, Pending, adopt},
    wish::Wish,
};
use crate::{
    lifecycle::{State, Status},
    server::BackendName,
};

impl Owner {
    pub(super) async fn take_over(&mut self) {
        let record = self.diary.recall().await;
        // Without the engine nobody knows what runs, and nothing could be done about it.
        let running = loop {
            if let Ok(snapshot) = self.parts.engine.look().await {
                break self.running(&snapshot);
            }
            tokio::select! {
                () = tokio::time::sleep(self.parts.timing.keep) => {}
                Some(command) = self.commands.recv() => {
                    let refusal = match self.check(&command.wish) {
                        Err(refusal @ (Refusal::UnknownBackend { .. } | Refusal::NoModelVariable { .. })) => refusal,
                        _ => Refusal::EngineAway,
                    };
                    // Whoever asked has gone where this fails.
                    let _ = command.reply.send(Err(refusal));
                }
            }
        };
        let chosen = self.parts.routing.selection().await.ok();
        match adopt(record.as_ref(), &running, chosen.as_ref()) {
            Adoption::HandsOff => self.hands_off().await,
            Adoption::Nothing => {
                self.rest(record.and_then(|record| record.active)).await;
                self.by_hand = true;
            }
            Adoption::GoOn(pending) => {
                self.begin_own(pending, "the service ended while it was under way", Origin::Owner).await;
            }
            Adoption::Serves(name) => self.take(name).await,
        }
    }

    /// Somebody else stopped the last server that served here, and may start it, or another one, again.
    pub(super) async fn look_round(&mut self) {
        let snapshot = self.parts.engine.snapshot();
        let running = if snapshot.is_current() { self.running(&snapshot) } else { BTreeSet::new() };
        if running.is_empty() {
            return;
        }
        // Without Redis nobody knows whether the person has chosen a server of their own.
        let Ok(chosen) = self.parts.routing.selection().await else { return };
        if let Adoption::Serves(name) = adopt(None, &running, Some(&chosen)) {
            self.take(name).await;
        }
    }

    /// Takes over a server that runs.
    async fn take(&mut self, name: BackendName) {
        let Some(spec) = self.parts.backends.get(&name).cloned() else { return };
        self.by_hand = false;
        let backend = Some(name.clone());
        self.diary
            .show(|shown| *shown = Status { backend, state: State::Starting, ..Status::default() })
            .await;
        match look(&self.parts, &spec, None).await.seen {
            // It may have so much to do that a request has to wait; to send the gateway to its fallback would be wrong.
            Seen::Well { model } => self.serves(name, model).await,
            // It may still load its model.
            _ => {
                let pending = Pending::new(Wish::Start { backend: name }, None, Duration::ZERO);
                self.begin_own(pending, "it runs and does not answer yet", Origin::Owner).await;
            }
        }
    }

    fn running(&self, snapshot: &Snapshot) -> BTreeSet<BackendName> {
        let all = self.parts.backends.iter();
        let running = all.filter(|spec| snapshot.service(spec.service()).is_running());
        running.map(|spec| spec.name().clone()).collect()
    }
}
