//! A gateway before the servers. It routes by three keys of Redis through two caches that stand behind each other, the
//! inner one per key, so that it goes by any mixture of old and new values for as long as both last together.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64, atomic::Ordering::SeqCst},
    time::Duration,
};

use anyhow::{Context, Result};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};

use super::{answers::Format, http, redis, server::Counted};
use crate::random::Random;

const BACKEND: &str = "nova:config:inference.backend";
const URL: &str = "nova:config:inference.url";
const STATE: &str = "nova:config:inference.state";
/// Says who answers: the name of a backend or [`FALLBACK`].
pub const ANSWERED_BY: &str = "x-answered-by";
/// The name of the one in the cloud.
pub const FALLBACK: &str = "fallback";

/// How it is called.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Where it listens
    #[arg(long)]
    listen: SocketAddr,
    /// Where Redis is
    #[arg(long)]
    redis: String,
    /// Seconds that each of the two caches lasts
    #[arg(long, default_value_t = 5.0)]
    cache: f64,
    /// NAME=ADDRESS: a backend, and where it is by default
    #[arg(long)]
    backend: Vec<String>,
    /// The model that an Ollama is asked for
    #[arg(long, default_value = "llama3.2:1b")]
    ollama_model: String,
    /// Milliseconds between two tokens of the fallback
    #[arg(long, default_value_t = 100)]
    token_ms: u64,
    /// There is no fallback: what is not led to a server is refused
    #[arg(long)]
    no_fallback: bool,
    /// Decides when which key is read
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Debug, Default)]
struct Route {
    backend: String,
    url: String,
    state: String,
}

struct Gateway {
    settings: Settings,
    /// By the name of a backend: where it is by default.
    usual: BTreeMap<String, String>,
    client: Client,
    outer: tokio::sync::Mutex<Option<(Instant, Route)>>,
    inner: Mutex<BTreeMap<&'static str, (Instant, String)>>,
    local: AtomicU64,
    by_fallback: AtomicU64,
}

/// Serves until it is told to end.
///
/// # Errors
/// It cannot listen, or a backend has no address.
pub async fn run(settings: Settings) -> Result<()> {
    let named = |text: &String| {
        let (name, address) = text.split_once('=').with_context(|| format!("{text} is no NAME=ADDRESS"))?;
        Ok((name.to_owned(), address.to_owned()))
    };
    let listener = TcpListener::bind(settings.listen).await.context("the port is taken")?;
    let gateway = Arc::new(Gateway {
        usual: settings.backend.iter().map(named).collect::<Result<_>>()?,
        client: Client::builder().no_proxy().build()?,
        outer: tokio::sync::Mutex::default(),
        inner: Mutex::default(),
        local: AtomicU64::new(0),
        by_fallback: AtomicU64::new(0),
        settings,
    });
    tokio::spawn(Arc::clone(&gateway).read_now_and_then());
    let mut end = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let gateway = Arc::clone(&gateway);
                let Ok((stream, _)) = accepted else { continue };
                tokio::spawn(async move { gateway.serve(stream).await });
            }
            _ = end.recv() => return Ok(()),
        }
    }
}

impl Gateway {
    fn cached(&self) -> Duration {
        Duration::from_secs_f64(self.settings.cache)
    }

    async fn route(&self) -> Route {
        let mut outer = self.outer.lock().await;
        if let Some((since, route)) = outer.as_ref()
            && since.elapsed() < self.cached()
        {
            return route.clone();
        }
        let route = Route {
            backend: self.read(BACKEND).await,
            url: self.read(URL).await,
            state: self.read(STATE).await,
        };
        *outer = Some((Instant::now(), route.clone()));
        route
    }

    /// A key through the inner cache. Without Redis it stays as it is known.
    async fn read(&self, key: &'static str) -> String {
        let known = self.inner().get(key).cloned();
        if let Some((since, value)) = &known
            && since.elapsed() < self.cached()
        {
            return value.clone();
        }
        let value = match redis::get(&self.settings.redis, key).await {
            Ok(value) => {
                let value = value.unwrap_or_default();
                // The Orchestrator writes JSON, others do not.
                serde_json::from_str::<String>(&value).unwrap_or(value)
            }
            Err(_) => known.map(|(_, value)| value).unwrap_or_default(),
        };
        self.inner().insert(key, (Instant::now(), value.clone()));
        value
    }

