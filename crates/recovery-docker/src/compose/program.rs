//! Which program is Compose here: the plugin of the Docker command line, or one of its own.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use recovery_core::{
    compose::ComposeVersion,
    port::{CommandError, CommandRunner, ComposeError},
};

use super::arguments::base;

/// How Compose is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) program: &'static str,
    /// What comes before the arguments of Compose itself.
    pub(super) first: &'static [&'static str],
}

/// The plugin first: where both are there, it is the newer one.
const CANDIDATES: [Program; 2] =
    [Program { program: "docker", first: &["compose"] }, Program { program: "docker-compose", first: &[] }];

/// The first version that is enough.
const NEEDED: u32 = 2;

/// A program that was found, with its version.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) program: Program,
    pub(super) version: ComposeVersion,
}

/// What was found, looked for once and again after it could not be started.
pub(super) struct Programs {
    path: String,
    found: Mutex<Option<Found>>,
}

impl Programs {
    pub(super) fn new(path: String) -> Self {
        Self { path, found: Mutex::new(None) }
    }

    /// Compose.
    pub(super) async fn get(&self, runner: &dyn CommandRunner) -> Result<Found, ComposeError> {
        let known = self.lock().clone();
        match known {
            Some(found) => Ok(found),
            None => {
                let found = self.look(runner).await?;
                *self.lock() = Some(found.clone());
                Ok(found)
            }
        }
    }

    /// Looks again next time: it was removed or replaced.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    async fn look(&self, runner: &dyn CommandRunner) -> Result<Found, ComposeError> {
        let mut too_old = None;
        for program in CANDIDATES {
            let command = base(&program, &self.path).arg("version").arg("--short");
            let output = match runner.run(command.timeout(Duration::from_secs(15))).await {
                Ok(output) => output,
                Err(CommandError::Start { .. }) => continue,
                Err(source) => {
                    let doing = "asking for the version of Compose".to_owned();
                    return Err(match source {
                        CommandError::TimedOut { .. } => ComposeError::TimedOut { doing, source },
                        _ => ComposeError::Run { doing, source },
                    });
                }
            };
            // A Docker command line without the plugin fails here, and so does what is no Compose at all.
            let text = String::from_utf8_lossy(&output.stdout);
            match text.parse::<ComposeVersion>() {
                Ok(version) if output.exit.success() && version.major() >= NEEDED => {
                    tracing::debug!(program = program.program, %version, "found Compose");
                    return Ok(Found { program, version });
                }
                Ok(version) if output.exit.success() => too_old = Some(version),
                _ => {}
            }
        }
        Err(match too_old {
            Some(version) => ComposeError::TooOld { found: version.to_string(), needed: "2.0" },
            None => ComposeError::NotInstalled,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
