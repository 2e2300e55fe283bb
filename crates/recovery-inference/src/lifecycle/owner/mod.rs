//! The one task that everything about the servers of language models goes through.
//!
//! It knows which one serves, makes one change at a time, keeps the gateway's settings as they are to be, and looks
//! after the health of the one that serves. What it does is written down before it is done, so that the next process
//! goes on with it.

mod carry_out;
mod check;
mod diary;
mod handle;
mod health;
mod herald;
mod record;
mod take_over;
mod wish;

use std::{future::Future, sync::Arc};

use async_trait::async_trait;
use recovery_core::{
    Problem,
    port::{Cancelled, DocumentStore, KeyValue, OperationContext},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;

pub use diary::STATE_KEY;
pub use handle::{Lifecycle, Puller};
pub use herald::Herald;
pub use wish::{Begun, Done, InvalidModelName, ModelName, Refusal, Wish};

use super::{
    Failed, LifecycleError, MemoryFacts, Monitor, Parts, Route, RouteState, Routed, State, Status, Step,
};
use crate::server::{BackendName, BackendSpec};
use carry_out::carry_out;
use check::{Look, Restarts};
use diary::{Diary, Told, backend_of};
use herald::Silence;
use record::Pending;
use wish::Command;

/// What is known of the memory when one server is to take the place of another.
#[async_trait]
pub trait MemoryView: Send + Sync {
    /// While the old one runs.
    async fn facts(&self, old: &BackendSpec, new: &BackendSpec) -> MemoryFacts;
}

/// Where the owner writes.
pub struct Memory {
    /// The state directory.
    pub documents: Arc<dyn DocumentStore>,
    /// Redis.
    pub redis: Arc<dyn KeyValue>,
    /// The database of this service in it.
    pub database: u8,
}

/// Work that goes on beside the owner, and ends where it stands when it is dropped. It is a task of its own: while the
/// owner waits for a lock that the work holds, or for a Redis that hangs, the work must get on.
type Work<T> = AbortOnDropHandle<T>;

/// Begins some work.
fn beside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Work<T> {
    AbortOnDropHandle::new(tokio::spawn(work))
}

/// Who wants a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Somebody asked for it.
    Somebody,
    /// The owner goes on with what was under way, or with what it found.
    Owner,
    /// A sick server is restarted: whoever wants something else need not wait for that.
    Cure,
}

/// A change that is being made.
struct Change {
    pending: Pending,
    work: Work<Result<Done, Failed>>,
    /// Hears its end.
    asked: oneshot::Sender<Result<Done, Problem>>,
    origin: Origin,
}

/// The owner.
pub struct Owner {
    parts: Arc<Parts>,
    memory: Arc<dyn MemoryView>,
    herald: Arc<dyn Herald>,
    diary: Arc<Diary>,
    commands: mpsc::Receiver<Command>,
    active: Option<BackendName>,
    monitor: Monitor,
    /// Whether the active one did not come up when it was last restarted: that it does not run is nobody's will then.
    nursing: bool,
    change: Option<Change>,
    look: Option<Work<Look>>,
    /// What the last look saw of the restarts of the active one.
    restarts: Option<Restarts>,
    /// Whether none serves because somebody else stopped it, or never started one: one that they start is taken over.
    by_hand: bool,
}

impl Owner {
    /// An owner that does nothing until it is run, and those who speak with it.
    #[must_use]
    pub fn new(parts: Parts, memory: Arc<dyn MemoryView>, writes: Memory) -> (Self, Lifecycle) {
        let (send, commands) = mpsc::channel(16);
        let diary = Arc::new(Diary::new(writes.documents, writes.redis, writes.database));
        let parts = Arc::new(parts);
        let (status, shared) = (diary.status.subscribe(), Arc::clone(&parts));
        let lifecycle = Lifecycle { commands: send, status, parts: shared };
        let owner = Self {
            parts,
            memory,
            herald: Arc::new(Silence),
            diary,
            commands,
            active: None,
            monitor: Monitor::default(),
            nursing: false,
            change: None,
            look: None,
            restarts: None,
            by_hand: false,
        };
        (owner, lifecycle)
    }

    /// Lets this one tell others of what the owner begins by itself; otherwise nobody does.
    #[must_use]
    pub fn heralded_by(self, herald: Arc<dyn Herald>) -> Self {
        Self { herald, ..self }
    }

