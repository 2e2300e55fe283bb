//! What the machine has for language models: found out at start and when somebody asks for it, told from memory, and
//! written to Redis where others read it.

mod settings;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use actix_web::web::Bytes;
use recovery_core::{
    ErrorCode, Problem,
    port::{Clock, CommandRunner, ContainerEngine, GpuEngine, KeyValue, WebClient},
};
use recovery_inference::{
    Backend, Detector, Places, Tools,
    catalogue::{CatalogueError, Catalogues, Found, Query},
    estimate::Room,
    gpu_stats::{GpuReader, GpuStats},
    hardware::Hardware,
    recommend::{GpuSet, RecommendedModels, recommend},
};
use tokio::sync::{Mutex, watch};

use crate::{operations::chain, view};

pub use settings::InferenceSettings;

/// The key in the system database that holds what the machine has.
const KEY: &str = "nova:system:hardware";
/// How long the first look waits for the engine to tell its containers: it may need the image of one.
const CONTAINERS_WAIT: Duration = Duration::from_secs(3);
/// How long who asks early waits for the first look.
const FIRST_LOOK_WAIT: Duration = Duration::from_secs(30);
/// How often it is tried to write to a Redis that is away.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// How often containers are looked for that a crash left.
const CLEAR_UP_INTERVAL: Duration = Duration::from_secs(600);

/// What the machine has, as it was last found out.
pub(crate) struct Known {
    pub(crate) hardware: Hardware,
    /// The answers, ready to be sent.
    pub(crate) hardware_body: Bytes,
    pub(crate) recommendation_body: Option<Bytes>,
    saved: AtomicBool,
}

/// What the machine has for language models.
pub(crate) struct Inference {
    detector: Detector,
    reader: GpuReader,
    containers: Arc<dyn ContainerEngine>,
    pub(crate) models: RecommendedModels,
    catalogues: Catalogues,
    known: watch::Sender<Option<Arc<Known>>>,
    /// One look at a time.
    looking: Mutex<()>,
    key_value: Arc<dyn KeyValue>,
    system_database: u8,
}

impl Inference {
    pub(crate) fn new(
        settings: InferenceSettings,
        runner: Arc<dyn CommandRunner>,
        containers: Arc<dyn ContainerEngine>,
        gpus: Arc<dyn GpuEngine>,
        web: Arc<dyn WebClient>,
        key_value: Arc<dyn KeyValue>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let tools = Tools::new(runner, &settings.tool_directories);
        Self {
            reader: GpuReader::new(
                tools.clone(),
                Arc::clone(&gpus),
                Arc::clone(&containers),
                Arc::clone(&key_value),
            ),
            catalogues: Catalogues::new(web, settings.catalogues, Arc::clone(&clock)),
            detector: Detector {
                tools,
                gpus,
                containers: Arc::clone(&containers),
                clock,
                places: Places { hardware_file: settings.hardware_file, root: settings.root },
            },
            containers,
            models: settings.models,
            known: watch::Sender::default(),
            looking: Mutex::default(),
            key_value,
            system_database: settings.system_database,
        }
    }

    /// Looks once, and then writes to Redis what it does not have yet. Besides, removes what looks left that a crash ended.
    pub(crate) async fn run(&self) {
        tokio::join!(self.look_and_save(), self.clear_up());
    }

    async fn clear_up(&self) {
        // Right after a crash it is not certain yet that nobody looks after it.
        let mut interval = tokio::time::interval(CLEAR_UP_INTERVAL);
        loop {
            interval.tick().await;
            if let Err(error) = self.detector.clear_up().await {
                tracing::debug!("what looks at the GPUs left is not removed: {}", chain(&error));
            }
        }
    }

    async fn look_and_save(&self) {
        let _ = tokio::time::timeout(CONTAINERS_WAIT, self.containers.newer_than(0)).await;
        self.detect().await;
        let mut interval = tokio::time::interval(SAVE_INTERVAL);
        loop {
            interval.tick().await;
            let known = self.known.borrow().clone();
            if let Some(known) = known {
                self.save(&known).await;
            }
        }
    }

    /// Finds out now what the machine has. Whoever asks while somebody looks gets what comes of that.
    pub(crate) async fn detect(&self) -> Arc<Known> {
        let mut changes = self.known.subscribe();
        changes.mark_unchanged();
        let _looking = self.looking.lock().await;
        let newer = changes.has_changed().unwrap_or_default().then(|| self.known.borrow().clone()).flatten();
        if let Some(known) = newer {
            return known;
        }
        let hardware = self.detector.detect().await;
        hardware.notes.iter().for_each(|note| tracing::warn!("looking at the hardware: {note}"));
        let known = Arc::new(Known::new(hardware, &self.models));
        self.save(&known).await;
        self.known.send_replace(Some(Arc::clone(&known)));
        known
    }

    /// What is known; waits for the first look where there was none yet.
    pub(crate) async fn known(&self) -> Result<Arc<Known>, Problem> {
        if let Some(known) = &*self.known.borrow() {
            return Ok(Arc::clone(known));
        }
        let mut changes = self.known.subscribe();
        let first = tokio::time::timeout(FIRST_LOOK_WAIT, changes.wait_for(Option::is_some)).await;
        let known = first.ok().and_then(|known| known.ok()?.clone());
        known.ok_or_else(|| {
            Problem::new(ErrorCode::DependencyUnavailable, "What the machine has is still being found out.")
                .hint("Try again in a few seconds.")
        })
    }

    /// Whether a GPU was seen.
    pub(crate) fn has_gpu(&self) -> bool {
        self.known.borrow().as_ref().is_some_and(|known| !known.hardware.gpus.is_empty())
    }

    /// Looks for models that this server can run.
    pub(crate) async fn search(&self, backend: Backend, query: &Query) -> Result<Found, CatalogueError> {
        self.catalogues.search(backend, query).await
    }

    /// The GPUs that this server can use together, as far as they are known.
    pub(crate) fn room(&self, backend: Backend) -> Option<Room> {
        let known = self.known.borrow();
        GpuSet::largest(&known.as_ref()?.hardware.gpus, backend).map(|set| set.room)
    }

    /// What the GPUs do now; see [`GpuReader::read`].
    pub(crate) async fn gpu_stats(&self) -> Option<Arc<GpuStats>> {
        self.reader.read().await
    }

    async fn save(&self, known: &Known) {
        if known.saved.load(Relaxed) {
            return;
        }
        let Ok(text) = std::str::from_utf8(&known.hardware_body) else { return };
        match self.key_value.set(self.system_database, KEY, text).await {
            Ok(()) => known.saved.store(true, Relaxed),
            Err(error) => tracing::debug!("what the machine has is not in Redis yet: {}", chain(&error)),
        }
    }
}

impl Known {
    fn new(hardware: Hardware, models: &RecommendedModels) -> Self {
        let recommendation = recommend(&hardware, models);
        let body = |body: serde_json::Result<Vec<u8>>| body.map(Bytes::from).unwrap_or_default();
        let recommended = recommendation.as_ref().map(|recommendation| recommendation.backend);
        Self {
            hardware_body: body(serde_json::to_vec(&view::Hardware::new(&hardware, recommended))),
            recommendation_body: recommendation
                .as_ref()
                .map(|known| body(serde_json::to_vec(&view::Recommendation::from(known)))),
            hardware,
            saved: AtomicBool::new(false),
        }
    }
}
