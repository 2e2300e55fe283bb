//! What the service does by itself, each thing in its own rhythm.
//!
//! Whether something is due is read from what it has left behind, not from how long the service runs: restarts neither
//! put it off nor repeat it. [`Job`] is one such thing; [`run`] carries it out when it is due ([`due`]), tries again
//! after a failure in longer and longer pauses, and says how it went to [`Alerts`](crate::alerts::Alerts).

mod checkpoint;
mod drill;
mod due;
mod memory;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use recovery_core::{ErrorCode, Operation, OperationState, Problem, port::DocumentStore};
use time::OffsetDateTime;
use tokio::time::Instant;

use self::{
    due::Ahead,
    memory::{Memory, Remembered},
};
use crate::{alerts::Subject, app::App, operations::Failure};

pub(crate) use checkpoint::{Checkpoints, good_checkpoints, made_checkpoints};
pub(crate) use drill::Drills;

/// How often it is looked whether something is due, at least: the clock may have been set, and files may have gone.
const LOOK: Duration = Duration::from_secs(60);
/// The rest between two beginnings, at most: what leaves no trace must not be done without end.
const REST: Duration = Duration::from_secs(60);

/// Something that is done again and again.
#[async_trait]
pub(crate) trait Job: Send + Sync {
    /// What notices call it. The stable word also names the document that remembers its failures.
    fn subject(&self) -> Subject;

    /// How long after it was done well it is due again; `None` where it is turned off.
    fn interval(&self) -> Option<Duration>;

    /// When it was done well, as far as what it left behind tells, in any order.
    ///
    /// # Errors
    /// Where that cannot be found out now. It counts as a failure of the job.
    async fn done(&self, app: &App) -> Result<Vec<OffsetDateTime>, Problem>;

    /// Does it once, to its end.
    async fn attempt(&self, app: &App) -> Outcome;
}

/// What came of a try.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was done; with what there is to say of it, as a sentence.
    Done(String),
    /// It failed.
    Failed(Problem),
    /// It was done to its end, and what it found out is bad. Told like a failure, and not tried again at once: before
    /// the interval is over nothing else would come of it, or more harm.
    Bad(Problem),
    /// Something is in the way: not begun, and tried again soon.
    Busy,
    /// Somebody stopped it. Nobody is told, and it is tried again as after a failure.
    Stopped,
}

impl Outcome {
    /// What came of an operation that was started for a job and waited for. `done` says what it did.
    pub(crate) fn of(operation: Option<Operation>, done: impl FnOnce(&Operation) -> String) -> Self {
        match operation {
            Some(operation) if operation.state == OperationState::Succeeded => Self::Done(done(&operation)),
            Some(Operation { state: OperationState::Failed, error: Some(problem), .. }) => {
                Self::failed(problem)
            }
            Some(_) | None => Self::Stopped,
        }
    }

    /// An operation could not be started.
    pub(crate) fn not_begun(failure: Failure) -> Self {
        match failure.problem().code {
            ErrorCode::Busy => Self::Busy,
            ErrorCode::Interrupted => Self::Stopped,
            _ => Self::Failed(failure.log()),
        }
    }

    fn failed(problem: Problem) -> Self {
        if problem.code == ErrorCode::Busy { Self::Busy } else { Self::Failed(problem) }
    }
}

/// What is known of all jobs, for those who run them and those who look.
pub(crate) struct Schedule {
    memory: Memory,
    failures: AtomicU64,
}

/// How a job stands.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// When it is due next: now, where it is overdue.
    pub(crate) next_due: OffsetDateTime,
    /// How the last try ended, where it failed.
    pub(crate) problem: Option<Problem>,
    /// How many tries in a row came to nothing.
    pub(crate) failures: u32,
    /// When the last one of them began.
    pub(crate) failed_at: Option<OffsetDateTime>,
}

impl Schedule {
    pub(crate) fn new(documents: Arc<dyn DocumentStore>) -> Self {
        Self { memory: Memory::new(documents), failures: AtomicU64::new(0) }
    }

