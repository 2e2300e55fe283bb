//! What keeps a reset from happening, and what can be done about it.

use std::collections::BTreeSet;

use recovery_core::schema::{Count, ForeignKey, OnDelete, TableName};

use super::TableClass;
use crate::CategoryKey;

/// Why rows that are to stay cannot lose what they refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictReason {
    /// They would be deleted, too (`CASCADE`).
    WouldBeDeleted,
    /// They would block the deletion (`NO ACTION`, `RESTRICT`).
    WouldBlock,
    /// Their reference would become NULL, which its columns cannot be.
    CannotBeNull,
    /// Their reference would get its default, and there is no row that this refers to.
    DefaultLeadsNowhere,
}

/// Rows that are to stay and refer to rows that are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The foreign key by which they refer; its table is theirs.
    pub key: ForeignKey,
    /// What was to become of their table.
    pub class: TableClass,
    /// How many they are.
    pub rows: Count,
    /// The categories on whose account the rows go that they refer to. Empty where that is no category's
    /// ([`TableClass::Emptied`]).
    pub wiped: BTreeSet<CategoryKey>,
    /// Why this cannot be.
    pub reason: ConflictReason,
}

impl Conflict {
    /// The table whose rows are to stay.
    #[must_use]
    pub fn table(&self) -> &TableName {
        &self.key.table
    }

    /// What is in the way, in a sentence. `label` says what people call a category.
    #[must_use]
    pub fn sentence(&self, label: impl Fn(&CategoryKey) -> String) -> String {
        let Count { rows, exact } = self.rows;
        let about = if exact { "" } else { "about " };
        let (table, referenced, name) = (&self.key.table, &self.key.referenced, &self.key.name);
        let owner = match &self.class {
            TableClass::Kept { category } => format!("which \"{}\" keeps", label(category)),
            TableClass::Never => "of which no row is ever deleted".to_owned(),
            _ => "which belongs to no category".to_owned(),
        };
        let (refer, they) = if rows == 1 { ("row refers", "it") } else { ("rows refer", "they") };
        let outcome = match self.reason {
            ConflictReason::WouldBeDeleted => format!("{they} would be deleted, too"),
            ConflictReason::WouldBlock => format!("{they} would block the deletion"),
            ConflictReason::CannotBeNull => format!("{they} cannot do without"),
            ConflictReason::DefaultLeadsNowhere => {
                format!("the default that {they} would refer to instead does not stay")
            }
        };
        let whose = match list(&self.wiped, &label) {
            Some(labels) => format!(" of {labels}"),
            None => String::new(),
        };
        format!(
            "{about}{rows} {refer} from {table}, {owner}, to {referenced}{whose} (foreign key {name}): {outcome}"
        )
    }

    /// What can be done about it, in a sentence.
    #[must_use]
    pub fn remedy(&self, label: impl Fn(&CategoryKey) -> String) -> String {
        let table = &self.key.table;
        let kept = match &self.class {
            TableClass::Kept { category } => Some(format!("do not keep \"{}\"", label(category))),
            _ => None,
        };
        let keep = list(&self.wiped, &label).map(|labels| format!("keep {labels}"));
        let first = match (keep, kept) {
            (Some(keep), Some(kept)) => format!("{keep}, or {kept}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => "do not let the migrations run again".to_owned(),
        };
        let mut sentence = match self.class {
            TableClass::Kept { .. } => format!("{first}."),
            _ => format!("{first}, or delete these rows of {table} before."),
        };
        if let Some(letter) = sentence.get_mut(..1) {
            letter.make_ascii_uppercase();
        }
        sentence
    }
}

/// What a key does to the rows that refer by it, where that is not what they can take.
pub(super) fn reason_of(key: &ForeignKey) -> ConflictReason {
    match key.on_delete {
        OnDelete::Cascade => ConflictReason::WouldBeDeleted,
        OnDelete::NoAction | OnDelete::Restrict => ConflictReason::WouldBlock,
        OnDelete::SetNull | OnDelete::SetDefault => ConflictReason::CannotBeNull,
    }
}

/// `"A"`, `"A" and "B"`, `"A", "B" and "C"`.
fn list(keys: &BTreeSet<CategoryKey>, label: impl Fn(&CategoryKey) -> String) -> Option<String> {
    let mut labels: Vec<String> = keys.iter().map(|key| format!("\"{}\"", label(key))).collect();
    let last = labels.pop()?;
    Some(if labels.is_empty() { last } else { format!("{} and {last}", labels.join(", ")) })
}