    /// Takes over what runs, and looks after it until nobody can speak with it any more. Dropped at any moment, it
    /// goes on where it was when the next one is run.
    pub async fn run(mut self) {
        self.take_over().await;
        let timing = self.parts.timing;
        let mut keep = interval(timing.keep);
        let mut monitor = interval(timing.monitor);
        for ticks in [&mut keep, &mut monitor] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        monitor.reset();
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.hear(command).await,
                    None => return,
                },
                made = work(self.change.as_mut().map(|change| &mut change.work)) => self.made(made).await,
                seen = work(self.look.as_mut()) => {
                    self.look = None;
                    self.saw(seen).await;
                }
                _ = keep.tick() => self.keep().await,
                _ = monitor.tick() => self.tick().await,
            }
        }
    }

    async fn hear(&mut self, command: Command) {
        let Command { wish, deadline, context, reply } = command;
        // Whoever asked has not waited, and does not expect anything any more.
        if reply.is_closed() {
            return;
        }
        match self.check(&wish) {
            Err(refusal) => {
                // Whoever asked has gone where this fails; so it is below.
                let _ = reply.send(Err(refusal));
            }
            Ok(false) => {
                let _ = reply.send(Ok(Begun::AlreadyStarting));
            }
            Ok(true) => {
                let (tell, end) = oneshot::channel();
                if wish == Wish::Stop {
                    // A server of the person's own that they have just chosen stays chosen.
                    let _ = self.parts.routing.keep().await;
                } else {
                    self.parts.routing.claim().await;
                }
                self.monitor = Monitor::default();
                let old = self.active.clone().or_else(|| self.given_up(&wish));
                self.begin(Pending::new(wish, old, deadline), context, tell, Origin::Somebody).await;
                let _ = reply.send(Ok(Begun::Accepted(end)));
            }
        }
    }

    /// To stop what serves is to stop one, too, that failed and may still run.
    fn given_up(&self, wish: &Wish) -> Option<BackendName> {
        let status = self.diary.status.borrow();
        status.backend.clone().filter(|_| *wish == Wish::Stop && status.state == State::Error)
    }

    /// Whether a change is to be begun for a wish; not where it is the one that is being made.
    fn check(&self, wish: &Wish) -> Result<bool, Refusal> {
        let known = |backend: &BackendName| {
            let known = || self.parts.backends.iter().map(|spec| spec.name().clone()).collect();
            self.parts.backends.get(backend).ok_or_else(|| Refusal::UnknownBackend { known: known() })
        };
        if let Wish::Start { backend } | Wish::SwitchModel { backend, .. } = wish {
            let spec = known(backend)?;
            if matches!(wish, Wish::SwitchModel { .. }) && spec.model_variable().is_none() {
                return Err(Refusal::NoModelVariable { backend: spec.label().to_owned() });
            }
        }
        if let Some(change) = self.change.as_ref().filter(|change| change.origin != Origin::Cure) {
            let same = matches!(wish, Wish::Start { .. }) && change.pending.wish == *wish;
            return if same { Ok(false) } else { Err(Refusal::Busy) };
        }
        match wish {
            Wish::SwitchModel { backend, .. } if self.active.as_ref() != Some(backend) => {
                Err(Refusal::NotActive { backend: known(backend)?.label().to_owned() })
            }
            _ => Ok(true),
        }
    }

    /// Begins what nobody asked for.
    async fn begin_own(&mut self, pending: Pending, why: &str, origin: Origin) {
        let (tell, end) = oneshot::channel();
        let context = self.herald.announce(&pending.wish, why, end).await;
        self.begin(pending, context, tell, origin).await;
    }

    async fn begin(
        &mut self,
        pending: Pending,
        context: Arc<dyn OperationContext>,
        asked: oneshot::Sender<Result<Done, Problem>>,
        origin: Origin,
    ) {
        // Dropped where it stands, which every step bears.
        if let Some(Change { work, asked, .. }) = self.change.take() {
            work.abort();
            // It may be in the middle of a step on another thread.
            let _ = work.await;
            let _ = asked.send(Err(Cancelled.into()));
        }
        (self.look, self.restarts, self.by_hand) = (None, None, false);
        let told = Told { diary: Arc::clone(&self.diary), context };
        let state = if pending.wish == Wish::Stop { State::Draining } else { State::Starting };
        let backend = backend_of(&pending);
        self.diary
            .show(|status| *status = Status { backend, state, progress: None, error: None, ..status.clone() })
            .await;
        let (parts, memory) = (Arc::clone(&self.parts), Arc::clone(&self.memory));
        let work = beside(carry_out(parts, memory, pending.clone(), told));
        self.change = Some(Change { pending, work, asked, origin });
    }

    async fn made(&mut self, made: Result<Done, Failed>) {
        let Some(change) = self.change.take() else { return };
        let ended = match made {
            Ok(done) => {
                match done.serving.clone() {
                    Some(name) => self.serves(name, done.model.clone()).await,
                    None => self.rest(change.pending.old).await,
                }
                Ok(done)
            }
            Err(Failed { error: LifecycleError::Cancelled(cancelled), serving }) => {
                match serving {
                    Some(name) => self.serves(name, None).await,
                    None => self.rest(backend_of(&change.pending)).await,
                }
                Err(cancelled.into())
            }
            Err(failed) => Err(self.failed(&change.pending, failed, change.origin != Origin::Somebody).await),
        };
        // Whoever asked may have gone.
        let _ = change.asked.send(ended);
    }

    async fn serves(&mut self, name: BackendName, model: Option<String>) {
        let Some(spec) = self.parts.backends.get(&name) else { return };
        let words = format!("{} serves.", spec.label());
        // Where it was routed to already, nothing is written; without Redis it is written later.
        let _ = self.parts.routing.lead(Route::to(spec, RouteState::Ready)).await;
        self.settle(Some(name.clone())).await;
        let progress = Some((Step::Ready, words));
        let status = Status { backend: Some(name), state: State::Ready, model, progress, error: None };
        self.diary.show(|shown| *shown = status).await;
    }

    /// None serves. `last` is the one that did.
    async fn rest(&mut self, last: Option<BackendName>) {
        if let Some(spec) = last.as_ref().and_then(|name| self.parts.backends.get(name)) {
            let _ = self.parts.routing.lead(Route::to(spec, RouteState::Stopped)).await;
        }
        self.settle(None).await;
        self.diary.show(|shown| *shown = Status { backend: last, ..Status::default() }).await;
    }

    async fn hands_off(&mut self) {
        self.parts.routing.leave().await;
        (self.look, self.by_hand) = (None, false);
        self.settle(None).await;
        self.diary.show(|shown| *shown = Status::default()).await;
    }

    /// A change failed. What it left serves on; the failure stays visible until the next change. What the owner began by
    /// itself, it tries again, and it goes on trying to bring back what served before.
    async fn failed(&mut self, pending: &Pending, failed: Failed, by_itself: bool) -> Problem {
        let given_up = matches!(failed.error, LifecycleError::GivenUp { .. });
        let log = self.herald.presentable(failed.error.log().to_vec()).await;
        let problem = failed.error.problem();
        let words = problem.detail.clone();
        let problem = herald::with_last_words(problem, &log);
        self.settle(failed.serving.clone()).await;
        if failed.serving.is_none()
            && let Some(spec) = backend_of(pending).and_then(|name| self.parts.backends.get(&name))
        {
            let error = words.clone();
            let _ = self.parts.routing.lead(Route { error, ..Route::to(spec, RouteState::Error) }).await;
        }
        let shown = problem.clone();
        let backend = failed.serving.or_else(|| backend_of(pending));
        if self.active.is_none() && !given_up {
            self.active = if by_itself { backend.clone() } else { pending.old.clone() };
            self.nursing = self.active.is_some();
        }
        self.diary
            .show(|status| {
                let progress = Some((Step::Error, words));
                *status = Status { backend, state: State::Error, model: None, progress, error: Some(shown) };
            })
            .await;
        problem
    }

    /// Nothing is under way any more.
    async fn settle(&mut self, active: Option<BackendName>) {
        self.active.clone_from(&active);
        self.nursing = false;
        let settled = |record: &mut record::Record| (record.active, record.change) = (active, None);
        // Where it cannot be written, the next process makes the change again, which it bears.
        let _ = self.diary.remember(settled).await;
    }

    async fn keep(&mut self) {
        self.diary.publish().await;
        if let Ok(Routed::Elsewhere) = self.parts.routing.keep().await
            && self.change.is_none()
            && self.active.is_some()
        {
            self.hands_off().await;
        }
    }
}

/// Goes on with some work; never returns where there is none.
async fn work<T>(work: Option<&mut Work<T>>) -> T {
    let Some(work) = work else { return std::future::pending().await };
    match work.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and everything with it.
            Err(_) => std::future::pending().await,
        },
    }
}
