//! Looking for models, with servers that imitate Hugging Face and Ollama and every fault that they have.

use std::{
    thread,
    time::{Duration, Instant},
};

use recovery_testkit::{WebManner, WebSite};
use serde_json::json;

use crate::world::{Call, World};

const MODELS: &str = include_str!("../../../../crates/recovery-inference/src/catalogue/samples/models.json");
const PAGE: &str = include_str!("../../../../crates/recovery-inference/src/catalogue/samples/search.html");

/// A service that looks at this server for everything.
fn world_of(site: &WebSite) -> World {
    World::with(|settings| {
        let catalogues = &mut settings.inference.catalogues;
        catalogues.hugging_face = site.address().to_owned();
        catalogues.token = Some("hf_t0ken".into());
        catalogues.ollama_library = site.address().to_owned();
        catalogues.ollama_registry = site.address().to_owned();
    })
}

/// A server that answers this to everything.
fn always(manner: WebManner) -> WebSite {
    WebSite::start(move |_| manner.clone())
}

async fn search(world: &World, query: &str) -> crate::world::Answer {
    world.send(Call::get(&format!("inference/models/search?{query}")).admin()).await
}

#[actix_web::test]
async fn models_are_found_at_hugging_face_with_what_they_need() {
    let hub = always(WebManner::answers(200, MODELS));
    let world = world_of(&hub);
    let answer = search(&world, "q=qwen%202.5&backend=vllm").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("age"), Some("0"));
    let models = answer.json.as_array().unwrap();
    assert_eq!(models.len(), 6);
    let first = &models[0];
    assert_eq!((&first["id"], &first["downloads"]), (&json!("Qwen/Qwen2.5-7B-Instruct"), &json!(9_123_456)));
    assert_eq!((&first["quantized"], &first["stale"]), (&json!(false), &json!(false)));
    let estimate = first["vram_estimate_gb"].as_f64().unwrap();
    assert!((15.0..20.0).contains(&estimate) && first["estimate"]["weights_gb"] == 14.2, "{first}");
    assert!(first["tags"].is_array() && first["description"].is_string() && first["likes"].is_u64());
    assert_eq!(models[5]["vram_estimate_gb"], json!(null));
    let taken = hub.taken().remove(0);
    assert!(
        taken.path.starts_with("/api/models?search=qwen%202.5&")
            && taken.path.contains("expand[]=safetensors"),
        "{taken:?}"
    );
    assert_eq!(taken.token.as_deref(), Some("hf_t0ken"));

    let small = search(&world, "q=qwen%202.5&max_vram_gb=12").await;
    let ids: Vec<&str> =
        small.json.as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert!(
        ids.contains(&"Qwen/Qwen2.5-7B-Instruct-AWQ") && !ids.contains(&"Qwen/Qwen2.5-7B-Instruct"),
        "{ids:?}"
    );
    assert!(!ids.contains(&"someone/no-size-at-all"), "what is not known does not fit");
    assert_eq!(hub.taken().len(), 1, "it is the same search");
}

#[actix_web::test]
async fn models_are_found_in_ollamas_library_with_the_sizes_of_its_registry() {
    let manifest = r#"{"layers": [{"mediaType": "application/vnd.ollama.image.model", "size": 4920738944}]}"#;
    let library = WebSite::start(move |request| match request.path.as_str() {
        "/search?q=llama" => WebManner::answers(200, PAGE),
        "/v2/library/llama3.1/manifests/8b" => WebManner::answers(200, manifest),
        _ => WebManner::answers(404, "{}"),
    });
    let answer = search(&world_of(&library), "q=llama&backend=ollama").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json[0]["id"], "llama3.1:8b");
    assert_eq!(answer.json[0]["estimate"]["weights_gb"], 4.6);
    assert!(answer.json[1]["vram_estimate_gb"].as_f64().unwrap() > 40.0, "of its name: {}", answer.json[1]);
    let taken = library.taken();
    assert!(
        taken.len() > 3 && taken.iter().all(|request| request.token.is_none()),
        "a token is for one alone"
    );
}

