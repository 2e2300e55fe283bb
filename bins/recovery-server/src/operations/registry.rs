//! The table of operations and what can be done with it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use recovery_core::{
    Actor, ErrorCode, Operation, OperationId, OperationKind, Problem, crash_point,
    port::{Clock, Journal, JournalEntry, JournalEvent, OperationContext, StateError},
};
use serde_json::Value;
use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
    time::Instant,
};
use tracing::Instrument as _;

use super::{
    EventHub, Failure, Happening, Tally,
    context::{Context, Control, StopReason},
    history::{self, Became, History},
    running,
};

/// What is to be started.
#[derive(Clone, Debug)]
pub struct NewOperation {
    /// Its id, made by the caller: a lock that it needs is taken under this id before it starts.
    pub id: OperationId,
    /// What it does.
    pub kind: OperationKind,
    /// Who asked for it.
    pub actor: Actor,
    /// What it is about, for example the name of a backup.
    pub target: Option<String>,
}

/// An operation cannot be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// There is no such operation.
    #[error("there is no operation {0}")]
    NotFound(OperationId),
    /// It has ended.
    #[error("the operation {0} has already ended")]
    Finished(OperationId),
    /// It has passed the point from which it must go on.
    #[error("the operation {0} has passed the point up to which it can be cancelled")]
    Sealed(OperationId),
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::NotFound(id) => {
                Self::new(ErrorCode::NotFound, format!("There is no operation {id}."))
                    .hint("List the operations to see which are known.")
            }
            CancelError::Finished(id) => {
                Self::new(ErrorCode::Conflict, format!("The operation {id} has already ended.")).operation(id)
            }
            CancelError::Sealed(id) => Self::new(
                ErrorCode::Conflict,
                format!("The operation {id} has passed the point up to which it can be cancelled."),
            )
            .hint("Wait for its end, which is near. A restore can be rolled back afterwards.")
            .operation(id),
        }
    }
}

/// The registry. Clones share one table.
#[derive(Clone)]
pub struct Operations {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) events: Arc<EventHub>,
    pub(super) runtime: Handle,
    table: Mutex<Table>,
    running: watch::Sender<usize>,
}

#[derive(Default)]
struct Table {
    entries: BTreeMap<OperationId, Entry>,
    closing: bool,
    tally: Tally,
}

/// One operation in the table.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) state: watch::Sender<Arc<Operation>>,
    pub(super) control: Arc<Control>,
    /// Whether it was started in this process, which then knows more of it than the journal.
    own: bool,
}

impl Operations {
    /// How many operations that have ended are kept in memory.
    pub const KEPT: usize = 200;

    /// An empty registry. Operations run on the runtime in whose context this is called, so that none ends with the
    /// thread that happened to start it.
    #[must_use]
    pub fn new(
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        events: Arc<EventHub>,
        runtime: Handle,
    ) -> Self {
        let inner = Inner {
            journal,
            clock,
            events,
            runtime,
            table: Mutex::new(Table::default()),
            running: watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The events of all operations.
    #[must_use]
    pub fn events(&self) -> &Arc<EventHub> {
        &self.inner.events
    }

    /// Starts an operation in a task of its own and returns it as it is at its beginning. Dropping the returned
    /// future, or whoever waits for the operation, changes nothing for it.
    ///
    /// # Errors
    /// Where the service stops, or the journal cannot be written: what is not in the journal could not be cleared up
    /// after a crash, so it is not begun, unless it is of a kind that leaves nothing to clear up.
    pub async fn start<W, F>(&self, new: NewOperation, work: W) -> Result<Operation, Failure>
    where
        W: FnOnce(Arc<dyn OperationContext>) -> F + Send + 'static,
        F: Future<Output = Result<Value, Failure>> + Send + 'static,
    {
        let (begun, answer) = oneshot::channel();
        let inner = Arc::clone(&self.inner);
        let span = tracing::info_span!("operation", id = %new.id, kind = new.kind.as_str());
        let task = async move {
            let operation =
                Arc::new(Operation::begin(new.id, new.kind, new.actor, new.target, inner.clock.now()));
            let entry = Entry {
                state: watch::Sender::new(Arc::clone(&operation)),
                control: Arc::new(Control::new()),
                own: true,
            };
            if let Err(failure) = inner.begin(&operation, &entry).await {
                drop(work);
                let _ = begun.send(Err(failure));
                return;
            }
            let _ = begun.send(Ok((*operation).clone()));
            let context = Context {
                id: operation.id,
                kind: operation.kind,
                state: entry.state.clone(),
                control: Arc::clone(&entry.control),
                journal: Arc::clone(&inner.journal),
                clock: Arc::clone(&inner.clock),
            };
            let work = work(Arc::new(context));
            running::drive(&inner, &entry, work.in_current_span()).await;
        };
        self.inner.runtime.spawn(task.instrument(span));
        answer.await.unwrap_or_else(|_| Err(stopping().into()))
    }

    /// What is known of an operation.
    #[must_use]
    pub fn get(&self, id: OperationId) -> Option<Operation> {
        self.inner.table().entries.get(&id).map(|entry| (**entry.state.borrow()).clone())
    }

    /// Every operation that is known, newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Operation> {
        self.inner.table().entries.values().rev().map(|entry| (**entry.state.borrow()).clone()).collect()
    }

    /// Those that are running, newest first.
    #[must_use]
    pub fn running(&self) -> Vec<Operation> {
        self.list().into_iter().filter(|operation| operation.finished_at.is_none()).collect()
    }

    /// How many ended how since the service began.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.inner.table().tally.clone()
    }

