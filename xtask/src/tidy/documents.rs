//! Commands and links in the documents must lead somewhere.

use std::{fs, path::Path};

use anyhow::Result;
use clap::CommandFactory;

use super::Report;

const DOCUMENTS: [&str; 4] = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"];

/// Checks the documents that a newcomer reads.
pub(super) fn check(root: &Path, report: &mut Report) -> Result<()> {
    let makefile = fs::read_to_string(root.join("Makefile"))?;
    let arguments = crate::Arguments::command();
    let xtasks: Vec<&str> = arguments.get_subcommands().map(clap::Command::get_name).collect();
    for name in DOCUMENTS {
        let Ok(text) = fs::read_to_string(root.join(name)) else {
            report.problem(format!("{name} is missing"));
            continue;
        };
        for word in words_after(&text, "cargo xtask ") {
            if !xtasks.contains(&word) {
                report.problem(format!("{name}: there is no `cargo xtask {word}`"));
            }
        }
        for word in words_after(&text, "make ") {
            if !makefile.lines().any(|line| line.strip_prefix(word).is_some_and(|rest| rest.starts_with(':')))
            {
                report.problem(format!("{name}: the Makefile has no {word}"));
            }
        }
        for link in links(&text).filter(|link| !root.join(link).exists()) {
            report.problem(format!("{name}: the link {link} leads nowhere"));
        }
    }
    Ok(())
}

/// The first word after `prefix` wherever it begins a command: at the start of a line or after a backtick.
fn words_after<'text>(text: &'text str, prefix: &'text str) -> impl Iterator<Item = &'text str> {
    text.lines().flat_map(move |line| {
        line.split('`').filter_map(move |part| {
            let word =
                part.trim_start().strip_prefix(prefix)?.split(|c: char| !c.is_alphanumeric()).next()?;
            (!word.is_empty() && (line.contains('`') || line.starts_with(prefix))).then_some(word)
        })
    })
}

/// The targets of Markdown links into this repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        (!target.is_empty() && !target.contains("://")).then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_where_they_are_meant_as_commands() {
        let text = "Run `cargo xtask up`.\ncargo xtask test\nWe make backups.\n`make restore F=x`\nmake backup # one\n";
        assert_eq!(words_after(text, "cargo xtask ").collect::<Vec<_>>(), ["up", "test"]);
        assert_eq!(words_after(text, "make ").collect::<Vec<_>>(), ["restore", "backup"]);
    }

    #[test]
    fn links_of_this_repository_are_found() {
        let text = "[a](docs/a.md) [b](https://example.org) [c](#here) [d](d.md#part)";
        assert_eq!(links(text).collect::<Vec<_>>(), ["docs/a.md", "d.md"]);
    }
}
