//! Running `pg_dump` and `pg_restore` while watching whether they get on.

use std::{
    path::Path,
    pin::pin,
    time::{Duration, Instant},
};

use recovery_core::{
    OperationId,
    port::{Cancelled, Command, CommandError, CommandOutput, OperationContext},
};

use super::BackupService;
use crate::{BackupError, space, tools};

/// How long one look may take: meanwhile nobody notices that the program has ended.
const LOOK: Duration = Duration::from_secs(2);

/// What PostgreSQL shows as the `application_name` of a program's sessions: `tool` is `dump` or `load`.
pub(super) fn session_name(tool: &str, operation: OperationId) -> String {
    format!("nova-recovery-{tool}-{}", operation.short())
}

/// How the run of a program ended.
enum Ended {
    /// By itself, or because it hung.
    Ran(Result<CommandOutput, CommandError>),
    /// It was stopped.
    Stopped(BackupError),
}

/// Says how far a program has come, and reports it.
#[async_trait::async_trait]
pub(super) trait Watch: Send {
    /// How often to look.
    const EVERY: Duration;
    /// A program of which nothing is seen for so long hangs; `None` where that cannot be told.
    const STALL: Option<Duration>;

    /// A directory whose disk it must not fill.
    fn writes_to(&self) -> Option<&Path>;

    /// A number that changes while the program gets on.
    async fn look(&mut self) -> u64;
}

impl BackupService {
    /// Runs a program to a successful end. On cancellation and on a stall the program is ended, and so are its
    /// sessions in PostgreSQL, which otherwise go on for as long as their present statement takes.
    pub(super) async fn run_tool<W: Watch>(
        &self,
        tool: &'static str,
        command: Command,
        application_name: &str,
        context: &dyn OperationContext,
        watch: &mut W,
    ) -> Result<(), BackupError> {
        let (interval, stall) = (W::EVERY, W::STALL);
        let disk = watch.writes_to().map(Path::to_owned);
        let mut runs_out = pin!(async {
            match disk {
                Some(directory) => space::runs_out(vec![directory]).await,
                None => std::future::pending().await,
            }
        });
        let mut run = self.runner.run(command);
        let mut last = (watch.look().await, Instant::now());
        let ended = loop {
            tokio::select! {
                ended = &mut run => break Ended::Ran(ended),
                () = context.cancelled() => break Ended::Stopped(Cancelled.into()),
                full = &mut runs_out => break Ended::Stopped(full),
                () = tokio::time::sleep(interval) => {
                    let seen = tokio::time::timeout(LOOK, watch.look()).await.unwrap_or(last.0);
                    if seen != last.0 {
                        last = (seen, Instant::now());
                    } else if let Some(timeout) = stall.filter(|stall| last.1.elapsed() > *stall) {
                        tracing::error!(tool, "no progress for {} s; it is ended", timeout.as_secs());
                        break Ended::Ran(Err(CommandError::TimedOut { program: tool.to_owned(), timeout }));
                    }
                }
            }
        };
        drop(run);
        match ended {
            Ended::Ran(Ok(output)) if output.exit.success() => Ok(()),
            Ended::Ran(Ok(output)) => Err(self.explain(tools::failure(tool, &output)).await),
            Ended::Ran(Err(error)) => {
                self.end_sessions(application_name).await;
                Err(BackupError::Command(error))
            }
            Ended::Stopped(why) => {
                self.end_sessions(application_name).await;
                Err(why)
            }
        }
    }

    /// A program that failed because its server went away is told as that.
    async fn explain(&self, failure: BackupError) -> BackupError {
        tracing::error!(error = ?failure, "a PostgreSQL program failed");
        match self.database.server().await {
            Ok(_) => failure,
            Err(error) => BackupError::Database(error),
        }
    }

    pub(super) async fn end_sessions(&self, application_name: &str) {
        match self.database.terminate_application(application_name).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, application_name, "ended its sessions in PostgreSQL"),
            Err(error) => tracing::warn!(%error, application_name, "cannot end its sessions in PostgreSQL"),
        }
    }
}
