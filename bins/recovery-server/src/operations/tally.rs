//! How many operations of each kind ended how since the service began: what the metrics show.

use std::collections::BTreeMap;

use recovery_core::{OperationKind, OperationState};

/// Counts by kind and state, in a stable order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: BTreeMap<(&'static str, &'static str), u64>,
}

impl Tally {
    /// Counts one more.
    pub(super) fn add(&mut self, kind: OperationKind, state: OperationState) {
        *self.counts.entry((kind.as_str(), state.as_str())).or_default() += 1;
    }

    /// Kind, state and number, sorted by the first two.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.counts.iter().map(|(&(kind, state), &count)| (kind, state, count))
    }
}
