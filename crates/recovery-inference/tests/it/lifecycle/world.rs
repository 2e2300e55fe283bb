//! Three servers, the gateway before them and their containers, on a clock that only stands while something runs.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use recovery_core::{
    Problem, Progress,
    compose::{ComposeService, ServiceStanding},
    container::{ContainerId, ContainerState},
    port::{Cancelled, ContainerEngine as _, InferenceServer, OperationContext, StateError, Unwatched},
};
use recovery_inference::{
    lifecycle::{Done, Herald, ModelVariables, Parts, Routing, Step, Timing, Wish, Witness},
    server::{BackendName, BackendSpec, Backends, SpecChanges},
};
use recovery_testkit::{
    Answered, EngineContainer, FakeCompose, FakeEngine, FakeGateway, FakeServer, Fate, MemoryKeyValue,
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::Instant,
};

pub(crate) struct World {
    parts: Option<Arc<Parts>>,
    pub(crate) compose: FakeCompose,
    started: Arc<Mutex<Vec<(String, Instant)>>>,
    backends: Backends,
    timing: Timing,
    pub(crate) redis: MemoryKeyValue,
    pub(crate) gateway: FakeGateway,
    pub(crate) engine: FakeEngine,
    pub(crate) servers: BTreeMap<String, FakeServer>,
    pub(crate) models: MemoryModels,
}

/// The `.env`, as far as models go.
#[derive(Clone, Default)]
pub(crate) struct MemoryModels(pub(crate) Arc<Mutex<BTreeMap<String, String>>>);

#[async_trait]
impl ModelVariables for MemoryModels {
    async fn get(&self, variable: &str) -> Result<String, Problem> {
        Ok(self.0.lock().unwrap().get(variable).cloned().unwrap_or_default())
    }

    async fn set(&self, variable: &str, model: &str) -> Result<(), Problem> {
        self.0.lock().unwrap().insert(variable.to_owned(), model.to_owned());
        Ok(())
    }
}

/// A model that no server comes up with.
pub(crate) const BAD_MODEL: &str = "nobody/too-large";

/// Stands in a log, and is not to be told.
pub(crate) const SECRET: &str = "hunter2";

/// Takes it out.
pub(crate) struct Discreet;

#[async_trait]
impl Herald for Discreet {
    async fn announce(
        &self,
        _wish: &Wish,
        _why: &str,
        _end: oneshot::Receiver<Result<Done, Problem>>,
    ) -> Arc<dyn OperationContext> {
        Arc::new(Unwatched::new())
    }

    async fn presentable(&self, lines: Vec<String>) -> Vec<String> {
        lines.into_iter().map(|line| line.replace(SECRET, "[removed]")).collect()
    }
}

impl World {
    pub(crate) fn new(timing: Timing) -> Self {
        Self::configured(timing, BTreeMap::new())
    }

    /// A world with other backends besides, or described otherwise.
    pub(crate) fn configured(timing: Timing, changes: BTreeMap<BackendName, SpecChanges>) -> Self {
        let backends = Backends::configured(changes).unwrap();
        let seconds = Duration::from_secs;
        let stand_in = |spec: &BackendSpec| match spec.name().as_str() {
            "ollama" => FakeServer::uncounted("llama", seconds(3)),
            "vllm" => FakeServer::new("qwen", seconds(90)),
            "sglang" => FakeServer::new("qwen", seconds(45)),
            _ => FakeServer::new("phi", seconds(20)),
        };
        let servers: BTreeMap<String, FakeServer> =
            backends.iter().map(|spec| (spec.name().to_string(), stand_in(spec))).collect();
        let (redis, engine, compose) = (MemoryKeyValue::new(), FakeEngine::new(), FakeCompose::new("nova"));
        let models = MemoryModels::default();
        models.0.lock().unwrap().insert("VLLM_MODEL".to_owned(), "qwen".to_owned());
        for spec in backends.iter() {
            let profiles = [spec.profile().clone()].into();
            let service = ComposeService { profiles, image: None, built: false, depends_on: Vec::new() };
            compose.define(spec.service().as_str(), service);
        }
        let by_service: BTreeMap<String, (FakeServer, BackendSpec)> = backends
            .iter()
            .map(|spec| {
                let server = servers[spec.name().as_str()].clone();
                (spec.service().to_string(), (server, spec.clone()))
            })
            .collect();
        let started = Arc::<Mutex<Vec<(String, Instant)>>>::default();
        compose.tell({
            let (engine, models, started_ones) = (engine.clone(), models.clone(), Arc::clone(&started));
            move |service, started| {
                let (server, spec) = &by_service[service];
                let id = container_of(&engine, service);
                if !started {
                    engine.end(&id, 0);
                    server.stop();
                    return;
                }
                started_ones.lock().unwrap().push((service.to_owned(), Instant::now()));
                let chosen = models.0.lock().unwrap();
                let model = spec.model_variable().and_then(|variable| chosen.get(variable));
                if model.is_some_and(|model| model == BAD_MODEL) {
                    engine.alter(&id, |container| {
                        container.state = ContainerState::Restarting;
                        container.restart_count = 2;
                    });
                    return;
                }
                if let Some(model) = model {
                    server.set_model(Some(model));
                }
                engine.alter(&id, |container| {
                    container.state = ContainerState::Running;
                    container.restart_count = 0;
                });
                server.start();
            }
        });
        let list: Vec<(&str, &str, &FakeServer)> = backends
            .iter()
            .map(|spec| (spec.name().as_str(), spec.address(), &servers[spec.name().as_str()]))
            .collect();
        let gateway = FakeGateway::new(&redis, &list);
        let mut world =
            Self { parts: None, redis, gateway, engine, compose, servers, models, backends, started, timing };
        world.parts = Some(Arc::new(world.fresh()));
        world
    }

