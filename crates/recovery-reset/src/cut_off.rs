//! What became of a reset that was cut off: its steps in the journal, and what the server says of its transaction, in
//! words; and how to go on.

use std::collections::BTreeMap;

use recovery_core::{
    OperationId, OperationKind,
    port::{DatabaseError, JournalEntry, JournalEvent},
};
use serde_json::{Value, json};

use crate::Reset;

/// A reset that began and did not end.
#[derive(Clone, Debug, PartialEq)]
pub struct CutOffReset {
    /// Its id.
    pub id: OperationId,
    /// What became of it, in sentences.
    pub words: String,
    /// How to go on.
    pub hint: String,
    /// The same for programs: what was kept, and how far it came.
    pub facts: Value,
}

/// What became of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    /// They are all there.
    Unchanged,
    /// They are gone.
    Deleted,
    /// The server does not know its transaction any more.
    Unknown,
}

/// Its steps, as the journal knows them.
#[derive(Debug, Default)]
struct Steps(BTreeMap<String, Value>);

impl Reset {
    /// What became of the resets among these operations, which did not end. Asks the database how their transactions
    /// did; their sessions must have been ended before.
    ///
    /// # Errors
    /// The database cannot be asked.
    pub async fn cut_off(&self, entries: &[JournalEntry]) -> Result<Vec<CutOffReset>, DatabaseError> {
        let mut resets = Vec::new();
        for (id, steps) in resets_in(entries) {
            let rows = match steps.text("committing", "transaction") {
                None => Rows::Unchanged,
                // What was written after the commit is proof enough.
                Some(_) if steps.has("committed") => Rows::Deleted,
                Some(transaction) => match self.database.was_committed(transaction).await? {
                    Some(true) => Rows::Deleted,
                    Some(false) => Rows::Unchanged,
                    None => Rows::Unknown,
                },
            };
            resets.push(steps.tell(id, rows));
        }
        Ok(resets)
    }
}

/// The resets of these entries, oldest first.
fn resets_in(entries: &[JournalEntry]) -> Vec<(OperationId, Steps)> {
    let mut resets: Vec<(OperationId, Steps)> = Vec::new();
    for entry in entries {
        match &entry.event {
            JournalEvent::Started { snapshot } if snapshot.kind == OperationKind::FactoryReset => {
                resets.push((snapshot.id, Steps::default()));
            }
            JournalEvent::Step { step, facts } => {
                if let Some((_, steps)) = resets.iter_mut().find(|(id, _)| *id == entry.operation) {
                    steps.0.insert(step.clone(), facts.clone());
                }
            }
            JournalEvent::Started { .. } | JournalEvent::Finished { .. } => {}
        }
    }
    resets
}

impl Steps {
    fn has(&self, step: &str) -> bool {
        self.0.contains_key(step)
    }

    fn text(&self, step: &str, fact: &str) -> Option<&str> {
        self.0.get(step)?.get(fact)?.as_str()
    }

    fn number(&self, step: &str, fact: &str) -> u64 {
        self.0.get(step).and_then(|facts| facts.get(fact)?.as_u64()).unwrap_or(0)
    }

    fn keep(&self) -> Option<Vec<&str>> {
        let keep = self.0.get("resetting")?.get("keep")?.as_array()?;
        Some(keep.iter().filter_map(Value::as_str).collect())
    }

    fn tell(&self, id: OperationId, rows: Rows) -> CutOffReset {
        let safety = self.text("saved", "safety_backup");
        let facts = json!({
            "keep": self.keep(),
            "rows": match rows {
                Rows::Unchanged => "unchanged",
                Rows::Deleted => "deleted",
                Rows::Unknown => "unknown",
            },
            "keys": self.progress(rows, "committed", "keys removed"),
            "directories": self.progress(rows, "keys removed", "directories emptied"),
            "backups": self.progress(rows, "directories emptied", "backups removed"),
            "safety_backup": safety,
        });
        CutOffReset { id, words: self.words(rows, safety), hint: self.hint(rows), facts }
    }

    /// How far the part after the rows came that begins after one step and ends with another.
    fn progress(&self, rows: Rows, begins_after: &str, ends_with: &str) -> &'static str {
        if self.has(ends_with) {
            "done"
        } else if self.has(begins_after) || (rows != Rows::Unchanged && begins_after == "committed") {
            "in part"
        } else {
            "untouched"
        }
    }

    fn words(&self, rows: Rows, safety: Option<&str>) -> String {
        let kept = safety.map(|name| format!(" The safety backup {name} holds what was there before."));
        let kept = kept.unwrap_or_default();
        match rows {
            Rows::Unchanged => {
                let made = safety.map(|name| format!(" The safety backup {name} was made, and is kept."));
                let made = made.unwrap_or_default();
                format!("The factory reset was cut off before anything was deleted: all is as it was.{made}")
            }
            Rows::Unknown => format!(
                "The factory reset was cut off while its rows were deleted for good, and PostgreSQL does not know any \
                 more how that ended: either all of them are gone or none. Keys, directories and backups are as they \
                 were.{kept}"
            ),
            Rows::Deleted => {
                let (rows, tables) = (self.number("committing", "rows"), self.number("committing", "tables"));
                format!(
                    "The factory reset was cut off after its rows were deleted: {} of {} are gone. {}{}{}{}{kept}",
                    several(rows, "row"),
                    several(tables, "table"),
                    self.part("keys removed", "keys", "Keys of Redis", "committed"),
                    self.part("directories emptied", "files", "Files", "keys removed"),
                    self.part("backups removed", "backups", "Backups", "directories emptied"),
                    self.words_of_migrations(),
                )
            }
        }
    }

    /// A sentence about one part.
    fn part(&self, ends_with: &str, fact: &str, what: &str, begins_after: &str) -> String {
        if self.has(ends_with) {
            format!("{what} that were to go are gone ({}). ", self.number(ends_with, fact))
        } else if self.has(begins_after) || begins_after == "committed" {
            format!("{what} that were to go may in part still be there. ")
        } else {
            format!("{what} are as they were. ")
        }
    }

    fn words_of_migrations(&self) -> &'static str {
        let reseed = self.0.get("committing").and_then(|facts| facts.get("reseed")?.as_bool());
        if reseed == Some(true) {
            "The platform's migrations run again when its orchestrator is restarted."
        } else {
            ""
        }
    }

    fn hint(&self, rows: Rows) -> String {
        let Some(keep) = self.keep() else { return "Start it again if it is still wanted.".to_owned() };
        let keep = keep.join(",");
        let same = format!(
            "send the same reset again: \"keep\" is [{}], or run nova-recovery reset --keep '{keep}' --confirm RESET.",
            keep.split(',')
                .filter(|key| !key.is_empty())
                .map(|key| format!("\"{key}\""))
                .collect::<Vec<_>>()
                .join(", ")
        );
        match rows {
            Rows::Unchanged => format!("If it is still wanted, {same}"),
            Rows::Deleted | Rows::Unknown => format!("To go on, {same} What is gone already does no harm."),
        }
    }
}

/// `1 row`, `2 rows`.
fn several(number: u64, one: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {one}{ending}")
}

#[cfg(test)]
mod tests;
