//! Looking for models, with servers that imitate Hugging Face and Ollama and every fault that they have.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::world::{Call, World};

const MODELS: &str = include_str!("../../../../crates/recovery-inference/src/catalogue/samples/models.json");
const PAGE: &str = include_str!("../../../../crates/recovery-inference/src/catalogue/samples/search.html");

/// What a server does with a request.
#[derive(Clone, Copy)]
enum Manner {
    /// Answers with this status and body.
    Answers(u16, &'static str),
    /// Announces the body and sends half of it.
    Cuts(&'static str),
    /// Takes the request and says nothing.
    Hangs,
    /// Sends a body without end.
    Floods,
}

type Manners = Arc<Mutex<Box<dyn Fn(&str) -> Manner + Send>>>;

/// A server, the heads of the requests that it got, and what it does.
struct Imitator {
    address: String,
    taken: Arc<Mutex<Vec<String>>>,
    manner: Manners,
}

impl Imitator {
    fn start(manner: impl Fn(&str) -> Manner + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let taken: Arc<Mutex<Vec<String>>> = Arc::default();
        let manner: Manners = Arc::new(Mutex::new(Box::new(manner)));
        let (shared, manners) = (Arc::clone(&taken), Arc::clone(&manner));
        thread::spawn(move || {
            let mut hanging = Vec::new();
            for connection in listener.incoming() {
                let mut connection = BufReader::new(connection.unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n")
                    && connection.read_line(&mut head).is_ok_and(|read| read > 0)
                {}
                let manner = (manners.lock().unwrap())(&head);
                shared.lock().unwrap().push(head);
                let mut connection = connection.into_inner();
                let start = |status: u16, length: usize| {
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
                };
                // A client may have had enough.
                let _ = match manner {
                    Manner::Answers(status, body) => {
                        connection.write_all((start(status, body.len()) + body).as_bytes())
                    }
                    Manner::Cuts(body) => {
                        connection.write_all((start(200, body.len()) + &body[..body.len() / 2]).as_bytes())
                    }
                    Manner::Hangs => {
                        hanging.push(connection);
                        Ok(())
                    }
                    Manner::Floods => {
                        let flood = move || {
                            let _ = connection.write_all(start(200, 1 << 40).as_bytes());
                            while connection.write_all(&[b' '; 64 * 1024]).is_ok() {}
                        };
                        thread::spawn(flood);
                        Ok(())
                    }
                };
            }
        });
        Self { address, taken, manner }
    }

    fn asked(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    fn now(&self, manner: Manner) {
        *self.manner.lock().unwrap() = Box::new(move |_| manner);
    }

    /// A service that looks here for everything.
    fn world(&self) -> World {
        World::with(|settings| {
            let catalogues = &mut settings.inference.catalogues;
            catalogues.hugging_face.clone_from(&self.address);
            catalogues.token = Some("hf_t0ken".into());
            catalogues.ollama_library.clone_from(&self.address);
            catalogues.ollama_registry.clone_from(&self.address);
        })
    }
}

async fn search(world: &World, query: &str) -> crate::world::Answer {
    world.send(Call::get(&format!("inference/models/search?{query}")).admin()).await
}

#[actix_web::test]
async fn models_are_found_at_hugging_face_with_what_they_need() {
    let hub = Imitator::start(|_| Manner::Answers(200, MODELS));
    let world = hub.world();
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
    let head = hub.taken.lock().unwrap()[0].clone();
    assert!(
        head.starts_with("GET /api/models?search=qwen%202.5&") && head.contains("expand[]=safetensors"),
        "{head}"
    );
    assert!(head.to_ascii_lowercase().contains("authorization: bearer hf_t0ken"), "{head}");

    let small = search(&world, "q=qwen%202.5&max_vram_gb=12").await;
    let ids: Vec<&str> =
        small.json.as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert!(
        ids.contains(&"Qwen/Qwen2.5-7B-Instruct-AWQ") && !ids.contains(&"Qwen/Qwen2.5-7B-Instruct"),
        "{ids:?}"
    );
    assert!(!ids.contains(&"someone/no-size-at-all"), "what is not known does not fit");
    assert_eq!(hub.asked(), 1, "it is the same search");
}

#[actix_web::test]
async fn models_are_found_in_ollamas_library_with_the_sizes_of_its_registry() {
    let manifest = r#"{"layers": [{"mediaType": "application/vnd.ollama.image.model", "size": 4920738944}]}"#;
    let library = Imitator::start(move |head| match head {
        head if head.starts_with("GET /search?q=llama") => Manner::Answers(200, PAGE),
        head if head.starts_with("GET /v2/library/llama3.1/manifests/8b") => Manner::Answers(200, manifest),
        _ => Manner::Answers(404, "{}"),
    });
    let answer = search(&library.world(), "q=llama&backend=ollama").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json[0]["id"], "llama3.1:8b");
    assert_eq!(answer.json[0]["estimate"]["weights_gb"], 4.6);
    assert!(answer.json[1]["vram_estimate_gb"].as_f64().unwrap() > 40.0, "of its name: {}", answer.json[1]);
    let taken = library.taken.lock().unwrap().join("");
    assert!(!taken.contains("hf_t0ken"), "a token is for one alone: {taken}");
}

#[actix_web::test]
async fn every_fault_is_503_with_a_reason_and_a_hint() {
    let check = async |backend: &str, manner: Manner, expect: &str| {
        let world = Imitator::start(move |_| manner).world();
        let began = Instant::now();
        let answer = search(&world, &format!("q=x&backend={backend}")).await;
        assert_eq!((answer.status, answer.code()), (503, "dependency_unavailable"), "{}", answer.text);
        let detail = answer.json["detail"].as_str().unwrap();
        assert!(detail.contains(expect), "{expect}: {detail}");
        assert!(answer.json["hint"].is_string() && !answer.text.contains("hf_t0ken"), "{}", answer.text);
        assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    };
    for (status, expect) in [
        (401, "does not let us in"),
        (403, "does not let us in"),
        (429, "asked too often"),
        (500, "status 500"),
    ] {
        check("vllm", Manner::Answers(status, "{}"), expect).await;
        check("ollama", Manner::Answers(status, "<html>"), expect).await;
    }
    for backend in ["sglang", "ollama"] {
        check(backend, Manner::Answers(200, "<html><body>Bad gateway</body></html>"), "cannot be understood")
            .await;
        check(backend, Manner::Hangs, "did not answer in time").await;
    }
    check("vllm", Manner::Cuts(MODELS), "Hugging Face").await;
    check("vllm", Manner::Floods, "Hugging Face answered more than").await;
    let nobody = World::new();
    let answer = search(&nobody, "q=x").await;
    assert_eq!(answer.status, 503);
    assert!(answer.json["detail"].as_str().unwrap().contains("cannot be reached"), "{}", answer.text);
}

#[actix_web::test]
async fn what_was_found_earlier_is_told_with_a_mark_while_the_catalogue_is_down() {
    let hub = Imitator::start(|_| Manner::Answers(200, MODELS));
    let world = hub.world();
    let first = search(&world, "q=qwen").await;
    hub.now(Manner::Answers(500, "oh no"));
    world.clock.advance(Duration::from_secs(3600));
    let stale = search(&world, "q=qwen").await;
    assert_eq!((stale.status, stale.header("age")), (200, Some("3600")));
    assert_eq!(stale.json[0]["stale"], json!(true));
    assert_eq!(stale.json[0]["fetched_at"], first.json[0]["fetched_at"]);
    assert_eq!(search(&world, "q=something-else").await.status, 503, "nothing was found of that");
}

#[actix_web::test]
async fn fifty_who_look_for_the_same_at_once_ask_once() {
    let hub = Imitator::start(|_| {
        thread::sleep(Duration::from_millis(100));
        Manner::Answers(200, MODELS)
    });
    let world = hub.world();
    let answers = futures_util::future::join_all((0..50).map(|_| search(&world, "q=qwen"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(hub.asked(), 1);
}

#[actix_web::test]
async fn what_cannot_be_looked_for_is_refused_and_nobody_is_asked() {
    let hub = Imitator::start(|_| Manner::Answers(200, MODELS));
    let world = hub.world();
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
    assert_eq!(hub.asked(), 0);
    for query in ["", "q=", "q=&backend=&max_vram_gb="] {
        assert_eq!(search(&world, query).await.status, 200, "{query}: what is popular");
    }
    assert_eq!(hub.asked(), 1);
    assert_eq!(world.send(Call::get("inference/models/search?q=x")).await.status, 401);
}
