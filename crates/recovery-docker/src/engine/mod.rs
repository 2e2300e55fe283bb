//! The container engine: what the containers of the project are and do, restarting them, their logs, and commands in
//! them.
//!
//! One task, [`watch`](recovery_core::port::ContainerEngine::watch), holds what is known. Everything else is one call.

mod address;
mod error;
mod exec;
mod facts;
mod logs;
mod output;
mod probe;
mod raw;
mod session;
mod watch;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use docker_api::opts::ContainerRestartOpts;
use recovery_core::{
    ProjectName,
    container::{Container, ContainerId, Snapshot},
    port::{ContainerEngine, EngineError, Exec, ExecOutput, GpuEngine, LogTail, Probe},
};
use tokio::sync::{Mutex as AsyncMutex, watch as channel};

use address::Address;
pub use address::InvalidAddress;
use session::Session;

/// How long the engine is waited for where it has nothing to wait for itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a restart may take beyond the time that the container has to stop: an image is unpacked, a network set up.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// The engine at one address, as far as the containers of one Compose project go.
pub struct DockerEngine {
    address: Address,
    project: ProjectName,
    snapshot: channel::Sender<Arc<Snapshot>>,
    /// The agreement with the engine on a version, as long as it answers.
    session: Mutex<Option<Arc<Session>>>,
    /// What was found out about each container, and who finds it out now.
    inspected: AsyncMutex<HashMap<ContainerId, Container>>,
}

impl DockerEngine {
    /// The engine at an address such as `unix:///var/run/docker.sock` or `tcp://socket-proxy:2375`. Connects to
    /// nothing.
    ///
    /// # Errors
    /// Where the address is neither of the two.
    pub fn new(address: &str, project: ProjectName) -> Result<Self, InvalidAddress> {
        Ok(Self {
            address: address.parse()?,
            project,
            snapshot: channel::Sender::new(Arc::new(Snapshot::unasked())),
            session: Mutex::default(),
            inspected: AsyncMutex::default(),
        })
    }

    /// The agreement with the engine; a new one where there is none.
    async fn session(&self) -> Result<Arc<Session>, EngineError> {
        let known = self.known_session().clone();
        match known {
            Some(session) => Ok(session),
            None => self.new_session().await,
        }
    }

    async fn new_session(&self) -> Result<Arc<Session>, EngineError> {
        let session = Arc::new(Session::agree(&self.address).await?);
        *self.known_session() = Some(Arc::clone(&session));
        Ok(session)
    }

    fn known_session(&self) -> std::sync::MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what an answer says of the engine as a whole: one that failed may be another one when it is back.
    fn note<T>(&self, answer: Result<T, EngineError>) -> Result<T, EngineError> {
        let about_one_container = matches!(
            answer,
            Ok(_)
                | Err(EngineError::NoSuchContainer { .. }
                    | EngineError::Conflict { .. }
                    | EngineError::Forbidden { .. })
        );
        if !about_one_container {
            *self.known_session() = None;
        }
        answer
    }
}

/// Waits for an answer of the engine so long.
async fn within<T>(
    limit: Duration,
    doing: &'static str,
    answer: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    tokio::time::timeout(limit, answer).await.unwrap_or(Err(EngineError::TimedOut { doing }))
}

#[async_trait]
impl ContainerEngine for DockerEngine {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    async fn newer_than(&self, revision: u64) -> Arc<Snapshot> {
        let mut snapshot = self.snapshot.subscribe();
        let newer = snapshot.wait_for(|snapshot| snapshot.revision() > revision).await;
        // It fails only where the sender is gone, which is here.
        newer.map_or_else(|_| self.snapshot(), |snapshot| Arc::clone(&snapshot))
    }

    async fn watch(&self) {
        self.watch_for_ever().await;
    }

    async fn look(&self) -> Result<Arc<Snapshot>, EngineError> {
        let looked = async {
            let session = self.session().await?;
            self.refresh(&session, watch::Doubt::All).await
        };
        self.note(looked.await)?;
        Ok(self.snapshot())
    }

    async fn inspect(&self, container: &ContainerId) -> Result<Container, EngineError> {
        let inspected = async { self.session().await?.inspect(container).await };
        self.note(inspected.await)
    }

    async fn restart(&self, container: &ContainerId, stop_timeout: Duration) -> Result<(), EngineError> {
        let doing = "restarting a container";
        let restarted = async {
            let session = self.session().await?;
            let target = session.docker().containers().get(container.as_str());
            let options = ContainerRestartOpts::builder().wait(stop_timeout).build();
            let restart = async {
                target.restart(&options).await.map_err(|error| error::of_container(doing, container, error))
            };
            within(stop_timeout.saturating_add(START_PATIENCE), doing, restart).await
        };
        self.note(restarted.await)
    }

    async fn logs(&self, container: &ContainerId, lines: usize) -> Result<LogTail, EngineError> {
        let read = async {
            let session = self.session().await?;
            let known = self.snapshot().container(container).map(|container| container.terminal);
            let terminal = match known {
                Some(terminal) => terminal,
                None => session.inspect(container).await?.terminal,
            };
            logs::read(&session, container, terminal, lines).await
        };
        self.note(read.await)
    }

    async fn exec(&self, container: &ContainerId, command: Exec) -> Result<ExecOutput, EngineError> {
        let ran = async { exec::run(&*self.session().await?, container, command).await };
        match ran.await {
            // A command that takes its time says nothing of the engine.
            Err(error @ EngineError::TimedOut { .. }) => Err(error),
            answer => self.note(answer),
        }
    }
}

#[async_trait]
impl GpuEngine for DockerEngine {
    async fn info(&self) -> Result<String, EngineError> {
        let asked = async { probe::info(&*self.session().await?).await };
        self.note(asked.await)
    }

    async fn probe(&self, probe: Probe) -> Result<ExecOutput, EngineError> {
        match async { probe::run(&self.session().await?, probe).await }.await {
            // Neither a program that takes its time nor GPUs that are not there say anything of the engine.
            Err(error @ (EngineError::TimedOut { .. } | EngineError::Refused { .. })) => Err(error),
            answer => self.note(answer),
        }
    }

    async fn remove_left_probes(&self) -> Result<(), EngineError> {
        let removed = async { probe::remove_leftovers(&*self.session().await?).await };
        self.note(removed.await)
    }

    async fn exec(&self, container: &ContainerId, command: Exec) -> Result<ExecOutput, EngineError> {
        ContainerEngine::exec(self, container, command).await
    }
}
