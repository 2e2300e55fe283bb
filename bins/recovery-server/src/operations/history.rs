//! What the journal tells of operations of earlier runs. Pure: reading and writing are the registry's business.

use std::collections::{BTreeMap, HashSet};

use recovery_core::{
    ErrorCode, Operation, OperationId, OperationKind, OperationState, Problem,
    port::{JournalEntry, JournalEvent},
};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

/// How long a check is taken to be running still.
const LONGEST_CHECK: Duration = Duration::hours(24);

/// What became of an operation that was cut off.
#[derive(Clone, Debug, PartialEq)]
pub struct Became {
    /// In sentences.
    pub words: String,
    /// How to go on.
    pub hint: String,
    /// For programs.
    pub result: Option<Value>,
}

impl From<String> for Became {
    fn from(words: String) -> Self {
        Self { words, hint: "Start it again if it is still wanted.".to_owned(), result: None }
    }
}

/// The operations of a journal.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Those that ended, oldest first.
    pub(super) finished: Vec<Operation>,
    /// Those that began and did not end, oldest first.
    pub(super) unfinished: Vec<Operation>,
    /// Every entry of these.
    pub(super) unfinished_entries: Vec<JournalEntry>,
}

/// Reads a journal, leaving out the operations that were started in this process, and those that may well be running
/// in another one now.
pub(super) fn replay(entries: Vec<JournalEntry>, own: &HashSet<OperationId>, now: OffsetDateTime) -> History {
    let mut operations: BTreeMap<OperationId, Operation> = BTreeMap::new();
    for entry in &entries {
        match &entry.event {
            JournalEvent::Started { snapshot } => {
                // An end that was written stays the end.
                operations.entry(entry.operation).or_insert_with(|| (**snapshot).clone());
            }
            JournalEvent::Finished { snapshot } => {
                operations.insert(entry.operation, (**snapshot).clone());
            }
            JournalEvent::Step { .. } => {}
        }
    }
    operations.retain(|id, operation| !own.contains(id) && !may_run_elsewhere(operation, now));
    let (finished, unfinished): (Vec<_>, Vec<_>) =
        operations.into_values().partition(|operation| operation.state != OperationState::Running);
    let open: HashSet<OperationId> = unfinished.iter().map(|operation| operation.id).collect();
    let unfinished_entries = entries.into_iter().filter(|entry| open.contains(&entry.operation)).collect();
    History { finished, unfinished, unfinished_entries }
}

/// A check takes no lock, so that holding the lock does not tell that it was cut off; only its age does. It leaves
/// nothing to clear up, so that there is time.
fn may_run_elsewhere(operation: &Operation, now: OffsetDateTime) -> bool {
    operation.kind == OperationKind::Verify
        && operation.state == OperationState::Running
        && now - operation.started_at < LONGEST_CHECK
}

/// How an operation ended that was running when its process did.
pub(super) fn interrupted(mut operation: Operation, at: OffsetDateTime) -> Operation {
    let hint = match operation.kind {
        OperationKind::StartBackend | OperationKind::StopBackend | OperationKind::SwitchModel => {
            "The service goes on with it by itself when it starts; the inference backend shows how far it is."
        }
        OperationKind::PullModel => {
            "Start it again if it is still wanted: what has come so far need not be fetched again."
        }
        _ => {
            "What it had half done is cleared up when the service starts. Start it again if it is still wanted."
        }
    };
    operation.state = OperationState::Interrupted;
    operation.finished_at = Some(at);
    operation.error = Some(
        Problem::new(
            ErrorCode::Interrupted,
            format!(
                "The recovery service ended while this {} was running; it did not finish.",
                operation.kind
            ),
        )
        .hint(hint)
        .operation(operation.id),
    );
    operation
}

#[cfg(test)]
mod tests {
    use super::*;
    use recovery_core::Actor;
    use serde_json::json;
    use time::macros::datetime;

    const AT: OffsetDateTime = datetime!(2026-01-31 12:00 UTC);

    fn operation() -> Operation {
        Operation::begin(OperationId::new(), OperationKind::Restore, Actor::service(), None, AT)
    }

    fn entry(operation: OperationId, event: JournalEvent) -> JournalEntry {
        JournalEntry { at: AT, operation, event }
    }

    fn started(operation: &Operation) -> JournalEntry {
        entry(operation.id, JournalEvent::Started { snapshot: Box::new(operation.clone()) })
    }

    #[test]
    fn what_began_and_did_not_end_is_unfinished_with_all_its_entries() {
        let (whole, cut_off, own) = (operation(), operation(), operation());
        let mut ended = whole.clone();
        ended.state = OperationState::Succeeded;
        let step = entry(cut_off.id, JournalEvent::Step { step: "loading".into(), facts: json!({}) });
        let history = replay(
            vec![
                started(&whole),
                started(&cut_off),
                started(&own),
                step.clone(),
                entry(whole.id, JournalEvent::Finished { snapshot: Box::new(ended.clone()) }),
            ],
            &HashSet::from([own.id]),
            AT,
        );
        assert_eq!(history.finished, [ended]);
        assert_eq!(history.unfinished, std::slice::from_ref(&cut_off));
        assert_eq!(history.unfinished_entries, [started(&cut_off), step]);
    }

    #[test]
    fn a_check_counts_as_cut_off_only_after_a_day() {
        let check = Operation { kind: OperationKind::Verify, ..operation() };
        let unfinished = |now| replay(vec![started(&check)], &HashSet::new(), now).unfinished.len();
        assert_eq!(unfinished(AT + LONGEST_CHECK - Duration::SECOND), 0);
        assert_eq!(unfinished(AT + LONGEST_CHECK), 1);
    }

    #[test]
    fn an_interrupted_operation_says_so_in_words() {
        let operation = interrupted(operation(), AT);
        assert_eq!(operation.state, OperationState::Interrupted);
        assert_eq!(
            operation.error.unwrap().detail,
            "The recovery service ended while this restore was running; it did not finish."
        );
    }
}
