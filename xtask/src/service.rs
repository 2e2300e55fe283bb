//! The service as a process.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{http, shell, signal};

/// The service, running. Stopped when dropped.
pub(crate) struct Service {
    child: Child,
    port: u16,
}

/// A `nova-recovery` command with these settings and nothing else of the developer's environment.
pub(crate) fn command(binary: &Path, settings: &[(&str, String)]) -> Command {
    let mut command = shell::command(binary);
    command.env_clear().env("PATH", shell::PATH);
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command
}

impl Service {
    /// Starts `nova-recovery serve` on a port; its log goes to a file.
    pub(crate) fn spawn(binary: &Path, settings: &[(&str, String)], port: u16, log: &Path) -> Result<Self> {
        let log = fs::File::create(log)?;
        let mut serve = command(binary, settings);
        serve.arg("serve").env("PORT", port.to_string()).env("BIND_ADDRESS", "127.0.0.1");
        serve.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        Ok(Self { child: serve.spawn().context("cannot start nova-recovery")?, port })
    }

    /// Waits until a probe answers 200.
    pub(crate) fn wait_for(&mut self, path: &str, every: Duration, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let mut last = "no answer".to_owned();
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("the service ended by itself: {status}");
            }
            match http::request(self.port, "GET", path, &[]) {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => last = format!("{} {}", answer.status, answer.body),
                Err(_) => {}
            }
            std::thread::sleep(every);
        }
        bail!("{path} did not answer 200 within {} s; last: {last}", patience.as_secs())
    }

    /// Whether it has ended by itself, and how.
    pub(crate) fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it; it has 8 seconds to finish by itself.
    pub(crate) fn stop(&mut self) -> Result<()> {
        signal::stop_child(&mut self.child, Duration::from_secs(12))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("the service was not stopped: {error:#}");
        }
    }
}
