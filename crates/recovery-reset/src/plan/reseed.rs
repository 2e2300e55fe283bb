//! Whether the platform's migrations run again after a reset: they put rows into tables that are of no use without.

use recovery_core::schema::TableName;

use crate::{Categories, Order};

/// The table in which the platform notes which migrations it has run.
pub const MIGRATIONS: &str = "schema_migrations";

/// Whether migrations are to run again, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reseed {
    /// Whether [`MIGRATIONS`] is emptied in the reset.
    pub planned: bool,
    /// Why, or why not: a sentence.
    pub why: String,
}

pub(crate) fn migrations() -> TableName {
    TableName::public(MIGRATIONS)
}

impl Reseed {
    /// Migrations may also rewrite rows that are kept, so they run again only where something is missing without them,
    /// or where somebody says so.
    pub(super) fn decide(order: &Order, categories: &Categories, has_migrations: bool) -> Self {
        let seeded: Vec<&str> = order
            .selection
            .wiped(categories)
            .filter(|category| category.seeded_by_migrations)
            .map(|category| category.label.as_str())
            .collect();
        let (wanted, why) = match order.reseed {
            Some(true) => (true, "It was asked for.".to_owned()),
            Some(false) => (false, "It was asked not to be done.".to_owned()),
            None if seeded.is_empty() => {
                (false, "Nothing is wiped that the platform's migrations put there.".to_owned())
            }
            None => (
                true,
                format!(
                    "What is wiped was put there in part by the platform's migrations: {}.",
                    seeded.join(", ")
                ),
            ),
        };
        if wanted && !has_migrations {
            let why =
                format!("The database has no table {MIGRATIONS}, so it is not known how its migrations run.");
            return Self { planned: false, why };
        }
        Self { planned: wanted, why }
    }
}