    /// What another process of the service would have.
    pub(crate) fn fresh(&self) -> Parts {
        let clients = self.servers.iter().map(|(name, server)| {
            let client: Arc<dyn InferenceServer> = Arc::new(server.clone());
            (name.parse::<BackendName>().unwrap(), client)
        });
        Parts {
            servers: clients.collect(),
            gateway: Arc::new(self.gateway.clone()),
            compose: Arc::new(self.compose.clone()),
            engine: Arc::new(self.engine.clone()),
            models: Arc::new(self.models.clone()),
            routing: Routing::new(Arc::new(self.redis.clone()), &self.backends, self.timing),
            timing: self.timing,
            backends: self.backends.clone(),
        }
    }

    pub(crate) fn parts(&self) -> &Parts {
        self.parts.as_ref().unwrap()
    }

    pub(crate) fn spec(&self, name: &str) -> BackendSpec {
        self.backends.get(&name.parse().unwrap()).unwrap().clone()
    }

    /// Stops a server as a person at the engine would.
    pub(crate) fn stop_by_hand(&self, name: &str) {
        let service = self.spec(name).service().clone();
        self.engine.end(&container_of(&self.engine, service.as_str()), 137);
        self.servers[name].stop();
        self.compose.put(service.as_str(), ServiceStanding::Exited(137));
    }

    /// Removes the container of a server, and the server with it.
    pub(crate) fn lose(&self, name: &str) {
        let service = self.spec(name).service().clone();
        self.engine.remove(&container_of(&self.engine, service.as_str()));
        self.servers[name].stop();
        self.compose.put(service.as_str(), ServiceStanding::Absent);
    }

    /// Starts one again that was stopped by hand, as the same person would.
    pub(crate) fn start_by_hand(&self, name: &str) {
        let service = self.spec(name).service().clone();
        self.engine.alter(&container_of(&self.engine, service.as_str()), |container| {
            container.state = ContainerState::Running;
        });
        self.servers[name].start();
        self.compose.put(service.as_str(), ServiceStanding::Running);
    }

    /// The id of its container.
    pub(crate) fn container(&self, name: &str) -> ContainerId {
        container_of(&self.engine, self.spec(name).service().as_str())
    }

    /// How often Compose has started a server.
    pub(crate) fn starts(&self, name: &str) -> usize {
        self.started_at(name).len()
    }

    /// When Compose has started a server.
    pub(crate) fn started_at(&self, name: &str) -> Vec<Instant> {
        let service = self.spec(name).service().clone();
        let started = self.started.lock().unwrap();
        started.iter().filter(|(started, _)| *started == *service.as_str()).map(|(_, at)| *at).collect()
    }

    /// The names of the servers that run.
    pub(crate) fn running(&self) -> Vec<&str> {
        let running = self.servers.iter().filter(|(_, server)| server.is_up());
        running.map(|(name, _)| name.as_str()).collect()
    }

    /// What the gateway is told: backend, address and state.
    pub(crate) fn route(&self) -> String {
        let contents = self.redis.contents();
        let value = |key: &str| {
            let key = format!("nova:config:inference.{key}").into_bytes();
            let value = contents.get(&(1, key)).map(|value| value.value.clone()).unwrap_or_default();
            String::from_utf8(value).unwrap()
        };
        format!("{} {} {}", value("backend"), value("url"), value("state"))
    }

