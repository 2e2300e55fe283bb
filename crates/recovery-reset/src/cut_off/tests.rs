use recovery_core::{Actor, Operation};
use time::OffsetDateTime;

use super::*;

/// What is told of a reset with these steps, of which the rows became this.
fn told(steps: &[(&str, Value)], rows: Rows) -> CutOffReset {
    let (id, at) = (OperationId::new(), OffsetDateTime::UNIX_EPOCH);
    let operation = Operation::begin(id, OperationKind::FactoryReset, Actor::service(), None, at);
    let mut events = vec![JournalEvent::Started { snapshot: Box::new(operation) }];
    events.extend(
        steps.iter().map(|(step, facts)| JournalEvent::Step { step: (*step).into(), facts: facts.clone() }),
    );
    let entries: Vec<JournalEntry> =
        events.into_iter().map(|event| JournalEntry { at, operation: id, event }).collect();
    let (id, steps) = resets_in(&entries).remove(0);
    steps.tell(id, rows)
}

fn steps(up_to: usize) -> Vec<(&'static str, Value)> {
    let all = [
        ("resetting", json!({ "keep": ["api_keys", "backups"] })),
        ("saved", json!({ "safety_backup": "nova-safety-2026-01-31_12-00-00.tar" })),
        ("committing", json!({ "transaction": "7", "rows": 12, "tables": 3, "reseed": true })),
        ("committed", json!({})),
        ("keys removed", json!({ "keys": 5 })),
        ("directories emptied", json!({ "files": 2 })),
        ("backups removed", json!({ "backups": 1 })),
    ];
    all.into_iter().take(up_to).collect()
}

#[test]
fn the_words_say_exactly_what_is_gone() {
    let check = |up_to, rows, expect: &str| {
        let told = told(&steps(up_to), rows);
        assert_eq!(told.words, expect);
    };
    let safety = "The safety backup nova-safety-2026-01-31_12-00-00.tar";
    check(0, Rows::Unchanged, "The factory reset was cut off before anything was deleted: all is as it was.");
    let words = format!(
        "The factory reset was cut off before anything was deleted: all is as it was. {safety} was made, and is kept."
    );
    check(2, Rows::Unchanged, &words);
    check(3, Rows::Unchanged, &words);
    let gone = "The factory reset was cut off after its rows were deleted: 12 rows of 3 tables are gone.";
    let after = format!(
        "The platform's migrations run again when its orchestrator is restarted. {safety} holds what was there before."
    );
    let partly = format!(
        "{gone} Keys of Redis that were to go may in part still be there. Files are as they were. Backups are as they \
         were. {after}"
    );
    check(3, Rows::Deleted, &partly);
    check(4, Rows::Deleted, &partly);
    let words = format!(
        "{gone} Keys of Redis that were to go are gone (5). Files that were to go may in part still be there. Backups \
         are as they were. {after}"
    );
    check(5, Rows::Deleted, &words);
    let words = format!(
        "{gone} Keys of Redis that were to go are gone (5). Files that were to go are gone (2). Backups that were to go \
         are gone (1). {after}"
    );
    check(7, Rows::Deleted, &words);
    assert!(told(&steps(3), Rows::Unknown).words.contains("either all of them are gone or none"));
}

#[test]
fn how_to_go_on_names_what_was_kept() {
    let told = told(&steps(4), Rows::Deleted);
    assert_eq!(
        told.hint,
        "To go on, send the same reset again: \"keep\" is [\"api_keys\", \"backups\"], or run nova-recovery reset --keep \
         'api_keys,backups' --confirm RESET. What is gone already does no harm."
    );
    assert_eq!(told.facts["keep"], json!(["api_keys", "backups"]));
    assert_eq!(told.facts["rows"], "deleted");
    assert_eq!(told.facts["keys"], "in part");
    assert_eq!(told.facts["directories"], "untouched");
}
