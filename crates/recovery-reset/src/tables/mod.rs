//! What becomes of the rows of a database: which go, which lose a reference, and which keep a reset from happening.
//!
//! 1. [`TableClasses`] says of each table whether its rows are wanted.
//! 2. [`TableClasses::doomed`] is the question that this makes for the database: how far does it reach?
//! 3. [`TablePlan::new`] judges the answer.

mod classes;
mod conflict;
mod plan;

pub use classes::{TableClass, TableClasses};
pub use conflict::{Conflict, ConflictReason};
pub use plan::{ClearedReference, FollowingTable, TablePlan, TableRows};
