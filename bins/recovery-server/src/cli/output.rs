//! Standard output and standard error: results on the one, everything else on the other. A reader that goes away
//! (`nova-recovery backups | head -1`) is no error and no panic.

use std::io::{self, IsTerminal as _, Write};

use recovery_core::Problem;
use serde::Serialize;

use super::{args::Global, failure::Failure};

/// Where a command writes, and how.
pub(super) struct Output {
    /// One JSON document instead of words.
    pub(super) json: bool,
    /// No progress and no result, only errors.
    pub(super) quiet: bool,
    /// The causes of an error too.
    pub(super) verbose: bool,
    /// Whether progress can be drawn.
    pub(super) draws: bool,
    stdout: Box<dyn Write>,
    stderr: Box<dyn Write>,
}

impl Output {
    /// The streams of this process.
    #[must_use]
    pub(super) fn new(global: &Global) -> Self {
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            draws: io::stderr().is_terminal(),
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
        }
    }

    /// Prints a result: as JSON where that was asked for, else in the words that `text` makes.
    ///
    /// # Errors
    /// Standard output cannot be written, for another reason than that nobody reads it.
    pub(super) fn result<T: Serialize>(
        &mut self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            let text = serde_json::to_string_pretty(value).map_err(|error| cannot_write(&error))?;
            self.print(&text)
        } else if self.quiet {
            Ok(())
        } else {
            self.print(&text())
        }
    }

    /// Prints a text as it is, whatever the mode.
    ///
    /// # Errors
    /// As for [`Output::result`].
    pub(super) fn print(&mut self, text: &str) -> Result<(), Failure> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        match write!(self.stdout, "{text}{end}").and_then(|()| self.stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(&error)),
            _ => Ok(()),
        }
    }

    /// Tells why the command did not succeed.
    pub(super) fn failure(&mut self, failure: &Failure) {
        if failure.told {
            return;
        }
        if self.json {
            if let Ok(text) = serde_json::to_string_pretty(&failure.problem) {
                // Where the output cannot be written, the exit status still tells.
                drop(self.print(&text));
            }
        } else {
            self.tell(error_lines(&failure.problem).trim_end());
        }
        if let Some(causes) = failure.causes.as_ref().filter(|_| self.verbose) {
            self.tell(&format!("causes: {causes}"));
        }
    }

    /// Standard error, for a question.
    pub(super) fn stderr(&mut self) -> &mut dyn Write {
        &mut self.stderr
    }

    fn tell(&mut self, text: &str) {
        // Nobody is left to hear that standard error is gone.
        drop(writeln!(self.stderr, "{text}"));
    }
}

fn cannot_write(error: &dyn std::error::Error) -> Failure {
    Failure::unavailable("The result cannot be written to standard output.").caused_by(error)
}

/// A problem as lines: `error: …`, one line for each field, `hint: …`.
fn error_lines(problem: &Problem) -> String {
    let mut text = format!("error: {}\n", problem.detail.trim_end());
    for error in &problem.errors {
        text.push_str(&format!("  {}: {}\n", error.field, error.message));
    }
    if let Some(hint) = &problem.hint {
        text.push_str(&format!("hint: {hint}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use recovery_core::ErrorCode;
    use serde_json::json;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    fn captured(json: bool, quiet: bool, verbose: bool) -> (Output, Captured, Captured) {
        let (stdout, stderr) = (Captured::default(), Captured::default());
        let output = Output {
            json,
            quiet,
            verbose,
            draws: false,
            stdout: Box::new(stdout.clone()),
            stderr: Box::new(stderr.clone()),
        };
        (output, stdout, stderr)
    }

    fn failure() -> Failure {
        let problem = Problem::new(ErrorCode::Busy, "A restore by root is running.")
            .hint("Wait until it is done.")
            .field("name", "is taken");
        Failure { causes: Some("outer: inner".into()), ..Failure::from(problem) }
    }

    #[test]
    fn results_go_to_standard_output() {
        let (mut output, stdout, stderr) = captured(false, false, false);
        output.result(&json!({"a": 1}), || "one".into()).unwrap();
        assert_eq!((stdout.text().as_str(), stderr.text().as_str()), ("one\n", ""));

        let (mut output, stdout, _) = captured(true, false, false);
        output.result(&json!({"a": 1}), || unreachable!()).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&stdout.text()).unwrap(), json!({"a": 1}));
    }

    #[test]
    fn quiet_leaves_only_errors() {
        let (mut output, stdout, stderr) = captured(false, true, false);
        output.result(&json!(1), || "one".into()).unwrap();
        assert_eq!((stdout.text().as_str(), stderr.text().as_str()), ("", ""));
        output.failure(&failure());
        assert!(stderr.text().starts_with("error: A restore by root is running.\n"));
    }

    #[test]
    fn an_error_is_told_with_its_hint_and_its_causes_on_demand() {
        let (mut output, stdout, stderr) = captured(false, false, false);
        output.failure(&failure());
        assert_eq!(
            (stdout.text().as_str(), stderr.text().as_str()),
            ("", "error: A restore by root is running.\n  name: is taken\nhint: Wait until it is done.\n")
        );
        let (mut output, _, stderr) = captured(false, false, true);
        output.failure(&failure());
        assert!(stderr.text().ends_with("causes: outer: inner\n"));
    }

    #[test]
    fn with_json_an_error_is_a_document_too() {
        let (mut output, stdout, stderr) = captured(true, true, false);
        output.failure(&failure());
        let problem: Problem = serde_json::from_str(&stdout.text()).unwrap();
        assert_eq!((problem.code, stderr.text().as_str()), (ErrorCode::Busy, ""));
    }

    #[test]
    fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is() {
        let check = |kind, expect: bool| {
            let mut output = Output { stdout: Box::new(Broken(kind)), ..captured(false, false, false).0 };
            assert_eq!(output.print("text").is_ok(), expect);
        };
        check(io::ErrorKind::BrokenPipe, true);
        check(io::ErrorKind::StorageFull, false);
    }
}