    /// Asks a running operation to stop. It has stopped when its state says so.
    ///
    /// # Errors
    /// See [`CancelError`].
    pub fn cancel(&self, id: OperationId) -> Result<Operation, CancelError> {
        let entry = self.inner.entry(id).ok_or(CancelError::NotFound(id))?;
        let operation = (**entry.state.borrow()).clone();
        if operation.finished_at.is_some() {
            return Err(CancelError::Finished(id));
        }
        entry.control.stop(StopReason::Cancelled).map_err(|_| CancelError::Sealed(id))?;
        Ok(operation)
    }

    /// Waits until an operation has ended; `None` where it is not known.
    pub async fn wait(&self, id: OperationId) -> Option<Operation> {
        let mut state = self.inner.entry(id)?.state.subscribe();
        let ended = state.wait_for(|operation| operation.finished_at.is_some()).await.ok()?;
        Some((**ended).clone())
    }

    /// Reads what earlier runs left in the journal. An operation that did not end counts as interrupted; it stays
    /// open in the journal until [`settle`](Self::settle). `elsewhere` is one that another process carries out now, and
    /// that only that one can tell about.
    ///
    /// Returns every journal entry of those that did not end: what clearing up needs to know.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub async fn load(&self, elsewhere: Option<OperationId>) -> Result<Vec<JournalEntry>, StateError> {
        let History { mut finished, unfinished, unfinished_entries } = self.history(elsewhere).await?;
        finished.drain(..finished.len().saturating_sub(Self::KEPT));
        let now = self.inner.clock.now();
        let interrupted = unfinished.into_iter().map(|operation| history::interrupted(operation, now));
        let mut table = self.inner.table();
        for operation in finished.into_iter().chain(interrupted) {
            let known = table.entries.get(&operation.id).map(|entry| entry.state.clone());
            match known {
                Some(state) => drop(state.send_replace(Arc::new(operation))),
                None => {
                    let id = operation.id;
                    let state = watch::Sender::new(Arc::new(operation));
                    table.entries.insert(id, Entry { state, control: Arc::new(Control::new()), own: false });
                }
            }
        }
        table.prune();
        Ok(unfinished_entries)
    }

    /// Closes in the journal what earlier runs left open, after it was cleared up; a check that may be running in
    /// another process now is left alone. `became` says what became of each.
    ///
    /// # Errors
    /// Where the journal cannot be read or written; calling it again is harmless.
    pub async fn settle(&self, became: &BTreeMap<OperationId, Became>) -> Result<(), StateError> {
        for operation in self.history(None).await?.unfinished {
            let (id, kind) = (operation.id, operation.kind.as_str());
            let mut operation = history::interrupted(operation, self.inner.clock.now());
            if let (Some(problem), Some(became)) = (&mut operation.error, became.get(&id)) {
                problem.detail.clone_from(&became.words);
                problem.hint = Some(became.hint.clone());
                operation.result.clone_from(&became.result);
            }
            self.inner.journal_end(&operation).await?;
            let detail = operation.error.as_ref().map(|problem| problem.detail.as_str());
            tracing::warn!(operation = %id, kind, "an operation of an earlier run did not finish: {}", detail.unwrap_or_default());
            if let Some(entry) = self.inner.entry(id) {
                entry.state.send_replace(Arc::new(operation.clone()));
            }
            self.inner.events.publish(Happening::Operation(Arc::new(operation)));
        }
        Ok(())
    }

    /// Stops: refuses new operations, asks the running ones to stop and waits for their ends. One that is past its
    /// point of no return is given the whole time; any other is cut off a little before. What then still runs is
    /// found in the journal by the next start.
    pub async fn shutdown(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let cut_off = Instant::now() + limit.mul_f32(0.7);
        let running: Vec<Entry> = {
            let mut table = self.inner.table();
            table.closing = true;
            table.entries.values().filter(|entry| entry.is_running()).cloned().collect()
        };
        for entry in &running {
            // Where it fails, the operation is sealed and goes to its end.
            let _ = entry.control.stop(StopReason::ServiceEnds);
        }
        if !self.none_running_by(cut_off).await {
            running.iter().for_each(|entry| entry.control.abort_unless_sealed());
            if !self.none_running_by(deadline).await {
                tracing::error!(
                    "an operation is still running at the end of the service; the next start clears up"
                );
            }
        }
        self.inner.events.close();
    }

    async fn none_running_by(&self, deadline: Instant) -> bool {
        let mut running = self.inner.running.subscribe();
        tokio::time::timeout_at(deadline, running.wait_for(|running| *running == 0)).await.is_ok()
    }

    async fn history(&self, elsewhere: Option<OperationId>) -> Result<History, StateError> {
        let entries = self.inner.journal.entries().await?;
        // An operation enters the table before the journal, so none of our own is missed here.
        let mut own: HashSet<OperationId> =
            self.inner.table().entries.iter().filter(|(_, entry)| entry.own).map(|(id, _)| *id).collect();
        own.extend(elsewhere);
        Ok(history::replay(entries, &own, self.inner.clock.now()))
    }
}

