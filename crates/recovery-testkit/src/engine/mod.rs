//! A container engine in memory.

mod container;
mod gpu;

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use async_trait::async_trait;
use recovery_core::{
    Problem,
    container::{Container, ContainerId, ContainerState, EngineVersion, Health, Snapshot},
    port::{ContainerEngine, EngineError, Exec, ExecOutput, LogLine, LogTail},
};
use time::{Duration as TimeDuration, OffsetDateTime, macros::datetime};
use tokio::sync::watch;

use crate::{Faults, lock};

pub use container::{EngineContainer, Fate};

/// Where a fault of the engine can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnginePoint {
    /// Looking at all containers.
    Look,
    /// Looking at one.
    Inspect,
    /// Restarting one.
    Restart,
    /// Reading a log.
    Logs,
    /// Running a command in one.
    Exec,
    /// Asking the engine about itself.
    Info,
    /// Running a program in a container of its own.
    Probe,
    /// Removing the containers of probes that a crash left.
    Sweep,
}

/// What a fake engine can be made to get wrong.
pub type EngineFaults = Faults<EnginePoint, EngineError>;

/// An engine with the containers of the project `nova`. Clones are the same client of it.
///
/// Stricter than production: it panics where two watch at once, where a container that ran one command is restarted,
/// and where no line, no time or no command is asked for.
#[derive(Clone)]
pub struct FakeEngine {
    shared: Arc<Shared>,
    client: Arc<Client>,
}

/// The engine itself.
struct Shared {
    world: Mutex<World>,
    changed: watch::Sender<u64>,
    faults: EngineFaults,
}

/// What one client knows of it.
struct Client {
    snapshot: watch::Sender<Arc<Snapshot>>,
    watched: AtomicBool,
}

impl Client {
    fn new() -> Arc<Self> {
        let snapshot = watch::Sender::new(Arc::new(Snapshot::unasked()));
        Arc::new(Self { snapshot, watched: AtomicBool::new(false) })
    }
}

struct World {
    containers: Vec<EngineContainer>,
    away: bool,
    now: OffsetDateTime,
    restarted: Vec<String>,
    gpus: gpu::Gpus,
}

impl FakeEngine {
    /// An engine without containers.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "as the other fakes")]
    pub fn new() -> Self {
        let world = World {
            containers: Vec::new(),
            away: false,
            now: datetime!(2026-01-31 12:00 UTC),
            restarted: Vec::new(),
            gpus: gpu::Gpus::default(),
        };
        let (changed, faults) = (watch::Sender::new(0), Faults::default());
        let shared = Arc::new(Shared { world: Mutex::new(world), changed, faults });
        Self { shared, client: Client::new() }
    }

    /// Another client of the same engine, who knows nothing yet.
    #[must_use]
    pub fn another_client(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), client: Client::new() }
    }

    /// What is to go wrong.
    #[must_use]
    pub fn faults(&self) -> &EngineFaults {
        &self.shared.faults
    }

    /// Adds a container. Returns its id.
    pub fn add(&self, container: EngineContainer) -> ContainerId {
        let id = container.id();
        self.change(|world| {
            world.now += TimeDuration::SECOND;
            let mut container = container;
            if container.container.state == ContainerState::Running {
                container.container.started_at = Some(world.now);
            }
            world.containers.push(container);
        });
        id
    }

    /// The id of the first container of a service.
    ///
    /// # Panics
    /// Panics where there is none.
    #[must_use]
    pub fn look_for(&self, service: &str) -> ContainerId {
        let world = self.world();
        let mut containers = world.containers.iter();
        let found = containers.find(|container| container.container.service().as_str() == service);
        found.expect("a container of this service").id()
    }

    /// Changes a container as somebody else would.
    ///
    /// # Panics
    /// Panics where there is none of this id.
    pub fn alter(&self, id: &ContainerId, change: impl FnOnce(&mut Container)) {
        self.change(|world| change(&mut world.find(id).expect("a container of this id").container));
    }

    /// Ends the program of a container, with this exit status.
    pub fn end(&self, id: &ContainerId, exit_code: i64) {
        self.alter(id, |container| {
            container.state = ContainerState::Exited;
            container.health = Health::None;
            container.exit_code = Some(exit_code);
        });
    }

    /// Decides what becomes of a container when it is started the next time.
    pub fn destine(&self, id: &ContainerId, fate: Fate) {
        self.change(|world| world.find(id).expect("a container of this id").fate = fate);
    }

    /// Lets a container print these lines.
    ///
    /// # Panics
    /// Panics where there is none of this id.
    pub fn print(&self, id: &ContainerId, lines: impl IntoIterator<Item = LogLine>) {
        self.change(|world| world.find(id).expect("a container of this id").log.extend(lines));
    }

    /// Removes a container.
    pub fn remove(&self, id: &ContainerId) {
        self.change(|world| world.containers.retain(|container| container.container.id != *id));
    }

    /// Takes the engine away: nothing answers, the containers go on.
    pub fn away(&self) {
        self.change(|world| world.away = true);
    }

    /// Brings the engine back.
    pub fn back(&self) {
        self.change(|world| world.away = false);
    }

    /// The names of the containers that were restarted, in order.
    #[must_use]
    pub fn restarted(&self) -> Vec<String> {
        self.world().restarted.clone()
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world());
        self.shared.changed.send_modify(|changes| *changes += 1);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.shared.world)
    }

    async fn pass(&self, point: EnginePoint) -> Result<(), EngineError> {
        self.shared.faults.pass(point).await?;
        if self.world().away {
            return Err(EngineError::NoEngine { source: "connection refused".into() });
        }
        Ok(())
    }

    /// Publishes what is so now.
    fn publish(&self) {
        let (away, containers) = {
            let mut world = self.world();
            (world.away, world.containers.iter_mut().map(EngineContainer::look).collect())
        };
        self.client.snapshot.send_if_modified(|snapshot| {
            let version = EngineVersion { version: "28.0.0".to_owned(), api: "1.44".to_owned() };
            let next = if away {
                let error = EngineError::NoEngine { source: "connection refused".into() };
                snapshot.away(Problem::from(error))
            } else {
                snapshot.seen(version, containers)
            };
            let says_more = !next.says_the_same(snapshot);
            if says_more {
                *snapshot = Arc::new(next);
            }
            says_more
        });
    }
}

