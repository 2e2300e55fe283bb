//! What was measured, against its limits: a table for people and JSON for programs.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use serde::Serialize;

/// All figures of one run.
#[derive(Serialize)]
pub(super) struct Report {
    /// The size of the database in words.
    pub(super) database: String,
    server_version: String,
    jobs: usize,
    runs: u32,
    /// Seconds since 1970.
    at: u64,
    figures: Vec<Figure>,
    notes: Vec<(String, serde_json::Value)>,
}

/// One figure and its limit.
#[derive(Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    limit: f64,
    /// Whether the value may be at most the limit; else it must be at least that.
    at_most: bool,
    holds: bool,
    /// What the value was made from: our time and the other's, in seconds.
    medians: Option<(f64, f64)>,
    samples: Option<(Vec<f64>, Vec<f64>)>,
}

impl Report {
    pub(super) fn new(runs: u32, jobs: usize, database: String, server_version: String) -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { database, server_version, jobs, runs, at, figures: Vec::new(), notes: Vec::new() }
    }

    /// A value that may be at most so much.
    pub(super) fn at_most(&mut self, name: &str, unit: &'static str, value: f64, limit: f64) {
        self.push(name, unit, value, limit, true, None);
    }

    /// A value that must be at least so much.
    pub(super) fn at_least(&mut self, name: &str, unit: &'static str, value: f64, limit: f64) {
        self.push(name, unit, value, limit, false, None);
    }

    /// Our time may be at most so many times the other's.
    pub(super) fn at_most_times(&mut self, name: &str, ours: &[Duration], other: &[Duration], limit: f64) {
        self.push(
            name,
            "×",
            seconds(median(ours)) / seconds(median(other)),
            limit,
            true,
            Some((ours, other)),
        );
    }

    /// We must be at least so many times faster than the other.
    pub(super) fn at_least_times_faster(
        &mut self,
        name: &str,
        ours: &[Duration],
        other: &[Duration],
        limit: f64,
    ) {
        self.push(
            name,
            "× faster",
            seconds(median(other)) / seconds(median(ours)),
            limit,
            false,
            Some((ours, other)),
        );
    }

    /// A figure without a limit.
    pub(super) fn note(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        self.notes.push((name.to_owned(), value.into()));
    }

    /// How many limits are broken.
    pub(super) fn broken(&self) -> usize {
        self.figures.iter().filter(|figure| !figure.holds).count()
    }

    /// Writes a file of its own for this run, and `latest.json`.
    pub(super) fn write(&self, directory: &Path) -> Result<PathBuf> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(directory.join("latest.json"), &text)?;
        let path = directory.join(format!("bench-{}.json", self.at));
        fs::write(&path, text)?;
        Ok(path)
    }

    fn push(
        &mut self,
        name: &str,
        unit: &'static str,
        value: f64,
        limit: f64,
        at_most: bool,
        times: Option<(&[Duration], &[Duration])>,
    ) {
        // A ratio that is no number holds no limit.
        let holds = if at_most { value <= limit } else { value >= limit };
        let all = |times: &[Duration]| times.iter().copied().map(seconds).collect::<Vec<_>>();
        self.figures.push(Figure {
            name: name.to_owned(),
            value,
            unit,
            limit,
            at_most,
            holds,
            medians: times.map(|(ours, other)| (seconds(median(ours)), seconds(median(other)))),
            samples: times.map(|(ours, other)| (all(ours), all(other))),
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "PostgreSQL {}, {}, {} jobs, median of {}",
            self.server_version, self.database, self.jobs, self.runs
        )?;
        for figure in &self.figures {
            let value = format!("{:.2} {}", figure.value, figure.unit);
            let limit = format!("{} {}", if figure.at_most { "≤" } else { "≥" }, figure.limit);
            let verdict = if figure.holds { "ok" } else { "BROKEN" };
            write!(f, "{:<48} {value:>14}   {limit:<8} {verdict:<7}", figure.name)?;
            match figure.medians {
                Some((ours, other)) => writeln!(f, "{ours:.2} s against {other:.2} s")?,
                None => writeln!(f)?,
            }
        }
        for (name, value) in &self.notes {
            match value.as_f64() {
                Some(number) => writeln!(f, "{name:<52} {number:.1}")?,
                None => writeln!(f, "{name:<52} {value}")?,
            }
        }
        Ok(())
    }
}

/// The middle one; of an even number the lower of the two.
pub(super) fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(seconds: &[u64]) -> Vec<Duration> {
        seconds.iter().copied().map(Duration::from_secs).collect()
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(&times(&[9, 1, 5])), Duration::from_secs(5));
        assert_eq!(median(&times(&[4, 1])), Duration::from_secs(1));
        assert_eq!(median(&[]), Duration::ZERO);
    }

    #[test]
    fn limits() {
        let mut report = Report::new(3, 2, "1 GB".into(), "15".into());
        report.at_most("memory", "MB", 20.0, 20.0);
        report.at_least("requests", "/s", 5000.0, 5000.0);
        report.at_most_times("create", &times(&[13]), &times(&[10]), 1.35);
        report.at_least_times_faster("create", &times(&[10]), &times(&[30]), 3.0);
        assert_eq!(report.broken(), 0);
        report.at_most("memory", "MB", 20.1, 20.0);
        report.at_least("requests", "/s", f64::NAN, 5000.0);
        report.at_most_times("create", &times(&[14]), &times(&[10]), 1.35);
        report.at_least_times_faster("create", &times(&[10]), &times(&[29]), 3.0);
        report.at_most_times("nothing", &[], &[], 1.0);
        assert_eq!(report.broken(), 5);
    }
}