    /// How many tries have failed since the service began.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// How a job stands that was done at these times and is due again after this interval.
    pub(crate) async fn standing(
        &self,
        job: &'static str,
        interval: Duration,
        done: &[OffsetDateTime],
        now: OffsetDateTime,
    ) -> Standing {
        let known = self.memory.recall(job).await;
        let ahead = Ahead::look(done, known.ahead, now);
        let pause = due::pause(interval, done, ahead, known.failures, Duration::ZERO, now);
        Standing {
            next_due: now + pause,
            problem: known.problem,
            failures: known.failures.count,
            failed_at: known.failures.last,
        }
    }
}

/// Carries a job out whenever it is due, until it is dropped.
pub(crate) async fn run(app: &App, job: &dyn Job) {
    let Some(interval) = job.interval() else { return };
    let name = job.subject().name;
    let memory = &app.schedule.memory;
    tell_of_cut_off(app, job).await;
    // Since when this process has known of nothing newer.
    let (mut newest, mut quiet_since) = (None, Instant::now());
    let mut not_before = Instant::now();
    loop {
        let done = job.done(app).await;
        let now = app.clock.now();
        let times = done.as_deref().unwrap_or_default();
        let known = memory.recall(name).await;
        let mut ahead = known.ahead;
        if done.is_ok() {
            // What seems to come from the future must not hide what is done since.
            let latest = (times.iter().max().copied(), times.iter().filter(|at| **at <= now).max().copied());
            if Some(latest) != newest {
                (newest, quiet_since) = (Some(latest), Instant::now());
            }
            ahead = Ahead::look(times, ahead, now);
            memory.change(name, |remembered| remembered.ahead = ahead).await;
        }
        let pause = due::pause(interval, times, ahead, known.failures, quiet_since.elapsed(), now)
            .max(not_before.saturating_duration_since(Instant::now()));
        if !pause.is_zero() {
            tokio::time::sleep(pause.min(LOOK)).await;
            continue;
        }
        let began = Instant::now();
        memory.begins(name, now).await;
        let outcome = match done {
            Ok(_) => job.attempt(app).await,
            Err(problem) => Outcome::Failed(problem),
        };
        not_before = match &outcome {
            Outcome::Done(_) => began + REST.min(interval / 2),
            Outcome::Busy => Instant::now() + due::busy_pause(interval),
            Outcome::Failed(_) | Outcome::Bad(_) | Outcome::Stopped => began,
        };
        conclude(app, job, &known, outcome).await;
    }
}

/// Remembers and tells how a try ended.
async fn conclude(app: &App, job: &dyn Job, before: &Remembered, outcome: Outcome) {
    let (subject, memory) = (job.subject(), &app.schedule.memory);
    match outcome {
        Outcome::Done(words) => {
            memory.succeeded(subject.name).await;
            app.alerts.well(subject, words);
        }
        Outcome::Failed(problem) => {
            app.schedule.failures.fetch_add(1, Relaxed);
            memory.ended(subject.name, Some(problem.clone())).await;
            app.alerts.failed(subject, problem);
        }
        Outcome::Bad(problem) => {
            app.schedule.failures.fetch_add(1, Relaxed);
            memory.found_bad(subject.name, problem.clone()).await;
            app.alerts.failed(subject, problem);
        }
        Outcome::Stopped => memory.ended(subject.name, None).await,
        Outcome::Busy => {
            tracing::debug!(job = subject.name, "something is in the way; it is tried again soon");
            memory.change(subject.name, |remembered| *remembered = before.clone()).await;
        }
    }
}

/// A try that was cut off told nobody. Once may be a restart; again and again is something to look at.
async fn tell_of_cut_off(app: &App, job: &dyn Job) {
    let subject = job.subject();
    let known = app.schedule.memory.recall(subject.name).await;
    if known.under_way && known.failures.count > 1 {
        let detail = format!(
            "The recovery service ended while it was under way; {} tries in a row came to nothing.",
            known.failures.count
        );
        let problem = Problem::new(ErrorCode::Interrupted, detail)
            .hint("Find out what ends the service: its log, and that of the system or the container engine.");
        app.schedule.memory.ended(subject.name, Some(problem.clone())).await;
        app.alerts.failed(subject, problem);
    }
}
