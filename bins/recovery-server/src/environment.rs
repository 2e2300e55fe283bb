//! The environment of the platform: shown, and changed, on the runtime of the service and within a bounded time.

use std::time::Duration;

use recovery_core::{ErrorCode, Problem};
use recovery_env::{Expected, Shown};
use secrecy::SecretString;

use crate::{app::App, operations::Failure};

/// How long the file may take to be read.
const READ_PATIENCE: Duration = Duration::from_secs(10);

impl App {
    /// The variables that may be seen.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub async fn environment(&self) -> Result<Shown, Failure> {
        let environment = self.environment.clone();
        self.read_in_time(async move { Ok(environment.show().await?) }).await
    }

    /// Carries out what reads the file, within a bounded time.
    pub(crate) async fn read_in_time<T: Send + 'static>(
        &self,
        reading: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let read = self.begun(reading);
        // A file on a network share that hangs holds up nobody for ever.
        tokio::time::timeout(READ_PATIENCE, read).await.unwrap_or_else(|_| {
            Err(Problem::new(ErrorCode::StorageUnavailable, "The .env file did not answer in time.")
                .hint("Check the disk or network share that it lies on.")
                .into())
        })
    }

    /// Gives variables new values, all of them or none.
    ///
    /// # Errors
    /// Where that may not or cannot be; nothing was written then.
    pub async fn change_environment(
        &self,
        updates: Vec<(String, SecretString)>,
        expected: Expected,
    ) -> Result<Shown, Failure> {
        let environment = self.environment.clone();
        self.begun(async move { Ok(environment.update(updates, &expected).await?) }).await
    }
}
