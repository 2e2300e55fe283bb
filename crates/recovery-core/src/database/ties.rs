//! What holds a database where it is, besides its sessions.

use super::DatabaseName;
use crate::port::DatabaseError;

/// What holds a database where it is: some of it keeps PostgreSQL from renaming the database, all of it from dropping it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ties {
    /// How many prepared transactions it has. While there is one it can be neither renamed nor dropped.
    pub prepared_transactions: u64,
    /// Its logical replication slots. It can be renamed, and takes them along; it is not dropped while one is in use.
    pub replication_slots: Vec<String>,
    /// Its subscriptions. It can be renamed, and goes on receiving; it is not dropped before they are.
    pub subscriptions: Vec<String>,
}

impl Ties {
    /// The error that renaming this database would end in.
    #[must_use]
    pub fn against_rename(&self, name: &DatabaseName) -> Option<DatabaseError> {
        (self.prepared_transactions > 0).then(|| DatabaseError::Tied {
            name: name.clone(),
            what: format!("{} prepared transaction(s)", self.prepared_transactions),
            remedy: "Commit them or roll them back (they stand in pg_prepared_xacts), then try again.",
        })
    }

    /// The error that dropping this database may end in; a slot is in the way only while it is in use.
    #[must_use]
    pub fn against_drop(&self, name: &DatabaseName) -> Option<DatabaseError> {
        let tied = |what, remedy| Some(DatabaseError::Tied { name: name.clone(), what, remedy });
        if let Some(error) = self.against_rename(name) {
            return Some(error);
        }
        if !self.subscriptions.is_empty() {
            return tied(
                format!("the subscription(s) {}", self.subscriptions.join(", ")),
                "In that database, run ALTER SUBSCRIPTION … DISABLE, ALTER SUBSCRIPTION … SET (slot_name = NONE) and \
                 DROP SUBSCRIPTION …, then try again.",
            );
        }
        if !self.replication_slots.is_empty() {
            return tied(
                format!("the replication slot(s) {}", self.replication_slots.join(", ")),
                "End the programs that read from them, drop them with pg_drop_replication_slot, then try again.",
            );
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Problem;

    #[test]
    fn what_holds_a_database_is_named_with_its_remedy() {
        let name: DatabaseName = "nova".parse().unwrap();
        let check = |ties: &Ties, rename: Option<&str>, drop: Option<&str>| {
            for (error, expect) in [(ties.against_rename(&name), rename), (ties.against_drop(&name), drop)] {
                let problem = error.map(Problem::from);
                assert_eq!(problem.as_ref().map(|problem| problem.detail.as_str()), expect);
                assert!(problem.is_none_or(|problem| problem.hint.is_some()));
            }
        };
        let mut ties = Ties::default();
        check(&ties, None, None);
        ties.replication_slots = vec!["a".to_owned(), "b".to_owned()];
        check(&ties, None, Some("The database nova has the replication slot(s) a, b."));
        ties.subscriptions = vec!["s".to_owned()];
        check(&ties, None, Some("The database nova has the subscription(s) s."));
        ties.prepared_transactions = 2;
        let held = Some("The database nova has 2 prepared transaction(s).");
        check(&ties, held, held);
    }
}
