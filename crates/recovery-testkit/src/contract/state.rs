//! What the state directory promises. Each suite takes a way to open the store anew, as the next process would: what
//! was written must be there.

use recovery_core::{
    Actor, Operation, OperationId, OperationKind, OperationState,
    port::{AuditEntry, AuditLog, AuditOutcome, DocumentStore, Journal, JournalEntry, JournalEvent},
};
use serde_json::json;
use time::{Duration, OffsetDateTime, macros::datetime};

const NOON: OffsetDateTime = datetime!(2026-01-31 12:00:00 UTC);

/// What `DocumentStore` promises.
pub async fn documents<S: DocumentStore>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let read = async |name: &str| store.get(name).await.unwrap();
    assert_eq!(read("contract.json").await, None, "a document that nobody wrote");
    store.remove("contract.json").await.expect("removing what is not there is no error");

    let largest = vec![0xA5; 1024 * 1024];
    for bytes in [b"one".as_slice(), b"", b"\0\xff\n", &largest, b"last"] {
        store.put("contract.json", bytes).await.unwrap();
        assert!(read("contract.json").await.as_deref() == Some(bytes), "what was written is what is read");
    }

    let longest = "a".repeat(100);
    for name in ["0", "a.b_c-d", &longest] {
        store.put(name, name.as_bytes()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read(name).await.as_deref(), Some(name.as_bytes()), "documents are separate");
    }
    assert_eq!(read("contract.json").await.as_deref(), Some(b"last".as_slice()), "documents are separate");

    let too_long = "a".repeat(101);
    for name in ["", ".", "..", ".hidden", "-x", "a/b", "../a", "A", "ä", "a b", "a\0b", "a\n", &too_long] {
        assert!(store.put(name, b"x").await.is_err(), "{name:?} is no name of a document");
    }
    let too_large = vec![0; 1024 * 1024 + 1];
    assert!(store.put("contract.json", &too_large).await.is_err(), "a document is at most 1 MiB");
    assert_eq!(read("contract.json").await.as_deref(), Some(b"last".as_slice()), "a refusal changes nothing");

    let next = open().await;
    assert_eq!(next.get("contract.json").await.unwrap().as_deref(), Some(b"last".as_slice()), "it stays");
    next.remove("contract.json").await.unwrap();
    assert_eq!(next.get("contract.json").await.unwrap(), None, "what was removed is gone");
    assert_eq!(open().await.get("contract.json").await.unwrap(), None, "and stays so");
}

fn operation(id: OperationId) -> Operation {
    let actor = Actor::new("contract \"quoted\" ü");
    Operation::begin(id, OperationKind::Restore, actor, Some("a backup".to_owned()), NOON)
}

fn life(id: OperationId) -> Vec<JournalEntry> {
    let begun = operation(id);
    let ended = Operation {
        state: OperationState::Succeeded,
        finished_at: Some(NOON + Duration::minutes(1)),
        result: Some(json!({"rows": 3})),
        ..begun.clone()
    };
    let step = |name: &str| JournalEvent::Step {
        step: name.to_owned(),
        facts: json!({"line": "one\ntwo", "names": ["größer"]}),
    };
    let events = [
        JournalEvent::Started { snapshot: Box::new(begun) },
        step("loading"),
        step("swapping"),
        JournalEvent::Finished { snapshot: Box::new(ended) },
    ];
    let entry =
        |(seconds, event)| JournalEntry { at: NOON + Duration::seconds(seconds), operation: id, event };
    (0..).zip(events).map(entry).collect()
}

/// What `Journal` promises.
pub async fn journal<J: Journal>(open: impl AsyncFn() -> J) {
    let journal = open().await;
    let before = journal.entries().await.unwrap();
    let (first, second) = (life(OperationId::new()), life(OperationId::new()));
    let mut expect = before.clone();
    // Two operations at once, entry by entry.
    for (one, two) in first.into_iter().zip(second) {
        for entry in [one, two] {
            journal.append(entry.clone()).await.unwrap();
            expect.push(entry);
        }
    }
    assert_eq!(journal.entries().await.unwrap(), expect, "what was written, oldest first");
    drop(journal);

    let next = open().await;
    assert_eq!(next.entries().await.unwrap(), expect, "it stays");
    let last = life(OperationId::new()).remove(0);
    next.append(last.clone()).await.unwrap();
    expect.push(last);
    assert_eq!(next.entries().await.unwrap(), expect, "the next process goes on at the end");
}

/// What `AuditLog` promises.
pub async fn audit_log<A: AuditLog>(open: impl AsyncFn() -> A) {
    let log = open().await;
    let entry = |number: i64, outcome| AuditEntry {
        at: NOON + Duration::seconds(number),
        actor: Actor::new(format!("contract {number}")),
        action: "restore".to_owned(),
        target: (number % 2 == 0).then(|| "größer\n\"quoted\"".to_owned()),
        outcome,
        operation_id: (number % 2 == 1).then(OperationId::new),
    };
    let entries = [
        entry(1, AuditOutcome::Accepted),
        entry(2, AuditOutcome::Succeeded),
        entry(3, AuditOutcome::Refused),
        entry(4, AuditOutcome::Failed),
    ];
    for entry in &entries {
        log.append(entry.clone()).await.unwrap();
    }
    let newest_first: Vec<AuditEntry> = entries.iter().rev().cloned().collect();
    assert_eq!(log.newest(4).await.unwrap(), newest_first, "the newest first");
    assert_eq!(log.newest(2).await.unwrap(), newest_first[..2], "no more than were asked for");
    assert_eq!(log.newest(0).await.unwrap(), [], "no more than were asked for");
    assert!(log.newest(1000).await.unwrap().starts_with(&newest_first), "as many as there are");
    drop(log);
    assert_eq!(open().await.newest(4).await.unwrap(), newest_first, "it stays");
}
