//! Clients that keep a gateway busy, and count what becomes of each of their requests.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{random::Random, stand_in::gateway::ANSWERED_BY};

/// A stream that says nothing for so long is as good as cut.
const SILENCE: Duration = Duration::from_secs(90);
/// How many of the failures are told in words.
const TOLD: usize = 20;

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The address of the gateway.
    pub gateway: String,
    /// How many clients there are. Each has one request at a time.
    pub clients: usize,
    /// The longest that one pauses between two requests; zero where it asks again at once.
    pub pause: Duration,
    /// The fewest tokens that a request asks for.
    pub least_tokens: u64,
    /// The most.
    pub most_tokens: u64,
    /// Decides how many each asks for.
    pub seed: u64,
}

/// What became of the requests that somebody answered, or did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered to the last word.
    pub complete: u64,
    /// Begun, and broken off.
    pub cut: u64,
    /// Not taken.
    pub refused: u64,
}

/// What became of all of them.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By who answered: the name of a backend, `fallback`, or `gateway`.
    pub by: BTreeMap<String, Counts>,
    /// What went wrong first, in words.
    pub told: Vec<String>,
}

impl Tally {
    /// How many were answered whole.
    #[must_use]
    pub fn complete(&self) -> u64 {
        self.by.values().map(|counts| counts.complete).sum()
    }

    /// How many were cut or refused.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.by.values().map(|counts| counts.cut + counts.refused).sum()
    }

    /// How many one of them answered whole.
    #[must_use]
    pub fn complete_by(&self, name: &str) -> u64 {
        self.by.get(name).map_or(0, |counts| counts.complete)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, Counts { complete, cut, refused }) in &self.by {
            writeln!(f, "{name:10} complete {complete:6}  cut {cut:4}  refused {refused:4}")?;
        }
        self.told.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// Clients at work. They end when this goes, and their requests with them.
pub struct Load {
    tally: Arc<Mutex<Tally>>,
    ends: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    /// Sets the clients to work.
    ///
    /// # Errors
    /// This system makes no connections at all.
    pub fn start(plan: &Plan) -> Result<Self, reqwest::Error> {
        let http = Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
        let (tally, ends) = (Arc::<Mutex<Tally>>::default(), Arc::<AtomicBool>::default());
        let (mut clients, begun) = (JoinSet::new(), Instant::now());
        for number in 0..plan.clients {
            let (plan, http) = (plan.clone(), http.clone());
            let (tally, ends) = (Arc::clone(&tally), Arc::clone(&ends));
            let number = u64::try_from(number).unwrap_or(0);
            clients.spawn(async move {
                let mut random = Random::new(plan.seed ^ (number << 32));
                while !ends.load(SeqCst) {
                    let tokens = random.between(plan.least_tokens, plan.most_tokens);
                    let (by, end) = ask(&http, &plan.gateway, tokens).await;
                    let dropped = !matches!(end, End::Complete);
                    record(&mut lock(&tally), &by, end, begun);
                    let most = u64::try_from(plan.pause.as_millis()).unwrap_or(u64::MAX);
                    // Whoever is refused does not ask again at once in any case.
                    let least = if dropped { 200 } else { 0 };
                    sleep(Duration::from_millis(random.between(least, most.max(least)))).await;
                }
            });
        }
        Ok(Self { tally, ends, clients })
    }

    /// What became of those that have ended so far.
    #[must_use]
    pub fn so_far(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Lets every client finish its request, and tells what became of all of them.
    pub async fn finish(mut self) -> Tally {
        self.ends.store(true, SeqCst);
        while self.clients.join_next().await.is_some() {}
        self.so_far()
    }
}

enum End {
    Complete,
    Cut(String),
    Refused(String),
}

async fn ask(http: &Client, gateway: &str, tokens: u64) -> (String, End) {
    let body = json!({
        "stream": true, "max_tokens": tokens, "messages": [{ "role": "user", "content": "Say something." }],
    });
    let answer = http.post(format!("{gateway}/v1/chat/completions")).json(&body).send().await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return ("gateway".to_owned(), End::Refused(format!("{error:?}"))),
    };
    if answer.status() != 200 {
        let why: Value = answer.json().await.unwrap_or_default();
        return (why["by"].as_str().unwrap_or("gateway").to_owned(), End::Refused(why.to_string()));
    }
    let by = answer.headers().get(ANSWERED_BY).and_then(|by| by.to_str().ok());
    let by = by.unwrap_or("gateway").to_owned();
    (by, listen(answer, tokens).await)
}

/// Hears an answer to its end, which says itself that it is one.
async fn listen(mut answer: Response, tokens: u64) -> End {
    let (mut heard, mut lines, mut ended) = (0, Vec::new(), false);
    loop {
        let bytes = match timeout(SILENCE, answer.chunk()).await {
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None)) if ended && heard == tokens => return End::Complete,
            Ok(Ok(None)) => return End::Cut(format!("it ends after {heard} of {tokens} tokens")),
            Ok(Err(error)) => return End::Cut(format!("after {heard} of {tokens} tokens: {error:?}")),
            Err(_) => return End::Cut(format!("nothing more after {heard} of {tokens} tokens")),
        };
        lines.extend_from_slice(&bytes);
        while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = lines.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            heard += u64::from(line.contains("\"content\":\"word"));
            ended |= line.starts_with("data: [DONE]") || line.contains("\"done\":true");
        }
    }
}

fn record(tally: &mut Tally, by: &str, end: End, begun: Instant) {
    let counts = tally.by.entry(by.to_owned()).or_default();
    let (what, why) = match end {
        End::Complete => {
            counts.complete += 1;
            return;
        }
        End::Cut(why) => {
            counts.cut += 1;
            ("cut", why)
        }
        End::Refused(why) => {
            counts.refused += 1;
            ("refused", why)
        }
    };
    if tally.told.len() < TOLD {
        tally.told.push(format!("{:.1} s: {what} by {by}: {why}", begun.elapsed().as_secs_f64()));
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
