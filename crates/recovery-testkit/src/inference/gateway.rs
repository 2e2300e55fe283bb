use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use recovery_core::port::{Gateway, KeyValue as _, ServerError};
use tokio::time::Instant;

use super::{FakeServer, Served};
use crate::{MemoryKeyValue, lock};

/// How long each of its two caches keeps what it has read.
const CACHED: Duration = Duration::from_secs(5);
/// The database that its settings stand in.
const DATABASE: u8 = 1;
const KEYS: [&str; 3] =
    ["nova:config:inference.backend", "nova:config:inference.url", "nova:config:inference.state"];

/// What became of a request to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// A server of this machine answered it whole.
    Local,
    /// The fallback answered it whole.
    Fallback,
    /// A server cut it off.
    Cut,
    /// The server that it was led to did not take it.
    Refused {
        /// The address of the server.
        by: String,
    },
}

/// A gateway that leads requests as its settings in Redis say, through two caches that stand behind each other, the
/// inner one per key. Clones are the same gateway.
#[derive(Clone)]
pub struct FakeGateway(Arc<Shared>);

struct Shared {
    settings: MemoryKeyValue,
    /// By the name of the backend: its usual address.
    usual: BTreeMap<String, String>,
    servers: BTreeMap<String, FakeServer>,
    outer: Mutex<Option<(Instant, Route)>>,
    inner: Mutex<BTreeMap<&'static str, (Instant, String)>>,
    in_flight: AtomicU64,
    away: AtomicBool,
}

#[derive(Clone, Debug)]
struct Route {
    backend: String,
    url: String,
    state: String,
}

impl FakeGateway {
    /// A gateway before these servers, each with the name of its backend and its usual address.
    #[must_use]
    pub fn new(settings: &MemoryKeyValue, servers: &[(&str, &str, &FakeServer)]) -> Self {
        let usual =
            servers.iter().map(|(name, address, _)| ((*name).to_owned(), (*address).to_owned())).collect();
        let servers =
            servers.iter().map(|(_, address, server)| ((*address).to_owned(), (*server).clone())).collect();
        Self(Arc::new(Shared {
            settings: settings.clone(),
            usual,
            servers,
            outer: Mutex::default(),
            inner: Mutex::default(),
            in_flight: AtomicU64::new(0),
            away: AtomicBool::new(false),
        }))
    }

    /// Takes it away, or brings it back: it does not say how many requests it has.
    pub fn away(&self, away: bool) {
        self.0.away.store(away, Relaxed);
    }

    /// Leads a request that takes so long to answer.
    pub async fn request(&self, takes: Duration) -> Answered {
        let route = self.route().await;
        if route.state != "ready" {
            tokio::time::sleep(takes).await;
            return Answered::Fallback;
        }
        let usual = || self.0.usual.get(&route.backend).cloned().unwrap_or_default();
        let address = if route.url.is_empty() { usual() } else { route.url };
        let Some(server) = self.0.servers.get(&address) else { return Answered::Refused { by: address } };
        self.0.in_flight.fetch_add(1, Relaxed);
        let served = server.request(takes).await;
        self.0.in_flight.fetch_sub(1, Relaxed);
        match served {
            Served::Whole => Answered::Local,
            Served::Cut => Answered::Cut,
            Served::Refused => Answered::Refused { by: address },
        }
    }

    async fn route(&self) -> Route {
        let now = Instant::now();
        let outer = lock(&self.0.outer).clone();
        if let Some((since, route)) = outer
            && now < since + CACHED
        {
            return route;
        }
        let [backend, url, state] = KEYS;
        let (backend, url, state) = (self.read(backend).await, self.read(url).await, self.read(state).await);
        let route = Route { backend, url, state };
        *lock(&self.0.outer) = Some((now, route.clone()));
        route
    }

    /// Keys are read at different times, so that their caches do not expire together.
    async fn read(&self, key: &'static str) -> String {
        let now = Instant::now();
        let known = lock(&self.0.inner).get(key).cloned();
        let behind = match &known {
            Some((until, value)) if now < *until => return value.clone(),
            Some(_) => Duration::ZERO,
            None => Duration::from_millis(1_700) * u32::try_from(lock(&self.0.inner).len()).unwrap(),
        };
        // One that cannot read goes on with what it knows.
        let value = match self.0.settings.get(DATABASE, key).await {
            Ok(value) => value.unwrap_or_default().trim_matches('"').to_owned(),
            Err(_) => known.map(|(_, value)| value).unwrap_or_default(),
        };
        lock(&self.0.inner).insert(key, (now + CACHED - behind, value.clone()));
        value
    }
}

#[async_trait]
impl Gateway for FakeGateway {
    async fn in_flight(&self) -> Result<u64, ServerError> {
        if self.0.away.load(Relaxed) {
            return Err(ServerError::Closed { source: "connection refused".into() });
        }
        Ok(self.0.in_flight.load(Relaxed))
    }
}
