//! Fetching a model with the server that serves.

use std::time::Duration;

use recovery_core::{OperationKind, OperationState, port::AuditOutcome};
use serde_json::{Value, json};

use crate::{
    backends_world::{serve, world},
    world::{Answer, Call, World},
};

async fn pull(world: &World, body: &str) -> Answer {
    world.send(Call::post("inference/models/pull").admin().json(body)).await
}

#[actix_web::test]
async fn ollama_fetches_a_model_in_an_operation_with_progress() {
    let world = world().await;
    serve(&world, "ollama").await;
    world.servers["ollama"].offers("small:1b", 1_000, Duration::from_millis(80));
    let answer = pull(&world, r#"{"model": "small:1b"}"#).await;
    assert_eq!((answer.status, &answer.json["kind"]), (202, &json!("pull_model")), "{}", answer.text);
    let id = answer.json["id"].clone();
    let location = format!("/api/v1/recovery/operations/{}", id.as_str().unwrap());
    assert_eq!(answer.header("location"), Some(location.as_str()));
    let operation = world.ended(&id).await;
    assert_eq!((operation.kind, operation.target.as_deref()), (OperationKind::PullModel, Some("small:1b")));
    assert_eq!(operation.result, Some(json!({ "model": "small:1b", "server": "Ollama" })));
    assert_eq!((operation.progress.done, operation.progress.total), (1_000, Some(1_000)));
    let entry = world.audit.written().into_iter().find(|entry| entry.action == "pull_model").unwrap();
    assert_eq!((entry.target.as_deref(), entry.outcome), (Some("small:1b"), AuditOutcome::Accepted));

    let answer = pull(&world, r#"{"model": "nobody/nothing"}"#).await;
    let operation = world.ended(&answer.json["id"]).await;
    assert_eq!(operation.state, OperationState::Failed, "an error with status 200 is one");
    let problem = operation.error.unwrap();
    assert!(problem.detail.contains("file does not exist") && problem.hint.is_some(), "{problem:?}");
}

#[actix_web::test]
async fn a_pull_can_be_cancelled() {
    let world = world().await;
    serve(&world, "ollama").await;
    world.servers["ollama"].offers("large:70b", 1_000, Duration::from_secs(3600));
    let id = pull(&world, r#"{"model": "large:70b"}"#).await.json["id"].clone();
    let path = format!("operations/{}/cancel", id.as_str().unwrap());
    assert_eq!(world.send(Call::post(&path).admin()).await.status, 202);
    assert_eq!(world.ended(&id).await.state, OperationState::Cancelled);
}

#[actix_web::test]
async fn what_cannot_be_fetched_is_refused_and_nothing_begins() {
    let world = world().await;
    let count = |world: &World| world.app.operations().list().len();
    let good = r#"{"model": "small:1b"}"#;
    let answer = pull(&world, good).await;
    assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "none serves: {}", answer.text);
    serve(&world, "vllm").await;
    let before = count(&world);
    let long = format!(r#"{{"model": "{}"}}"#, "a".repeat(2_000));
    for (body, status, code) in [
        (good, 400, "invalid_request"),
        (r#"{"model": ""}"#, 400, "invalid_request"),
        (r#"{"model": "a;b"}"#, 400, "invalid_request"),
        (r#"{"model": "a\nb"}"#, 400, "invalid_request"),
        (long.as_str(), 400, "invalid_request"),
        ("{}", 422, "invalid_body"),
        ("nonsense", 422, "invalid_body"),
    ] {
        let answer = pull(&world, body).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}: {}", answer.text);
    }
    assert_eq!(count(&world), before);
    let hint: Value = pull(&world, good).await.json["hint"].clone();
    assert!(hint.as_str().unwrap().contains("Switch its model"), "{hint}");
    assert_eq!(world.send(Call::post("inference/models/pull").json(good)).await.status, 401);
}
