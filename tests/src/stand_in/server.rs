//! A server of language models: when it listens, what it has in hand, and how it ends.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, watch},
    time::{Instant, sleep},
};

use super::{
    answers::{self, Format},
    http,
    mood::{self, Mood},
    ollama::{self, Models},
};

/// A model of this name does not fit into any memory: whoever loads it ends.
const TOO_LARGE: &str = "too-large";

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Listens at once, loads a model when it is asked for it, does not count, and cuts off what it has when it ends.
    Ollama,
    /// Listens once its model is loaded, counts, and cuts off what it has when it ends.
    Vllm,
    /// Listens before its model is loaded, counts where it is told to, and finishes what it has when it ends.
    Sglang,
}

/// How it is called.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Where it listens
    #[arg(long)]
    listen: SocketAddr,
    /// Its models, the first one for those that have one
    #[arg(long, num_args = 1..)]
    model: Vec<String>,
    /// Seconds that pass until a model is loaded
    #[arg(long, default_value_t = 1.0)]
    load: f64,
    /// Milliseconds between two tokens
    #[arg(long, default_value_t = 100)]
    token_ms: u64,
    /// Requests that are answered at a time; others wait
    #[arg(long, default_value_t = 256)]
    max_num_seqs: usize,
    /// vLLM: seconds that it goes on with what it has when it is to end
    #[arg(long, default_value_t = 0)]
    shutdown_timeout: u64,
    /// SGLang: it counts
    #[arg(long)]
    enable_metrics: bool,
    /// The directory in which it is said what it is to do wrong
    #[arg(long)]
    moods: Option<PathBuf>,
    /// Its name in there
    #[arg(long, default_value = "server")]
    name: String,
}

impl Settings {
    /// Whether an SGLang counts.
    pub(super) fn counts(&self) -> bool {
        self.enable_metrics
    }
}

/// What all its connections share.
pub(super) struct Server {
    pub(super) kind: Kind,
    pub(super) settings: Settings,
    pub(super) mood: watch::Receiver<Mood>,
    pub(super) models: Models,
    pub(super) running: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) made: AtomicU64,
    slots: Semaphore,
    loaded: watch::Sender<bool>,
    ending: AtomicBool,
}