    /// Other parts of it want a key now and then, so that the keys' caches do not expire together.
    async fn read_now_and_then(self: Arc<Self>) {
        let mut random = Random::new(self.settings.seed);
        loop {
            sleep(self.cached().mul_f64(0.001 * u64_to_f64(random.between(50, 500)))).await;
            let key =
                [BACKEND, URL, STATE].into_iter().nth(usize::try_from(random.between(0, 2)).unwrap_or(0));
            self.read(key.unwrap_or(STATE)).await;
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, (Instant, String)>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some(request) = http::read(&mut stream).await else { return };
        let answered = match request.line.as_str() {
            "GET /health/live" => http::json(&mut stream, 200, &json!({ "status": "ok" })).await,
            "GET /health/inflight" => {
                let count = json!({ "local_inflight": self.local.load(SeqCst) });
                http::json(&mut stream, 200, &count).await
            }
            "GET /stand-in/fallback" => {
                http::json(&mut stream, 200, &json!({ "answered": self.by_fallback.load(SeqCst) })).await
            }
            "POST /v1/chat/completions" => {
                self.chat(&mut stream, &request.body).await;
                Ok(())
            }
            _ => http::answer(&mut stream, 404, "text/plain", "Not Found").await,
        };
        // A client that has gone is no matter here.
        drop(answered);
    }

    async fn chat(&self, stream: &mut TcpStream, asked: &Value) {
        let route = self.route().await;
        if route.state != "ready" {
            return self.fall_back(stream, asked).await;
        }
        let _local = Counted::begin(&self.local);
        let usual = || self.usual.get(&route.backend).cloned().unwrap_or_default();
        let address = if route.url.is_empty() { usual() } else { route.url.clone() };
        let known = self.usual.iter().find(|(_, usual)| **usual == address);
        let by = known.map_or(address.as_str(), |(name, _)| name.as_str());
        let refuse = |why: String| json!({ "by": by, "why": why, "route": format!("{route:?}") });
        let answer = self.client.post(self.path(by, &address)).json(&self.translate(by, asked)).send().await;
        let mut answer = match answer {
            Ok(answer) if answer.status() == 200 => answer,
            Ok(answer) => return refused(stream, &refuse(format!("status {}", answer.status()))).await,
            Err(error) => return refused(stream, &refuse(format!("{error:?}"))).await,
        };
        let kind = if by == "ollama" { Format::OllamaChat } else { Format::Chat }.content_type();
        let header = format!("{ANSWERED_BY}: {by}\r\n");
        if http::begin(stream, kind, &header).await.is_err() {
            return;
        }
        loop {
            let sent = match answer.chunk().await {
                Ok(Some(bytes)) => http::chunk(stream, &bytes).await,
                Ok(None) => {
                    let _ = http::end(stream).await;
                    return;
                }
                // What is not whole is not made to look so.
                Err(_) => return,
            };
            if sent.is_err() {
                return;
            }
        }
    }

    fn path(&self, by: &str, address: &str) -> String {
        let path = if by == "ollama" { "api/chat" } else { "v1/chat/completions" };
        format!("{address}/{path}")
    }

    /// A request in the words of a server. Those that have one model are not asked for another.
    fn translate(&self, by: &str, asked: &Value) -> Value {
        let (messages, tokens) = (&asked["messages"], &asked["max_tokens"]);
        if by == "ollama" {
            let options = json!({ "num_predict": tokens });
            json!({ "model": self.settings.ollama_model, "messages": messages, "stream": true, "options": options })
        } else {
            json!({ "messages": messages, "stream": true, "max_tokens": tokens })
        }
    }

    async fn fall_back(&self, stream: &mut TcpStream, asked: &Value) {
        if self.settings.no_fallback {
            return refused(stream, &json!({ "by": "gateway", "why": "no server, and no fallback" })).await;
        }
        self.by_fallback.fetch_add(1, SeqCst);
        let said = async {
            http::begin(stream, Format::Chat.content_type(), &format!("{ANSWERED_BY}: {FALLBACK}\r\n"))
                .await?;
            for number in 0..asked["max_tokens"].as_u64().unwrap_or(16) {
                sleep(Duration::from_millis(self.settings.token_ms)).await;
                let token = Format::Chat.token("cloud", &format!("word{number} "));
                http::chunk(stream, token.as_bytes()).await?;
            }
            http::chunk(stream, Format::Chat.end("cloud").as_bytes()).await?;
            http::end(stream).await
        };
        // A client that has gone does not hear it.
        let _ = said.await;
    }
}

async fn refused(stream: &mut TcpStream, why: &Value) {
    // A client that has gone does not hear it.
    let _ = http::json(stream, 502, why).await;
}

#[expect(clippy::cast_precision_loss, reason = "a few thousandths")]
fn u64_to_f64(number: u64) -> f64 {
    number as f64
}