    /// Fifty clients, each with requests of 1 to 40 s one after another, until the load is ended.
    pub(crate) fn load(&self) -> Load {
        self.load_of(50, 1_000..40_000, 50)
    }

    /// One client with short requests and pauses, so that a server often has nothing to do.
    pub(crate) fn light_load(&self) -> Load {
        self.load_of(1, 300..800, 1_800)
    }

    /// So many clients with requests that take so many milliseconds, and such pauses between them.
    fn load_of(&self, clients: u64, takes: std::ops::Range<u64>, pause: u64) -> Load {
        let (tally, over) = (Arc::new(Tally::default()), watch::Sender::new(false));
        let count = clients;
        let mut clients = JoinSet::new();
        for client in 0..count {
            let (gateway, tally, over) = (self.gateway.clone(), Arc::clone(&tally), over.subscribe());
            let takes = takes.clone();
            clients.spawn(async move {
                let mut number = client.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                while !*over.borrow() {
                    // xorshift: the same load each time.
                    number ^= number << 13;
                    number ^= number >> 7;
                    number ^= number << 17;
                    let takes = Duration::from_millis(takes.start + number % (takes.end - takes.start));
                    tally.count(&gateway.request(takes).await);
                    // One that was refused at once tries again after a moment, too.
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            });
        }
        Load { tally, over, clients }
    }
}

fn container_of(engine: &FakeEngine, service: &str) -> ContainerId {
    futures_now(engine.look()).unwrap();
    let snapshot = engine.snapshot();
    let name = service.parse().unwrap();
    let found = snapshot.of_service(&name).next().map(|container| container.id.clone());
    found.unwrap_or_else(|| engine.add(EngineContainer::of(service).fate(Fate::Well)))
}

/// The fake engine answers without waiting.
fn futures_now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

/// What became of requests.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) local: AtomicU64,
    pub(crate) fallback: AtomicU64,
    pub(crate) dropped: AtomicU64,
    first: Mutex<Option<Answered>>,
}

impl Tally {
    fn count(&self, answered: &Answered) {
        let counter = match answered {
            Answered::Local => &self.local,
            Answered::Fallback => &self.fallback,
            Answered::Cut | Answered::Refused { .. } => {
                self.first.lock().unwrap().get_or_insert_with(|| answered.clone());
                &self.dropped
            }
        };
        counter.fetch_add(1, Relaxed);
    }
}

pub(crate) struct Load {
    pub(crate) tally: Arc<Tally>,
    over: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Load {
    /// Lets every client finish what it has begun.
    pub(crate) async fn end(mut self) -> Arc<Tally> {
        self.over.send_replace(true);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        self.tally
    }
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} by servers, {} by the fallback, {} dropped ({:?})",
            self.local.load(Relaxed),
            self.fallback.load(Relaxed),
            self.dropped.load(Relaxed),
            self.first.lock().unwrap()
        )
    }
}

/// Remembers what it heard.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) steps: Mutex<Vec<(Step, String)>>,
    pub(crate) told: Mutex<Vec<String>>,
    pub(crate) deaf: AtomicBool,
    /// Cannot write down which model there was.
    pub(crate) forgetful: AtomicBool,
}

#[async_trait]
impl Witness for Heard {
    async fn step(&self, step: Step, detail: String) -> Result<(), StateError> {
        if self.deaf.load(Relaxed) {
            return Err(StateError::Format { what: "the journal".to_owned(), why: "full".to_owned() });
        }
        self.steps.lock().unwrap().push((step, detail));
        Ok(())
    }

    async fn previous(&self, _model: &str) -> Result<(), StateError> {
        if self.forgetful.load(Relaxed) {
            return Err(StateError::Format { what: "the model".to_owned(), why: "full".to_owned() });
        }
        Ok(())
    }

    async fn cancelled(&self) -> Cancelled {
        std::future::pending().await
    }

    fn seal(&self) -> Result<(), Cancelled> {
        Ok(())
    }

    fn tell(&self, _step: Step, detail: String) {
        let mut told = self.told.lock().unwrap();
        if told.last() != Some(&detail) {
            told.push(detail);
        }
    }

    fn fetching(&self, detail: String, _progress: Progress) {
        self.tell(Step::Pulling, detail);
    }
}