impl Entry {
    fn is_running(&self) -> bool {
        self.state.borrow().finished_at.is_none()
    }
}

impl Table {
    /// Drops the oldest of those that have ended, beyond [`Operations::KEPT`].
    fn prune(&mut self) {
        let ended: Vec<OperationId> =
            self.entries.iter().filter(|(_, entry)| !entry.is_running()).map(|(id, _)| *id).collect();
        for id in ended.iter().take(ended.len().saturating_sub(Operations::KEPT)) {
            self.entries.remove(id);
        }
    }
}

impl Inner {
    /// Enters a new operation into the table and the journal.
    async fn begin(&self, operation: &Arc<Operation>, entry: &Entry) -> Result<(), Failure> {
        {
            let mut table = self.table();
            if table.closing {
                return Err(stopping().into());
            }
            table.entries.insert(operation.id, entry.clone());
            self.running.send_modify(|running| *running += 1);
        }
        let event = JournalEvent::Started { snapshot: Box::new((**operation).clone()) };
        let kind = operation.kind.as_str();
        crash_point(format_args!("{kind}:started:before"));
        let written = self
            .journal
            .append(JournalEntry { at: operation.started_at, operation: operation.id, event })
            .await;
        crash_point(format_args!("{kind}:started:after"));
        // These leave nothing to clear up, and a full or read-only disk must not keep anybody from checking backups,
        // making room or restarting what hangs.
        let needs_no_journal = matches!(
            operation.kind,
            OperationKind::Verify
                | OperationKind::DeleteBackup
                | OperationKind::RestartService
                | OperationKind::RestartServices
                | OperationKind::StartProfile
                | OperationKind::StopProfile
        );
        if let Err(error) = written {
            if !needs_no_journal {
                self.table().entries.remove(&operation.id);
                self.running.send_modify(|running| *running -= 1);
                return Err(error.into());
            }
            tracing::warn!("it goes on without the journal: {}", super::failure::chain(&error));
        }
        tracing::info!(actor = %operation.actor, target = operation.target.as_deref(), "begun");
        self.events.publish(Happening::Operation(Arc::clone(operation)));
        Ok(())
    }

    /// Enters the end of an operation into the journal and the table, and tells everybody.
    pub(super) async fn finish(&self, entry: &Entry, operation: Operation) {
        tracing::info!(state = operation.state.as_str(), "ended");
        let kind = operation.kind.as_str();
        crash_point(format_args!("{kind}:finished:before"));
        if let Err(error) = self.journal_end(&operation).await {
            tracing::error!(
                "the end of an operation is not in the journal: {}",
                super::failure::chain(&error)
            );
        }
        crash_point(format_args!("{kind}:finished:after"));
        let operation = Arc::new(operation);
        {
            let mut table = self.table();
            table.tally.add(operation.kind, operation.state);
            entry.state.send_replace(Arc::clone(&operation));
            table.prune();
        }
        self.events.publish(Happening::Operation(operation));
        self.running.send_modify(|running| *running -= 1);
    }

    async fn journal_end(&self, operation: &Operation) -> Result<(), StateError> {
        let event = JournalEvent::Finished { snapshot: Box::new(operation.clone()) };
        let at = operation.finished_at.unwrap_or_else(|| self.clock.now());
        self.journal.append(JournalEntry { at, operation: operation.id, event }).await
    }

    fn entry(&self, id: OperationId) -> Option<Entry> {
        self.table().entries.get(&id).cloned()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stopping() -> Problem {
    Problem::new(ErrorCode::Interrupted, "The recovery service is stopping and starts nothing new.")
        .hint("Try again when it has started.")
}
