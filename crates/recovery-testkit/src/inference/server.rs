use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use recovery_core::{
    Progress,
    port::{InferenceServer, OnProgress, PullError, Remaining, ServerError},
};
use tokio::{sync::watch, time::Instant};

use crate::lock;

/// What is wrong with a server that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sickness {
    /// It answers everything with this status.
    Status(u16),
    /// It takes requests and answers nothing.
    Hung,
    /// It says that it is well, and no model answers.
    EngineHung,
    /// It is well, and has so much to do that a new request waits for longer than anybody listens.
    Overloaded,
}

/// What became of a request to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It was answered to its end.
    Whole,
    /// It was begun, and the server ended before it.
    Cut,
    /// It was not taken.
    Refused,
}

/// A server of one model. It does not run until it is started; then it loads its model, and answers nothing but its
/// health meanwhile. Clones are the same server.
#[derive(Clone, Debug)]
pub struct FakeServer {
    state: Arc<Mutex<State>>,
    /// Which start this is, and whether it runs.
    runs: watch::Sender<(u64, bool)>,
}

#[derive(Debug)]
struct State {
    model: Option<String>,
    counts: bool,
    loads_for: Duration,
    loaded_at: Instant,
    sickness: Option<Sickness>,
    running: u64,
    cut: u64,
    /// Whether its model is in memory, and whether it is to be put away when nobody uses it.
    in_memory: bool,
    put_away: bool,
    within: Duration,
    /// What it can fetch: how many bytes a model has.
    offers: BTreeMap<String, u64>,
    fetched: Vec<String>,
    fetches_for: Duration,
}

impl FakeServer {
    /// A server that counts its requests, and has this model once it has loaded it for so long.
    #[must_use]
    pub fn new(model: &str, loads_for: Duration) -> Self {
        let state = State {
            model: Some(model.to_owned()),
            counts: true,
            loads_for,
            loaded_at: Instant::now(),
            sickness: None,
            running: 0,
            cut: 0,
            in_memory: false,
            put_away: false,
            within: Duration::from_secs(5),
            offers: BTreeMap::new(),
            fetched: Vec::new(),
            fetches_for: Duration::ZERO,
        };
        Self { state: Arc::new(Mutex::new(state)), runs: watch::Sender::new((0, false)) }
    }

    /// One that does not count its requests, as Ollama does not.
    #[must_use]
    pub fn uncounted(model: &str, loads_for: Duration) -> Self {
        let server = Self::new(model, loads_for);
        server.state().counts = false;
        server
    }

    /// Starts it; one that runs goes on.
    pub fn start(&self) {
        let mut state = self.state();
        self.runs.send_if_modified(|(start, runs)| {
            if *runs {
                return false;
            }
            state.loaded_at = Instant::now() + state.loads_for;
            (*start, *runs) = (*start + 1, true);
            true
        });
    }

    /// Ends it, and with it every request that it has.
    pub fn stop(&self) {
        let mut state = self.state();
        state.cut += std::mem::take(&mut state.running);
        (state.in_memory, state.put_away) = (false, false);
        self.runs.send_modify(|(_, runs)| *runs = false);
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.runs.borrow().1
    }

    /// Makes it sick, or well again.
    pub fn sick(&self, sickness: Option<Sickness>) {
        self.state().sickness = sickness;
    }

    /// Gives it another model, or none, from its next start on.
    pub fn set_model(&self, model: Option<&str>) {
        self.state().model = model.map(str::to_owned);
    }

    /// How long a client waits for an answer that does not come.
    pub fn hangs_for(&self, within: Duration) {
        self.state().within = within;
    }

    /// Lets it fetch a model of so many bytes when it is asked to, which takes it so long. One that counts its requests
    /// fetches none all the same.
    pub fn offers(&self, model: &str, bytes: u64, takes: Duration) {
        let mut state = self.state();
        state.offers.insert(model.to_owned(), bytes);
        state.fetches_for = takes;
    }

