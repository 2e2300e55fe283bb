use std::time::Duration;

use async_trait::async_trait;

use super::{EngineError, Exec, ExecOutput};
use crate::container::ContainerId;

/// How a container asks for GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuRequest {
    /// All of them, of the engine's GPU runtime.
    Runtime,
    /// All of NVIDIA's, by their CDI name.
    Cdi,
    /// None.
    None,
}

/// A program that is run in a container of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// An image that the engine has already: nothing is pulled.
    pub image: String,
    /// The program and its arguments, in place of those of the image.
    pub command: Vec<String>,
    /// The GPUs that it is to see.
    pub gpus: GpuRequest,
    /// How long it may take, from making the container to its end.
    pub timeout: Duration,
    /// The most bytes of its standard output, and of its standard error; the rest is thrown away.
    pub max_output: usize,
}

/// The container engine, as far as looking at GPUs goes.
#[async_trait]
pub trait GpuEngine: Send + Sync {
    /// What the engine says of itself: a JSON object of at most [`MAX_INFO`] bytes. Ends within seconds.
    async fn info(&self) -> Result<String, EngineError>;

    /// Runs a program in a container that is made for it, has no network, and is removed again whatever becomes of it,
    /// also when the returned future is dropped.
    async fn probe(&self, probe: Probe) -> Result<ExecOutput, EngineError>;

    /// Removes the containers of probes that a crash left. Those that somebody still looks after stay. [`Self::probe`] does
    /// it too.
    async fn remove_left_probes(&self) -> Result<(), EngineError>;

    /// Runs a command inside a container that runs. One that is not done in time is left to itself.
    async fn exec(&self, container: &ContainerId, command: Exec) -> Result<ExecOutput, EngineError>;
}

/// The most bytes that an engine may say of itself.
pub const MAX_INFO: usize = 1024 * 1024;