/// Serves until it is told to end.
///
/// # Errors
/// It cannot listen.
pub async fn run(kind: Kind, settings: Settings) -> Result<()> {
    let server = Arc::new(Server {
        kind,
        mood: mood::follow(settings.moods.clone(), &settings.name),
        models: Models::new(settings.model.clone(), settings.moods.as_ref()),
        running: AtomicU64::new(0),
        waiting: AtomicU64::new(0),
        made: AtomicU64::new(0),
        slots: Semaphore::new(settings.max_num_seqs),
        loaded: watch::Sender::new(kind == Kind::Ollama),
        ending: AtomicBool::new(false),
        settings,
    });
    let mut end = signal(SignalKind::terminate()).context("no signals")?;
    let (mut mood, mut loaded) = (server.mood.clone(), server.loaded.subscribe());
    if kind != Kind::Ollama {
        tokio::spawn(Arc::clone(&server).load_the_one());
    }
    let mut listener = None;
    loop {
        let now = mood.borrow_and_update().clone();
        if now.crash {
            eprintln!("RuntimeError: Engine core initialization failed. See root cause above.");
            exit(1);
        }
        let is_loaded = *loaded.borrow_and_update();
        let listens = (is_loaded || kind == Kind::Sglang) && !now.closed;
        match (&listener, listens) {
            (None, true) => {
                let bound = TcpListener::bind(server.settings.listen).await;
                listener = Some(bound.with_context(|| format!("{} is taken", server.settings.listen))?);
                println!("listening on {}", server.settings.listen);
            }
            (Some(_), false) => listener = None,
            _ => {}
        }
        tokio::select! {
            accepted = accept(listener.as_ref()) => {
                let server = Arc::clone(&server);
                tokio::spawn(async move { server.serve(accepted).await });
            }
            Ok(()) = mood.changed() => {}
            Ok(()) = loaded.changed() => {}
            _ = end.recv() => {
                tokio::spawn(Arc::clone(&server).end());
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    loop {
        match listener {
            // One that has gone again is nobody.
            Some(listener) => match listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            None => std::future::pending().await,
        }
    }
}

impl Server {
    /// Loads the one model of a server that has one, with signs of progress in its log.
    async fn load_the_one(self: Arc<Self>) {
        let model = self.settings.model.first().cloned().unwrap_or_default();
        println!("loading {model}");
        for percent in (10..=100).step_by(10) {
            sleep(self.load_time() / 10).await;
            println!("Loading safetensors checkpoint shards: {percent}% Completed");
            if model.contains(TOO_LARGE) {
                eprintln!("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 GiB.");
                exit(1);
            }
        }
        self.loaded.send_replace(true);
    }

    /// The one model of a server that has one.
    pub(super) fn settings_model(&self) -> &str {
        self.settings.model.first().map(String::as_str).unwrap_or_default()
    }

    pub(super) fn load_time(&self) -> Duration {
        let told = self.mood.borrow().load;
        told.unwrap_or(Duration::from_secs_f64(self.settings.load))
    }

    pub(super) fn is_loaded(&self) -> bool {
        *self.loaded.borrow()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(SeqCst)
    }

    /// As each of them ends when it is told to.
    async fn end(self: Arc<Self>) {
        let waits = match self.kind {
            Kind::Ollama => Duration::ZERO,
            Kind::Vllm => Duration::from_secs(self.settings.shutdown_timeout),
            Kind::Sglang => Duration::MAX,
        };
        self.ending.store(true, SeqCst);
        let begun = Instant::now();
        while begun.elapsed() < waits && self.in_hand() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
        println!("ends, and cuts {} requests off", self.in_hand());
        exit(0);
    }

    fn in_hand(&self) -> u64 {
        self.running.load(SeqCst) + self.waiting.load(SeqCst)
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some(request) = http::read(&mut stream).await else { return };
        let (hang, status) = {
            let mood = self.mood.borrow();
            (mood.hang, mood.status)
        };
        let answered = match status {
            _ if hang => return http::gone(&stream).await,
            Some(status) => http::answer(&mut stream, status, "text/plain", "Internal Server Error").await,
            None if self.kind == Kind::Ollama => ollama::answer(self, &mut stream, &request).await,
            None => answers::answer(self, &mut stream, &request).await,
        };
        // A client that has gone is no matter for a server.
        drop(answered);
    }

    /// Says so many words, one token each.
    pub(super) async fn speak(
        &self,
        stream: &mut TcpStream,
        format: Format,
        (model, tokens, streamed): (&str, u64, bool),
    ) -> io::Result<()> {
        let waits = Counted::begin(&self.waiting);
        let slot = tokio::select! {
            slot = self.slots.acquire() => slot,
            () = http::gone(stream) => return Ok(()),
        };
        // Counted as the one before it is no longer counted as the other.
        let runs = Counted::begin(&self.running);
        drop(waits);
        if streamed {
            http::begin(stream, format.content_type(), "").await?;
        }
        let mut said = String::new();
        for number in 0..tokens {
            tokio::select! {
                () = self.make_token() => {}
                () = http::gone(stream) => return Ok(()),
            }
            let word = format!("word{number} ");
            if streamed {
                http::chunk(stream, format.token(model, &word).as_bytes()).await?;
            }
            said.push_str(&word);
        }
        // A server has it in hand until its last word is on its way.
        let ended = if streamed {
            match http::chunk(stream, format.end(model).as_bytes()).await {
                Ok(()) => http::end(stream).await,
                gone => gone,
            }
        } else {
            http::json(stream, 200, &format.whole(model, &said)).await
        };
        drop((runs, slot));
        ended
    }

    async fn make_token(&self) {
        sleep(Duration::from_millis(self.settings.token_ms)).await;
        let mut mood = self.mood.clone();
        // Without anybody to change it, it stays as it is.
        if mood.wait_for(|mood| !mood.no_tokens()).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.made.fetch_add(1, SeqCst);
    }
}

/// One more for as long as it lives.
pub(super) struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    pub(super) fn begin(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
