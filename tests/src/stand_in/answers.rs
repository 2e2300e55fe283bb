//! What a vLLM and an SGLang answer, and how all of them put words into JSON.

use std::{fmt::Write as _, io, sync::atomic::Ordering::SeqCst};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{
    http::{self, Request},
    server::{Kind, Server},
};

/// How words are put.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    /// As OpenAI's `/v1/completions`.
    Completion,
    /// As OpenAI's `/v1/chat/completions`.
    Chat,
    /// As Ollama's `/api/generate`.
    OllamaGenerate,
    /// As Ollama's `/api/chat`.
    OllamaChat,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Completion | Self::Chat => "text/event-stream",
            Self::OllamaGenerate | Self::OllamaChat => "application/x-ndjson",
        }
    }

    /// One token of a stream.
    pub(super) fn token(self, model: &str, word: &str) -> String {
        let part = match self {
            Self::Completion => json!({ "model": model, "choices": [{ "index": 0, "text": word }] }),
            Self::Chat => {
                json!({ "model": model, "choices": [{ "index": 0, "delta": { "content": word } }] })
            }
            Self::OllamaGenerate => json!({ "model": model, "response": word, "done": false }),
            Self::OllamaChat => {
                json!({ "model": model, "message": { "role": "assistant", "content": word }, "done": false })
            }
        };
        match self {
            Self::Completion | Self::Chat => format!("data: {part}\n\n"),
            Self::OllamaGenerate | Self::OllamaChat => format!("{part}\n"),
        }
    }

    /// What says that a stream is whole.
    pub(super) fn end(self, model: &str) -> String {
        match self {
            Self::Completion | Self::Chat => "data: [DONE]\n\n".to_owned(),
            Self::OllamaGenerate | Self::OllamaChat => {
                format!("{}\n", json!({ "model": model, "done": true, "done_reason": "stop" }))
            }
        }
    }

    /// All of it at once.
    pub(super) fn whole(self, model: &str, text: &str) -> Value {
        match self {
            Self::Completion => json!({ "model": model, "choices": [{ "index": 0, "text": text }] }),
            Self::Chat => {
                json!({ "model": model, "choices": [{ "index": 0, "message": { "content": text } }] })
            }
            Self::OllamaGenerate => json!({ "model": model, "response": text, "done": true }),
            Self::OllamaChat => {
                json!({ "model": model, "message": { "role": "assistant", "content": text }, "done": true })
            }
        }
    }
}

/// Answers as a vLLM or an SGLang does.
pub(super) async fn answer(server: &Server, stream: &mut TcpStream, request: &Request) -> io::Result<()> {
    let model = server.settings_model();
    match request.line.as_str() {
        // An SGLang listens while it loads; one that ends takes nothing more.
        _ if !server.is_loaded() || server.is_ending() => {
            http::answer(stream, 503, "text/plain", "Service Unavailable").await
        }
        "GET /health" => http::answer(stream, 200, "text/plain", "").await,
        "GET /health_generate" if server.kind == Kind::Sglang => {
            let said = server.speak(stream, Format::Completion, (model, 1, false)).await;
            said.map(drop)
        }
        "GET /v1/models" => {
            let list = json!({ "object": "list", "data": [{ "id": model, "object": "model" }] });
            http::json(stream, 200, &list).await
        }
        "GET /metrics" if server.counts() => http::answer(stream, 200, "text/plain", &metrics(server)).await,
        "POST /v1/completions" => speak(server, stream, request, Format::Completion).await,
        "POST /v1/chat/completions" => speak(server, stream, request, Format::Chat).await,
        _ => http::json(stream, 404, &json!({ "detail": "Not Found" })).await,
    }
}

async fn speak(server: &Server, stream: &mut TcpStream, request: &Request, format: Format) -> io::Result<()> {
    let model = server.settings_model();
    // Whoever names none gets the one that there is.
    if request.body["model"].as_str().is_some_and(|asked| asked != model) {
        let error = json!({ "error": { "message": "The model does not exist.", "code": 404 } });
        return http::json(stream, 404, &error).await;
    }
    let tokens = request.body["max_tokens"].as_u64().unwrap_or(16);
    let streamed = request.body["stream"] == true;
    server.speak(stream, format, (model, tokens, streamed)).await
}

impl Server {
    fn counts(&self) -> bool {
        self.kind == Kind::Vllm || self.settings.counts()
    }
}

fn metrics(server: &Server) -> String {
    let names = match server.kind {
        Kind::Sglang => {
            ["sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:generation_tokens_total"]
        }
        _ => ["vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:generation_tokens_total"],
    };
    let counts = [&server.running, &server.waiting, &server.made].map(|count| count.load(SeqCst));
    names.into_iter().zip(counts).fold(String::new(), |mut text, (name, count)| {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        let model = server.settings_model();
        // A text can always be written to.
        let _ =
            writeln!(text, "# TYPE {name} {kind}\n{name}{{engine=\"0\",model_name=\"{model}\"}} {count}.0");
        text
    })
}
