//! The three servers of language models and the gateway before them, as containers of a Compose project, with nothing
//! of them but their behaviour.

use std::{collections::BTreeMap, fs, time::Duration};

use recovery_testkit::servers::{DockerEngine, DockerProject};
use recovery_tests::load::{Load, Plan};
use serde_json::{Value, json};

use crate::{
    places::{Places, set_key},
    service::{World, until},
};

/// How quick everything is.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Seconds that each of the gateway's two caches lasts.
    pub cache: f64,
    /// Seconds that a server loads its model.
    pub load: f64,
    /// Milliseconds between two tokens.
    pub token_ms: u64,
}

/// The model that the servers have at first.
pub(crate) const MODEL: &str = "qwen/small";

/// What is known of the models: that they fit beside any other. Of a model that is not here it is not known, so that
/// the server before it is stopped first.
const MODELS: &str = r#"[
  {"id": "tiny", "ollama_id": "tiny", "name": "Tiny", "category": "chat", "min_vram_gb": 0, "min_ram_gb": 0.1,
   "backends": ["ollama"], "description": "Words."},
  {"id": "qwen/small", "name": "Small", "category": "chat", "min_vram_gb": 0.1,
   "backends": ["vllm", "sglang"], "description": "Words."}
]"#;

const BACKENDS: [&str; 3] = ["ollama", "vllm", "sglang"];

/// A Compose project with the servers and the gateway, which runs, and a world whose service looks after them.
pub(crate) struct Ground {
    pub engine: DockerEngine,
    pub project: DockerProject,
    pub world: World,
    pub places: Places,
}

impl Ground {
    pub(crate) fn new(pace: Pace) -> Self {
        let (engine, places, world) = (DockerEngine::shared(), Places::new(), World::new());
        let project = engine.project(&compose_file(places, world.redis.port(), pace));
        project.write(
            ".env",
            &format!(
                "VLLM_MODEL={MODEL}\nSGLANG_MODEL={MODEL}\nDEFAULT_CHAT_MODEL=tiny\nCOMPOSE_PROFILES=\n"
            ),
        );
        project.write("models.json", MODELS);
        fs::create_dir(project.path("moods")).unwrap();
        project.compose(&["up", "--detach", "llm-gateway"]);
        let backends: BTreeMap<&str, Value> =
            BACKENDS.into_iter().map(|name| (name, json!({ "address": places.address(name) }))).collect();
        let world = world
            .with("DOCKER_HOST", engine.host())
            .with("COMPOSE_PROJECT_NAME", project.name())
            .with("COMPOSE_PROJECT_DIR", project.directory().to_str().unwrap())
            .with("NOVA_ENV_FILE", project.path(".env").to_str().unwrap())
            .with("RECOMMENDED_MODELS_FILE", project.path("models.json").to_str().unwrap())
            .with("LLM_GATEWAY_URL", places.address("gateway"))
            .with("GATEWAY_CONFIG_TTL_SECS", (2.0 * pace.cache).to_string())
            .with("INFERENCE_BACKENDS", json!(backends).to_string());
        Self { engine, project, world, places }
    }

    /// The backends whose containers run.
    pub(crate) fn running(&self) -> Vec<&'static str> {
        let filter = format!("label=com.docker.compose.project={}", self.project.name());
        let format = "{{.Label \"com.docker.compose.service\"}}";
        let running = self.engine.docker(&["ps", "--filter", &filter, "--format", format]);
        let runs = |name: &&str| running.lines().any(|service| service == service_of(name));
        BACKENDS.into_iter().filter(runs).collect()
    }

    /// The id of a server's container.
    pub(crate) fn container(&self, backend: &str) -> String {
        self.project.container(service_of(backend))
    }

    /// What a server is to do wrong from now on: `now`, until it is started again, or `always`.
    pub(crate) fn mood(&self, backend: &str, which: &str, words: &str) {
        self.project.write(&format!("moods/{backend}.{which}"), words);
    }
}

fn service_of(backend: &str) -> &'static str {
    match backend {
        "ollama" => "ollama",
        "vllm" => "nova-vllm",
        "sglang" => "nova-sglang",
        other => panic!("nobody is called {other}"),
    }
}

/// The services as Nova's Compose file has them. They use the network of this machine: the service that looks after
/// them is a process here.
fn compose_file(places: Places, redis: u16, pace: Pace) -> String {
    let Pace { cache, load, token_ms } = pace;
    let program = env!("CARGO_BIN_EXE_nova-stand-in");
    let backends: String =
        BACKENDS.map(|name| format!(", --backend, {name}={}", places.address(name))).concat();
    let server = |service: &str, name: &str, more: &str| {
        let listen = places.listen(name);
        format!(
            "  {service}:
    <<: *stand-in
    profiles: [local-{name}]
    command: [nova-stand-in, {name}, --listen, '{listen}', --load, '{load}', --token-ms, '{token_ms}', --moods, /moods, --name, {name}{more}]
"
        )
    };
    format!(
        "x-stand-in: &stand-in
  image: {image}
  network_mode: host
  restart: unless-stopped
  volumes: ['{program}:/usr/local/bin/nova-stand-in:ro', './moods:/moods']
services:
  llm-gateway:
    <<: *stand-in
    command: [nova-stand-in, gateway, --listen, '{gateway}', --redis, '127.0.0.1:{redis}', --cache, '{cache}', --token-ms, '{token_ms}', --ollama-model, tiny{backends}]
{ollama}{vllm}{sglang}",
        image = DockerEngine::IMAGE,
        gateway = places.listen("gateway"),
        ollama = server("ollama", "ollama", ", --model, tiny"),
        vllm = server("nova-vllm", "vllm", ", --model, '${VLLM_MODEL}'"),
        sglang = server("nova-sglang", "sglang", ", --enable-metrics, --model, '${SGLANG_MODEL}'"),
    )
}

#[tokio::test]
async fn the_ground_holds_clients_without_anybody_who_looks_after_it() {
    let ground = Ground::new(Pace { cache: 0.2, load: 0.2, token_ms: 10 });
    let Ground { project, world, places, .. } = &ground;
    project.compose(&["--profile", "local-vllm", "--profile", "local-ollama", "up", "--detach"]);
    set_key(&world.redis, "nova:config:inference.backend", "ollama");
    set_key(&world.redis, "nova:config:inference.state", "ready");
    let gateway = places.address("gateway");
    let plan = Plan { gateway, clients: 5, pause: Duration::ZERO, least_tokens: 1, most_tokens: 5, seed: 1 };
    let load = Load::start(&plan).unwrap();
    until("Ollama to answer", async || load.so_far().complete_by("ollama") > 20).await;
    set_key(&world.redis, "nova:config:inference.backend", "vllm");
    until("vLLM to answer", async || load.so_far().complete_by("vllm") > 20).await;
    // One that ends by itself is started again by the engine; one that is taken away stays away.
    ground.mood("vllm", "now", "crash");
    let container = project.container("nova-vllm");
    until("it to be started again", async || {
        ground.engine.docker(&["inspect", "--format", "{{.RestartCount}}", &container]).trim() == "1"
    })
    .await;
    let before = load.so_far();
    until("vLLM to answer again", async || {
        load.so_far().complete_by("vllm") > before.complete_by("vllm") + 20
    })
    .await;
    ground.engine.docker(&["rm", "--force", &container]);
    until("requests to be refused", async || {
        load.so_far().by["vllm"].refused > before.by["vllm"].refused + 5
    })
    .await;
}
