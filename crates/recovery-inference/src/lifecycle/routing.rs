//! What the gateway routes by: three keys in its database of Redis.
//!
//! They are an output of the lifecycle and not its state. The gateway may go by any mixture of old and new values for
//! some seconds, which decides the order here: an address that the old value of another key could lead requests to must
//! still answer, and `ready` is written for a new address only when the address itself can no longer be mixed up.

use std::{collections::BTreeSet, sync::Arc};

use recovery_core::port::{KeyValue, KeyValueError};
use tokio::{sync::Mutex, time::Instant};

use super::Timing;
use crate::server::{BackendName, BackendSpec, Backends};

/// The gateway's database.
pub(crate) const DATABASE: u8 = 1;
/// The name of the active server, or `custom` or `none`.
pub(crate) const BACKEND: &str = "nova:config:inference.backend";
const URL: &str = "nova:config:inference.url";
const STATE: &str = "nova:config:inference.state";
const ERROR: &str = "nova:config:inference.error";

/// Which server the person has chosen, as it stands in the gateway's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// One that is looked after here.
    Backend(BackendName),
    /// A server of their own, or none at all: nothing here is to be touched.
    Elsewhere,
    /// Nothing that is understood.
    Unset,
}

/// Whether the gateway leads requests to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteState {
    /// Yes.
    Ready,
    /// No: it does not run.
    Stopped,
    /// No: it finishes what it has.
    Draining,
    /// No: it is being started.
    Starting,
    /// No: it failed.
    Error,
}

impl RouteState {
    /// As the gateway reads it; everything but `ready` means the fallback.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Stopped => "stopped",
            Self::Draining => "draining",
            Self::Starting => "starting",
            Self::Error => "error",
        }
    }
}

/// How the gateway is to route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The backend.
    pub backend: BackendName,
    /// Its address.
    pub address: String,
    /// Whether requests are led to it.
    pub state: RouteState,
    /// Whether the server that was routed to before still takes requests, so that nothing can be mixed up.
    pub beside: bool,
    /// What went wrong, for people.
    pub error: String,
}

impl Route {
    /// A route to a backend, with nothing that went wrong.
    #[must_use]
    pub fn to(spec: &BackendSpec, state: RouteState) -> Self {
        Self {
            backend: spec.name().clone(),
            address: spec.address().to_owned(),
            state,
            beside: false,
            error: String::new(),
        }
    }

    /// The switch from one server that takes requests to another one that does.
    #[must_use]
    pub fn beside(spec: &BackendSpec) -> Self {
        Self { beside: true, ..Self::to(spec, RouteState::Ready) }
    }
}

/// What became of the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// The gateway's settings say what they are to say.
    Done,
    /// They say where the server is, and not yet that it is ready: that follows at this time.
    ReadyAt(Instant),
    /// Somebody has chosen a server that is not looked after here: their settings stay as they are.
    Elsewhere,
}

/// Keeps the gateway's settings as the lifecycle wants them.
pub struct Routing {
    store: Arc<dyn KeyValue>,
    timing: Timing,
    inner: Mutex<Inner>,
}

struct Inner {
    wanted: Option<Route>,
    /// Which address has stood there since when.
    standing: Option<(String, Instant)>,
    /// Addresses that were written here, and may be replaced.
    ours: BTreeSet<String>,
    elsewhere: bool,
    /// Somebody has asked for a server of ours, and that does not stand there yet: what does was chosen before.
    claimed: bool,
}

impl Routing {
    /// The settings of the gateway before these backends.
    #[must_use]
    pub fn new(store: Arc<dyn KeyValue>, backends: &Backends, timing: Timing) -> Self {
        let ours = backends.iter().map(|spec| spec.address().to_owned()).collect();
        let inner = Inner { wanted: None, standing: None, ours, elsewhere: false, claimed: false };
        Self { store, timing, inner: Mutex::new(inner) }
    }

    /// What the person has chosen.
    ///
    /// # Errors
    /// Redis cannot be asked.
    pub async fn selection(&self) -> Result<Selection, KeyValueError> {
        Ok(selection(&self.read(BACKEND).await?))
    }

    /// Takes a choice of a server that is not looked after here for given, so that it is no longer written over.
    pub async fn leave(&self) {
        let mut inner = self.inner.lock().await;
        (inner.elsewhere, inner.wanted) = (true, None);
    }

