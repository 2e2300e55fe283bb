//! Rules that the compiler does not check, and that would be broken little by little if nobody looked.

mod documents;
mod layers;
mod source;

use anyhow::{Result, bail};

use crate::workspace;

/// Prints every broken rule and fails where there is one.
pub(crate) fn run() -> Result<()> {
    let mut report = Report::default();
    layers::check(&workspace::metadata(false)?, &mut report)?;
    source::check(workspace::root(), &mut report)?;
    documents::check(workspace::root(), &mut report)?;
    for warning in &report.warnings {
        println!("tidy: note: {warning}");
    }
    for problem in &report.problems {
        println!("tidy: {problem}");
    }
    match report.problems.len() {
        0 => Ok(()),
        count => bail!("tidy found {count} thing(s) to mend"),
    }
}

/// What was found.
#[derive(Default)]
struct Report {
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Report {
    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn warning(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}
