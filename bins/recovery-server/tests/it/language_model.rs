//! A server that stands in for language models: it takes requests apart as Ollama, OpenAI, Groq and Anthropic do, checks
//! what their interfaces demand, and gives the answers that their documentation shows. It understands nothing, knows no
//! limits and speaks no TLS.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

/// A request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `POST /v1/messages`.
    pub(crate) line: String,
    /// The headers in lower case, `name: value` each.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Value,
}

/// What it is to do.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Answer as it should, with this text.
    Says(&'static str),
    /// Refuse with this status.
    Refuses(u16),
    /// Send these bytes as the body of an answer.
    Babbles(String),
}

/// A language model that stands in for others.
pub(crate) struct LanguageModel {
    address: String,
    taken: Arc<Mutex<Vec<Request>>>,
}

impl LanguageModel {
    /// One with these models in its list.
    pub(crate) fn start(manner: Manner, models: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let taken: Arc<Mutex<Vec<Request>>> = Arc::default();
        let shared = Arc::clone(&taken);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = BufReader::new(connection.unwrap());
                let Some(request) = read(&mut connection) else { continue };
                let (status, body) = answer(&request, &manner, models);
                shared.lock().unwrap().push(request);
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                // A client may have had enough.
                let _ = connection.get_mut().write_all((head + &body).as_bytes());
            }
        });
        Self { address, taken }
    }

    /// Where it is, up to the port.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// What it was asked, oldest first.
    pub(crate) fn taken(&self) -> Vec<Request> {
        self.taken.lock().unwrap().clone()
    }
}

fn read(connection: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let headers: Vec<String> = lines[1..].iter().map(|line| line.to_ascii_lowercase()).collect();
    let length =
        headers.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    connection.read_exact(&mut body).ok()?;
    let line = lines[0].trim_end_matches(" HTTP/1.1").to_owned();
    Some(Request { line, headers, body: serde_json::from_slice(&body).unwrap_or_default() })
}

fn answer(request: &Request, manner: &Manner, models: &[&str]) -> (u16, String) {
    let text = match (request.line.as_str(), manner) {
        ("GET /api/tags", _) => {
            let models: Vec<Value> = models.iter().map(|name| json!({ "name": name, "size": 1 })).collect();
            return (200, json!({ "models": models }).to_string());
        }
        (_, Manner::Refuses(status)) => {
            return (*status, json!({ "error": { "message": "no" } }).to_string());
        }
        (_, Manner::Babbles(body)) => return (200, body.clone()),
        (_, Manner::Says(text)) => text,
    };
    let messages = request.body["messages"].as_array().cloned().unwrap_or_default();
    let complete = request.body["model"].is_string()
        && messages.iter().all(|message| message["content"].as_str().is_some_and(|text| !text.is_empty()));
    let last_is_question = messages.last().is_some_and(|message| message["role"] == "user");
    if !complete || !last_is_question {
        return (400, json!({ "error": { "message": "bad request" } }).to_string());
    }
    match request.line.as_str() {
        "POST /v1/chat/completions" => (
            200,
            json!({ "id": "x", "object": "chat.completion", "choices": [
                { "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }
            ] })
            .to_string(),
        ),
        // Anthropic takes instructions beside the messages, demands a limit, and names its version.
        "POST /v1/messages"
            if request.headers.iter().any(|header| header.starts_with("anthropic-version: "))
                && request.body["max_tokens"].is_u64()
                && messages.iter().all(|message| message["role"] != "system") =>
        {
            (200, json!({ "type": "message", "role": "assistant", "content": [{ "type": "text", "text": text }] }).to_string())
        }
        _ => (404, "{}".to_owned()),
    }
}
