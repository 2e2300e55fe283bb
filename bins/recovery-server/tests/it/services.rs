//! The services of the platform over HTTP.

use std::time::{Duration, Instant};

use recovery_core::{
    container::{ContainerState, Health, RestartPolicy},
    port::{DatabaseError, EngineError},
};
use recovery_testkit::{DatabasePoint, EngineContainer, EnginePoint, Fate};
use serde_json::{Value, json};

use crate::world::{Answer, Call, World, next_piece};

const CORE: [&str; 7] =
    ["postgres", "redis", "orchestrator", "llm-gateway", "memory-service", "chat-api", "dashboard"];

/// A world whose core services run, with the engine being watched.
async fn platform() -> World {
    let world = World::new();
    for service in CORE {
        world.engine.add(EngineContainer::of(service).health(Health::Healthy));
    }
    world.engine.add(EngineContainer::of("recovery"));
    world.app.start().await;
    // Whoever looks after the inference servers looks at the engine once, too, and writes down what it found.
    let looked =
        |world: &World| world.key_value.contents().contains_key(&(7, b"nova:system:inference".to_vec()));
    until(&world, "the engine is seen", |services| services[0]["status"] == "running" && looked(&world))
        .await;
    world
}

/// Waits until the list of services is so.
async fn until(world: &World, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let services = world.send(Call::get("services")).await.json;
        if is_so(&services) {
            return services;
        }
        assert!(Instant::now() < deadline, "not in time: {what}: {services}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn service<'a>(services: &'a Value, name: &str) -> &'a Value {
    services.as_array().unwrap().iter().find(|service| service["service"] == name).unwrap_or(&Value::Null)
}

fn names(services: &Value) -> Vec<&str> {
    services.as_array().unwrap().iter().map(|service| service["service"].as_str().unwrap()).collect()
}

async fn restart(world: &World, name: &str, body: &str) -> Answer {
    world.send(Call::post(&format!("services/{name}/restart")).admin().json(body)).await
}

#[actix_web::test]
async fn before_and_without_an_engine_nothing_is_claimed() {
    let world = World::new();
    world.engine.away();
    world.app.start().await;
    let services = world.send(Call::get("services")).await.json;
    assert_eq!(names(&services), CORE);
    for service in services.as_array().unwrap() {
        assert_eq!((&service["status"], &service["health"]), (&json!("unknown"), &json!("unknown")));
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = world.send(Call::get("status")).await.json;
        let docker = service_named(&status["dependencies"], "docker");
        if docker["state"] == "down" {
            assert!(docker["error"].is_string() && docker["hint"].is_string() && docker["since"].is_string());
            assert_eq!(status["services"]["up"], 0);
            assert!(status["services"]["error"].is_string(), "{status}");
            return;
        }
        assert!(Instant::now() < deadline, "{status}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn service_named<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap()
}

#[actix_web::test]
async fn the_list_has_the_core_and_what_runs_or_ought_to() {
    let world = platform().await;
    let engine = &world.engine;
    engine.add(EngineContainer::of("cortex").with(|container| container.ports = vec![8100]));
    engine.add(EngineContainer::of("ollama"));
    engine.add(EngineContainer::of("tailscale").state(ContainerState::Exited));
    engine.add(EngineContainer::of("broken").state(ContainerState::Exited));
    let job = |service: &str| {
        let job = EngineContainer::of(service).state(ContainerState::Exited);
        job.with(|container| container.restart_policy = RestartPolicy::No)
    };
    engine.add(job("migrate"));
    engine.add(job("failed-job").with(|container| container.exit_code = Some(1)));
    engine.add(EngineContainer::of("chat-api-1").with(|container| container.compose.one_off = true));
    for number in 1..=3 {
        let state = if number == 2 { ContainerState::Exited } else { ContainerState::Running };
        engine.add(EngineContainer::replica("worker", number).state(state));
    }
    let services = until(&world, "the workers are seen", |services| {
        service(services, "worker")["replicas"]["total"] == 3
    })
    .await;
    let mut expect = CORE.to_vec();
    expect.extend(["broken", "cortex", "failed-job", "ollama", "worker"]);
    assert_eq!(names(&services), expect);
    assert_eq!(
        *service(&services, "cortex"),
        json!({"service": "cortex", "container_name": "nova-cortex-1", "status": "running", "health": "none",
            "ports": [8100], "optional": false})
    );
    assert_eq!(service(&services, "ollama")["profile"], "local-ollama");
    assert_eq!(service(&services, "ollama")["optional"], true);
    let worker = service(&services, "worker");
    assert_eq!((&worker["status"], &worker["container_name"]), (&json!("exited"), &json!("nova-worker-2")));
    assert_eq!(worker["replicas"], json!({"total": 3, "up": 2}));

    let counted = world.send(Call::get("status")).await.json["services"].clone();
    assert_eq!((&counted["up"], &counted["down"], &counted["total"]), (&json!(8), &json!(3), &json!(11)));
    assert!(!names(&counted["details"]).contains(&"ollama"), "optional ones do not count");

    let all = world.send(Call::get("services/all")).await.json;
    let mut core = CORE.to_vec();
    core.push("recovery");
    assert_eq!(names(&all["core"]), core);
    assert_eq!(
        names(&all["optional"]),
        [
            "ollama",
            "nova-vllm",
            "nova-sglang",
            "cloudflared",
            "tailscale",
            "chat-bridge",
            "website",
            "editor-vscode",
            "editor-neovim"
        ]
    );
    assert_eq!(service(&all["optional"], "tailscale")["status"], "exited");
    assert_eq!(service(&all["optional"], "website")["status"], "not_found");
    assert_eq!(names(&all["other"]), ["broken", "cortex", "failed-job", "migrate", "worker"]);
}

#[actix_web::test]
async fn what_happens_to_a_container_is_seen_and_told() {
    let world = platform().await;
    let mut events = world.open(Call::get("events").admin()).await.into_body();
    next_piece(&mut events).await;
    let gateway = world.engine.look_for("llm-gateway");
    world.engine.end(&gateway, 137);
    let piece = next_piece(&mut events).await;
    assert!(piece.contains("event: service\ndata: {\"service\":\"llm-gateway\""), "{piece}");
    assert!(piece.contains(r#""status":"exited""#), "{piece}");
    let services = world.send(Call::get("services")).await.json;
    assert_eq!(service(&services, "llm-gateway")["status"], "exited");

    world.engine.remove(&gateway);
    let piece = next_piece(&mut events).await;
    assert!(
        piece.contains(r#""status":"not_found""#) && piece.contains(r#""container_name":null"#),
        "{piece}"
    );

    world.engine.away();
    until(&world, "nothing is known", |services| service(services, "postgres")["status"] == "unknown").await;
    world.engine.back();
    until(&world, "all is known again", |services| service(services, "postgres")["health"] == "healthy")
        .await;
}

#[actix_web::test]
async fn a_service_is_restarted_with_what_asks_for_it() {
    let world = platform().await;
    world.engine.add(EngineContainer::of("cortex").depends_on("chat-api", true));
    world.engine.add(EngineContainer::of("idle").depends_on("chat-api", true).state(ContainerState::Exited));
    let answer = restart(&world, "chat-api", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.json,
        json!({"service": "chat-api", "action": "restarted", "ok": true, "also_restarted": ["cortex"]})
    );
    assert_eq!(world.engine.restarted(), ["nova-chat-api-1", "nova-cortex-1"]);
    let entry = world.audit.written().pop().unwrap();
    assert_eq!((entry.action.as_str(), entry.target.as_deref()), ("restart_service", Some("chat-api")));

    let call = Call::post("services/chat-api/restart").admin().header("prefer", "respond-async");
    let answer = world.send(call).await;
    assert_eq!((answer.status, &answer.json["kind"]), (202, &json!("restart_service")));
    assert_eq!((&answer.json["service"], &answer.json["action"]), (&json!("chat-api"), &json!("restarting")));
    world.ended(&answer.json["id"]).await;
}

#[actix_web::test]
async fn names_that_are_none_are_not_found() {
    let world = platform().await;
    for name in ["post", "..%2Fx", "nova-postgres", "Chat-Api", "chat-api-1", "%20", "chat%00api", "-v"] {
        let answer = restart(&world, name, "").await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{name}: {}", answer.text);
        let logs = world.send(Call::get(&format!("services/{name}/logs")).admin()).await;
        assert_eq!((logs.status, logs.code()), (404, "not_found"), "{name}: {}", logs.text);
    }
    assert!(world.engine.restarted().is_empty());
}

#[actix_web::test]
async fn critical_services_need_their_name_as_a_confirmation() {
    let world = platform().await;
    for name in ["postgres", "redis", "recovery"] {
        for body in ["", "{}", r#"{"confirm": "yes"}"#, r#"{"confirm": "Postgres"}"#, r#"{"confirm": ""}"#] {
            let answer = restart(&world, name, body).await;
            assert_eq!((answer.status, answer.code()), (403, "critical_service"), "{name} {body}");
            assert!(answer.json["hint"].as_str().unwrap().contains(name), "{}", answer.text);
        }
    }
    assert!(world.engine.restarted().is_empty());
    for name in ["postgres", "redis"] {
        let answer = restart(&world, name, &format!(r#"{{"confirm": "{name}"}}"#)).await;
        assert_eq!((answer.status, &answer.json["ok"]), (200, &json!(true)), "{}", answer.text);
    }
    assert_eq!(world.engine.restarted(), ["nova-postgres-1", "nova-redis-1"]);
}

#[actix_web::test]
async fn recovery_answers_before_it_restarts_itself() {
    let world = platform().await;
    let answer = restart(&world, "recovery", r#"{"confirm": "recovery"}"#).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(
        (&answer.json["service"], &answer.json["action"], &answer.json["ok"]),
        (&json!("recovery"), &json!("restarting"), &json!(true))
    );
    assert!(world.engine.restarted().is_empty(), "the answer comes first");
    // Until then nothing begins that would be cut off.
    let answer = world.send(Call::post("backups").admin()).await;
    assert_eq!((answer.status, answer.code()), (409, "busy"), "{}", answer.text);
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.engine.restarted() != ["nova-recovery-1"] {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[actix_web::test]
async fn critical_services_stay_while_an_operation_uses_the_database() {
    let world = platform().await;
    let mut dump = world.tools.faults().hold_next(recovery_testkit::ToolPoint::Dump);
    let backup = world.send(Call::post("backups").admin().header("prefer", "respond-async")).await;
    dump.reached().await;
    for name in ["postgres", "redis", "recovery"] {
        let answer = restart(&world, name, &format!(r#"{{"confirm": "{name}"}}"#)).await;
        assert_eq!((answer.status, answer.code()), (409, "busy"), "{name}: {}", answer.text);
        assert_eq!(answer.json["operation_id"], backup.json["id"]);
    }
    // The others are no business of the database.
    assert_eq!(restart(&world, "chat-api", "").await.status, 200);
    dump.release();
    world.ended(&backup.json["id"]).await;
    assert_eq!(world.engine.restarted(), ["nova-chat-api-1"]);
}

#[actix_web::test]
async fn postgres_can_be_restarted_because_it_does_not_answer() {
    let world = platform().await;
    world.database.stop();
    let answer = restart(&world, "postgres", r#"{"confirm": "postgres"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[actix_web::test]
async fn what_does_not_come_up_is_an_error_with_its_last_words() {
    let world = platform().await;
    let orchestrator = world.engine.look_for("orchestrator");
    world.engine.destine(&orchestrator, Fate::Unhealthy);
    let answer = restart(&world, "orchestrator", "").await;
    assert_eq!((answer.status, answer.code()), (502, "service_failed"), "{}", answer.text);
    assert!(answer.json["operation_id"].is_string());
    world.engine.faults().fail_next(EnginePoint::Restart, || EngineError::TimedOut { doing: "restarting" });
    let answer = restart(&world, "chat-api", "").await;
    assert_eq!((answer.status, answer.code()), (503, "dependency_unavailable"), "{}", answer.text);
    world.engine.away();
    let answer = restart(&world, "chat-api", "").await;
    assert_eq!((answer.status, answer.code()), (503, "dependency_unavailable"), "{}", answer.text);
}

#[actix_web::test]
async fn all_are_restarted_in_order_and_one_that_fails_keeps_none_of_the_others() {
    let world = platform().await;
    let engine = &world.engine;
    let gateway = engine.look_for("llm-gateway");
    engine.destine(&gateway, Fate::Ends(1));
    let chat = engine.look_for("chat-api");
    let needs =
        EngineContainer::of("x").depends_on("orchestrator", false).depends_on("memory-service", false);
    engine.alter(&chat, |container| container.compose.depends_on = needs.into_container().compose.depends_on);
    engine.add(EngineContainer::of("ollama"));
    engine.add(EngineContainer::of("nova-vllm"));
    engine.add(EngineContainer::of("tailscale"));
    engine.add(EngineContainer::of("website").state(ContainerState::Exited));
    let answer = world.send(Call::post("services/restart-all").admin().json("")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let results = answer.json.as_array().unwrap();
    assert_eq!(
        names(&answer.json),
        ["llm-gateway", "memory-service", "orchestrator", "chat-api", "tailscale", "dashboard"]
    );
    assert!(results.iter().all(|result| result["action"] == "restarted"));
    let failed: Vec<&Value> = results.iter().filter(|result| result["ok"] == false).collect();
    assert_eq!((failed.len(), &failed[0]["service"]), (1, &json!("llm-gateway")), "{}", answer.text);
    assert!(failed[0]["error"].as_str().unwrap().contains("ends again and again"));
    assert!(results[1].get("error").is_none());
    let restarted = engine.restarted();
    for spared in ["postgres", "redis", "recovery", "ollama", "nova-vllm", "website"] {
        assert!(!restarted.contains(&format!("nova-{spared}-1")), "{spared}");
    }
}

#[actix_web::test]
async fn two_restarts_of_the_same_are_one_too_many() {
    let world = platform().await;
    let mut held = world.engine.faults().hold_next(EnginePoint::Restart);
    let call = Call::post("services/chat-api/restart").admin().header("prefer", "respond-async");
    let first = world.send(call).await;
    held.reached().await;
    let second = restart(&world, "chat-api", "").await;
    assert_eq!((second.status, second.code()), (409, "busy"), "{}", second.text);
    assert_eq!(second.json["operation_id"], first.json["id"]);
    let all = world.send(Call::post("services/restart-all").admin()).await;
    assert_eq!((all.status, all.code()), (409, "busy"), "{}", all.text);
    assert_eq!(restart(&world, "orchestrator", "").await.status, 200, "another one may");
    held.release();
    world.ended(&first.json["id"]).await;
    assert_eq!(restart(&world, "chat-api", "").await.status, 200);
}

#[actix_web::test]
async fn logs_are_for_admins_and_within_bounds() {
    let world = platform().await;
    world.engine.add(EngineContainer::of("cortex").printed(["one", "two", "three"]));
    assert_eq!(world.send(Call::get("services/cortex/logs")).await.status, 401);
    let logs = world.send(Call::get("services/cortex/logs?tail=2").admin()).await;
    assert_eq!(
        logs.json,
        json!({"service": "cortex", "truncated": false, "lines": [
            {"container_name": "nova-cortex-1", "stream": "stdout", "text": "two"},
            {"container_name": "nova-cortex-1", "stream": "stdout", "text": "three"},
        ]})
    );
    assert_eq!(
        world.send(Call::get("services/cortex/logs").admin()).await.json["lines"].as_array().unwrap().len(),
        3
    );
    for tail in ["0", "-1", "5001", "all", ""] {
        let answer = world.send(Call::get(&format!("services/cortex/logs?tail={tail}")).admin()).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{tail}: {}", answer.text);
    }
}

#[actix_web::test]
async fn restarts_are_for_admins() {
    let world = platform().await;
    for path in ["services/chat-api/restart", "services/restart-all"] {
        assert_eq!(world.send(Call::post(path)).await.status, 401, "{path}");
    }
    assert!(world.engine.restarted().is_empty());
}

async fn connected(world: &World) -> Value {
    world.send(Call::get("status")).await.json["database"]["connected"].clone()
}

/// Whether many who ask at once, and one who asks soon after them, are given the same overview. One more is made where
/// anything happens meanwhile, or much time passes; and that one says that the database is away.
async fn one_for_all(world: &World) -> bool {
    let mut first = world.database.faults().hold_next(DatabasePoint::Overview);
    let away = || DatabaseError::TimedOut { doing: "anything".to_owned() };
    world.database.faults().fail_next(DatabasePoint::Overview, away);
    let everybody = futures_util::future::join_all((0..20).map(|_| connected(world)));
    let (answers, ()) = tokio::join!(everybody, async {
        first.reached().await;
        first.release();
    });
    answers.iter().all(|connected| *connected == true) && connected(world).await == true
}

#[actix_web::test]
async fn the_overview_is_made_once_for_all_and_anew_when_something_happens() {
    // On a busy machine something of the start may happen late.
    for _ in 0..5 {
        let world = platform().await;
        if !one_for_all(&world).await {
            continue;
        }
        let redis = world.engine.look_for("redis");
        world.engine.end(&redis, 1);
        until(&world, "redis is gone", |services| service(services, "redis")["status"] == "exited").await;
        let status = world.send(Call::get("status")).await.json;
        assert_eq!(service(&status["services"]["details"], "redis")["status"], "exited");
        assert_eq!(status["database"]["connected"], false, "it was made anew");
        return;
    }
    panic!("nobody was ever given what was made for another one");
}
