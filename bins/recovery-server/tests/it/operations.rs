//! The registry of operations, over a journal in memory.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use recovery_core::{
    Actor, ErrorCode, Operation, OperationId, OperationKind, OperationState, Problem, Progress,
    port::{Journal as _, JournalEntry, JournalEvent, SystemClock},
};
use recovery_server::operations::{
    CancelError, Delivery, EventHub, Failure, Happening, NewOperation, Operations,
};
use recovery_testkit::{MemoryJournal, StatePoint, disk_full};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{runtime::Handle, sync::oneshot};

fn registry(journal: &MemoryJournal) -> Operations {
    let events = EventHub::new(OffsetDateTime::now_utc());
    Operations::new(Arc::new(journal.clone()), Arc::new(SystemClock), events, Handle::current())
}

fn new() -> NewOperation {
    NewOperation {
        id: OperationId::new(),
        kind: OperationKind::Backup,
        actor: Actor::service(),
        target: None,
    }
}

async fn ended(operations: &Operations, id: OperationId) -> Operation {
    tokio::time::timeout(Duration::from_secs(20), operations.wait(id)).await.unwrap().unwrap()
}

fn cancelled() -> Failure {
    Problem::new(ErrorCode::Cancelled, "Cancelled.").into()
}

fn states(journal: &MemoryJournal) -> Vec<OperationState> {
    journal
        .written()
        .into_iter()
        .filter_map(|entry| match entry.event {
            JournalEvent::Started { snapshot } | JournalEvent::Finished { snapshot } => Some(snapshot.state),
            JournalEvent::Step { .. } => None,
        })
        .collect()
}

#[tokio::test]
async fn an_operation_is_journalled_from_its_beginning_to_its_end() {
    let journal = MemoryJournal::new();
    let operations = registry(&journal);
    let begun = operations
        .start(new(), |context| async move {
            context.record("half way", json!({ "filename": "x.tar" })).await?;
            Ok(json!({ "answer": 42 }))
        })
        .await
        .unwrap();
    let operation = ended(&operations, begun.id).await;
    assert_eq!(
        (operation.state, operation.result),
        (OperationState::Succeeded, Some(json!({ "answer": 42 })))
    );
    assert_eq!(operation.target.as_deref(), Some("x.tar"));
    assert_eq!(states(&journal), [OperationState::Running, OperationState::Succeeded]);
    assert_eq!(operations.cancel(begun.id), Err(CancelError::Finished(begun.id)));
}

#[tokio::test]
async fn what_cannot_be_journalled_is_not_begun() {
    let journal = MemoryJournal::new();
    let operations = registry(&journal);
    journal.faults().fail_next(StatePoint::Write, disk_full);
    let refused = operations.start(new(), |_| async { panic!("must not run") }).await.unwrap_err();
    assert_eq!(refused.problem().code, ErrorCode::InsufficientStorage);
    assert!(operations.list().is_empty());
}

#[tokio::test]
async fn a_panic_ends_its_operation_and_nothing_else() {
    let operations = registry(&MemoryJournal::new());
    let begun = operations.start(new(), |_| async { panic!("on purpose") }).await.unwrap();
    let operation = ended(&operations, begun.id).await;
    assert_eq!(operation.state, OperationState::Failed);
    assert_eq!(operation.error.unwrap().code, ErrorCode::Internal);
    let next = operations.start(new(), |_| async { Ok(Value::Null) }).await.unwrap();
    assert_eq!(ended(&operations, next.id).await.state, OperationState::Succeeded);
}