#[actix_web::test]
async fn every_fault_is_503_with_a_reason_and_a_hint() {
    let check = async |backend: &str, manner: WebManner, expect: &str| {
        let world = world_of(&always(manner.clone()));
        let began = Instant::now();
        let answer = search(&world, &format!("q=x&backend={backend}")).await;
        assert_eq!(
            (answer.status, answer.code()),
            (503, "dependency_unavailable"),
            "{manner:?}: {}",
            answer.text
        );
        let detail = answer.json["detail"].as_str().unwrap();
        let place = if backend == "ollama" { "The library of Ollama" } else { "Hugging Face" };
        assert!(detail.starts_with(place) && detail.contains(expect), "{expect}: {detail}");
        assert!(answer.json["hint"].is_string() && !answer.text.contains("hf_t0ken"), "{}", answer.text);
        assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
        // Two seconds are the limit in these tests.
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    };
    let mut checks = Vec::new();
    for (backend, whole) in [("vllm", MODELS), ("sglang", MODELS), ("ollama", PAGE)] {
        for (manner, expect) in [
            (WebManner::answers(401, "{}"), "does not let us in (status 401)"),
            (WebManner::answers(403, "<html>"), "does not let us in (status 403)"),
            (WebManner::answers(429, "{}"), "asked too often"),
            (WebManner::answers(500, whole), "status 500"),
            (
                WebManner::answers(200, "<!doctype html><html><body>Bad gateway</body></html>"),
                "cannot be understood",
            ),
            (WebManner::answers(200, whole.split_at(400).0), "cannot be understood"),
            (WebManner::answers(200, "{\"error\": \"over capacity\"}"), "cannot be understood"),
            (WebManner::answers(200, ""), "cannot be understood"),
            (WebManner::Cuts(whole.into()), "cannot be reached"),
            (WebManner::Mumbles, "cannot be reached"),
            (WebManner::LeadsTo("/again".to_owned()), "cannot be reached"),
            (WebManner::Floods, "answered more than"),
            (WebManner::Hangs, "did not answer in time"),
            (WebManner::Trickles, "did not answer in time"),
        ] {
            checks.push(check(backend, manner, expect));
        }
    }
    futures_util::future::join_all(checks).await;
    let nobody = World::new();
    let answer = search(&nobody, "q=x").await;
    assert_eq!(answer.status, 503);
    assert!(answer.json["detail"].as_str().unwrap().contains("cannot be reached"), "{}", answer.text);
}

#[actix_web::test]
async fn what_was_found_earlier_is_told_with_a_mark_while_the_catalogue_is_down() {
    let hub = always(WebManner::answers(200, MODELS));
    let world = world_of(&hub);
    let first = search(&world, "q=qwen").await;
    hub.now(WebManner::answers(500, "oh no"));
    world.clock.advance(Duration::from_secs(3600));
    let stale = search(&world, "q=qwen").await;
    assert_eq!((stale.status, stale.header("age")), (200, Some("3600")));
    assert_eq!(stale.json[0]["stale"], json!(true));
    assert_eq!(stale.json[0]["fetched_at"], first.json[0]["fetched_at"]);
    assert_eq!(search(&world, "q=something-else").await.status, 503, "nothing was found of that");
}

#[actix_web::test]
async fn fifty_who_look_for_the_same_at_once_ask_once() {
    let hub = WebSite::start(|_| {
        thread::sleep(Duration::from_millis(100));
        WebManner::answers(200, MODELS)
    });
    let world = world_of(&hub);
    let answers = futures_util::future::join_all((0..50).map(|_| search(&world, "q=qwen"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(hub.taken().len(), 1);
}

#[actix_web::test]
async fn what_cannot_be_looked_for_is_refused_and_nobody_is_asked() {
    let hub = always(WebManner::answers(200, MODELS));
    let world = world_of(&hub);
    let long = format!("q={}", "x".repeat(1000));
    for query in [
        long.as_str(),
        "q=a%0Ab",
        "q=a%00",
        "q=x&backend=tgi",
        "q=x&max_vram_gb=-1",
        "q=x&max_vram_gb=NaN",
        "q=x&max_vram_gb=x",
    ] {
        let answer = search(&world, query).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_request"), "{query}: {}", answer.text);
        assert!(answer.json["errors"][0]["field"].is_string(), "{}", answer.text);
    }
    assert_eq!(hub.taken().len(), 0);
    for query in ["", "q=", "q=&backend=&max_vram_gb="] {
        assert_eq!(search(&world, query).await.status, 200, "{query}: what is popular");
    }
    assert_eq!(hub.taken().len(), 1);
    assert_eq!(world.send(Call::get("inference/models/search?q=x")).await.status, 401);
}
