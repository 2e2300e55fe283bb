//! A platform with servers of language models whose containers do what Compose is told.

use std::time::{Duration, Instant};

use recovery_core::{
    OperationState,
    compose::ComposeService,
    container::{ContainerId, ContainerState},
    port::ContainerEngine as _,
};
use recovery_server::app::AppSettings;
use recovery_testkit::{EngineContainer, Fate, MemoryValue};
use serde_json::{Value, json};

use crate::world::{Answer, Call, World};

pub(crate) const BACKEND: &str = "inference/backend";

/// A platform with the three servers, none of which runs, and a service that has begun.
pub(crate) async fn world() -> World {
    world_with(|_| {}).await
}

pub(crate) async fn world_with(change: impl FnOnce(&mut AppSettings)) -> World {
    let change = |settings: &mut AppSettings| {
        settings.backends.timing.keep = Duration::from_millis(20);
        change(settings);
    };
    started(World::with(change)).await
}

async fn started(world: World) -> World {
    platform(&world);
    world.app.start().await;
    until(&world, "the service to know what runs", |status| status["backend"].is_string()).await;
    world
}

/// Defines the services, and lets what Compose does to them happen to their containers and servers.
fn platform(world: &World) {
    let services = [("ollama", "ollama"), ("nova-vllm", "vllm"), ("nova-sglang", "sglang")];
    for (service, backend) in services {
        let profiles = [format!("local-{backend}").parse().unwrap()].into();
        let image = Some("there".to_owned());
        world
            .compose
            .define(service, ComposeService { profiles, image, built: false, depends_on: Vec::new() });
    }
    world.env_file.put("COMPOSE_PROFILES=website\nVLLM_MODEL=org/model\nHF_TOKEN=hunter2hunter2\n");
    let (engine, servers, env_file) = (world.engine.clone(), world.servers.clone(), world.env_file.clone());
    world.compose.tell(move |service, started| {
        let (_, backend) = services.into_iter().find(|(name, _)| *name == service).unwrap();
        let id = container(&engine, service);
        if !started {
            engine.end(&id, 0);
            servers[backend].stop();
            return;
        }
        if env_file.text().contains("VLLM_MODEL=org/too-large") && service == "nova-vllm" {
            engine.alter(&id, |container| {
                (container.state, container.restart_count) = (ContainerState::Restarting, 2);
            });
            return;
        }
        engine.alter(&id, |container| {
            (container.state, container.restart_count) = (ContainerState::Running, 0);
        });
        if service == "nova-vllm" {
            let text = env_file.text();
            let model = text.lines().find_map(|line| line.strip_prefix("VLLM_MODEL=")).unwrap();
            servers[backend].set_model(Some(model));
        }
        servers[backend].start();
    });
}

fn container(engine: &recovery_testkit::FakeEngine, service: &str) -> ContainerId {
    let look = engine.look();
    futures_util::FutureExt::now_or_never(look).unwrap().unwrap();
    let found = engine.snapshot().of_service(&service.parse().unwrap()).next().map(|found| found.id.clone());
    found.unwrap_or_else(|| {
        engine.add(
            EngineContainer::of(service)
                .fate(Fate::Well)
                .printed(["loading", "HF_TOKEN=hunter2hunter2 is not enough"]),
        )
    })
}

pub(crate) async fn get(world: &World) -> Value {
    let answer = world.send(Call::get(BACKEND).admin()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json
}

pub(crate) async fn until(world: &World, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = get(world).await;
        if is_so(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{what}: {status}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn post(world: &World, path: &str, body: &str) -> Answer {
    world.send(Call::post(&format!("{BACKEND}/{path}")).admin().json(body)).await
}

/// Starts a server and waits until it serves.
pub(crate) async fn serve(world: &World, name: &str) -> Value {
    let answer = post(world, &format!("{name}/start"), "").await;
    assert_eq!((answer.status, &answer.json["status"]), (202, &json!("accepted")), "{}", answer.text);
    let operation = world.ended(&answer.json["operation_id"]).await;
    assert_eq!(operation.state, OperationState::Succeeded, "{operation:?}");
    until(world, "it to serve", |status| status["state"] == "ready" && status["backend"] == name).await
}

/// What the gateway routes by.
pub(crate) fn route(world: &World) -> String {
    let contents = world.key_value.contents();
    let value = |key: &str| {
        let key = (1, format!("nova:config:inference.{key}").into_bytes());
        let value = contents.get(&key).map(|MemoryValue { value, .. }| value.clone()).unwrap_or_default();
        String::from_utf8(value).unwrap()
    };
    format!("{} {}", value("backend"), value("state"))
}
