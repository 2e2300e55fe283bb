//! The one task that everything about the servers of language models goes through.
//!
//! It knows which one serves, makes one change at a time, keeps the gateway's settings as they are to be, and looks
//! after the health of the one that serves. What it does is written down before it is done, so that the next process
//! goes on with it.

mod carry_out;
mod check;
mod diary;
mod record;
mod wish;

use std::{collections::BTreeSet, future::Future, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use recovery_core::{
    Problem,
    port::{DocumentStore, KeyValue, OperationContext, Unwatched},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval},
};

pub use diary::STATE_KEY;
pub use wish::{Begun, Done, InvalidModelName, ModelName, Refusal, Wish};

use super::{Failed, MemoryFacts, Monitor, Parts, Route, RouteState, Routed, State, Status, Step, Verdict};
use crate::server::{BackendName, BackendSpec};
use carry_out::carry_out;
use check::{Seen, look};
use diary::{Diary, Told, backend_of};
use record::{Adoption, Pending, adopt};
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

/// Speaks with the owner. Clones speak with the same one.
#[derive(Clone)]
pub struct Lifecycle {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
}

impl Lifecycle {
    /// How things stand. Never waits.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Hears of every change of the status.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Asks for something. The server that has to go is given `deadline` for the requests that it has; `context` is
    /// told how far it is.
    ///
    /// # Errors
    /// It is refused, and nothing has changed.
    pub async fn ask(
        &self,
        wish: Wish,
        deadline: Duration,
        context: Arc<dyn OperationContext>,
    ) -> Result<Begun, Refusal> {
        let (reply, answer) = oneshot::channel();
        let command = Command { wish, deadline, context, reply };
        self.commands.send(command).await.map_err(|_| Refusal::Ending)?;
        answer.await.unwrap_or(Err(Refusal::Ending))
    }
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A change that is being made.
struct Change {
    pending: Pending,
    work: Work<Result<Done, Failed>>,
    /// Whoever asked for it; nobody where it is the owner's own.
    asked: Option<oneshot::Sender<Result<Done, Problem>>>,
}

/// The owner.
pub struct Owner {
    parts: Arc<Parts>,
    memory: Arc<dyn MemoryView>,
    diary: Arc<Diary>,
    commands: mpsc::Receiver<Command>,
    active: Option<BackendName>,
    monitor: Monitor,
    /// Whether the active one did not come up when it was last restarted: that it does not run is nobody's will then.
    nursing: bool,
    change: Option<Change>,
    look: Option<Work<Seen>>,
}

impl Owner {
    /// An owner that does nothing until it is run, and those who speak with it.
    #[must_use]
    pub fn new(parts: Parts, memory: Arc<dyn MemoryView>, writes: Memory) -> (Self, Lifecycle) {
        let (send, commands) = mpsc::channel(16);
        let diary = Arc::new(Diary::new(writes.documents, writes.redis, writes.database));
        let lifecycle = Lifecycle { commands: send, status: diary.status.subscribe() };
        let owner = Self {
            parts: Arc::new(parts),
            memory,
            diary,
            commands,
            active: None,
            monitor: Monitor::default(),
            nursing: false,
            change: None,
            look: None,
        };
        (owner, lifecycle)
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
                _ = monitor.tick() => self.start_look(),
            }
        }
    }

    async fn take_over(&mut self) {
        let record = self.diary.recall().await;
        let mut running = BTreeSet::new();
        // Without the engine nobody knows what runs, and nothing could be done about it.
        loop {
            if let Ok(snapshot) = self.parts.engine.look().await {
                let runs = |spec: &&BackendSpec| snapshot.service(spec.service()).is_running();
                running.extend(self.parts.backends.iter().filter(runs).map(|spec| spec.name().clone()));
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(self.parts.timing.keep) => {}
                Some(command) = self.commands.recv() => {
                    // Whoever asked has gone where this fails.
                    let _ = command.reply.send(Err(Refusal::EngineAway));
                }
            }
        }
        let chosen = self.parts.routing.selection().await.ok();
        match adopt(record.as_ref(), &running, chosen.as_ref()) {
            Adoption::HandsOff => self.hands_off().await,
            Adoption::Nothing => self.rest(record.and_then(|record| record.active)).await,
            Adoption::GoOn(pending) => self.begin(pending, Arc::new(Unwatched::new()), None).await,
            Adoption::Serves(name) => {
                let Some(spec) = self.parts.backends.get(&name).cloned() else { return };
                match self.parts.server(&spec).ready().await {
                    Ok(model) => self.serves(name, model).await,
                    // It may still load its model.
                    Err(_) => {
                        let pending = Pending::new(Wish::Start { backend: name }, None, Duration::ZERO);
                        self.begin(pending, Arc::new(Unwatched::new()), None).await;
                    }
                }
            }
        }
    }

    async fn hear(&mut self, command: Command) {
        let Command { wish, deadline, context, reply } = command;
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
                self.parts.routing.claim().await;
                // Whoever asks for a server may have written its name into the gateway's settings in the same moment.
                let _ = self.parts.routing.keep().await;
                self.monitor = Monitor::default();
                let old = self.active.clone();
                self.begin(Pending::new(wish, old, deadline), context, Some(tell)).await;
                let _ = reply.send(Ok(Begun::Accepted(end)));
            }
        }
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
        if let Some(change) = &self.change {
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

    async fn begin(
        &mut self,
        pending: Pending,
        context: Arc<dyn OperationContext>,
        asked: Option<oneshot::Sender<Result<Done, Problem>>>,
    ) {
        self.look = None;
        let told = Told { diary: Arc::clone(&self.diary), context };
        let state = if pending.wish == Wish::Stop { State::Draining } else { State::Starting };
        let backend = backend_of(&pending);
        self.diary
            .show(|status| *status = Status { backend, state, progress: None, error: None, ..status.clone() })
            .await;
        let (parts, memory) = (Arc::clone(&self.parts), Arc::clone(&self.memory));
        let work = Box::pin(carry_out(parts, memory, pending.clone(), told));
        self.change = Some(Change { pending, work, asked });
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
            Err(failed) => Err(self.failed(&change.pending, failed, change.asked.is_none()).await),
        };
        if let Some(asked) = change.asked {
            let _ = asked.send(ended);
        }
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
        self.look = None;
        self.settle(None).await;
        self.diary.show(|shown| *shown = Status::default()).await;
    }

    /// A change failed. What it left serves on; the failure stays visible until the next change. What the owner began by
    /// itself, it tries again.
    async fn failed(&mut self, pending: &Pending, failed: Failed, by_itself: bool) -> Problem {
        let problem = failed.error.problem();
        self.settle(failed.serving.clone()).await;
        if failed.serving.is_none()
            && let Some(spec) = backend_of(pending).and_then(|name| self.parts.backends.get(&name))
        {
            let error = problem.detail.clone();
            let _ = self.parts.routing.lead(Route { error, ..Route::to(spec, RouteState::Error) }).await;
        }
        let shown = problem.clone();
        let backend = failed.serving.or_else(|| backend_of(pending));
        if by_itself && self.active.is_none() {
            (self.active, self.nursing) = (backend.clone(), true);
        }
        self.diary
            .show(|status| {
                let progress = Some((Step::Error, shown.detail.clone()));
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

    fn start_look(&mut self) {
        let spec = self.active.as_ref().and_then(|name| self.parts.backends.get(name)).cloned();
        if let (Some(spec), None, None) = (spec, &self.change, &self.look) {
            let parts = Arc::clone(&self.parts);
            self.look = Some(Box::pin(async move { look(&parts, &spec).await }));
        }
    }

    async fn saw(&mut self, seen: Seen) {
        let Some(name) = self.active.clone() else { return };
        let now = Instant::now();
        match seen {
            Seen::Well => {
                self.monitor.well(now);
                if self.nursing {
                    self.serves(name, None).await;
                }
            }
            Seen::StoppedByHand if !self.nursing => self.rest(Some(name)).await,
            Seen::StoppedByHand | Seen::Sick(_) => match self.monitor.sick(now) {
                Verdict::Watch | Verdict::NotBefore(_) => {}
                Verdict::Restart => {
                    self.monitor.restarted(now);
                    // What it has in hand it does not finish any more.
                    let wish = Wish::Start { backend: name.clone() };
                    let pending = Pending::new(wish, Some(name), Duration::ZERO);
                    self.begin(pending, Arc::new(Unwatched::new()), None).await;
                }
                Verdict::GiveUp => {
                    let label = self.parts.backends.get(&name).map_or(name.as_str(), BackendSpec::label);
                    let words = match seen {
                        Seen::Sick(sickness) => format!("{label} {sickness}, however often it is restarted."),
                        _ => format!("{label} does not come up, however often it is restarted."),
                    };
                    self.give_up(name.clone(), words).await;
                }
            },
        }
    }

    async fn give_up(&mut self, name: BackendName, words: String) {
        let problem = Problem::new(recovery_core::ErrorCode::ServiceFailed, words)
            .hint("Its log says why. Start it again when that is mended.");
        if let Some(spec) = self.parts.backends.get(&name) {
            let error = problem.detail.clone();
            let _ = self.parts.routing.lead(Route { error, ..Route::to(spec, RouteState::Error) }).await;
        }
        self.settle(None).await;
        self.diary
            .show(|status| {
                let progress = Some((Step::Error, problem.detail.clone()));
                let backend = Some(name);
                *status =
                    Status { backend, state: State::Error, model: None, progress, error: Some(problem) };
            })
            .await;
    }
}

/// Goes on with some work; never returns where there is none.
async fn work<T>(work: Option<&mut Work<T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}
