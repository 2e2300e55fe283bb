//! What happens at the moments that [`recovery_core::crash_point`] names, in the program for tests: it is killed there
//! as the kernel would do it, or waits, and says which moments it has passed.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::process::{Signal, getpid, kill_process};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::settings::CrashSettings;

/// Sets the hook as the environment says.
pub fn install() {
    let settings = CrashSettings::load();
    let reached = AtomicBool::new(false);
    recovery_core::on_crash_point(move |name| {
        if let Some(path) = &settings.trace {
            note(path, name);
        }
        // Whoever comes to the same moment later goes on.
        if settings.at.as_deref() == Some(name) && !reached.swap(true, Ordering::Relaxed) {
            match &settings.pause {
                Some(path) => pause(path),
                None => die(),
            }
        }
    });
}

fn note(path: &Path, name: &str) {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    if let Err(error) = opened.and_then(|mut file| writeln!(file, "{name}")) {
        tracing::error!(%error, name, "a crash point cannot be noted");
    }
}

/// Nothing is flushed, closed or given back.
fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}

/// Creates the file and waits until somebody has removed it.
fn pause(path: &Path) {
    if let Err(error) = fs::write(path, "") {
        tracing::error!(%error, "it cannot be told that a crash point is reached");
        return;
    }
    let wait = || {
        while path.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    match Handle::try_current() {
        // The other tasks of this thread go on elsewhere.
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(wait);
        }
        _ => wait(),
    }
}