    /// Somebody asks for a server that is looked after here: what was chosen before no longer counts, and its name,
    /// which they may have written in the same moment, is put right.
    pub async fn claim(&self) {
        let mut inner = self.inner.lock().await;
        (inner.elsewhere, inner.claimed) = (false, true);
        // Without Redis it is done later.
        let _ = self.apply(&mut inner).await;
    }

    /// Leads requests so from now on.
    ///
    /// # Errors
    /// Redis cannot be written; [`Self::keep`] does it later.
    pub async fn lead(&self, route: Route) -> Result<Routed, KeyValueError> {
        let mut inner = self.inner.lock().await;
        inner.wanted = Some(route);
        self.apply(&mut inner).await
    }

    /// Puts right what somebody else has written, and writes what could not be written before. A choice of a server
    /// that is not looked after here is respected.
    ///
    /// # Errors
    /// Redis does not answer.
    pub async fn keep(&self) -> Result<Routed, KeyValueError> {
        let mut inner = self.inner.lock().await;
        let chosen = selection(&self.read(BACKEND).await?);
        if chosen == Selection::Elsewhere && inner.wanted.is_some() && !inner.claimed {
            inner.elsewhere = true;
        }
        self.apply(&mut inner).await
    }

    async fn apply(&self, inner: &mut Inner) -> Result<Routed, KeyValueError> {
        if inner.elsewhere {
            return Ok(Routed::Elsewhere);
        }
        let Some(route) = inner.wanted.clone() else { return Ok(Routed::Done) };
        let url = self.read(URL).await?;
        // An address of somebody's own stays, and with it where requests go.
        let replaceable = url.is_empty() || inner.ours.contains(&url);
        let ready = route.state == RouteState::Ready;
        let standing = inner.standing.as_ref().filter(|(address, _)| *address == route.address);
        let since = match standing {
            Some((_, since)) => Some(*since),
            // After a start of this service: what stands there and is routed by has been so for long.
            None if self.stands(&route, &url).await? => Instant::now().checked_sub(self.timing.settled()),
            None => None,
        };
        let begun = since.unwrap_or_else(Instant::now);
        let ready_at = begun + self.timing.settled();
        let wait = ready && !route.beside && Instant::now() < ready_at;
        let state = if wait { RouteState::Starting } else { route.state };
        if state != RouteState::Ready {
            self.write(STATE, state.as_str()).await?;
        }
        if replaceable {
            self.write(URL, &route.address).await?;
        }
        self.write(BACKEND, route.backend.as_str()).await?;
        self.write(ERROR, &route.error).await?;
        // The time counts from here, when all of it stands there.
        let begun = since.unwrap_or_else(Instant::now);
        inner.standing = Some((route.address.clone(), begun));
        if state == RouteState::Ready {
            self.write(STATE, state.as_str()).await?;
        }
        inner.claimed = false;
        Ok(if wait { Routed::ReadyAt(begun + self.timing.settled()) } else { Routed::Done })
    }

    /// Whether the settings lead to this address already.
    async fn stands(&self, route: &Route, url: &str) -> Result<bool, KeyValueError> {
        let backend = self.read(BACKEND).await?;
        let led_there = url == route.address || (url.is_empty() && backend == route.backend.as_str());
        Ok(led_there && self.read(STATE).await? == RouteState::Ready.as_str())
    }

    async fn read(&self, key: &str) -> Result<String, KeyValueError> {
        Ok(meant(self.store.get(DATABASE, key).await?.unwrap_or_default()))
    }

    /// Writes a setting that does not say so already.
    async fn write(&self, key: &str, value: &str) -> Result<(), KeyValueError> {
        let written = self.store.get(DATABASE, key).await?;
        if written.as_deref() == Some(value) || (written.is_none() && value.is_empty()) {
            return Ok(());
        }
        self.store.set(DATABASE, key, value).await
    }
}

/// A setting as it is meant: other programs write it as JSON.
pub(crate) fn meant(value: String) -> String {
    serde_json::from_str::<String>(&value).unwrap_or(value)
}

fn selection(backend: &str) -> Selection {
    match backend {
        "custom" | "none" => Selection::Elsewhere,
        name => name.parse().map_or(Selection::Unset, Selection::Backend),
    }
}
