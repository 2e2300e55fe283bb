//! What the text of the repository's files must and must not have.

use std::{fs, path::Path};

use anyhow::Result;

use super::Report;
use crate::shell;

/// A file longer than this says more than one thing.
const MAX_LINES: usize = 450;
const MANY_LINES: usize = 400;
/// `main.rs` of the service parses, builds, runs.
const MAX_MAIN_LINES: usize = 80;

/// Words that stand for unfinished work. Written in two halves, so that this file does not hold them.
const UNFINISHED: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("#[ig", "nore"),
    concat!("db", "g!("),
];

/// Paths of somebody's own machine.
const FOREIGN: [&str; 2] = [concat!("../", "shared"), concat!("/wor", "k/")];

/// Checks every file that git tracks or would track.
pub(super) fn check(root: &Path, report: &mut Report) -> Result<()> {
    let mut list = shell::command("git");
    list.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    for name in shell::output(&mut list)?.split('\0').filter(|name| !name.is_empty()) {
        // A file may be deleted and not yet committed; a binary file has no lines.
        if let Ok(text) = fs::read_to_string(root.join(name)) {
            check_file(name, &text, report);
        }
    }
    Ok(())
}

fn check_file(name: &str, text: &str, report: &mut Report) {
    if name == "Cargo.lock" || name == "LICENSE" {
        return;
    }
    let rust = Path::new(name).extension().is_some_and(|extension| extension == "rs");
    let lines = text.lines().count();
    let limit = if name == "bins/recovery-server/src/main.rs" { MAX_MAIN_LINES } else { MAX_LINES };
    if rust && lines > limit {
        report.problem(format!("{name}: {lines} lines, at most {limit}"));
    } else if rust && lines > MANY_LINES {
        report.warning(format!("{name}: {lines} lines"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        if line.ends_with([' ', '\t']) && !name.ends_with(".snap") {
            report.problem(format!("{name}:{number}: a blank at the end of the line"));
        }
        if rust && let Some(word) = UNFINISHED.iter().find(|word| line.contains(*word)) {
            report.problem(format!("{name}:{number}: {word}: finish it or leave it out"));
        }
        if let Some(path) = FOREIGN.iter().find(|path| line.contains(*path)) {
            report.problem(format!("{name}:{number}: {path} is not part of this repository"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        report.problem(format!("{name}: the last line has no end"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expect: usize) {
        let mut report = Report::default();
        check_file(name, text, &mut report);
        assert_eq!(report.problems.len(), expect, "{name}: {:?}", report.problems);
    }

    #[test]
    fn long_files() {
        check("crates/a/src/lib.rs", &"//\n".repeat(450), 0);
        check("crates/a/src/lib.rs", &"//\n".repeat(451), 1);
        check("docs/openapi.json", &"{}\n".repeat(5000), 0);
        check("bins/recovery-server/src/main.rs", &"//\n".repeat(81), 1);
        check("xtask/src/main.rs", &"//\n".repeat(81), 0);
    }

    #[test]
    fn unfinished_work() {
        for word in UNFINISHED {
            check("crates/a/src/lib.rs", &format!("    {word}\n"), 1);
        }
        check("README.md", &format!("{}\n", UNFINISHED[0]), 0);
        check("crates/a/src/lib.rs", "//! A list of things to do.\n", 0);
    }

    #[test]
    fn blanks_and_paths() {
        check("README.md", "a \n", 1);
        check("Makefile", "a:\n\tb\n", 0);
        check("README.md", "no end", 1);
        check("README.md", &format!("see {}/x\n", FOREIGN[0]), 1);
    }
}
