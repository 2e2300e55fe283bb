//! How many passed and how many failed, read out of what the test runners print.

use std::{
    fmt,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// What came of a number of checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    /// Checks that were left out: none may be.
    pub(super) skipped: u64,
}

impl Counts {
    /// Adds the counts of a step; fails where something in it failed or was left out, and where there was nothing in
    /// it: a step that finds no tests any more must not pass.
    pub(super) fn add(&mut self, step: Self) -> Result<()> {
        self.passed += step.passed;
        self.failed += step.failed;
        self.skipped += step.skipped;
        match step {
            Self { passed: 0, failed: 0, skipped: 0 } => bail!("nothing was run"),
            Self { failed: 0, skipped: 0, .. } => Ok(()),
            Self { failed: 0, skipped, .. } => bail!("{skipped} left out"),
            Self { failed, .. } => bail!("{failed} failed"),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs a test runner, shows what it prints, and adds up the lines that `parse` understands.
pub(super) fn run_showing(command: &mut Command, parse: fn(&str) -> Option<Counts>) -> Result<Counts> {
    // One pipe for both streams keeps their order.
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).env("CARGO_TERM_COLOR", "never");
    let mut child = command.spawn().context("cannot run the tests")?;
    // The command holds the writing ends; without them the reader sees the end when the child is done.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut counts = Counts::default();
    let mut understood = false;
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if let Some(found) = parse(&line) {
            understood = true;
            counts.passed += found.passed;
            counts.failed += found.failed;
            counts.skipped += found.skipped;
        }
    }
    let status = child.wait()?;
    if !status.success() && counts.failed == 0 {
        bail!("the tests could not be run: {status}");
    }
    if !understood {
        bail!("no test was run");
    }
    Ok(counts)
}

/// `     Summary [  12.3s] 300 tests run: 298 passed (2 slow), 2 failed, 1 skipped`
pub(super) fn nextest(line: &str) -> Option<Counts> {
    let (head, results) = line.trim_start().split_once(" run: ")?;
    head.starts_with("Summary [").then(|| counts(results.split(", ")))
}

/// `test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s`
pub(super) fn libtest(line: &str) -> Option<Counts> {
    let results = line.strip_prefix("test result: ")?;
    Some(counts(results.split_once(". ")?.1.split("; ")))
}

fn counts<'text>(parts: impl Iterator<Item = &'text str>) -> Counts {
    let mut counts = Counts::default();
    for part in parts {
        let mut words = part.split_whitespace();
        let (Some(Ok(number)), Some(what)) = (words.next().map(str::parse::<u64>), words.next()) else {
            continue;
        };
        match what {
            "passed" => counts.passed += number,
            "failed" | "timed" | "exec" => counts.failed += number,
            "skipped" | "ignored" => counts.skipped += number,
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries() {
        let check = |parse: fn(&str) -> Option<Counts>, line: &str, expect: Option<(u64, u64, u64)>| {
            let expect = expect.map(|(passed, failed, skipped)| Counts { passed, failed, skipped });
            assert_eq!(parse(line), expect, "{line}");
        };
        check(nextest, "     Summary [  12.345s] 300 tests run: 300 passed, 0 skipped", Some((300, 0, 0)));
        check(
            nextest,
            "     Summary [   1.0s] 9 tests run: 5 passed (1 slow, 1 leaky), 2 failed, 2 timed out, 1 skipped",
            Some((5, 4, 1)),
        );
        check(
            nextest,
            "     Summary [   0.0s] 2/3 tests run: 1 passed, 1 failed, 0 skipped",
            Some((1, 1, 0)),
        );
        check(nextest, "    Starting 3 tests across 2 binaries", None);
        check(
            libtest,
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.10s",
            Some((3, 0, 1)),
        );
        check(
            libtest,
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
            Some((2, 1, 0)),
        );
        check(libtest, "running 3 tests", None);
    }

    #[test]
    fn a_runner_that_fails_without_a_summary_is_an_error() {
        let run = |script: &str| run_showing(crate::shell::command("sh").args(["-c", script]), nextest);
        assert!(run("echo does not compile >&2; exit 101").is_err());
        assert!(run("true").is_err());
        let counts =
            run("echo 'Summary [ 1s] 2 tests run: 1 passed, 1 failed, 0 skipped'; exit 100").unwrap();
        assert_eq!(counts.to_string(), "1 passed, 1 failed");
        assert!(Counts::default().add(counts).is_err());
        let nothing = run("echo 'Summary [ 0s] 0 tests run: 0 passed, 0 skipped'").unwrap();
        assert!(Counts { passed: 9, ..Counts::default() }.add(nothing).is_err());
        assert!(Counts::default().add(Counts { passed: 1, ..Counts::default() }).is_ok());
    }
}
