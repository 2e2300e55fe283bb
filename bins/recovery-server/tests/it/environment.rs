//! The environment over HTTP.

use recovery_core::port::{ComposeError, EnvFileError};
use recovery_testkit::{ComposePoint, EnvFilePoint};
use serde_json::json;

use crate::world::{Answer, Call, World};

const SAMPLE: &str = "# Nova\nPOSTGRES_PASSWORD=hunter2hunter2\nLOG_LEVEL=info # for now\n\
    HF_TOKEN=hf_abcdefghijklmnop\nOPENAI_API_KEY=sk-hunter2\nTAILSCALE_AUTHKEY=\n";

fn world() -> World {
    let world = World::new();
    world.env_file.put(SAMPLE);
    world.audit.forbid("hunter2");
    world.audit.forbid("hf_abc");
    world
}

async fn patch(world: &World, updates: serde_json::Value) -> Answer {
    world.send(Call::patch("env").admin().json(&json!({ "updates": updates }).to_string())).await
}

#[actix_web::test]
async fn the_variables_that_may_be_seen_are_shown_masked() {
    let answer = world().send(Call::get("env").admin()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json,
        json!({ "HF_TOKEN": "hf_a...mnop", "LOG_LEVEL": "info", "TAILSCALE_AUTHKEY": "" })
    );
    let tag = answer.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");
}

#[actix_web::test]
async fn a_change_is_answered_with_what_now_stands_there() {
    let world = world();
    let answer = patch(
        &world,
        json!({ "LOG_LEVEL": "debug", "HF_TOKEN": "hf_a...mnop", "VLLM_MODEL": "Qwen/Qwen3-8B" }),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.json,
        json!({ "HF_TOKEN": "hf_a...mnop", "LOG_LEVEL": "debug", "VLLM_MODEL": "Qwen/Qwen3-8B" })
    );
    let expect = SAMPLE.replace("=info", "=debug") + "VLLM_MODEL=Qwen/Qwen3-8B\n";
    assert_eq!(world.env_file.text(), expect);
    let shown = world.send(Call::get("env").admin()).await;
    assert_eq!(shown.header("etag"), answer.header("etag"));

    let nothing = patch(&world, json!({})).await;
    assert_eq!((nothing.status, nothing.json), (200, json!({})));
    assert_eq!(world.env_file.replaced().len(), 1);
}

