//! The servers of language models over HTTP: which one serves, starting, stopping, other models, and every refusal.

use std::time::{Duration, Instant};

use recovery_core::{
    OperationKind, OperationState,
    port::{AuditOutcome, ComposeError, EnvFileError},
};
use recovery_testkit::{ComposePoint, EnvFilePoint, MemoryValue, Sickness};
use serde_json::{Value, json};

use crate::{
    backends_world::{BACKEND, get, post, route, serve, until, world, world_with},
    world::{Call, next_piece},
};

#[actix_web::test]
async fn a_server_is_started_changed_and_stopped() {
    let world = world().await;
    let status = get(&world).await;
    assert_eq!(status, json!({ "backend": "none", "state": "stopped", "container_status": null }));

    let answer = post(&world, "ollama/start", "").await;
    assert_eq!((answer.status, &answer.json["backend"]), (202, &json!("ollama")), "{}", answer.text);
    let id = answer.json["operation_id"].as_str().unwrap().to_owned();
    let location = format!("/api/v1/recovery/operations/{id}");
    assert_eq!(answer.header("location"), Some(location.as_str()));
    let operation = world.ended(&json!(id)).await;
    assert_eq!((operation.kind, operation.target.as_deref()), (OperationKind::StartBackend, Some("ollama")));
    assert_eq!(
        operation.result,
        Some(json!({ "backend": "ollama", "model": "llama3.2:3b", "requests_cut_off": 0 }))
    );
    let status = until(&world, "Ollama to serve", |status| status["state"] == "ready").await;
    assert_eq!(status["active_model"], "llama3.2:3b");
    assert_eq!(status["switch_progress"], json!({ "step": "ready", "detail": "Ollama serves." }));
    let brief = &status["container_status"];
    assert_eq!((&brief["name"], &brief["running"]), (&json!("ollama"), &json!(true)), "{status}");
    assert_eq!(route(&world), "ollama ready");
    assert!(world.env_file.text().contains("COMPOSE_PROFILES=website,local-ollama\n"));

    let status = serve(&world, "vllm").await;
    assert_eq!(status["active_model"], "org/model");
    assert!(!world.servers["ollama"].is_up() && world.servers["vllm"].is_up());
    assert_eq!(route(&world), "vllm ready");
    assert!(world.env_file.text().contains("COMPOSE_PROFILES=website,local-vllm\n"));

    let answer = post(&world, "stop?drain_timeout=30", "").await;
    assert_eq!((answer.status, &answer.json["backend"]), (200, &json!("vllm")), "{}", answer.text);
    assert_eq!(answer.json["state"], "draining");
    assert!(answer.header("location").is_some());
    let status = until(&world, "it to stop", |status| status["state"] == "stopped").await;
    assert_eq!((&status["backend"], &status["container_status"]["running"]), (&json!("vllm"), &json!(false)));
    assert!(!world.servers["vllm"].is_up());
    assert_eq!(route(&world), "vllm stopped");
    let audit: Vec<_> = world
        .audit
        .written()
        .into_iter()
        .map(|entry| (entry.action, entry.target, entry.outcome, entry.operation_id.is_some()))
        .collect();
    let entry =
        |action: &str, target: &str, outcome| (action.to_owned(), Some(target.to_owned()), outcome, true);
    assert_eq!(
        audit,
        [
            entry("start_backend", "ollama", AuditOutcome::Accepted),
            entry("start_backend", "vllm", AuditOutcome::Accepted),
            entry("stop_backend", "vllm", AuditOutcome::Succeeded),
        ]
    );
}

