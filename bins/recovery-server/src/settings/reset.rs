//! `RESET_CATEGORIES_FILE`: what belongs to which category of a factory reset.

use std::{fs::File, io::Read as _, path::Path};

use recovery_reset::Categories;

/// A longer file is no list of categories.
const LARGEST: u64 = 1024 * 1024;

/// Reads the file of this path.
pub(super) fn categories(path: &Path) -> Result<Categories, String> {
    let name = path.display();
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    read.map_err(|error| format!("`{name}` cannot be read: {error}"))?;
    text.parse::<Categories>().map_err(|error| format!("`{name}` cannot be used: {error}"))
}
