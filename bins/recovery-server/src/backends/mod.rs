//! The servers of language models: the one task that owns them, and what can be asked of it.

mod change;
mod context;
mod follow;
mod herald;
mod memory;
mod models;
mod pull;
mod settings;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use recovery_core::port::{
    AuditLog, Clock, Compose, ContainerEngine, DocumentStore, Gateway, InferenceServer, KeyValue,
};
use recovery_env::Environment;
use recovery_inference::{
    lifecycle::{Lifecycle, Memory, Owner, Parts, Routing},
    server::{BackendName, BackendSpec, Backends},
};

pub(crate) use change::{Answer, Change, KINDS, to_result};
pub(crate) use herald::Announcer;
pub use settings::BackendSettings;

use crate::inference::Inference;
use memory::MachineMemory;
use models::EnvModels;

/// What the owner of the servers works with.
pub(crate) struct Around {
    pub(crate) servers: BTreeMap<BackendName, Arc<dyn InferenceServer>>,
    pub(crate) gateway: Arc<dyn Gateway>,
    pub(crate) compose: Arc<dyn Compose>,
    pub(crate) engine: Arc<dyn ContainerEngine>,
    pub(crate) key_value: Arc<dyn KeyValue>,
    pub(crate) documents: Arc<dyn DocumentStore>,
    pub(crate) audit: Arc<dyn AuditLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) environment: Environment,
    pub(crate) inference: Arc<Inference>,
    pub(crate) system_database: u8,
}

/// The servers of language models.
pub(crate) struct BackendControl {
    pub(crate) specs: Backends,
    pub(crate) lifecycle: Lifecycle,
    /// How long a server is given to finish its requests, where nobody says otherwise.
    pub(crate) drain: Duration,
    /// Until it is run.
    owner: Mutex<Option<Owner>>,
}

impl BackendControl {
    pub(crate) fn new(settings: BackendSettings, around: Around, announcer: Announcer) -> Self {
        let BackendSettings { backends, timing, drain, .. } = settings;
        let parts = Parts {
            servers: around.servers,
            gateway: around.gateway,
            compose: around.compose,
            engine: around.engine,
            models: Arc::new(EnvModels {
                environment: around.environment.clone(),
                audit: around.audit,
                clock: around.clock,
            }),
            routing: Routing::new(Arc::clone(&around.key_value), &backends, timing),
            timing,
            backends: backends.clone(),
        };
        let memory = MachineMemory { inference: around.inference, environment: around.environment };
        let writes =
            Memory { documents: around.documents, redis: around.key_value, database: around.system_database };
        let (owner, lifecycle) = Owner::new(parts, Arc::new(memory), writes);
        let owner = Mutex::new(Some(owner.heralded_by(Arc::new(announcer))));
        Self { specs: backends, lifecycle, drain, owner }
    }

    /// Looks after the servers until the service ends; what is under way then is gone on with by the next process.
    pub(crate) async fn run(&self) {
        let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(owner) = owner {
            owner.run().await;
        }
    }

    /// Every server: those that are built in first, in the order in which people know them.
    pub(crate) fn in_order(&self) -> Vec<&BackendSpec> {
        const KNOWN: [&str; 3] = ["ollama", "vllm", "sglang"];
        let mut specs: Vec<&BackendSpec> = self.specs.iter().collect();
        let place = |spec: &BackendSpec| KNOWN.iter().position(|known| *known == spec.name().as_str());
        specs.sort_by_key(|spec| place(spec).unwrap_or(KNOWN.len()));
        specs
    }
}
