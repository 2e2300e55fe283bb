//! The context of an operation that a test watches, and can cancel at a chosen moment.

use std::{fmt, sync::Mutex};

use async_trait::async_trait;
use recovery_core::{
    OperationId, Progress,
    port::{Cancelled, OperationContext, StateError},
};
use serde_json::Value;
use tokio::sync::watch;

use crate::{Faults, lock};

/// Records what an operation reports and writes down.
///
/// Stricter than production: it panics over a phase or step without a name, over progress beyond its total, and over
/// progress that goes back within a phase.
#[derive(Debug)]
pub struct RecordingContext {
    id: OperationId,
    state: Mutex<State>,
    cancelled: watch::Sender<bool>,
    faults: Faults<String, StateError>,
}

#[derive(Debug, Default)]
struct State {
    reports: Vec<Progress>,
    steps: Vec<(String, Value)>,
    sealed: bool,
    cancel_at_phase: Option<String>,
    cancel_at_step: Option<String>,
    at_phase: Option<(String, Deed)>,
}

/// Something that happens to the world outside.
struct Deed(Box<dyn FnOnce() + Send>);

impl fmt::Debug for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a deed")
    }
}

impl RecordingContext {
    /// The context of a new operation that nobody cancels.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each one has an id of its own")]
    pub fn new() -> Self {
        Self {
            id: OperationId::new(),
            state: Mutex::default(),
            cancelled: watch::Sender::new(false),
            faults: Faults::default(),
        }
    }

    /// Cancels the operation when it first reports this phase.
    #[must_use]
    pub fn cancel_at_phase(self, phase: impl Into<String>) -> Self {
        lock(&self.state).cancel_at_phase = Some(phase.into());
        self
    }

    /// Cancels the operation when it has written this step down.
    #[must_use]
    pub fn cancel_at_step(self, step: impl Into<String>) -> Self {
        lock(&self.state).cancel_at_step = Some(step.into());
        self
    }

    /// Does something to the world outside when the operation first reports this phase, before the operation goes on.
    #[must_use]
    pub fn at_phase(self, phase: impl Into<String>, deed: impl FnOnce() + Send + 'static) -> Self {
        lock(&self.state).at_phase = Some((phase.into(), Deed(Box::new(deed))));
        self
    }

    /// What is to fail: writing down a step, by its name.
    #[must_use]
    pub fn faults(&self) -> &Faults<String, StateError> {
        &self.faults
    }

    /// Asks the operation to stop. Returns whether it may still be asked: not after it was sealed.
    pub fn cancel(&self) -> bool {
        self.cancel_unless_sealed(&lock(&self.state))
    }

    /// Whether the operation was sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        lock(&self.state).sealed
    }

    /// Everything that was reported.
    #[must_use]
    pub fn reports(&self) -> Vec<Progress> {
        lock(&self.state).reports.clone()
    }

    /// The phases, in order, each run of the same phase once.
    #[must_use]
    pub fn phases(&self) -> Vec<String> {
        let mut phases: Vec<String> =
            lock(&self.state).reports.iter().map(|progress| progress.phase.clone()).collect();
        phases.dedup();
        phases
    }

    /// The steps that were written down, with their facts.
    #[must_use]
    pub fn steps(&self) -> Vec<(String, Value)> {
        lock(&self.state).steps.clone()
    }

    /// The names of the steps that were written down.
    #[must_use]
    pub fn step_names(&self) -> Vec<String> {
        lock(&self.state).steps.iter().map(|(step, _)| step.clone()).collect()
    }

    /// The caller holds the state, so that nothing is sealed between the look and the deed.
    fn cancel_unless_sealed(&self, state: &State) -> bool {
        if !state.sealed {
            self.cancelled.send_replace(true);
        }
        !state.sealed
    }
}

fn check_progress(before: Option<&Progress>, now: &Progress) {
    assert!(!now.phase.is_empty(), "a phase has a name");
    if let Some(total) = now.total {
        assert!(now.done <= total, "more than all is done: {now:?}");
    }
    if let Some((begun, all)) = now.tables {
        assert!(begun <= all, "more than all tables are begun: {now:?}");
    }
    if let Some(before) = before.filter(|before| before.phase == now.phase && before.unit == now.unit) {
        assert!(before.done <= now.done, "progress goes back, from {before:?} to {now:?}");
    }
}

#[async_trait]
impl OperationContext for RecordingContext {
    fn id(&self) -> OperationId {
        self.id
    }

    fn report(&self, progress: Progress) {
        let mut state = lock(&self.state);
        check_progress(state.reports.last(), &progress);
        if state.cancel_at_phase.as_ref() == Some(&progress.phase) {
            state.cancel_at_phase = None;
            self.cancel_unless_sealed(&state);
        }
        let deed = state.at_phase.take_if(|(phase, _)| *phase == progress.phase);
        state.reports.push(progress);
        // Whatever it does, it may look at this context.
        drop(state);
        if let Some((_, Deed(deed))) = deed {
            deed();
        }
    }

    fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    async fn cancelled(&self) {
        let mut receiver = self.cancelled.subscribe();
        receiver.wait_for(|&cancelled| cancelled).await.expect("this context holds the sender");
    }

    fn seal(&self) -> Result<(), Cancelled> {
        let mut state = lock(&self.state);
        if self.is_cancelled() {
            return Err(Cancelled);
        }
        state.sealed = true;
        Ok(())
    }

    async fn record(&self, step: &str, facts: Value) -> Result<(), StateError> {
        assert!(!step.is_empty(), "a step has a name");
        self.faults.pass(step.to_owned()).await?;
        let mut state = lock(&self.state);
        state.steps.push((step.to_owned(), facts));
        if state.cancel_at_step.as_deref() == Some(step) {
            state.cancel_at_step = None;
            self.cancel_unless_sealed(&state);
        }
        Ok(())
    }
}
