//! Compose profiles over HTTP.

use std::time::{Duration, Instant};

use recovery_core::{
    OperationState,
    compose::{ComposeDependency, ComposeService, DependencyCondition, ServiceStanding},
    port::{ComposeError, EnvFileError},
};
use recovery_testkit::{ComposePoint, EnvFilePoint};
use serde_json::{Value, json};

use crate::world::{Answer, Call, World};

fn service(profiles: &[&str], needs: &[&str]) -> ComposeService {
    ComposeService {
        profiles: profiles.iter().map(|profile| profile.parse().unwrap()).collect(),
        image: Some("there".to_owned()),
        built: false,
        depends_on: needs
            .iter()
            .map(|service| ComposeDependency {
                service: service.parse().unwrap(),
                condition: DependencyCondition::Started,
                required: true,
            })
            .collect(),
    }
}

/// A project with a database that runs, a bridge that needs it, and a search.
fn world() -> World {
    let world = World::new();
    world.compose.define("postgres", service(&[], &[]));
    world.compose.define("chat-bridge", service(&["bridges"], &["postgres"]));
    world.compose.define("a-bridge-cache", service(&["bridges"], &[]));
    world.compose.define("searx", service(&["search"], &[]));
    world.compose.put("postgres", ServiceStanding::Running);
    world.env_file.put("# Nova\nCOMPOSE_PROFILES=website # for now\nPOSTGRES_PASSWORD=hunter2hunter2\n");
    world.audit.forbid("hunter2");
    world
}

async fn change(world: &World, profile: &str, action: &str) -> Answer {
    let body = json!({ "profile": profile, "action": action }).to_string();
    world.send(Call::post("compose-profiles").admin().json(&body)).await
}

#[actix_web::test]
async fn a_profile_is_started_and_stopped_and_the_env_follows() {
    let world = world();
    let postgres = world.compose.container("postgres");
    let answer = change(&world, "bridges", "start").await;
    assert_eq!(
        (answer.status, answer.json),
        (
            200,
            json!({
                "profile": "bridges",
                "service": "chat-bridge",
                "services": ["chat-bridge", "a-bridge-cache"],
                "action": "start",
                "ok": true,
                "output": "Container nova-chat-bridge-1 Started\nContainer nova-a-bridge-cache-1 Started",
            })
        )
    );
    assert_eq!(world.compose.container("chat-bridge").unwrap().standing, ServiceStanding::Running);
    assert!(
        world.env_file.text().contains("\nCOMPOSE_PROFILES=website,bridges # for now\n"),
        "{}",
        world.env_file.text()
    );

    // Again: nothing is made anew, and nothing is listed twice.
    let container = world.compose.container("chat-bridge");
    assert_eq!(change(&world, "bridges", "start").await.status, 200);
    assert_eq!(world.compose.container("chat-bridge"), container);
    assert!(world.env_file.text().contains("=website,bridges #"));

    let answer = change(&world, "bridges", "stop").await;
    assert_eq!(
        (answer.status, &answer.json["action"], &answer.json["ok"]),
        (200, &json!("stop"), &json!(true))
    );
    assert_eq!(world.compose.container("chat-bridge").unwrap().standing, ServiceStanding::Exited(0));
    assert!(
        world.env_file.text().contains("\nCOMPOSE_PROFILES=website # for now\n"),
        "{}",
        world.env_file.text()
    );
    assert_eq!(world.compose.container("postgres"), postgres, "never touched");
    assert_eq!(world.compose.container("searx"), None);
}

#[actix_web::test]
async fn unknown_profiles_and_actions_are_refused_with_the_known_ones() {
    let world = world();
    for (profile, action, field, hint) in [
        ("bridge", "start", "profile", "Profiles are bridges, search."),
        ("../x", "stop", "profile", "Profiles are bridges, search."),
        ("*", "start", "profile", "Profiles are bridges, search."),
        ("bridges", "restart", "action", "Actions are start and stop."),
        ("bridges", "", "action", "Actions are start and stop."),
    ] {
        let answer = change(&world, profile, action).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{profile} {action}");
        assert_eq!(answer.json["errors"][0]["field"], field);
        assert_eq!(answer.json["hint"], hint);
    }
    for body in ["{}", r#"{"profile":"bridges"}"#, r#"{"profile":1,"action":"start"}"#, "[]"] {
        let answer = world.send(Call::post("compose-profiles").admin().json(body)).await;
        assert_eq!((answer.status, answer.code()), (422, "invalid_body"), "{body}");
    }
    assert_eq!(world.send(Call::post("compose-profiles").json("{}")).await.status, 401);
    assert!(world.env_file.replaced().is_empty());
    assert_eq!(world.compose.container("chat-bridge"), None);
}

