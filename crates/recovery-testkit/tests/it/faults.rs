//! Faults on order: they strike where and when they were ordered, and leave a fake as its port says.

use recovery_core::{
    OperationId, Progress,
    database::DatabaseName,
    port::{
        Cancelled, DatabaseAdmin, DatabaseError, DocumentStore, LockError, OperationContext,
        ProtectedDatabase, Swap,
    },
};
use recovery_testkit::{
    DatabasePoint, FakeDatabase, FakeEntry, MemoryDocuments, RecordingContext, StatePoint, disk_full,
};
use serde_json::json;

fn full() -> DatabaseError {
    DatabaseError::DiskFull { doing: "testing".to_owned(), source: "no space left on device".into() }
}

fn name(text: &str) -> DatabaseName {
    text.parse().unwrap()
}

/// A server whose protected database has one row, beside a database `incoming` with two.
fn ready_to_swap() -> (FakeDatabase, Swap) {
    let fake = FakeDatabase::new("nova");
    fake.set_rows("public.users", 1);
    let mut incoming = FakeEntry::owned_by("nova");
    incoming.contents.tables.insert("public.users".to_owned(), 2);
    fake.put_entry(&name("incoming"), incoming);
    (fake, Swap { live: name("nova"), incoming: name("incoming"), retired: name("retired") })
}

#[tokio::test]
async fn a_fault_strikes_once_and_at_its_point_only() {
    let fake = FakeDatabase::new("nova");
    fake.faults().fail_next(DatabasePoint::Ping, full);
    fake.overview().await.unwrap();
    assert!(matches!(fake.ping().await, Err(DatabaseError::DiskFull { .. })));
    fake.ping().await.unwrap();
    fake.faults().assert_spent();
}

#[tokio::test]
async fn an_unspent_fault_is_noticed() {
    let fake = FakeDatabase::new("nova");
    fake.faults().fail_next(DatabasePoint::Ping, full);
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fake.faults().assert_spent()));
    assert!(checked.is_err());
}

#[tokio::test]
async fn a_call_can_be_held_and_released_or_failed() {
    let fake = FakeDatabase::new("nova");
    for fails in [false, true] {
        let mut hold = fake.faults().hold_next(DatabasePoint::Ping);
        let call = tokio::spawn({
            let fake = fake.clone();
            async move { fake.ping().await }
        });
        hold.reached().await;
        assert!(!call.is_finished());
        if fails {
            hold.fail(full());
        } else {
            hold.release();
        }
        assert_eq!(call.await.unwrap().is_err(), fails);
    }
}

#[tokio::test]
async fn a_swap_that_fails_leaves_names_and_doors_as_they_were() {
    for point in [DatabasePoint::Swap, DatabasePoint::SwapClosed] {
        let (fake, swap) = ready_to_swap();
        fake.faults().fail_next(point, full);
        fake.swap(&swap).await.unwrap_err();
        assert_eq!(fake.database_names(), ["incoming", "nova", "postgres"], "{point:?}");
        assert_eq!(fake.rows()["public.users"], 1);
        fake.ping().await.unwrap();
        fake.faults().assert_spent();
    }
}

#[tokio::test]
async fn sessions_that_will_not_leave_stop_a_swap() {
    let (fake, swap) = ready_to_swap();
    let session = fake.connect_stubborn(&swap.live).unwrap();
    match fake.swap(&swap).await {
        Err(DatabaseError::StillInUse { name, sessions: 1 }) => assert_eq!(name, swap.live),
        other => panic!("expected a database in use, got {other:?}"),
    }
    fake.ping().await.unwrap();
    drop(session);
    fake.swap(&swap).await.unwrap();
    assert_eq!(fake.rows()["public.users"], 2);
}

#[tokio::test]
async fn a_server_that_stops_takes_its_locks_and_snapshots_along() {
    let fake = FakeDatabase::new("nova");
    let lock = fake.lock("backup").await.unwrap();
    let snapshot = fake.snapshot().await.unwrap();
    fake.stop();
    assert!(matches!(fake.ping().await, Err(DatabaseError::Unavailable { .. })));
    fake.start();
    lock.still_held().await.unwrap_err();
    snapshot.row_counts().await.unwrap_err();
    let other = fake.lock("restore").await.unwrap();
    drop(lock);
    assert_eq!(fake.lock_holder().as_deref(), Some("restore"), "a dead lock gives nothing back");
    drop(other);
    assert_eq!(fake.lock_holder(), None);
}

#[tokio::test]
async fn rights_and_sign_in_can_be_taken_away() {
    let (fake, swap) = ready_to_swap();
    fake.demote();
    let profile = FakeEntry::owned_by("nova").profile;
    let role = ["new".to_owned()];
    for result in [
        fake.swap(&swap).await,
        fake.create_database(&name("new"), &profile).await,
        fake.create_missing_roles(&role).await.map(drop),
        fake.drop_database(&swap.incoming).await,
    ] {
        assert!(matches!(result, Err(DatabaseError::NotAllowed { .. })), "{result:?}");
    }
    fake.refuse_sign_in(true);
    let locked = fake.lock("backup").await.map(drop);
    assert!(matches!(locked, Err(LockError::Database(DatabaseError::SignInRefused { .. }))), "{locked:?}");
}

#[tokio::test]
async fn a_full_disk_writes_nothing() {
    let store = MemoryDocuments::new();
    store.put("one", b"old").await.unwrap();
    store.faults().fail_next(StatePoint::Write, disk_full);
    store.put("one", b"new").await.unwrap_err();
    assert_eq!(store.get("one").await.unwrap().as_deref(), Some(b"old".as_slice()));
    store.put("one", b"new").await.unwrap();
    assert_eq!(store.get("one").await.unwrap().as_deref(), Some(b"new".as_slice()));
}

#[tokio::test]
async fn an_operation_is_cancelled_at_the_chosen_moment() {
    let context = RecordingContext::new().cancel_at_phase("loading");
    context.report(Progress::phase("checking"));
    assert!(!context.is_cancelled());
    context.report(Progress::bytes("loading", 1, Some(2)));
    assert!(context.is_cancelled());
    context.cancelled().await;
    assert_eq!(context.seal(), Err(Cancelled));
    assert_eq!(context.phases(), ["checking", "loading"]);

    let context = RecordingContext::new().cancel_at_step("loading");
    context.record("loading", json!({"scratch": "x"})).await.unwrap();
    assert!(context.is_cancelled());
    assert_eq!(context.steps(), [("loading".to_owned(), json!({"scratch": "x"}))]);
}

#[tokio::test]
async fn a_sealed_operation_cannot_be_cancelled() {
    let context = RecordingContext::new().cancel_at_step("swapping");
    context.seal().unwrap();
    context.record("swapping", json!({})).await.unwrap();
    assert!(!context.cancel());
    assert!(!context.is_cancelled());
    assert!(context.is_sealed());
}

#[tokio::test]
async fn a_cancelled_wait_ends_in_other_tasks_too() {
    let context = std::sync::Arc::new(RecordingContext::new());
    let waiting = tokio::spawn({
        let context = std::sync::Arc::clone(&context);
        async move { context.cancelled().await }
    });
    assert!(context.cancel());
    waiting.await.unwrap();
    assert_ne!(context.id(), OperationId::new());
}