#[tokio::test]
async fn an_operation_is_cancelled_until_it_is_sealed() {
    let operations = registry(&MemoryJournal::new());
    let begun = operations
        .start(new(), |context| async move {
            context.cancelled().await;
            Err(cancelled())
        })
        .await
        .unwrap();
    operations.cancel(begun.id).unwrap();
    assert_eq!(ended(&operations, begun.id).await.state, OperationState::Cancelled);

    let ((sealed, is_sealed), (go_on, may_go_on)) = (oneshot::channel(), oneshot::channel());
    let begun = operations
        .start(new(), |context| async move {
            context.seal()?;
            sealed.send(()).unwrap();
            may_go_on.await.map_err(|_| cancelled())?;
            Ok(Value::Null)
        })
        .await
        .unwrap();
    is_sealed.await.unwrap();
    assert_eq!(operations.cancel(begun.id), Err(CancelError::Sealed(begun.id)));
    go_on.send(()).unwrap();
    assert_eq!(ended(&operations, begun.id).await.state, OperationState::Succeeded);
    let unknown = OperationId::new();
    assert_eq!(operations.cancel(unknown), Err(CancelError::NotFound(unknown)));
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_its_operation_to_its_end() {
    let journal = MemoryJournal::new();
    let operations = registry(&journal);
    let new = new();
    let id = new.id;
    let (done, is_done) = oneshot::channel();
    let mut asked = Box::pin(operations.start(new, move |_| async move {
        tokio::task::yield_now().await;
        done.send(()).unwrap();
        Ok(Value::Null)
    }));
    // It gets as far as its first wait, and is dropped there.
    let begun = std::future::poll_fn(|context| std::task::Poll::Ready(asked.as_mut().poll(context))).await;
    assert!(begun.is_pending());
    drop(asked);
    is_done.await.expect("the operation goes on");
    assert_eq!(ended(&operations, id).await.state, OperationState::Succeeded);
}

#[tokio::test]
async fn at_the_end_of_the_service_operations_are_interrupted_and_sealed_ones_awaited() {
    let journal = MemoryJournal::new();
    let operations = registry(&journal);
    let (sealed, is_sealed) = oneshot::channel();
    let obedient = operations
        .start(new(), |context| async move {
            context.cancelled().await;
            Err(cancelled())
        })
        .await
        .unwrap();
    let deaf = operations.start(new(), |_| std::future::pending()).await.unwrap();
    let (registry, cut_off) = (operations.clone(), deaf.id);
    let must_go_on = operations
        .start(new(), move |context| async move {
            context.seal()?;
            sealed.send(()).unwrap();
            // Ends only after the one that had to be cut off.
            registry.wait(cut_off).await;
            Ok(Value::Null)
        })
        .await
        .unwrap();
    is_sealed.await.unwrap();
    operations.shutdown(Duration::from_secs(2)).await;
    let state = |id| operations.get(id).unwrap().state;
    assert_eq!(state(obedient.id), OperationState::Interrupted);
    assert_eq!(state(deaf.id), OperationState::Interrupted);
    assert_eq!(state(must_go_on.id), OperationState::Succeeded);
    let refused = operations.start(new(), |_| async { Ok(Value::Null) }).await.unwrap_err();
    assert_eq!(refused.problem().code, ErrorCode::Interrupted);
}

#[tokio::test]
async fn what_a_dead_process_left_open_is_interrupted_and_closed_once() {
    let journal = MemoryJournal::new();
    let started = Operation::begin(
        OperationId::new(),
        OperationKind::Restore,
        Actor::new("somebody"),
        None,
        OffsetDateTime::now_utc(),
    );
    let id = started.id;
    let event = JournalEvent::Started { snapshot: Box::new(started.clone()) };
    journal.append(JournalEntry { at: started.started_at, operation: id, event }).await.unwrap();

    let operations = registry(&journal);
    let unfinished = operations.load(None).await.unwrap();
    assert_eq!(unfinished.len(), 1);
    assert_eq!(operations.get(id).unwrap().state, OperationState::Interrupted);
    // Until it is cleared up, another start would find it again.
    assert_eq!(registry(&journal).load(None).await.unwrap().len(), 1);
    assert!(
        registry(&journal).load(Some(id)).await.unwrap().is_empty(),
        "not while another process is at it"
    );
    let words = BTreeMap::from([(id, "The restore was cut off before the swap.".to_owned().into())]);
    operations.settle(&words).await.unwrap();
    operations.settle(&BTreeMap::new()).await.unwrap();
    assert_eq!(states(&journal), [OperationState::Running, OperationState::Interrupted]);

    let next = registry(&journal);
    assert!(next.load(None).await.unwrap().is_empty());
    let operation = next.get(id).unwrap();
    assert_eq!(operation.error.unwrap().detail, "The restore was cut off before the swap.");
}

#[tokio::test]
async fn progress_is_published_at_a_bounded_pace() {
    let operations = registry(&MemoryJournal::new());
    let mut watcher = operations.events().subscribe(None);
    let begun = operations
        .start(new(), |context| async move {
            for done in 0..1000 {
                context.report(Progress::bytes("dumping", done, Some(1000)));
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            Ok(Value::Null)
        })
        .await
        .unwrap();
    let operation = ended(&operations, begun.id).await;
    assert_eq!(operation.progress.done, 999);
    let seconds = (operation.finished_at.unwrap() - operation.started_at).as_seconds_f64();
    let mut published = 0;
    loop {
        let Some(Delivery::Event(event)) = watcher.next().await else {
            panic!("the watcher missed something")
        };
        let Happening::Operation(operation) = event.happening else { panic!("not an operation") };
        published += 1;
        if operation.finished_at.is_some() {
            break;
        }
    }
    assert!(published >= 3, "begin, progress, end");
    assert!(f64::from(published) <= 3.0 + seconds * 5.0, "{published} events in {seconds} s");
}

#[tokio::test]
async fn only_so_many_ended_operations_are_kept() {
    let operations = registry(&MemoryJournal::new());
    let first = operations.start(new(), |_| async { Ok(Value::Null) }).await.unwrap();
    ended(&operations, first.id).await;
    for _ in 0..Operations::KEPT {
        let id = operations.start(new(), |_| async { Ok(Value::Null) }).await.unwrap().id;
        ended(&operations, id).await;
    }
    assert_eq!(operations.list().len(), Operations::KEPT);
    assert!(operations.get(first.id).is_none());
}
