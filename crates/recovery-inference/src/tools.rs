//! The vendors' tools where this program runs.

use std::{path::PathBuf, sync::Arc, time::Duration};

use recovery_core::port::{Command, CommandError, CommandRunner};

/// The most bytes that a tool may print: a machine with 16 GPUs prints 64 KiB.
const MOST_OUTPUT: usize = 1024 * 1024;

/// Runs the tools of vendors in the directories where they may be.
#[derive(Clone)]
pub struct Tools {
    runner: Arc<dyn CommandRunner>,
    path: String,
}

impl Tools {
    /// The tools in these directories.
    pub fn new(runner: Arc<dyn CommandRunner>, directories: &[PathBuf]) -> Self {
        let path: Vec<String> = directories.iter().map(|directory| directory.display().to_string()).collect();
        Self { runner, path: path.join(":") }
    }

    /// What a tool prints, within this time.
    pub(crate) async fn run(
        &self,
        tool: &'static str,
        arguments: &[&str],
        limit: Duration,
    ) -> Result<Printed, ToolError> {
        let command = Command::new(tool)
            .env("PATH", self.path.as_str())
            // Numbers and words as they are here, wherever the tool is.
            .env("LC_ALL", "C")
            .timeout(limit)
            .stdout_limit(MOST_OUTPUT);
        let command = arguments.iter().fold(command, |command, argument| command.arg(*argument));
        // One that does not even end when it is asked to is left to be killed in the background.
        let ran = tokio::time::timeout(limit, self.runner.run(command)).await;
        let output = match ran {
            Err(_) | Ok(Err(CommandError::TimedOut { .. })) => {
                return Err(ToolError::Failed(format!("did not end within {} s", limit.as_secs_f32())));
            }
            Ok(Err(CommandError::Start { source, .. })) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(ToolError::Missing);
            }
            Ok(Err(CommandError::Start { .. })) => {
                return Err(ToolError::Failed("cannot be started".to_owned()));
            }
            Ok(Err(CommandError::TooMuchOutput { limit, .. })) => {
                return Err(ToolError::Failed(format!("printed more than {limit} bytes")));
            }
            Ok(Err(CommandError::Lost { .. })) => {
                return Err(ToolError::Failed("broke off".to_owned()));
            }
            Ok(Ok(output)) => output,
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Printed { text, failed: (!output.exit.success()).then(|| format!("ended with {}", output.exit)) })
    }
}

/// What a tool printed.
pub(crate) struct Printed {
    pub(crate) text: String,
    /// How it failed, where it did; it may have printed what it knows nevertheless.
    pub(crate) failed: Option<String>,
}

/// A tool says nothing.
#[derive(Debug)]
pub(crate) enum ToolError {
    /// It is not installed: nothing unusual.
    Missing,
    /// It failed: how, in words that follow its name.
    Failed(String),
}
