//! Says what a factory reset would wipe that keeps these categories:
//! `cargo run -p recovery-reset --example categories -- api_keys users_and_auth`

use std::error::Error;

use recovery_core::Problem;
use recovery_reset::{Categories, Selection};

fn main() -> Result<(), Box<dyn Error>> {
    let categories = Categories::built_in()?;
    let keep: Vec<String> = std::env::args().skip(1).collect();
    let selection = Selection::keeping(&categories, &keep).map_err(Problem::from)?;
    for category in selection.wiped(&categories) {
        println!("{}: {}", category.key, category.description);
    }
    Ok(())
}
