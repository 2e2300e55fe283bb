//! What an Ollama answers: it has many models, loads the one that it is asked for, and puts it away when nobody uses it.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering::SeqCst},
};

use serde_json::{Value, json};
use tokio::{net::TcpStream, time::sleep};

use super::{
    answers::Format,
    http::{self, Request},
    server::Server,
};

/// The models that it has, and which one is in memory.
pub(super) struct Models {
    state: Mutex<State>,
    /// One is loaded at a time.
    loads: tokio::sync::Mutex<()>,
    /// Where those that were pulled outlive a start.
    kept: Option<PathBuf>,
}

#[derive(Default)]
struct State {
    installed: Vec<String>,
    in_memory: Option<String>,
    /// It is to be put away as soon as it has nothing to do.
    put_away: bool,
}

impl Models {
    pub(super) fn new(mut installed: Vec<String>, directory: Option<&PathBuf>) -> Self {
        let kept = directory.map(|directory| directory.join("ollama.models"));
        let pulled = kept.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        installed.extend(pulled.lines().map(str::to_owned));
        installed.retain(|model| !model.is_empty());
        let state = State { installed, ..State::default() };
        Self { state: Mutex::new(state), loads: tokio::sync::Mutex::new(()), kept }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts away what is to be put away, where nobody uses it.
    fn settle(&self, in_hand: u64) -> Option<String> {
        let mut state = self.state();
        if state.put_away && in_hand == 0 {
            (state.in_memory, state.put_away) = (None, false);
        }
        state.in_memory.clone()
    }

    fn pulled(&self, model: &str) {
        let mut state = self.state();
        if state.installed.iter().any(|known| known == model) {
            return;
        }
        state.installed.push(model.to_owned());
        if let Some(kept) = &self.kept {
            // Without the file it is forgotten at the next start.
            let _ = fs::write(kept, state.installed.join("\n"));
        }
    }
}

/// Answers as an Ollama does.
pub(super) async fn answer(server: &Server, stream: &mut TcpStream, request: &Request) -> io::Result<()> {
    let in_hand = server.running.load(SeqCst) + server.waiting.load(SeqCst);
    let list = |models: Vec<String>| {
        let model = |name| json!({ "name": name, "model": name, "size": 1_000_000, "size_vram": 0 });
        json!({ "models": models.into_iter().map(model).collect::<Vec<Value>>() })
    };
    match request.line.as_str() {
        "GET /" => http::answer(stream, 200, "text/plain", "Ollama is running").await,
        "GET /api/version" => http::json(stream, 200, &json!({ "version": "0.12.6" })).await,
        "GET /api/tags" => {
            let installed = server.models.state().installed.clone();
            http::json(stream, 200, &list(installed)).await
        }
        "GET /api/ps" => {
            http::json(stream, 200, &list(server.models.settle(in_hand).into_iter().collect())).await
        }
        "POST /api/generate" => speak(server, stream, request, Format::OllamaGenerate).await,
        "POST /api/chat" => speak(server, stream, request, Format::OllamaChat).await,
        "POST /api/pull" => pull(server, stream, request).await,
        _ => http::answer(stream, 404, "text/plain", "404 page not found").await,
    }
}

async fn speak(server: &Server, stream: &mut TcpStream, request: &Request, format: Format) -> io::Result<()> {
    let model = request.body["model"].as_str().unwrap_or_default().to_owned();
    if !server.models.state().installed.contains(&model) {
        let error = json!({ "error": format!("model '{model}' not found") });
        return http::json(stream, 404, &error).await;
    }
    let says_nothing = request.body["prompt"].as_str().unwrap_or_default().is_empty()
        && request.body["messages"].as_array().is_none_or(Vec::is_empty);
    if says_nothing && request.body["keep_alive"] == 0 {
        {
            let mut state = server.models.state();
            state.put_away = state.in_memory.as_ref() == Some(&model);
        }
        let done = json!({ "model": model, "response": "", "done": true, "done_reason": "unload" });
        return http::json(stream, 200, &done).await;
    }
    // From here on it has it in hand.
    let waits = super::server::Counted::begin(&server.waiting);
    load(server, &model).await;
    if says_nothing {
        let done = json!({ "model": model, "response": "", "done": true, "done_reason": "load" });
        return http::json(stream, 200, &done).await;
    }
    let tokens = request.body["options"]["num_predict"].as_u64().unwrap_or(16);
    let streamed = request.body["stream"] != false;
    let said = server.speak(stream, format, (&model, tokens, streamed)).await;
    drop(waits);
    said
}

/// Loads it where another one is in memory, or none. Whoever asks for it wants it kept.
async fn load(server: &Server, model: &str) {
    let _turn = server.models.loads.lock().await;
    if server.models.state().in_memory.as_deref() != Some(model) {
        println!("loading {model}");
        sleep(server.load_time()).await;
    }
    let mut state = server.models.state();
    (state.in_memory, state.put_away) = (Some(model.to_owned()), false);
}

/// Pulls a model in ten parts, which take as long as loading it.
async fn pull(server: &Server, stream: &mut TcpStream, request: &Request) -> io::Result<()> {
    let named = ["model", "name"].iter().find_map(|field| request.body[*field].as_str());
    let model = named.unwrap_or_default().to_owned();
    http::begin(stream, "application/x-ndjson", "").await?;
    let line = |value: Value| format!("{value}\n");
    http::chunk(stream, line(json!({ "status": "pulling manifest" })).as_bytes()).await?;
    if model.is_empty() || model.contains("no-such") {
        let error = json!({ "error": "pull model manifest: file does not exist" });
        http::chunk(stream, line(error).as_bytes()).await?;
        return http::end(stream).await;
    }
    for part in 1..=10_u64 {
        sleep(server.load_time() / 10).await;
        let progress = json!({
            "status": "pulling 6a0746a1ec1a", "digest": "sha256:6a0746a1ec1a",
            "total": 1_000_000_000_u64, "completed": part * 100_000_000,
        });
        http::chunk(stream, line(progress).as_bytes()).await?;
    }
    server.models.pulled(&model);
    for status in ["verifying sha256 digest", "writing manifest", "success"] {
        http::chunk(stream, line(json!({ "status": status })).as_bytes()).await?;
    }
    http::end(stream).await
}