#[actix_web::test]
async fn what_keeps_a_profile_from_starting_is_told_and_the_env_stays() {
    let world = world();
    world.compose.put("postgres", ServiceStanding::Exited(1));
    let answer = change(&world, "bridges", "start").await;
    assert_eq!((answer.status, answer.code()), (409, "conflict"));
    assert_eq!(
        answer.json["detail"],
        "The service chat-bridge needs postgres, which has ended with exit status 1."
    );
    assert_eq!(answer.json["hint"], "Start postgres first, then try again.");
    world.compose.put("postgres", ServiceStanding::Running);

    for (error, status, code) in [
        ((|| ComposeError::PortTaken { port: Some(8080) }) as fn() -> _, 409, "conflict"),
        (|| ComposeError::NoGpu, 409, "conflict"),
        (|| ComposeError::EngineUnavailable, 503, "dependency_unavailable"),
        (|| ComposeError::DiskFull, 507, "insufficient_storage"),
        (|| ComposeError::Failed { doing: "starting chat-bridge".into(), what: None }, 500, "tool_failed"),
    ] {
        world.compose.faults().fail_next(ComposePoint::Start, error);
        let answer = change(&world, "bridges", "start").await;
        assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text);
        assert!(
            answer.json["hint"].is_string() && answer.json["operation_id"].is_string(),
            "{}",
            answer.text
        );
    }
    world.compose.elsewhere(true);
    for action in ["start", "stop"] {
        let answer = change(&world, "bridges", action).await;
        assert_eq!((answer.status, answer.code()), (409, "conflict"));
        assert!(answer.json["hint"].as_str().unwrap().contains("COMPOSE_PROJECT_DIR"), "{}", answer.text);
        assert!(!answer.text.contains("/there"), "{}", answer.text);
    }
    assert!(world.env_file.replaced().is_empty());
    assert_eq!(world.compose.container("chat-bridge"), None);
    world.compose.faults().assert_spent();
}

#[actix_web::test]
async fn files_that_cannot_be_read_are_told_where_the_profile_is_a_known_one() {
    let world = world();
    world.compose.broken(Some("yaml: line 4"));
    let answer = change(&world, "bridges", "start").await;
    assert_eq!((answer.status, answer.code()), (409, "conflict"));
    assert_eq!(answer.json["detail"], "The Compose files of nova cannot be used: yaml: line 4.");
    let answer = change(&world, "search", "start").await;
    assert_eq!((answer.status, answer.code()), (400, "invalid_request"));
    assert_eq!(
        answer.json["hint"],
        "Profiles are bridges, cloudflare-tunnel, editor-neovim, editor-vscode, local-ollama, local-sglang, local-vllm, tailscale, website."
    );
    world.compose.uninstalled(true);
    let answer = change(&world, "bridges", "stop").await;
    assert_eq!((answer.status, answer.code()), (503, "tool_unavailable"));
}

#[actix_web::test]
async fn an_env_that_cannot_follow_is_a_warning() {
    let world = world();
    world.env_file.faults().fail_next(EnvFilePoint::Replace, || EnvFileError::ReadOnly);
    let answer = change(&world, "search", "start").await;
    assert_eq!((answer.status, &answer.json["ok"]), (200, &json!(true)), "{}", answer.text);
    let warning = answer.json["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("The profile was started, but COMPOSE_PROFILES"), "{warning}");
    assert!(warning.contains("read-only"), "{warning}");
    assert_eq!(world.compose.container("searx").unwrap().standing, ServiceStanding::Running);

    // Where nothing says which profiles are on, there is nothing to take out.
    world.env_file.put("LOG_LEVEL=info\n");
    let answer = change(&world, "search", "stop").await;
    assert_eq!((answer.status, answer.json.get("warnings")), (200, None));
    assert_eq!(world.env_file.text(), "LOG_LEVEL=info\n");
}

#[actix_web::test]
async fn one_change_after_the_other_and_the_one_under_way_can_be_cancelled() {
    let world = world();
    let mut hold = world.compose.faults().hold_next(ComposePoint::Start);
    let body = json!({ "profile": "bridges", "action": "start" }).to_string();
    let begun = Call::post("compose-profiles").admin().header("prefer", "respond-async").json(&body);
    let begun = world.send(begun).await;
    assert_eq!((begun.status, &begun.json["kind"]), (202, &json!("start_profile")));
    assert_eq!(
        (&begun.json["profile"], &begun.json["ok"], &begun.json["target"]),
        (&json!("bridges"), &json!(false), &json!("bridges"))
    );
    hold.reached().await;
    let second = change(&world, "search", "start").await;
    assert_eq!((second.status, second.code()), (409, "busy"));
    assert_eq!(second.json["operation_id"], begun.json["id"]);
    assert_eq!(second.json["detail"], "The profile bridges is being started.");

    let id = begun.json["id"].as_str().unwrap();
    assert_eq!(world.send(Call::post(&format!("operations/{id}/cancel")).admin()).await.status, 202);
    assert_eq!(world.ended(&begun.json["id"]).await.state, OperationState::Cancelled);
    assert!(world.env_file.replaced().is_empty());
    drop(hold);
    assert_eq!(change(&world, "search", "start").await.status, 200);
}

#[actix_web::test]
async fn who_changed_which_profile_is_written_down() {
    let world = world();
    change(&world, "bridges", "start").await;
    change(&world, "nothing", "start").await;
    let entries = world.send(Call::get("audit").admin()).await.json;
    let entries: Vec<(&Value, &Value, &Value)> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["action"], &entry["target"], &entry["outcome"]))
        .collect();
    let action = &json!("change_profile");
    assert_eq!(
        entries,
        [
            (action, &json!("start nothing"), &json!("refused")),
            (action, &json!("start bridges"), &json!("succeeded")),
        ]
    );
}

