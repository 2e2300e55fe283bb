//! Asking the service for changes of the servers of language models, and waiting for them as a person would.

use std::time::Duration;

use recovery_tests::load::{Load, Plan};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    proving_ground::Ground,
    service::{Answer, Service, until_within},
};

/// The longest that a change may take, streams of forty seconds and a loaded machine included.
const CHANGE: Duration = Duration::from_secs(180);

/// How things stand.
pub(crate) async fn backend(service: &Service) -> Value {
    service.get_json("/inference/backend").await.assert_ok()
}

/// Asks for a backend; must be granted.
pub(crate) async fn start(service: &Service, name: &str) {
    let answer = service.post(&format!("/inference/backend/{name}/start")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.body["status"], "accepted", "{answer:?}");
}

/// Asks for another model; must be granted.
pub(crate) async fn switch_model(service: &Service, name: &str, model: &str) {
    let answer = ask_for_model(service, name, model).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

pub(crate) async fn ask_for_model(service: &Service, name: &str, model: &str) -> Answer {
    let path = format!("/inference/backend/{name}/switch-model");
    service.send(service.admin(Method::POST, &path).json(&json!({ "model": model }))).await
}

/// Waits until this one serves, and returns the steps on the way there as a person saw them.
pub(crate) async fn until_ready(service: &Service, name: &str) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    until_within(CHANGE, &format!("{name} to serve"), async || {
        let now = backend(service).await;
        let (step, detail) = (&now["switch_progress"]["step"], &now["switch_progress"]["detail"]);
        let said = format!("{}: {}", step.as_str().unwrap_or("-"), detail.as_str().unwrap_or("-"));
        if seen.last() != Some(&said) {
            seen.push(said);
        }
        assert_ne!(now["state"], "error", "{now}\n{seen:#?}");
        now["state"] == "ready" && now["backend"] == name
    })
    .await;
    seen
}

/// Clients of the gateway: how many, the shortest and longest number of tokens, and how long they pause.
pub(crate) fn load(ground: &Ground, clients: usize, tokens: (u64, u64), pause: Duration) -> Load {
    let (least_tokens, most_tokens) = tokens;
    let seed = u64::from(std::process::id());
    println!("seed of the load: {seed}");
    let gateway = ground.places.address("gateway");
    Load::start(&Plan { gateway, clients, pause, least_tokens, most_tokens, seed }).unwrap()
}

/// Waits until so many more requests were answered whole by somebody.
pub(crate) async fn until_answered(load: &Load, by: &str, more: u64) {
    let before = load.so_far().complete_by(by);
    until_within(CHANGE, &format!("{by} to answer"), async || load.so_far().complete_by(by) >= before + more)
        .await;
}
