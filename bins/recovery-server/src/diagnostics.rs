//! How things stand, for somebody who looks for what is wrong: the services, the last lines that each printed, the
//! database and the checkpoints. What is away is left out and named; secrets are taken out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use recovery_core::{BackupKind, ServiceName, port::LogTail};
use recovery_env::EnvDocument;

use crate::{
    app::App,
    operations::Failure,
    redact::Redactor,
    view::{self, CheckpointCount, Diagnostics},
};

/// How many lines of each log are looked at.
const LINES: usize = 50;
/// The most of one log that is shown, in bytes: its end.
const LARGEST_LOG: usize = 8 * 1024;
/// How many logs are read at once.
const AT_ONCE: usize = 8;
/// How long all logs may take.
const LOG_PATIENCE: Duration = Duration::from_secs(8);
/// How many lines that look like errors are shown, and how much of each, in bytes.
const PATTERNS: usize = 50;
const LONGEST_PATTERN: usize = 300;

/// What makes a line look like an error, in lower case.
const MARKS: [&str; 7] = ["error", "exception", "fatal", "panic", "traceback", "critical", "out of memory"];

impl App {
    /// How things stand.
    pub(crate) async fn diagnostics(&self) -> Diagnostics {
        let environment = self.environment_document().await;
        let redactor = self.redactor(environment.as_ref().ok());
        let (logs, database, backups) =
            tokio::join!(self.service_logs(), self.database_status(), self.list_backups());
        let (logs, mut unavailable) = logs;
        let logs: BTreeMap<String, String> = logs
            .into_iter()
            .map(|(service, tail)| (service.to_string(), redactor.redact(&text_of(&tail))))
            .collect();
        if let Err(problem) = &backups {
            unavailable.push(problem.detail.clone());
        }
        let checkpoints: Vec<_> = backups
            .unwrap_or_default()
            .into_iter()
            .filter(|backup| backup.kind == BackupKind::Checkpoint)
            .collect();
        Diagnostics {
            services: self.services.listed().to_vec(),
            error_patterns: error_patterns(&logs),
            service_logs: logs,
            database,
            checkpoints: CheckpointCount {
                count: checkpoints.len(),
                latest: checkpoints.into_iter().next().map(view::Backup::from),
            },
            unavailable,
        }
    }

    /// The `.env`, with its secrets.
    pub(crate) async fn environment_document(&self) -> Result<EnvDocument, Failure> {
        let environment = self.environment.clone();
        self.read_in_time(async move { Ok(environment.document().await?.0) }).await
    }

    /// Takes out what must not leave: every value of the `.env` that may not be seen, and the admin secret.
    pub(crate) fn redactor(&self, environment: Option<&EnvDocument>) -> Redactor {
        Redactor::of(environment, &self.own_secrets)
    }

    /// The last lines of each service that has a container, and what could not be read.
    async fn service_logs(&self) -> (Vec<(ServiceName, Vec<(String, LogTail)>)>, Vec<String>) {
        let snapshot = self.services.snapshot();
        if !snapshot.is_current() {
            return (
                Vec::new(),
                vec!["The container engine does not answer, so there are no logs.".to_owned()],
            );
        }
        let services: Vec<ServiceName> = snapshot.services().into_iter().cloned().collect();
        let mut unavailable = Vec::new();
        let mut logs = Vec::new();
        let mut reading = stream::iter(services)
            .map(|service| async move {
                let log = self.services.logs(&service, LINES).await;
                (service, log)
            })
            .buffer_unordered(AT_ONCE);
        let all = async {
            while let Some((service, log)) = reading.next().await {
                match log {
                    Ok(log) => logs.push((service, log)),
                    Err(failure) => unavailable.push(failure.log().detail),
                }
            }
        };
        let in_time = tokio::time::timeout(LOG_PATIENCE, all).await.is_ok();
        if !in_time {
            unavailable.push("Some logs could not be read in time.".to_owned());
        }
        (logs, unavailable)
    }
}

/// The lines of a service's containers, one container after the other.
fn text_of(logs: &[(String, LogTail)]) -> String {
    let lines = logs.iter().flat_map(|(_, tail)| tail.lines.iter().map(|line| line.text.as_str()));
    let text = lines.collect::<Vec<_>>().join("\n");
    let begin = text.ceil_char_boundary(text.len().saturating_sub(LARGEST_LOG));
    text.get(begin..).unwrap_or_default().to_owned()
}

/// The lines that look like errors, each once, with the service that printed them.
fn error_patterns(logs: &BTreeMap<String, String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let lines = logs.iter().flat_map(|(service, log)| log.lines().map(move |line| (service, line)));
    lines
        .filter(|(_, line)| {
            let line = line.to_lowercase();
            MARKS.iter().any(|mark| line.contains(mark))
        })
        .map(|(service, line)| {
            let line = line.trim();
            let end = line.floor_char_boundary(LONGEST_PATTERN);
            format!("[{service}] {}", line.get(..end).unwrap_or_default())
        })
        .filter(|pattern| seen.insert(pattern.clone()))
        .take(PATTERNS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_look_like_errors_are_found_once() {
        let logs = [
            ("chat-api", "started\nERROR: no route\nERROR: no route\n  Traceback (most recent call last):"),
            ("redis", "ready"),
        ];
        let logs = logs.map(|(service, log)| (service.to_owned(), log.to_owned())).into();
        assert_eq!(
            error_patterns(&logs),
            ["[chat-api] ERROR: no route", "[chat-api] Traceback (most recent call last):"]
        );
        let many: String = (0..200).map(|n| format!("error {n} {}\n", "ü".repeat(400))).collect();
        let patterns = error_patterns(&[("x".to_owned(), many)].into());
        assert_eq!(patterns.len(), PATTERNS);
        assert!(patterns.iter().all(|pattern| pattern.len() <= LONGEST_PATTERN + 4));
    }
}