#[actix_web::test]
async fn remote_access_and_chats_are_shown_without_their_tokens() {
    let world = world();
    world
        .env_file
        .put("CLOUDFLARE_TUNNEL_TOKEN=hunter2hunter2\nTAILSCALE_AUTHKEY=\nSLACK_BOT_TOKEN='xoxb-hunter2'\n");
    let answer = world.send(Call::get("remote-access/status").admin()).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text.contains("hunter2"));
    assert_eq!(
        (&answer.json["cloudflare"]["configured"], &answer.json["tailscale"]["configured"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(answer.json["tailscale"]["container"]["name"], "tailscale");
    let answer = world.send(Call::get("chat-integrations/status").admin()).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text.contains("hunter2"));
    assert_eq!(
        (&answer.json["telegram"]["configured"], &answer.json["slack"]["configured"]),
        (&json!(false), &json!(true))
    );
    for container in [&answer.json["container"], &answer.json["slack"]["container"]] {
        assert_eq!(container["name"], "chat-bridge");
        assert!(container["running"].is_boolean() && container["status"].is_string());
    }
    for path in ["remote-access/status", "chat-integrations/status"] {
        assert_eq!(world.send(Call::get(path)).await.status, 401);
    }
    world.env_file.put("A='unclosed\n");
    let answer = world.send(Call::get("remote-access/status").admin()).await;
    assert_eq!((answer.status, &answer.json["cloudflare"]["configured"]), (200, &json!(false)));
    assert!(answer.json["cloudflare"]["error"].is_string(), "{}", answer.text);
}

/// Asks until Compose stands so among the dependencies and the services.
async fn until(world: &World, what: &str, is_so: impl Fn(&Value, &str) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = world.send(Call::get("status")).await.json;
        let services = world.send(Call::get("services/all")).await.text;
        let dependencies = status["dependencies"].as_array().unwrap();
        let compose = dependencies.iter().find(|one| one["name"] == "compose").unwrap();
        if is_so(compose, &services) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {compose} {services}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[actix_web::test]
async fn compose_is_among_the_dependencies_and_its_profiles_among_the_services() {
    let world = world();
    world.app.start().await;
    until(&world, "Compose to be known", |compose, services| {
        compose["state"] == "up"
            && compose["version"] == "2.26.1"
            && services.contains(r#""profile":"search""#)
    })
    .await;
    // Whoever changes a profile lets the service see what the files say now.
    world.compose.define("newer", service(&["new"], &[]));
    assert_eq!(change(&world, "new", "start").await.status, 200);
    let services = world.send(Call::get("services/all")).await.text;
    assert!(services.contains(r#""profile":"new""#), "{services}");
    world.app.shutdown(Duration::from_secs(1)).await;
}

#[actix_web::test]
async fn a_compose_that_is_not_there_is_told_with_what_to_do() {
    let world = world();
    world.compose.uninstalled(true);
    world.app.start().await;
    until(&world, "Compose to be missed", |compose, services| {
        compose["state"] == "down"
            && compose["error"] == "Docker Compose is not installed."
            && compose["hint"].as_str().is_some_and(|hint| hint.contains("docker-compose-plugin"))
            && services.contains(r#""profile":"bridges""#)
    })
    .await;
    world.app.shutdown(Duration::from_secs(1)).await;
}