#[actix_web::test]
async fn only_admins_see_and_change_it() {
    let world = world();
    for call in [Call::get("env"), Call::patch("env").json(r#"{"updates":{"LOG_LEVEL":"x"}}"#)] {
        assert_eq!(world.send(call).await.status, 401);
    }
    assert!(world.env_file.replaced().is_empty());
}

#[actix_web::test]
async fn a_change_of_what_was_not_seen_is_refused() {
    let world = world();
    let tag = world.send(Call::get("env").admin()).await.header("etag").unwrap().to_owned();
    let change = |tag: &str| {
        Call::patch("env").admin().header("if-match", tag).json(r#"{"updates":{"LOG_LEVEL":"debug"}}"#)
    };
    world.env_file.put(SAMPLE.replace("=info", "=warn"));
    let late = world.send(change(&tag)).await;
    assert_eq!((late.status, late.code()), (412, "precondition_failed"));
    assert!(late.json["hint"].is_string());
    assert!(world.env_file.text().contains("LOG_LEVEL=warn"));

    world.env_file.put(SAMPLE);
    let answer = world.send(change(&tag)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let new = answer.header("etag").unwrap();
    assert_ne!(new, tag);
    let again = world.send(change(&format!("\"x\", {new}"))).await;
    assert_eq!((again.status, again.header("etag")), (200, Some(new)));
    for nothing in ["W/\"x\"", "\"x\"", &tag, &new.replace('"', "")] {
        assert_eq!(world.send(change(nothing)).await.status, 412, "{nothing}");
    }
    assert_eq!(world.send(change("*")).await.status, 200);
}

#[actix_web::test]
async fn what_may_not_be_changed_is_refused_as_a_whole() {
    let world = world();
    let check = async |updates: serde_json::Value, status: u16, code: &str, field: &str| {
        let answer = patch(&world, updates).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text);
        assert_eq!(answer.json["errors"][0]["field"], field, "{}", answer.text);
        assert!(!answer.text.contains("s3cret"), "{}", answer.text);
        answer
    };
    check(json!({ "LOG_LEVEL": "debug", "PATH": "s3cret" }), 400, "invalid_request", "updates.PATH").await;
    let secret = json!({ "LOG_LEVEL": "debug", "OPENAI_API_KEY": "s3cret" });
    let answer = check(secret, 400, "invalid_request", "updates.OPENAI_API_KEY").await;
    assert!(answer.json["hint"].as_str().unwrap().contains("Dashboard's secret store"), "{}", answer.text);
    check(json!({ "VLLM_MODEL": "s3cret\nX=1" }), 422, "invalid_body", "updates.VLLM_MODEL").await;
    check(json!({ "VLLM_MODEL": "s3cret\0" }), 422, "invalid_body", "updates.VLLM_MODEL").await;
    check(json!({ "VLLM_MODEL": 8 }), 422, "invalid_body", "body").await;
    check(json!({ "VLLM_MODEL": null }), 422, "invalid_body", "body").await;
    let answer = world.send(Call::patch("env").admin().json("{}")).await;
    assert_eq!((answer.status, answer.code()), (422, "invalid_body"));
    assert!(world.env_file.replaced().is_empty());
}

#[actix_web::test]
async fn a_file_that_cannot_be_used_is_told() {
    let world = world();
    let check = async |error: fn() -> EnvFileError, status: u16, code: &str| {
        for (point, call) in [
            (EnvFilePoint::Read, Call::get("env")),
            (EnvFilePoint::Replace, Call::patch("env").json(r#"{"updates":{"LOG_LEVEL":"debug"}}"#)),
        ] {
            world.env_file.faults().fail_next(point, error);
            let answer = world.send(call.admin()).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text);
            assert!(answer.json["hint"].is_string(), "{}", answer.text);
            assert!(!answer.text.contains("/project"), "{}", answer.text);
        }
    };
    check(|| EnvFileError::Missing, 503, "storage_unavailable").await;
    check(|| EnvFileError::NotAFile, 503, "storage_unavailable").await;
    check(|| EnvFileError::ReadOnly, 503, "storage_unavailable").await;
    check(|| EnvFileError::Locked, 409, "busy").await;
    check(|| EnvFileError::Write(std::io::ErrorKind::StorageFull.into()), 507, "insufficient_storage").await;
    world.env_file.faults().assert_spent();

    world.env_file.put("A=1\nHF_TOKEN='hunter2\n");
    let answer = world.send(Call::get("env").admin()).await;
    assert_eq!((answer.status, answer.code()), (409, "conflict"));
    assert!(answer.json["detail"].as_str().unwrap().contains("line 2"), "{}", answer.text);
    assert!(!answer.text.contains("hunter2"));
}

#[actix_web::test]
async fn who_changed_it_is_written_down_and_no_value_is() {
    let world = world();
    world.audit.forbid("s3cret-token-value");
    patch(&world, json!({ "HF_TOKEN": "s3cret-token-value" })).await;
    patch(&world, json!({ "OPENAI_API_KEY": "s3cret-token-value" })).await;
    let entries = world.send(Call::get("audit").admin()).await.json;
    let outcomes: Vec<_> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["action"].as_str().unwrap(), entry["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(outcomes, [("change_environment", "refused"), ("change_environment", "succeeded")]);
}

#[actix_web::test]
async fn a_change_after_which_compose_cannot_read_the_project_is_refused() {
    let world = world();
    let refused = || ComposeError::VariableMissing { variable: "LOG_LEVEL".to_owned() };
    world.compose.faults().fail_next(ComposePoint::CheckEnv, refused);
    let answer = patch(&world, json!({ "LOG_LEVEL": "" })).await;
    assert_eq!((answer.status, answer.code()), (422, "environment_refused"), "{}", answer.text);
    assert!(answer.json["detail"].as_str().unwrap().contains("LOG_LEVEL"), "{}", answer.text);
    assert!(world.env_file.replaced().is_empty());
    assert_eq!(patch(&world, json!({ "LOG_LEVEL": "debug" })).await.status, 200);
    let left = std::fs::read_dir(world.directory.path()).unwrap().flatten();
    let left: Vec<_> =
        left.filter(|entry| entry.file_name().to_string_lossy().contains("candidate")).collect();
    assert!(left.is_empty(), "{left:?}");
}