    /// How many requests it has cut off so far.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.state().cut
    }

    /// How many requests it has in hand.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.state().running
    }

    /// Sends it a request that takes so long to answer.
    pub async fn request(&self, takes: Duration) -> Served {
        let mut runs = self.runs.subscribe();
        let at = *runs.borrow_and_update();
        {
            let mut state = self.state();
            if !at.1 || !state.is_loaded() || state.sickness.is_some() || state.model.is_none() {
                return Served::Refused;
            }
            state.running += 1;
            state.in_memory = true;
        }
        tokio::select! {
            () = tokio::time::sleep(takes) => {}
            _ = runs.wait_for(|now| *now != at) => return Served::Cut,
        }
        let mut state = self.state();
        state.running -= 1;
        state.settle();
        Served::Whole
    }

    /// What its clients would see now.
    pub(super) async fn answers(&self, with_model: bool) -> Result<(), ServerError> {
        let (sickness, within, loaded) = {
            let state = self.state();
            (state.sickness, state.within, state.is_loaded())
        };
        if !self.is_up() {
            return Err(ServerError::Closed { source: "connection refused".into() });
        }
        match sickness {
            Some(Sickness::Status(status)) => Err(ServerError::Status { status }),
            Some(Sickness::Hung) => hung(within).await,
            Some(Sickness::EngineHung | Sickness::Overloaded) if with_model => hung(within).await,
            _ if with_model && !loaded => Err(ServerError::Status { status: 503 }),
            _ => Ok(()),
        }
    }

    /// How many tokens it has made, where it counts: one each second, unless it hangs.
    pub(super) fn made(&self) -> Option<u64> {
        let state = self.state();
        let made = match state.sickness {
            Some(Sickness::EngineHung) => 0,
            _ => Instant::now().saturating_duration_since(state.loaded_at).as_secs(),
        };
        state.counts.then_some(made)
    }

    /// Every model that it has.
    pub(super) fn all_models(&self) -> Vec<String> {
        let state = self.state();
        state.model.iter().chain(&state.fetched).cloned().collect()
    }

    /// How many bytes a model has that it can fetch.
    pub(super) fn offered(&self, model: &str) -> Option<u64> {
        self.state().offers.get(model).copied()
    }

    /// Fetches a model. `tell` hears in four parts how many bytes there are. Returns whether it came to its end.
    pub(super) async fn fetch(&self, model: &str, bytes: u64, tell: &mut (dyn FnMut(u64) + Send)) -> bool {
        let at = *self.runs.borrow();
        let part = self.state().fetches_for / 4;
        for quarter in 1..=4 {
            tokio::time::sleep(part).await;
            if *self.runs.borrow() != at {
                return false;
            }
            tell(bytes * quarter / 4);
        }
        let mut state = self.state();
        // One without any has its first one then.
        if state.model.is_none() {
            state.model = Some(model.to_owned());
        } else if state.model.as_deref() != Some(model) && !state.fetched.iter().any(|known| known == model) {
            state.fetched.push(model.to_owned());
        }
        true
    }

    pub(super) fn model(&self) -> Option<String> {
        self.state().model.clone()
    }

    /// The model that is in memory.
    pub(super) fn in_memory(&self) -> Option<String> {
        let state = self.state();
        state.model.clone().filter(|_| state.in_memory)
    }

    pub(super) fn answer_one_token(&self) {
        let mut state = self.state();
        state.in_memory = true;
        state.settle();
    }

    pub(super) fn put_away(&self) {
        let mut state = self.state();
        state.put_away = true;
        state.settle();
    }

    pub(super) fn runs(&self) -> watch::Receiver<(u64, bool)> {
        self.runs.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn is_loaded(&self) -> bool {
        Instant::now() >= self.loaded_at
    }

    fn settle(&mut self) {
        if self.put_away && self.running == 0 {
            (self.in_memory, self.put_away) = (false, false);
        }
    }
}

async fn hung(within: Duration) -> Result<(), ServerError> {
    tokio::time::sleep(within).await;
    Err(ServerError::Hung { within })
}

#[async_trait]
impl InferenceServer for FakeServer {
    async fn health(&self) -> Result<(), ServerError> {
        self.answers(false).await
    }

    async fn ready(&self) -> Result<Option<String>, ServerError> {
        self.answers(false).await?;
        let model = self.model();
        if model.is_none() {
            let may_have_none = !self.state().counts;
            let none = ServerError::Unreadable { what: "it has no model" };
            return if may_have_none { Ok(None) } else { Err(none) };
        }
        self.answers(true).await?;
        self.answer_one_token();
        Ok(model)
    }

    async fn remaining(&self) -> Result<Remaining, ServerError> {
        self.answers(false).await?;
        let (running, counts) = {
            let state = self.state();
            (state.running, state.counts)
        };
        if !counts {
            self.put_away();
        }
        Ok(match running {
            0 => Remaining::Nothing,
            running if counts => Remaining::Requests(running),
            _ => Remaining::Something,
        })
    }

    async fn tokens(&self) -> Result<Option<u64>, ServerError> {
        self.answers(false).await?;
        Ok(self.made())
    }

    async fn models(&self) -> Result<Vec<String>, ServerError> {
        self.answers(false).await?;
        Ok(self.all_models())
    }

    async fn pull(&self, model: &str, progress: OnProgress<'_>) -> Result<(), PullError> {
        if self.state().counts {
            return Err(PullError::Unsupported);
        }
        self.answers(false).await?;
        let Some(bytes) = self.offered(model) else {
            return Err(PullError::Refused { said: "pull model manifest: file does not exist".to_owned() });
        };
        let mut tell = |done| progress(Progress::bytes("pulling", done, Some(bytes)));
        if self.fetch(model, bytes, &mut tell).await {
            Ok(())
        } else {
            Err(ServerError::Broken { source: "the connection was reset".into() }.into())
        }
    }
}
