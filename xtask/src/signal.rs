//! Ending processes, and being told to end.

use std::{
    process::Child,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// Asks a child to end, and ends it where it does not in time.
pub(crate) fn stop_child(child: &mut Child, patience: Duration) -> Result<()> {
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    terminate(child.id())?;
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// Sends SIGTERM. A process that is gone already is none to complain about.
pub(crate) fn terminate(pid: u32) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process id")?;
    match kill_process(pid, Signal::TERM) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).context("cannot end a process"),
    }
}

/// Ends a process as the kernel does when memory is short.
pub(crate) fn kill(pid: u32) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process id")?;
    kill_process(pid, Signal::KILL).context("cannot kill a process")
}

/// Turns Ctrl-C and SIGTERM, from now on, into a value that can be waited for.
pub(crate) struct Interrupts {
    runtime: tokio::runtime::Runtime,
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Interrupts {
    /// From here on neither signal ends this program by itself.
    pub(crate) fn catch() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _guard = runtime.enter();
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        drop(_guard);
        Ok(Self { runtime, interrupt, terminate })
    }

    /// Waits for one of them, at most so long. True where one came.
    pub(crate) fn wait(&mut self, at_most: Duration) -> bool {
        let (interrupt, terminate) = (&mut self.interrupt, &mut self.terminate);
        self.runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => true,
                _ = terminate.recv() => true,
                () = tokio::time::sleep(at_most) => false,
            }
        })
    }
}
