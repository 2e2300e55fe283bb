//! Runs Compose, and turns its failures into errors.

use std::{path::Path, sync::Arc};

use recovery_core::port::{CommandError, CommandOutput, ComposeError, OnProgress};
use tokio::sync::watch;

use super::{
    ComposeCli,
    arguments::{Call, Task},
    diagnose,
    progress::Watched,
    values::Values,
};

impl ComposeCli {
    /// Runs a task to its end.
    pub(super) async fn run(&self, call: Call, task: &Task<'_>) -> Result<CommandOutput, ComposeError> {
        let found = self.programs.get(self.runner.as_ref()).await?;
        let env_file = call.env_file.clone();
        let result = self.runner.run(call.of(&found.program)).await;
        self.judge(result, task, &env_file)
    }

    /// Runs a task to its end and tells how far it is.
    pub(super) async fn run_watched(
        &self,
        call: Call,
        task: &Task<'_>,
        progress: OnProgress<'_>,
    ) -> Result<CommandOutput, ComposeError> {
        let found = self.programs.get(self.runner.as_ref()).await?;
        let watched = Arc::new(watch::Sender::new(Watched::default()));
        let mut seen = watched.subscribe();
        let writer = Arc::clone(&watched);
        let env_file = call.env_file.clone();
        let command = call.of(&found.program).on_stderr_line(move |line| {
            writer.send_if_modified(|watched| watched.hear(line));
        });
        let running = self.runner.run(command);
        tokio::pin!(running);
        let result = loop {
            tokio::select! {
                result = &mut running => break result,
                Ok(()) = seen.changed() => progress(seen.borrow_and_update().progress()),
            }
        };
        self.judge(result, task, &env_file)
    }

    fn judge(
        &self,
        result: Result<CommandOutput, CommandError>,
        task: &Task<'_>,
        env_file: &Path,
    ) -> Result<CommandOutput, ComposeError> {
        match result {
            Ok(output) if output.exit.success() => Ok(output),
            Ok(output) => {
                // What Compose says of its files can quote values: not even the log gets it as it is.
                let values = Values::of(env_file);
                let words = diagnose::harmless_words(&output.stderr_tail).map(|words| values.hide(words));
                tracing::info!(exit = %output.exit, words, "{task} failed");
                let mut error = diagnose::diagnose(&self.settings.project, task, &output);
                if let ComposeError::Invalid { what: Some(what), .. }
                | ComposeError::Failed { what: Some(what), .. } = &mut error
                {
                    *what = values.hide(std::mem::take(what));
                }
                Err(error)
            }
            // It asks nobody but the engine.
            Err(CommandError::TimedOut { .. }) if matches!(task, Task::Containers) => {
                Err(ComposeError::EngineUnavailable)
            }
            Err(source @ CommandError::TimedOut { .. }) => {
                Err(ComposeError::TimedOut { doing: task.to_string(), source })
            }
            Err(source) => {
                if matches!(source, CommandError::Start { .. }) {
                    self.programs.forget();
                }
                Err(ComposeError::Run { doing: task.to_string(), source })
            }
        }
    }
}
