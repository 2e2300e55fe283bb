//! The files under `.run`: who runs, the secret, the settings for the shell.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{cluster, signal};

/// The directory `.run`, locked: one `up` at a time works with it.
pub(super) struct RunFiles {
    directory: PathBuf,
    _lock: File,
}

/// The processes of a running `up`.
#[derive(Serialize, Deserialize)]
pub(super) struct Running {
    /// `cargo xtask up` itself.
    pub(super) up: u32,
    /// `nova-recovery serve`.
    pub(super) service: u32,
    /// `redis-server`. PostgreSQL keeps its own note, `postmaster.pid`.
    pub(super) redis: u32,
    /// The address of the service.
    pub(super) url: String,
}

impl RunFiles {
    /// Takes the directory, or says who has it. The kernel gives the lock back when its holder dies.
    pub(super) fn lock(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let lock = File::create(directory.join("lock"))?;
        let files = Self { directory: directory.to_owned(), _lock: lock.try_clone()? };
        match lock.try_lock() {
            Ok(()) => Ok(files),
            Err(TryLockError::WouldBlock) => match files.running()? {
                Some(running) => {
                    bail!(
                        "one runs already: process {}, {}; end it with Ctrl-C there",
                        running.up,
                        running.url
                    )
                }
                None => bail!("one is starting already in this directory"),
            },
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// A path under `.run`.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Ends what an `up` that was killed has left running.
    pub(super) fn stop_left_behind(&self) -> Result<()> {
        let Some(running) = self.running()? else { return Ok(()) };
        for (pid, program) in [(running.service, "nova-recovery"), (running.redis, "redis-server")] {
            // A number may by now belong to somebody else's process.
            if is_program(pid, program) {
                println!("ending {program} (process {pid}), left by an earlier run");
                signal::terminate(pid)?;
                let deadline = Instant::now() + Duration::from_secs(12);
                while is_program(pid, program) {
                    if Instant::now() > deadline {
                        bail!("{program} (process {pid}) does not end");
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
        self.forget()
    }

    /// Writes down who runs.
    pub(super) fn remember(&self, running: &Running) -> Result<()> {
        fs::write(self.path("running.json"), serde_json::to_vec_pretty(running)?)?;
        Ok(())
    }

    /// Nobody runs any more.
    pub(super) fn forget(&self) -> Result<()> {
        remove(fs::remove_file(self.path("running.json")))
    }

    /// The admin secret, made at the first run.
    pub(super) fn admin_secret(&self) -> Result<String> {
        let path = self.path("admin-secret");
        match fs::read_to_string(&path) {
            Ok(secret) => return Ok(secret.trim().to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
        let secret = cluster::random_hex(24)?;
        write_private(&path, &format!("{secret}\n"))?;
        Ok(secret)
    }

    /// Writes `env`, to be read by a shell with `. .run/env`.
    pub(super) fn write_environment(&self, settings: &[(&str, String)], binary: &Path) -> Result<()> {
        let mut text =
            String::from("# Settings of the service that `cargo xtask up` runs. Read it with: . .run/env\n");
        for (name, value) in settings {
            text.push_str(&format!("export {name}={}\n", shell_word(value)));
        }
        let directory = binary.parent().context("a binary lies in a directory")?;
        text.push_str(&format!("export PATH={}:\"$PATH\"\n", shell_word(&directory.to_string_lossy())));
        write_private(&self.path("env"), &text)
    }

    /// Removes the data of earlier runs.
    pub(super) fn remove_data(&self, cluster: &Path) -> Result<()> {
        println!("starting over: removing the sample database, the backups and the secret");
        cluster::stop_left_behind(cluster)?;
        for directory in [cluster.to_owned(), self.path("redis"), self.path("backups"), self.path("nova")] {
            remove(fs::remove_dir_all(&directory)).with_context(|| directory.display().to_string())?;
        }
        remove(fs::remove_file(self.path("admin-secret")))
    }

    fn running(&self) -> Result<Option<Running>> {
        match fs::read(self.path("running.json")) {
            // A note that was cut off while it was written says nothing.
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_program(pid: u32, program: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == program)
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    remove(fs::remove_file(path))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

/// That something is gone already is what was wanted.
fn remove(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// A value as one word of a POSIX shell.
fn shell_word(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_refused_and_told_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let first = RunFiles::lock(directory.path()).unwrap();
        first.remember(&Running { up: 7, service: 8, redis: 9, url: "http://localhost:1".into() }).unwrap();
        let error = RunFiles::lock(directory.path()).err().unwrap().to_string();
        assert!(error.contains("process 7") && error.contains("http://localhost:1"), "{error}");
        drop(first);
        assert!(RunFiles::lock(directory.path()).is_ok());
    }

    #[test]
    fn a_note_about_processes_that_are_gone_is_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        let files = RunFiles::lock(directory.path()).unwrap();
        // This process is not the service, so it is left alone.
        let own = std::process::id();
        files.remember(&Running { up: own, service: own, redis: own, url: String::new() }).unwrap();
        files.stop_left_behind().unwrap();
        assert!(files.running().unwrap().is_none());
        fs::write(files.path("running.json"), "{\"up\":").unwrap();
        assert!(files.running().unwrap().is_none());
    }

    #[test]
    fn the_secret_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let files = RunFiles::lock(directory.path()).unwrap();
        let secret = files.admin_secret().unwrap();
        assert_eq!(secret.len(), 48);
        assert_eq!(files.admin_secret().unwrap(), secret);
        let mode = fs::metadata(files.path("admin-secret")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn values_survive_the_shell() {
        let value = "a'b $c \"d\"";
        let script = format!("printf %s {}", shell_word(value));
        assert_eq!(crate::shell::output(crate::shell::command("sh").args(["-c", &script])).unwrap(), value);
    }
}
