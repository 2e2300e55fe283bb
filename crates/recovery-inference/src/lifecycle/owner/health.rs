//! Looking after the health of the server that serves.

use std::{sync::Arc, time::Duration};

use recovery_core::port::Unwatched;
use tokio::{sync::oneshot, time::Instant};

use super::{
    Change, Origin, Owner, beside,
    check::{Look, Seen, look},
    diary::Told,
    record::Pending,
    wish::Wish,
};
use crate::{
    lifecycle::{
        Failed, LifecycleError, Verdict,
        break_before_make::{drain, halt},
        start::last_lines_of,
    },
    server::BackendName,
};

impl Owner {
    pub(super) async fn tick(&mut self) {
        if self.change.is_some() || self.look.is_some() {
            return;
        }
        match self.active.as_ref().and_then(|name| self.parts.backends.get(name)).cloned() {
            Some(spec) => {
                let (parts, restarts) = (Arc::clone(&self.parts), self.restarts.clone());
                self.look = Some(beside(async move { look(&parts, &spec, restarts.as_ref()).await }));
            }
            None if self.by_hand => self.look_round().await,
            None => {}
        }
    }

    pub(super) async fn saw(&mut self, look: Look) {
        let Some(name) = self.active.clone() else { return };
        self.restarts = look.restarts;
        let now = Instant::now();
        match look.seen {
            Seen::Well { model } => {
                self.monitor.well(now);
                if self.nursing {
                    self.serves(name, model).await;
                }
            }
            Seen::StoppedByHand if !self.nursing => {
                self.rest(Some(name)).await;
                self.by_hand = true;
            }
            seen @ (Seen::StoppedByHand | Seen::Sick(_)) => match self.monitor.sick(now) {
                Verdict::Watch | Verdict::NotBefore(_) => {}
                Verdict::Restart => {
                    self.monitor.restarted(now);
                    let why = match seen {
                        Seen::Sick(sickness) => format!("it {sickness}"),
                        _ => "it does not run".to_owned(),
                    };
                    // What it has in hand it does not finish any more.
                    let wish = Wish::Start { backend: name.clone() };
                    let pending = Pending::new(wish, Some(name), Duration::ZERO);
                    self.begin_own(pending, &why, Origin::Cure).await;
                }
                Verdict::GiveUp => self.give_up(&name, &seen),
            },
        }
    }

    /// It has been restarted often enough: it is stopped as every server is, so that the engine does not go on
    /// restarting it either.
    fn give_up(&mut self, name: &BackendName, seen: &Seen) {
        let Some(spec) = self.parts.backends.get(name).cloned() else { return };
        let what = match seen {
            Seen::Sick(sickness) => sickness.to_string(),
            _ => "does not come up".to_owned(),
        };
        let parts = Arc::clone(&self.parts);
        let told = Told { diary: Arc::clone(&self.diary), context: Arc::new(Unwatched::new()) };
        let work = beside(async move {
            let log = last_lines_of(&parts, &spec).await;
            // One that cannot be stopped is given up all the same.
            let _ = drain(&parts, &spec, Duration::ZERO, "it is given up", &told).await;
            let _ = halt(&parts, &spec, &told).await;
            let backend = spec.label().to_owned();
            Err(Failed { error: LifecycleError::GivenUp { backend, what, log }, serving: None })
        });
        let pending = Pending::new(Wish::Start { backend: name.clone() }, Some(name.clone()), Duration::ZERO);
        let (asked, _) = oneshot::channel();
        self.change = Some(Change { pending, work, asked, origin: Origin::Cure });
    }
}
