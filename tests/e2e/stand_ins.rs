//! What stands in for servers of language models and for the gateway is tried by itself: a test that relies on it is
//! worth as much as it is.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use recovery_testkit::servers::RedisServer;
use recovery_tests::{
    load::{Counts, Load, Plan},
    stand_in::gateway::FALLBACK,
};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::{
    places::{Places, set_key},
    service::until,
};

/// A stand-in as a process of its own; killed when dropped.
struct Process(Child);

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nova-stand-in"));
        Self(command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    async fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        until("a stand-in to end", async || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks; `None` where nobody listens or answers.
async fn get(address: &str, path: &str) -> Option<Response> {
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    client.get(format!("{address}{path}")).send().await.ok()
}

async fn status(address: &str, path: &str) -> u16 {
    get(address, path).await.map_or(0, |answer| answer.status().as_u16())
}

async fn text(address: &str, path: &str) -> String {
    get(address, path).await.unwrap().text().await.unwrap()
}

async fn post(address: &str, path: &str, body: Value) -> (u16, Value) {
    let client = Client::builder().no_proxy().build().unwrap();
    let answer = client.post(format!("{address}{path}")).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

/// Begins a stream of so many tokens and says, when it has ended, whether its last words were there.
fn stream(address: &str, path: &str, body: Value) -> tokio::task::JoinHandle<bool> {
    let url = format!("{address}{path}");
    tokio::spawn(async move {
        let client = Client::builder().no_proxy().build().unwrap();
        let answer = client.post(url).json(&body).send().await.unwrap();
        let text = answer.text().await.unwrap_or_default();
        text.ends_with("data: [DONE]\n\n") || text.contains("\"done\":true")
    })
}

const CHAT: &str = "/v1/chat/completions";

fn chat(tokens: u64) -> Value {
    json!({ "stream": true, "max_tokens": tokens, "messages": [{ "role": "user", "content": "Hi" }] })
}

#[tokio::test]
async fn a_vllm_listens_when_it_has_loaded_counts_and_cuts_off_what_it_has() {
    let places = Places::new();
    let (listen, vllm) = (places.listen("vllm"), places.address("vllm"));
    let start = |more: &[&str]| {
        let usual = ["vllm", "--listen", &listen, "--model", "qwen", "--load", "0.3", "--token-ms", "20"];
        Process::start(&[&usual[..], more].concat())
    };
    let mut process = start(&[]);
    assert_eq!(status(&vllm, "/health").await, 0, "it loads, and does not listen");
    until("vLLM to listen", async || status(&vllm, "/health").await == 200).await;
    assert!(text(&vllm, "/v1/models").await.contains("\"qwen\""));
    let one = json!({ "model": "qwen", "prompt": "Hi", "max_tokens": 1, "stream": false });
    let (code, answer) = post(&vllm, "/v1/completions", one.clone()).await;
    assert_eq!((code, answer["choices"][0]["text"].is_string()), (200, true), "{answer}");
    assert_eq!(post(&vllm, "/v1/completions", json!({ "model": "other" })).await.0, 404);
    let counts = async |running: u64| {
        text(&vllm, "/metrics").await.lines().any(|line| {
            line.starts_with("vllm:num_requests_running{") && line.ends_with(&format!(" {running}.0"))
        })
    };
    let (short, long) = (stream(&vllm, CHAT, chat(10)), stream(&vllm, CHAT, chat(5_000)));
    until("two requests to be counted", async || counts(2).await).await;
    assert!(short.await.unwrap());
    until("one request to be counted", async || counts(1).await).await;
    process.terminate();
    assert!(!long.await.unwrap(), "SIGTERM cuts off what it has");
    assert_eq!(process.ended().await, Some(0));

    let mut process = start(&["--shutdown-timeout", "30"]);
    until("vLLM to listen", async || status(&vllm, "/health").await == 200).await;
    let short = stream(&vllm, CHAT, chat(50));
    until("a request to be counted", async || counts(1).await).await;
    process.terminate();
    assert!(short.await.unwrap(), "it is given the time");
    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test]
async fn an_sglang_listens_at_once_and_finishes_what_it_has() {
    let places = Places::new();
    let (listen, sglang) = (places.listen("sglang"), places.address("sglang"));
    let usual = ["sglang", "--listen", &listen, "--model", "qwen", "--load", "0.5", "--token-ms", "20"];
    let mut process = Process::start(&[&usual[..], &["--enable-metrics"]].concat());
    until("SGLang to listen", async || status(&sglang, "/health").await != 0).await;
    assert_eq!(status(&sglang, "/health").await, 503, "it loads");
    until("SGLang to have loaded", async || status(&sglang, "/health").await == 200).await;
    assert_eq!(status(&sglang, "/health_generate").await, 200);
    let long = stream(&sglang, CHAT, chat(60));
    until("a request to be counted", async || {
        text(&sglang, "/metrics")
            .await
            .contains("sglang:num_running_reqs{engine=\"0\",model_name=\"qwen\"} 1.0")
    })
    .await;
    process.terminate();
    until("it to take nothing more", async || matches!(status(&sglang, "/health").await, 503 | 0)).await;
    assert!(long.await.unwrap());
    assert_eq!(process.ended().await, Some(0));

    let process = Process::start(&usual);
    until("SGLang to have loaded", async || status(&sglang, "/health").await == 200).await;
    assert_eq!(status(&sglang, "/metrics").await, 404, "it counts only where it is told to");
    drop(process);
}

#[tokio::test]
async fn an_ollama_pulls_models_keeps_them_in_memory_and_puts_them_away_when_idle() {
    let places = Places::new();
    let moods = tempfile::tempdir().unwrap();
    let (listen, ollama) = (places.listen("ollama"), places.address("ollama"));
    let moods_path = moods.path().to_str().unwrap();
    let usual = ["ollama", "--listen", &listen, "--load", "0.3", "--token-ms", "20", "--moods", moods_path];
    let mut process = Process::start(&usual);
    until("Ollama to listen", async || status(&ollama, "/api/version").await == 200).await;
    let tags = async || text(&ollama, "/api/tags").await;
    let loaded = async || text(&ollama, "/api/ps").await.contains("\"tiny\"");
    assert_eq!(tags().await, "{\"models\":[]}");
    let said = |body: Value| stream_text(&ollama, body);
    assert!(said(json!({ "model": "no-such" })).await.contains("\"error\""));
    let pulled = said(json!({ "model": "tiny" })).await;
    assert!(pulled.contains("\"completed\":500000000") && pulled.ends_with("{\"status\":\"success\"}\n"));
    assert!(tags().await.contains("\"tiny\"") && !loaded().await);

    let asked = json!({ "model": "tiny", "prompt": "Hi", "options": { "num_predict": 60 } });
    assert_eq!(post(&ollama, "/api/generate", json!({ "model": "other", "prompt": "Hi" })).await.0, 404);
    let long = stream(&ollama, "/api/generate", asked.clone());
    until("the model to be in memory", async || loaded().await).await;
    let put_away = json!({ "model": "tiny", "keep_alive": 0 });
    assert_eq!(post(&ollama, "/api/generate", put_away).await.1["done_reason"], "unload");
    assert!(loaded().await, "it has something to do");
    assert!(long.await.unwrap());
    until("the model to be put away", async || !loaded().await).await;

    let long = stream(&ollama, "/api/generate", asked);
    until("the model to be in memory", async || loaded().await).await;
    process.terminate();
    assert!(!long.await.unwrap(), "SIGTERM cuts off what it has");
    assert_eq!(process.ended().await, Some(0));
    let _again = Process::start(&usual);
    until("Ollama to have what it pulled", async || {
        get(&ollama, "/api/tags").await.is_some() && tags().await.contains("\"tiny\"")
    })
    .await;
}

async fn stream_text(ollama: &str, body: Value) -> String {
    let client = Client::builder().no_proxy().build().unwrap();
    let answer = client.post(format!("{ollama}/api/pull")).json(&body).send().await.unwrap();
    answer.text().await.unwrap()
}

#[tokio::test]
async fn moods_make_a_server_sick_until_it_is_started_again_or_for_ever() {
    let places = Places::new();
    let moods = tempfile::tempdir().unwrap();
    let (listen, vllm) = (places.listen("vllm"), places.address("vllm"));
    let start = || {
        let moods = moods.path().to_str().unwrap();
        Process::start(&["vllm", "--listen", &listen, "--model", "qwen", "--load", "0", "--moods", moods])
    };
    let mood =
        |which: &str, words: &str| fs::write(moods.path().join(format!("server.{which}")), words).unwrap();
    let health = async || status(&vllm, "/health").await;
    let process = start();
    until("vLLM to listen", async || health().await == 200).await;
    mood("now", "status=500");
    until("it to be sick", async || health().await == 500).await;
    mood("now", "closed");
    until("it to be closed", async || health().await == 0).await;
    mood("now", "engine-hang");
    until("it to say that it is well", async || health().await == 200).await;
    let short = stream(&vllm, CHAT, chat(1));
    assert!(tokio::time::timeout(Duration::from_secs(1), short).await.is_err(), "it makes no tokens");
    drop(process);
    let mut process = start();
    until("it to be well again", async || health().await == 200).await;
    mood("always", "crash");
    assert_eq!(process.ended().await, Some(1));
    let mut process = start();
    assert_eq!(process.ended().await, Some(1), "at every start");
}

#[tokio::test]
async fn a_gateway_goes_by_what_it_has_read_and_clients_count_what_becomes_of_them() {
    let places = Places::new();
    let redis = RedisServer::start();
    let (vllm, sglang) = (places.listen("vllm"), places.listen("sglang"));
    let usual = ["--model", "qwen", "--load", "0", "--token-ms", "20"];
    let mut old = Process::start(&[&["vllm", "--listen", &vllm], &usual[..]].concat());
    let _new = Process::start(&[&["sglang", "--listen", &sglang], &usual[..]].concat());
    let backends = ["vllm", "sglang"].map(|name| format!("{name}={}", places.address(name)));
    let redis_at = format!("127.0.0.1:{}", redis.port());
    let _gateway = Process::start(&[
        "gateway",
        "--listen",
        &places.listen("gateway"),
        "--redis",
        &redis_at,
        "--cache",
        "1",
        "--token-ms",
        "20",
        "--backend",
        &backends[0],
        "--backend",
        &backends[1],
    ]);
    let gateway = places.address("gateway");
    until("the gateway to listen", async || status(&gateway, "/health/inflight").await == 200).await;
    set_key(&redis, "nova:config:inference.backend", "\"vllm\"");
    set_key(&redis, "nova:config:inference.state", "ready");
    let plan = Plan {
        gateway: gateway.clone(),
        clients: 10,
        pause: Duration::ZERO,
        least_tokens: 5,
        most_tokens: 20,
        seed: 7,
    };
    let load = Load::start(&plan).unwrap();
    until("vLLM to answer", async || load.so_far().complete_by("vllm") > 10).await;
    // Now and then a client is between two requests.
    until("ten requests to be inside", async || {
        text(&gateway, "/health/inflight").await == "{\"local_inflight\":10}"
    })
    .await;

    set_key(&redis, "nova:config:inference.state", "draining");
    until("the fallback to answer", async || load.so_far().complete_by(FALLBACK) > 10).await;
    set_key(&redis, "nova:config:inference.backend", "sglang");
    set_key(&redis, "nova:config:inference.state", "ready");
    until("SGLang to answer", async || load.so_far().complete_by("sglang") > 10).await;
    let tally = load.so_far();
    assert_eq!(tally.dropped(), 0, "{tally}");

    // Whoever takes a server away that the gateway still goes by drops requests, and that is seen.
    set_key(&redis, "nova:config:inference.url", &places.address("vllm"));
    let before = load.so_far().complete_by("vllm");
    until("vLLM to answer again", async || load.so_far().complete_by("vllm") > before + 10).await;
    old.terminate();
    old.ended().await;
    until("requests to be refused", async || load.so_far().dropped() > 10).await;
    set_key(&redis, "nova:config:inference.url", "");
    let tally = load.finish().await;
    let of_vllm = tally.by["vllm"];
    assert!(of_vllm.cut > 0 && of_vllm.refused > 0, "{tally}");
    assert_eq!(tally.by["sglang"], Counts { cut: 0, refused: 0, ..tally.by["sglang"] }, "{tally}");
}