#[actix_web::test]
async fn the_servers_are_listed_in_their_order() {
    let world = world_with(|settings| {
        let text = r#"{"llamacpp": {"address": "http://llamacpp:8080", "in_flight": {"metrics":
            {"path": "/metrics", "counters": ["llamacpp:requests_processing"]}}}}"#;
        let changes = serde_json::from_str(text).unwrap();
        settings.backends.backends = recovery_inference::server::Backends::configured(changes).unwrap();
    })
    .await;
    serve(&world, "ollama").await;
    let list = world.send(Call::get("inference/backends").admin()).await.json;
    let of =
        |name: &str, profile: &str, service: &str, running: bool| json!([name, profile, service, running]);
    let found: Vec<Value> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["name"], one["profile"], one["service"], one["container_running"]]))
        .collect();
    assert_eq!(
        found,
        [
            of("ollama", "local-ollama", "ollama", true),
            of("vllm", "local-vllm", "nova-vllm", false),
            of("sglang", "local-sglang", "nova-sglang", false),
            of("llamacpp", "local-llamacpp", "llamacpp", false),
        ]
    );
    for path in [BACKEND, "inference/backends"] {
        assert_eq!(world.send(Call::get(path)).await.status, 401, "{path}");
    }
    for path in ["ollama/start", "stop", "vllm/switch-model"] {
        assert_eq!(world.send(Call::post(&format!("{BACKEND}/{path}"))).await.status, 401, "{path}");
    }
}

