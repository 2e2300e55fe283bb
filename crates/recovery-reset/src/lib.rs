//! Factory reset: which rows, keys, files and backups would go, whether they may, and making it so.
//!
//! [`Categories`] say what belongs together; a [`Selection`] says what of it is kept, an [`Order`] how. [`Reset`] makes a
//! [`Plan`] of an order, which is all that a preview shows, and carries it out. What becomes of the rows is planned in
//! [`tables`], a pure function; what becomes of the keys in [`ResetKeys`].

mod categories;
mod cut_off;
mod directories;
mod error;
mod execute;
mod keys;
mod plan;
mod report;
mod selection;
mod service;
pub mod tables;

pub use categories::{Categories, Category, CategoryKey, InvalidCategories, InvalidCategoryKey};
pub use cut_off::CutOffReset;
pub use directories::{DirectoryOutcome, DirectoryState, PlannedDirectory, empty_directories};
pub use error::ResetError;
pub use execute::session_name;
pub use keys::{DeletedKeys, KeyCount, KeyEffort, KeyPlan, ResetKeys};
pub use plan::{KeysPlan, MIGRATIONS, Plan, Reseed};
pub use report::ResetReport;
pub use selection::{CONFIRMATION, InvalidSelection, Order, Selection, check_confirmation};
pub use service::{Reset, ResetSettings};
