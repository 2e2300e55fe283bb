//! Factory reset: which rows, keys, files and backups would go, whether they may, and making it so.
//!
//! [`Categories`] say what belongs together; a [`Selection`] says what of it is kept.

mod categories;
mod selection;
pub mod tables;

pub use categories::{Categories, Category, CategoryKey, InvalidCategories, InvalidCategoryKey};
pub use selection::{CONFIRMATION, InvalidSelection, Order, Selection, check_confirmation};
