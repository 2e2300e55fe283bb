//! A server over HTTP, so that real clients can be tried on it.

use std::net::SocketAddr;

use recovery_core::port::{Gateway as _, ServerError};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{FakeGateway, FakeServer};

/// Which paths a stand-in has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpokenDialect {
    /// Those of Ollama.
    Ollama,
    /// Those of vLLM, with its counters.
    Vllm,
    /// Those of SGLang, with its counters.
    Sglang,
    /// Those of the server of llama.cpp, with its counters.
    LlamaCpp,
}

/// Something on a port of this machine, until it is dropped. Nothing listens there while its server does not run.
#[derive(Debug)]
pub struct StandIn {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl StandIn {
    /// Puts a server on a free port.
    pub async fn serve(server: &FakeServer, dialect: SpokenDialect) -> Self {
        let mut listener = Some(listen(None).await);
        let address = listener.as_ref().unwrap().local_addr().unwrap();
        let server = server.clone();
        let task = tokio::spawn(async move {
            let mut runs = server.runs();
            loop {
                let up = runs.borrow_and_update().1;
                if !up {
                    listener = None;
                    runs.changed().await.expect("the server is here");
                    continue;
                }
                let listener = match &listener {
                    Some(listener) => listener,
                    None => listener.insert(listen(Some(address)).await),
                };
                tokio::select! {
                    accepted = listener.accept() => {
                        let server = server.clone();
                        tokio::spawn(async move {
                            let mut stream = accepted.expect("a connection").0;
                            let request = read(&mut stream).await;
                            if dialect == SpokenDialect::Ollama && request.path == "/api/pull" {
                                return pull(&mut stream, &server, &request).await;
                            }
                            answer(&mut stream, server_answers(&server, dialect, &request).await).await;
                        });
                    }
                    _ = runs.changed() => {}
                }
            }
        });
        Self { address, task }
    }

    /// Puts a gateway on a free port, which says how many requests it has.
    pub async fn gateway(gateway: &FakeGateway) -> Self {
        let listener = listen(None).await;
        let address = listener.local_addr().unwrap();
        let gateway = gateway.clone();
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let request = read(&mut stream).await;
                let body = match (request.path.as_str(), gateway.in_flight().await) {
                    ("/health/inflight", Ok(n)) => Some((200, json!({ "local_inflight": n }).to_string())),
                    _ => Some((404, String::new())),
                };
                answer(&mut stream, body).await;
            }
        });
        Self { address, task }
    }

    /// Its address, as `http://127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn listen(address: Option<SocketAddr>) -> TcpListener {
    let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    TcpListener::bind(address).await.expect("a port of this machine")
}

struct Request {
    path: String,
    body: Value,
}

async fn read(stream: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                return Request { path, body: serde_json::from_str(body).unwrap_or(Value::Null) };
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return Request { path: String::new(), body: Value::Null },
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
        }
    }
}

/// Sends an answer; `None` leaves the client without one until it goes.
async fn answer(stream: &mut TcpStream, answer: Option<(u16, String)>) {
    match answer {
        Some((status, body)) => {
            let head =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            // A client that has gone does not read it.
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
        None => while stream.read(&mut [0; 64]).await.is_ok_and(|length| length > 0) {},
    }
}

/// Answers as Ollama does when it fetches a model: a line for each sign of progress, and errors with status 200.
async fn pull(stream: &mut TcpStream, server: &FakeServer, request: &Request) {
    match server.answers(false).await {
        Ok(()) => {}
        Err(ServerError::Status { status }) => return answer(stream, Some((status, String::new()))).await,
        Err(_) => return answer(stream, None).await,
    }
    let model = request.body["model"].as_str().expect("the name of a model").to_owned();
    let (lines, mut written) = tokio::sync::mpsc::unbounded_channel::<Value>();
    let server = server.clone();
    tokio::spawn(async move {
        let say = |line: Value| lines.send(line).is_ok();
        say(json!({ "status": "pulling manifest" }));
        let Some(bytes) = server.offered(&model) else {
            say(json!({ "error": "pull model manifest: file does not exist" }));
            return;
        };
        let mut tell = |done| {
            let digest = "sha256:0123";
            say(json!({ "status": "pulling 0123", "digest": digest, "total": bytes, "completed": done }));
        };
        if server.fetch(&model, bytes, &mut tell).await {
            for status in ["verifying sha256 digest", "writing manifest", "success"] {
                say(json!({ "status": status }));
            }
        }
    });
    // A client that has gone does not read it.
    let _ = stream.write_all(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n").await;
    while let Some(line) = written.recv().await {
        let _ = stream.write_all(format!("{line}\n").as_bytes()).await;
    }
}

async fn server_answers(
    server: &FakeServer,
    dialect: SpokenDialect,
    request: &Request,
) -> Option<(u16, String)> {
    let puts_away = request.body["keep_alive"] == 0;
    let with_model = matches!(request.path.as_str(), "/v1/completions" | "/api/generate") && !puts_away;
    match server.answers(with_model).await {
        Ok(()) => {}
        Err(ServerError::Status { status }) => return Some((status, String::new())),
        Err(_) => return None,
    }
    let model = server.model();
    if with_model {
        assert_eq!(request.body["model"].as_str(), model.as_deref(), "a model that it has");
        server.answer_one_token();
    }
    // Ollama says `null` where there is none.
    let tags = |names: Vec<String>| {
        let models: Vec<Value> = names.into_iter().map(|name| json!({ "name": name, "size": 1 })).collect();
        json!({ "models": if models.is_empty() { Value::Null } else { models.into() } })
    };
    let metrics = |[runs, waits, tokens]: [&str; 3]| {
        let (running, made) = (server.running(), server.made().unwrap_or(0));
        format!(
            "{runs}{{model=\"m\"}} {running}.0\n{waits}{{model=\"m\"}} 0.0\n{tokens}{{model=\"m\"}} {made}.0\n"
        )
    };
    let body = match (dialect, request.path.as_str()) {
        (SpokenDialect::Ollama, "/api/version") => json!({ "version": "0.12.0" }).to_string(),
        (SpokenDialect::Ollama, "/api/tags") => tags(server.all_models()).to_string(),
        (SpokenDialect::Ollama, "/api/ps") => tags(server.in_memory().into_iter().collect()).to_string(),
        (SpokenDialect::Ollama, "/api/generate") => {
            if puts_away {
                server.put_away();
            } else {
                assert_eq!(request.body["options"]["num_predict"], 1, "one token");
            }
            json!({ "done": true }).to_string()
        }
        (_, "/health") => String::new(),
        (_, "/v1/models") => {
            let data: Vec<Value> = model.into_iter().map(|id| json!({ "id": id })).collect();
            json!({ "data": data }).to_string()
        }
        (_, "/v1/completions") => {
            assert_eq!(request.body["max_tokens"], 1, "one token");
            json!({ "choices": [{ "text": "Hello" }] }).to_string()
        }
        (SpokenDialect::Vllm, "/metrics") => metrics([
            "vllm:num_requests_running",
            "vllm:num_requests_waiting",
            "vllm:generation_tokens_total",
        ]),
        (SpokenDialect::Sglang, "/metrics") => {
            metrics(["sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:generation_tokens_total"])
        }
        (SpokenDialect::LlamaCpp, "/metrics") => metrics([
            "llamacpp:requests_processing",
            "llamacpp:requests_deferred",
            "llamacpp:tokens_predicted_total",
        ]),
        _ => return Some((404, String::new())),
    };
    Some((200, body))
}
