//! Factory reset: which rows, keys, files and backups would go, whether they may, and making it so.
//!
//! [`Categories`] say what belongs together; a [`Selection`] says what of it is kept.

mod categories;
mod directories;
mod keys;
mod selection;
pub mod tables;

pub use categories::{Categories, Category, CategoryKey, InvalidCategories, InvalidCategoryKey};
pub use directories::{
    DirectoryOutcome, DirectoryPlan, DirectoryStanding, empty_directories, plan_directories,
};
pub use keys::{DeletedKeys, KeyCount, KeyEffort, KeyPlan, ResetKeys};
pub use selection::{CONFIRMATION, InvalidSelection, Order, Selection, check_confirmation};
