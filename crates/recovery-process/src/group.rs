//! A program and everything that it started: one process group, ended as a whole.

use std::{io, process::ExitStatus, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::{
    io::{copy, sink},
    process::{Child, ChildStderr, ChildStdout},
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

/// How often a group that was asked to end is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A child that leads a process group of its own.
///
/// Dropping it is the last resort: it kills the group at once. The gentle way is [`ProcessGroup::end`].
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    child: Child,
    /// The leader's process id, which is the id of the group; `None` once nothing of it is left to signal.
    id: Option<Pid>,
}

impl ProcessGroup {
    /// Takes over a child that was spawned as the leader of a new group.
    pub(crate) fn new(child: Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Self { child, id }
    }

    /// Waits until the leader ends. May be cancelled and called again.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Kills what the leader, which has ended, has left behind in its group.
    ///
    /// The leader was reaped a moment ago. Its id stays taken while anybody is left in the group; where nobody is, the
    /// kernel would have to give that very id to a new group within this moment for the signal to go astray, and it
    /// hands out ids in a circle.
    pub(crate) fn kill_rest(&mut self) {
        self.signal(Signal::KILL);
        self.id = None;
    }

    /// Asks the whole group to end, kills what has not after `grace`, and reaps the leader.
    pub(crate) async fn end(mut self, grace: Duration) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + grace;
        // A leader that ends at once may leave others behind that are still at work, or that ignore the signal.
        let _ = timeout_at(deadline, self.child.wait()).await;
        while self.is_alive() && Instant::now() < deadline {
            sleep(POLL).await;
        }
        self.kill_rest();
        let _ = self.child.wait().await;
    }

    fn is_alive(&self) -> bool {
        self.id.is_some_and(|id| test_kill_process_group(id).is_ok())
    }

    fn signal(&self, signal: Signal) {
        // The only expected error is that nobody is left, which is what is wanted.
        if let Some(id) = self.id {
            let _ = kill_process_group(id, signal);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The two ends that the parent reads.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

impl Pipes {
    /// Takes the pipes out of a child that was spawned with both.
    pub(crate) fn of(child: &mut Child) -> io::Result<Self> {
        match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), Some(stderr)) => Ok(Self { stdout, stderr }),
            _ => Err(io::Error::other("the process has no pipes")),
        }
    }

    /// Reads on and forgets: a program that has something to say while it ends must neither block nor be struck by
    /// SIGPIPE before it has put its things in order.
    async fn drain(mut self) {
        let (mut nowhere, mut neither) = (sink(), sink());
        let _ = tokio::join!(copy(&mut self.stdout, &mut nowhere), copy(&mut self.stderr, &mut neither));
    }
}

/// Ends its group in the background when it is dropped: what happens to a program whose caller has lost interest.
#[derive(Debug)]
pub(crate) struct EndOnDrop {
    running: Option<(ProcessGroup, Pipes)>,
    grace: Duration,
    /// The runtime that the call began on: the drop may happen outside any.
    runtime: Handle,
}

impl EndOnDrop {
    pub(crate) fn new(group: ProcessGroup, pipes: Pipes, grace: Duration) -> Self {
        Self { running: Some((group, pipes)), grace, runtime: Handle::current() }
    }

    /// The group and its pipes, unless they were given up.
    pub(crate) fn running(&mut self) -> Option<&mut (ProcessGroup, Pipes)> {
        self.running.as_mut()
    }

    /// The group has ended by itself.
    pub(crate) fn forget(&mut self) {
        self.running = None;
    }

    /// Ends the group and returns when it has ended. The work goes on in the background where the caller leaves.
    pub(crate) async fn end(mut self) {
        let Some(ending) = self.begin_ending() else { return };
        // Even SIGKILL waits for a process in an uninterruptible system call; the caller need not.
        let _ = timeout_at(Instant::now() + self.grace + Duration::from_secs(1), ending).await;
    }

    /// Where the runtime is going down, the task is dropped unrun, and with it the group: killed at once.
    fn begin_ending(&mut self) -> Option<JoinHandle<()>> {
        let (group, pipes) = self.running.take()?;
        let grace = self.grace;
        Some(self.runtime.spawn(async move {
            let ending = group.end(grace);
            tokio::pin!(ending);
            tokio::select! {
                () = &mut ending => {}
                () = pipes.drain() => ending.await,
            }
        }))
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.begin_ending();
    }
}
