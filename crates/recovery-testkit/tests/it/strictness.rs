//! What a real server would let pass and no caller should do.

use std::time::Duration;

use recovery_core::{
    Actor, Operation, OperationId, OperationKind, Progress,
    port::{
        AuditEntry, AuditLog, AuditOutcome, Clock, Command, CommandRunner, DatabaseAdmin, Journal,
        JournalEntry, JournalEvent, OperationContext, Swap,
    },
};
use recovery_testkit::{
    FakeClock, FakeDatabase, FakeRunner, MemoryAuditLog, MemoryJournal, RecordingContext, exits,
};
use serde_json::json;

/// Whether the future panics, and with which words.
async fn check_panics(expect: &str, future: impl Future<Output = ()> + Send + 'static) {
    let error = tokio::spawn(future).await.expect_err(expect);
    let payload = error.into_panic();
    let words = payload.downcast_ref::<String>().cloned();
    let words = words.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string)).unwrap();
    assert!(words.contains(expect), "{words}");
}

#[tokio::test]
async fn a_secret_in_the_arguments() {
    let run = |command: Command| async move {
        let runner = FakeRunner::new();
        runner.install("tool", |_: &Command| exits(0, ""));
        runner.run(command).await.unwrap();
    };
    let command = || Command::new("tool").secret_env("PGPASSWORD", "hunter2".to_owned().into());
    run(command().arg("--fine")).await;
    check_panics("shows the secret PGPASSWORD", run(command().arg("--password=hunter2"))).await;
    check_panics("shows the secret PGPASSWORD", run(command().env("URL", "//x:hunter2@y"))).await;
    check_panics("a value twice", run(command().env("PGPASSWORD", "other"))).await;
    check_panics("no time at all", run(command().timeout(Duration::ZERO))).await;
}

#[tokio::test]
async fn a_swap_of_a_database_with_itself() {
    let fake = FakeDatabase::new("nova");
    let live = fake.name();
    let swap = Swap { live: live.clone(), incoming: live, retired: "old".parse().unwrap() };
    check_panics("all different", async move { fake.swap(&swap).await.unwrap() }).await;
}

#[tokio::test]
async fn work_over_no_connections() {
    let fake = FakeDatabase::new("nova");
    check_panics("without connections", async move {
        fake.row_counts(&fake.name(), 0).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn progress_that_cannot_be() {
    let report = |reports: Vec<Progress>| async move {
        let context = RecordingContext::new();
        for progress in reports {
            context.report(progress);
        }
    };
    report(vec![Progress::bytes("dumping", 5, Some(5)), Progress::bytes("hashing", 0, Some(5))]).await;
    check_panics("a phase has a name", report(vec![Progress::phase("")])).await;
    check_panics("more than all is done", report(vec![Progress::bytes("dumping", 6, Some(5))])).await;
    let back = vec![Progress::bytes("dumping", 2, None), Progress::bytes("dumping", 1, None)];
    check_panics("progress goes back", report(back)).await;
    let tables = Progress { tables: Some((3, 2)), ..Progress::phase("dumping") };
    check_panics("more than all tables", report(vec![tables])).await;
}

#[tokio::test]
async fn a_journal_that_makes_no_sense() {
    let now = FakeClock::default().now();
    let id = OperationId::new();
    let operation = Operation::begin(id, OperationKind::Backup, Actor::service(), None, now);
    let started = JournalEvent::Started { snapshot: Box::new(operation.clone()) };
    let step = JournalEvent::Step { step: "dumping".to_owned(), facts: json!({}) };
    let ended = JournalEvent::Finished {
        snapshot: Box::new(Operation {
            state: recovery_core::OperationState::Succeeded,
            finished_at: Some(now),
            ..operation.clone()
        }),
    };
    let still_running = JournalEvent::Finished { snapshot: Box::new(operation) };
    let write = |events: Vec<JournalEvent>| async move {
        let journal = MemoryJournal::new();
        for event in events {
            journal.append(JournalEntry { at: now, operation: id, event }).await.unwrap();
        }
    };
    write(vec![started.clone(), step.clone(), ended.clone()]).await;
    check_panics("without having begun", write(vec![step.clone()])).await;
    check_panics("without having begun", write(vec![ended.clone()])).await;
    check_panics("begins twice", write(vec![started.clone(), started.clone()])).await;
    check_panics("after its end", write(vec![started.clone(), ended, step])).await;
    check_panics("is not running", write(vec![started, still_running])).await;
}

#[tokio::test]
async fn an_audit_entry_that_tells_too_much() {
    let append = |action: &str, target: &str| {
        let entry = AuditEntry {
            at: FakeClock::default().now(),
            actor: Actor::service(),
            action: action.to_owned(),
            target: Some(target.to_owned()),
            outcome: AuditOutcome::Succeeded,
            operation_id: None,
        };
        async move {
            let log = MemoryAuditLog::new();
            log.forbid("hunter2");
            log.append(entry).await.unwrap();
        }
    };
    append("sign_in", "console").await;
    check_panics("holds a secret", append("sign_in", "with hunter2")).await;
    check_panics("not a stable word", append("Signed in!", "console")).await;
}

#[test]
fn a_clock_that_only_a_test_moves() {
    let clock = FakeClock::default();
    let (same, before) = (clock.clone(), clock.now());
    clock.advance(Duration::from_secs(90));
    assert_eq!(same.now() - before, Duration::from_secs(90));
    clock.set(before);
    assert_eq!(same.now(), before);
}