impl World {
    fn find(&mut self, id: &ContainerId) -> Option<&mut EngineContainer> {
        self.containers.iter_mut().find(|container| container.container.id == *id)
    }

    fn get(&mut self, id: &ContainerId) -> Result<&mut EngineContainer, EngineError> {
        self.find(id).ok_or_else(|| EngineError::NoSuchContainer { container: id.clone() })
    }
}

/// Takes the mark of a watcher off when it ends.
struct Watching<'a>(&'a AtomicBool);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

#[async_trait]
impl ContainerEngine for FakeEngine {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.client.snapshot.borrow())
    }

    async fn newer_than(&self, revision: u64) -> Arc<Snapshot> {
        let mut snapshot = self.client.snapshot.subscribe();
        let newer = snapshot.wait_for(|snapshot| snapshot.revision() > revision).await;
        Arc::clone(&newer.expect("the engine is here"))
    }

    async fn watch(&self) {
        assert!(!self.client.watched.swap(true, Relaxed), "two watch the engine at once");
        let _watching = Watching(&self.client.watched);
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.borrow_and_update();
            self.publish();
            changed.changed().await.expect("the engine is here");
        }
    }

    async fn look(&self) -> Result<Arc<Snapshot>, EngineError> {
        self.pass(EnginePoint::Look).await?;
        self.publish();
        Ok(self.snapshot())
    }

    async fn inspect(&self, container: &ContainerId) -> Result<Container, EngineError> {
        self.pass(EnginePoint::Inspect).await?;
        self.world().get(container).map(EngineContainer::look)
    }

    async fn restart(
        &self,
        container: &ContainerId,
        stop_timeout: std::time::Duration,
    ) -> Result<(), EngineError> {
        assert!(!stop_timeout.is_zero(), "a container is given no time to stop");
        self.pass(EnginePoint::Restart).await?;
        let restarted = {
            let mut world = self.world();
            world.now += TimeDuration::SECOND;
            let now = world.now;
            let restarted = world.get(container)?;
            assert!(!restarted.container.compose.one_off, "what ran one command is not restarted");
            restarted.start(now);
            restarted.container.name.clone()
        };
        self.change(|world| world.restarted.push(restarted));
        Ok(())
    }

    async fn logs(&self, container: &ContainerId, lines: usize) -> Result<LogTail, EngineError> {
        assert!(lines > 0, "no line of a log is asked for");
        self.pass(EnginePoint::Logs).await?;
        let mut world = self.world();
        let log = &world.get(container)?.log;
        let lines = log.get(log.len().saturating_sub(lines)..).unwrap_or_default().to_vec();
        Ok(LogTail { lines, truncated: false })
    }

    async fn exec(&self, container: &ContainerId, command: Exec) -> Result<ExecOutput, EngineError> {
        assert!(!command.command.is_empty(), "no command is to be run");
        assert!(!command.timeout.is_zero(), "a command is given no time");
        self.pass(EnginePoint::Exec).await?;
        let (running, program) = {
            let mut world = self.world();
            let container = world.get(container)?;
            (container.container.state == ContainerState::Running, Arc::clone(&container.program))
        };
        if !running {
            let source = "the container is not running".into();
            return Err(EngineError::Conflict { doing: "running a command in a container", source });
        }
        let mut output = program(&command);
        let most = command.max_output;
        output.truncated |= output.stdout.len() > most || output.stderr.len() > most;
        output.stdout.truncate(most);
        output.stderr.truncate(most);
        Ok(output)
    }
}