#[actix_web::test]
async fn another_model_takes_the_place_of_the_one_before() {
    let world = world().await;
    serve(&world, "vllm").await;
    let answer = post(&world, "vllm/switch-model", r#"{"model": "org/other"}"#).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let (status, backend) = (&answer.json["status"], &answer.json["backend"]);
    assert_eq!((status, backend), (&json!("accepted"), &json!("vllm")));
    assert_eq!(answer.json["model"], "org/other");
    let operation = world.ended(&answer.json["operation_id"]).await;
    assert_eq!((operation.kind, operation.state), (OperationKind::SwitchModel, OperationState::Succeeded));
    assert_eq!(operation.target.as_deref(), Some("vllm org/other"));
    assert_eq!(get(&world).await["active_model"], "org/other");
    assert!(world.env_file.text().contains("VLLM_MODEL=org/other\n"), "{}", world.env_file.text());
    let changed = world.audit.written().into_iter().find(|entry| entry.action == "change_environment");
    assert_eq!(changed.unwrap().target.as_deref(), Some("VLLM_MODEL"));
}

#[actix_web::test]
async fn a_model_that_does_not_come_up_gives_way_to_the_one_before_and_says_why() {
    let world = world().await;
    serve(&world, "vllm").await;
    let answer = post(&world, "vllm/switch-model", r#"{"model": "org/too-large"}"#).await;
    let operation = world.ended(&answer.json["operation_id"]).await;
    assert_eq!(operation.state, OperationState::Failed);
    let problem = operation.error.unwrap();
    assert!(problem.detail.contains("ends each time that it is started"), "{problem:?}");
    assert!(
        problem.detail.contains("The last lines of its log: loading | HF_TOKEN=[removed]"),
        "{problem:?}"
    );
    let status = get(&world).await;
    assert_eq!((&status["state"], &status["switch_progress"]["step"]), (&json!("error"), &json!("error")));
    assert_eq!(status["error"], json!(problem.detail));
    assert!(status["hint"].is_string() && !status.to_string().contains("hunter2"), "{status}");
    assert!(world.env_file.text().contains("VLLM_MODEL=org/model\n"), "{}", world.env_file.text());
    assert!(world.servers["vllm"].is_up());
    assert_eq!(route(&world), "vllm ready");
    for MemoryValue { value, .. } in world.key_value.contents().values() {
        assert!(!String::from_utf8_lossy(value).contains("hunter2"));
    }
}

#[actix_web::test]
async fn every_bad_request_has_its_status_and_changes_nothing() {
    let world = world().await;
    serve(&world, "ollama").await;
    let long = format!(r#"{{"model": "{}"}}"#, "a".repeat(2_000));
    let good = r#"{"model": "org/other"}"#;
    let before = (get(&world).await, route(&world), world.env_file.text(), world.journal.written().len());
    for (path, body, status, code) in [
        ("llamacpp/start", "", 400, "invalid_request"),
        ("OLLAMA/start", "", 400, "invalid_request"),
        ("none/start", "", 400, "invalid_request"),
        ("custom/start", "", 400, "invalid_request"),
        ("..%2Follama/start", "", 400, "invalid_request"),
        ("ollama%00/start", "", 400, "invalid_request"),
        ("ollama/start", "nonsense", 422, "invalid_body"),
        ("ollama/start?drain_timeout=-1", "", 400, "invalid_request"),
        ("ollama/start?drain_timeout=soon", "", 400, "invalid_request"),
        ("ollama/start?drain_timeout=86401", "", 400, "invalid_request"),
        ("stop?drain_timeout=1.5", "", 400, "invalid_request"),
        ("ollama/switch-model", good, 400, "invalid_request"),
        ("llamacpp/switch-model", good, 400, "invalid_request"),
        ("vllm/switch-model", good, 400, "invalid_request"),
        ("sglang/switch-model", good, 400, "invalid_request"),
        ("vllm/switch-model", r#"{"model": ""}"#, 400, "invalid_request"),
        ("vllm/switch-model", r#"{"model": "a;b"}"#, 400, "invalid_request"),
        ("vllm/switch-model", r#"{"model": "a\nb"}"#, 400, "invalid_request"),
        ("vllm/switch-model", r#"{"model": "$(reboot)"}"#, 400, "invalid_request"),
        ("vllm/switch-model", long.as_str(), 400, "invalid_request"),
        ("vllm/switch-model", "{}", 422, "invalid_body"),
        ("vllm/switch-model", r#"{"model": 7}"#, 422, "invalid_body"),
        ("vllm/switch-model", "", 422, "invalid_body"),
        ("vllm/switch-model?drain_timeout=x", good, 400, "invalid_request"),
    ] {
        let answer = post(&world, path, body).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{path} {body}: {}", answer.text);
    }
    let after = (get(&world).await, route(&world), world.env_file.text(), world.journal.written().len());
    assert_eq!(before, after);
    let unknown = post(&world, "tgi/start", "").await;
    assert_eq!(unknown.json["hint"], "Backends are ollama, vllm, sglang.");
    let model = post(&world, "vllm/switch-model", r#"{"model": ""}"#).await;
    assert_eq!(model.json["errors"][0]["field"], "model");
    for method in [Call::get, Call::delete] {
        assert_eq!(world.send(method(&format!("{BACKEND}/ollama/start")).admin()).await.status, 405);
    }
}

#[actix_web::test]
async fn while_a_change_is_under_way_others_are_refused() {
    let world = world().await;
    serve(&world, "ollama").await;
    let held = world.compose.faults().hold_next(ComposePoint::Start);
    let answer = post(&world, "vllm/start", "").await;
    let id = answer.json["operation_id"].clone();
    let status = get(&world).await;
    assert_eq!((&status["backend"], &status["operation_id"]), (&json!("vllm"), &id), "{status}");
    assert!(status["state"] == "starting" || status["state"] == "draining", "{status}");
    let again = post(&world, "vllm/start", "").await;
    assert_eq!((again.status, &again.json["status"]), (202, &json!("already_starting")), "{}", again.text);
    assert_eq!(again.json["operation_id"], id);
    let good = r#"{"model": "org/other"}"#;
    for (path, body) in
        [("sglang/start", ""), ("ollama/start", ""), ("stop", ""), ("vllm/switch-model", good)]
    {
        let answer = post(&world, path, body).await;
        assert_eq!((answer.status, answer.code()), (409, "busy"), "{path}: {}", answer.text);
        assert_eq!(answer.json["operation_id"], id, "{path}");
    }
    until(&world, "Compose to be asked", |status| {
        status["switch_progress"]["detail"] == "The container of vLLM is started."
    })
    .await;
    held.release();
    assert_eq!(world.ended(&id).await.state, OperationState::Succeeded);
    assert_eq!(world.env_file.text().matches("local-").count(), 1, "{}", world.env_file.text());
}

#[actix_web::test]
async fn what_is_done_is_told_to_whoever_watches() {
    let world = world().await;
    let mut body = world.open(Call::get("events").admin()).await.into_body();
    next_piece(&mut body).await;
    serve(&world, "ollama").await;
    let (mut seen, deadline) = (Vec::new(), Instant::now() + Duration::from_secs(20));
    loop {
        let piece = next_piece(&mut body).await;
        assert!(Instant::now() < deadline, "{seen:?}");
        if !piece.contains("event: inference\n") {
            continue;
        }
        let data = piece.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        let status: Value = serde_json::from_str(data).unwrap();
        assert!(status["backend"].is_string() && status["state"].is_string(), "{status}");
        let ready = status["state"] == "ready";
        seen.push(status);
        if ready {
            break;
        }
    }
    let progress = |status: &Value| status["switch_progress"]["detail"].is_string();
    assert!(seen.iter().any(progress), "{seen:?}");
    let written = world.journal.written();
    let steps: Vec<String> = written
        .iter()
        .filter_map(|entry| match &entry.event {
            recovery_core::port::JournalEvent::Step { step, .. } => Some(step.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(steps, ["starting", "loading"]);
}

#[actix_web::test]
async fn a_start_that_is_cancelled_leaves_the_server_before_serving() {
    let world = world().await;
    serve(&world, "ollama").await;
    world.servers["vllm"].sick(Some(Sickness::Status(503)));
    let id = post(&world, "vllm/start", "").await.json["operation_id"].clone();
    until(&world, "vLLM to load", |status| status["switch_progress"]["step"] == "loading").await;
    let path = format!("operations/{}/cancel", id.as_str().unwrap());
    assert_eq!(world.send(Call::post(&path).admin()).await.status, 202);
    assert_eq!(world.ended(&id).await.state, OperationState::Cancelled);
    let status = until(&world, "Ollama to serve", |status| status["state"] == "ready").await;
    assert_eq!((&status["backend"], status.get("error")), (&json!("ollama"), None), "{status}");
    assert!(world.servers["ollama"].is_up() && !world.servers["vllm"].is_up());
    assert_eq!(route(&world), "ollama ready");
}

#[actix_web::test]
async fn a_server_that_is_sick_is_restarted_in_an_operation_of_the_service() {
    let world = world_with(|settings| settings.backends.timing.monitor = Duration::from_millis(20)).await;
    serve(&world, "vllm").await;
    world.servers["vllm"].stop();
    let found = async {
        loop {
            let operations = world.app.operations().list();
            let own = operations.into_iter().find(|one| one.actor == recovery_core::Actor::service());
            if let Some(own) = own {
                return own;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let own = tokio::time::timeout(Duration::from_secs(20), found).await.unwrap();
    assert_eq!((own.kind, own.target.as_deref()), (OperationKind::StartBackend, Some("vllm")));
    let ended = world.ended(&json!(own.id.to_string())).await;
    assert_eq!(ended.state, OperationState::Succeeded, "{ended:?}");
    until(&world, "it to serve", |status| status["state"] == "ready").await;
    assert!(world.servers["vllm"].is_up());
}

#[actix_web::test]
async fn a_change_that_a_stop_of_the_service_cuts_off_goes_on_in_the_next_one() {
    let world = world().await;
    serve(&world, "ollama").await;
    world.servers["vllm"].sick(Some(Sickness::Status(503)));
    let id = post(&world, "vllm/start", "").await.json["operation_id"].clone();
    until(&world, "vLLM to load", |status| status["switch_progress"]["step"] == "loading").await;
    let began = Instant::now();
    world.app.shutdown(Duration::from_secs(10)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let operation = world.ended(&id).await;
    assert_eq!(operation.state, OperationState::Interrupted);
    let hint = operation.error.unwrap().hint.unwrap();
    assert!(hint.contains("goes on with it by itself"), "{hint}");

    world.servers["vllm"].sick(None);
    let world = world.restarted();
    world.app.start().await;
    let status =
        until(&world, "vLLM to serve", |status| status["state"] == "ready" && status["backend"] == "vllm")
            .await;
    assert_eq!(status["active_model"], "org/model");
    let own = world.app.operations().list().into_iter().next().unwrap();
    assert_eq!((own.kind, own.actor), (OperationKind::StartBackend, recovery_core::Actor::service()));
    assert_eq!(world.app.operations().get(operation.id).unwrap().state, OperationState::Interrupted);
}

#[actix_web::test]
async fn what_keeps_a_server_from_starting_is_told() {
    let world = world().await;
    world.compose.faults().fail_next(ComposePoint::Start, || ComposeError::NoGpu);
    let id = post(&world, "vllm/start", "").await.json["operation_id"].clone();
    let operation = world.ended(&id).await;
    assert_eq!(operation.state, OperationState::Failed);
    let status = until(&world, "the error", |status| status["state"] == "error").await;
    assert_eq!(status["error"], json!(operation.error.unwrap().detail));
    assert_eq!(route(&world), "vllm error");
    world.compose.faults().assert_spent();

    // The old one is not touched where the variable cannot be written.
    serve(&world, "vllm").await;
    world.env_file.faults().fail_next(EnvFilePoint::Replace, || EnvFileError::ReadOnly);
    let id =
        post(&world, "vllm/switch-model", r#"{"model": "org/other"}"#).await.json["operation_id"].clone();
    assert_eq!(world.ended(&id).await.state, OperationState::Failed);
    assert!(world.servers["vllm"].is_up());
    assert!(world.env_file.text().contains("VLLM_MODEL=org/model\n"));
    assert_eq!(route(&world), "vllm ready");
}

#[actix_web::test]
async fn profiles_of_the_servers_go_the_same_way() {
    let world = world().await;
    let change = async |profile: &str, action: &str| {
        let body = json!({ "profile": profile, "action": action }).to_string();
        world.send(Call::post("compose-profiles").admin().json(&body)).await
    };
    let answer = change("local-ollama", "start").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.json,
        json!({
            "profile": "local-ollama", "service": "ollama", "services": ["ollama"], "action": "start", "ok": true,
            "output": "Ollama serves the model llama3.2:3b.",
        })
    );
    assert_eq!(get(&world).await["backend"], "ollama");
    assert_eq!(change("local-vllm", "start").await.status, 200);
    assert!(world.servers["vllm"].is_up() && !world.servers["ollama"].is_up(), "at most one serves");
    assert!(world.env_file.text().contains("COMPOSE_PROFILES=website,local-vllm\n"));

    // One that does not serve: what serves is not touched.
    let answer = change("local-ollama", "stop").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(world.servers["vllm"].is_up());
    assert_eq!(get(&world).await["state"], "ready");

    let answer = change("local-vllm", "stop").await;
    assert_eq!((answer.status, &answer.json["output"]), (200, &json!("vLLM is stopped.")), "{}", answer.text);
    assert!(!world.servers["vllm"].is_up());
    assert_eq!(get(&world).await["state"], "stopped");
    assert!(world.env_file.text().contains("COMPOSE_PROFILES=website\n"), "{}", world.env_file.text());
}

#[actix_web::test]
async fn a_restart_of_the_service_that_serves_lets_it_finish_its_requests() {
    let world = world().await;
    serve(&world, "vllm").await;
    let answer = world.send(Call::post("services/nova-vllm/restart").admin()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!((&answer.json["service"], &answer.json["ok"]), (&json!("nova-vllm"), &json!(true)));
    let last = world.app.operations().list().into_iter().next().unwrap();
    assert_eq!((last.kind, last.state), (OperationKind::StartBackend, OperationState::Succeeded));
    assert!(world.engine.restarted().is_empty(), "no container is restarted under its requests");
    assert!(world.servers["vllm"].is_up());
    world.servers["sglang"].sick(Some(Sickness::Status(503)));
    let id = post(&world, "sglang/start", "").await.json["operation_id"].clone();
    let answer = world.send(Call::post("services/nova-vllm/restart").admin()).await;
    assert_eq!((answer.status, &answer.json["operation_id"]), (409, &id), "{}", answer.text);
    world.servers["sglang"].sick(None);
    assert_eq!(world.ended(&id).await.state, OperationState::Succeeded);
}
