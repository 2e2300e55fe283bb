//! How far an operation is, on standard error: a bar on a terminal, else a line now and then.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use recovery_core::{Operation, Progress, Unit};

use super::{output::Output, render};

/// Without a terminal a phase that goes on says so this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows the progress of one operation.
pub(super) enum ProgressView {
    /// Nobody wants to see it.
    Silent,
    /// A bar that is drawn again and again.
    Bar(ProgressBar),
    /// Lines.
    Lines(Lines),
}

/// What was last written.
#[derive(Default)]
pub(super) struct Lines {
    last: Option<(String, Instant)>,
}

impl ProgressView {
    /// The view that fits this output.
    #[must_use]
    pub(super) fn new(output: &Output) -> Self {
        match (output.quiet, output.draws) {
            (true, _) => Self::Silent,
            (false, true) => Self::Bar(ProgressBar::new_spinner()),
            (false, false) => Self::Lines(Lines::default()),
        }
    }

    /// Shows how far the operation is.
    pub(super) fn show(&mut self, operation: &Operation, output: &mut dyn Write) {
        match self {
            Self::Silent => {}
            Self::Bar(bar) => draw(bar, &operation.progress),
            Self::Lines(lines) => {
                if let Some(line) = lines.next(&operation.progress, Instant::now()) {
                    // Progress that nobody can read is no reason to stop.
                    drop(writeln!(output, "{line}"));
                }
            }
        }
    }

    /// Says something between two drawings.
    pub(super) fn say(&self, text: &str, output: &mut dyn Write) {
        match self {
            Self::Silent => {}
            Self::Bar(bar) => bar.println(text),
            Self::Lines(_) => drop(writeln!(output, "{text}")),
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Lines {
    /// The line to write now, if it is time for one: a new phase, or one that takes long.
    fn next(&mut self, progress: &Progress, now: Instant) -> Option<String> {
        let due = self.last.as_ref().is_none_or(|(phase, at)| {
            *phase != progress.phase || now.saturating_duration_since(*at) >= LINE_EVERY
        });
        due.then(|| {
            self.last = Some((progress.phase.clone(), now));
            render::progress(progress)
        })
    }
}

fn draw(bar: &ProgressBar, progress: &Progress) {
    let template = match (progress.total, progress.unit) {
        (None, _) => "{spinner} {msg} [{elapsed}]",
        (Some(_), Unit::Bytes) => "{spinner} {msg} [{bar:30}] {binary_bytes_per_sec}, {eta} left",
        (Some(_), _) => "{spinner} {msg} [{bar:30}]",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    match progress.total {
        Some(total) => bar.set_length(total),
        None => bar.unset_length(),
    }
    // A phase starts its count anew; its speed must not be that of the one before.
    if progress.done < bar.position() {
        bar.reset_eta();
    }
    bar.set_message(render::progress(progress));
    bar.set_position(progress.done);
    bar.tick();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_for_each_phase_and_now_and_then() {
        let mut lines = Lines::default();
        let start = Instant::now();
        let mut at = |seconds, phase: &str, done| {
            lines.next(&Progress::bytes(phase, done, None), start + Duration::from_secs(seconds))
        };
        assert_eq!(at(0, "dumping", 0).as_deref(), Some("dumping"));
        assert_eq!(at(1, "dumping", 100), None);
        assert_eq!(at(11, "dumping", 200).as_deref(), Some("dumping: 200 B"));
        assert_eq!(at(12, "hashing", 1).as_deref(), Some("hashing: 1 B"));
        assert_eq!(at(13, "hashing", 2), None);
    }
}
