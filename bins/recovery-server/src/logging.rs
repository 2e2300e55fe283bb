//! The log: what is written and how. One subscriber for the whole process, on standard error, so that standard output
//! belongs to the command that runs.
//!
//! Requests and operations put their ids into spans; both formats show the spans of a line. Nothing here redacts: a
//! secret never reaches the log, because secrets are `SecretString`s.

use std::{fmt, io, str::FromStr};

use tracing_subscriber::{
    EnvFilter, Layer, filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt,
};

/// What is logged: a level, or a list of directives such as `info,recovery_backup=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

/// A text that is no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected off, error, warn, info, debug or trace, or a list such as info,recovery_backup=debug")]
pub struct InvalidLogFilter;

impl FromStr for LogFilter {
    type Err = InvalidLogFilter;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let directives = text
            .split(',')
            .map(|part| match part.trim().split_once('=') {
                Some((target, level)) if is_target(target) => Ok(format!("{target}={}", level_of(level)?)),
                Some(_) => Err(InvalidLogFilter),
                None => Ok(level_of(part)?.to_string()),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self(directives.join(",")))
    }
}

/// `EnvFilter` would take a word that is no level for the name of a target, and log nothing.
fn level_of(text: &str) -> Result<LevelFilter, InvalidLogFilter> {
    match text.trim().to_ascii_lowercase().as_str() {
        // Python's names, which other services read from the same variable.
        "warning" => Ok(LevelFilter::WARN),
        "critical" | "fatal" => Ok(LevelFilter::ERROR),
        word if !word.bytes().all(|byte| byte.is_ascii_digit()) => word.parse().map_err(|_| InvalidLogFilter),
        _ => Err(InvalidLogFilter),
    }
}

fn is_target(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A text that names no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected text or json")]
pub struct InvalidLogFormat;

impl FromStr for LogFormat {
    type Err = InvalidLogFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(InvalidLogFormat),
        }
    }
}

/// Starts the log of this process. A second call changes nothing.
pub fn start(filter: &LogFilter, format: LogFormat) {
    // `LogFilter` holds only directives that `EnvFilter` understands; were that wrong, the default is better than none.
    let filter = EnvFilter::try_new(&filter.0).unwrap_or_default();
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let layer = match format {
        LogFormat::Text => layer.with_ansi(std::io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
    };
    // Fails only where a subscriber is set already: the first one stays.
    drop(tracing_subscriber::registry().with(filter).with(layer).try_init());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_or_lists_of_directives() {
        let check = |input: &str, expect: Result<&str, InvalidLogFilter>| {
            assert_eq!(
                input.parse().map(|filter: LogFilter| filter.to_string()).as_deref(),
                expect.as_deref(),
                "{input}"
            );
        };
        check("info", Ok("info"));
        check("WARNING", Ok("warn"));
        check("CRITICAL", Ok("error"));
        check("info, recovery_backup=DEBUG", Ok("info,recovery_backup=debug"));
        for bad in ["", "verbose", "info,", "5", "a=b", "=info", "a b=info", "info,verbose"] {
            check(bad, Err(InvalidLogFilter));
        }
    }
}
