use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use async_trait::async_trait;
use recovery_core::{
    ErrorCode, Problem,
    port::{WebAnswer, WebError, WebRequest},
};
use recovery_testkit::FakeClock;
use time::macros::datetime;

use super::*;

type Action = Box<dyn Fn(&WebRequest) -> Result<WebAnswer, WebError> + Send + Sync>;

/// The world outside, as a function.
struct FakeWeb {
    action: Mutex<Action>,
    asked: AtomicUsize,
    pause: std::time::Duration,
}

#[async_trait]
impl WebClient for FakeWeb {
    async fn get(&self, request: WebRequest) -> Result<WebAnswer, WebError> {
        assert!(request.timeout <= LIMIT && request.limit <= 16 << 20, "everything is bounded");
        self.asked.fetch_add(1, Relaxed);
        tokio::time::sleep(self.pause).await;
        (self.action.lock().unwrap())(&request)
    }
}

struct World {
    web: Arc<FakeWeb>,
    clock: FakeClock,
    catalogues: Arc<Catalogues>,
}

fn world(pause: std::time::Duration, action: Action) -> World {
    let web = Arc::new(FakeWeb { action: Mutex::new(action), asked: AtomicUsize::new(0), pause });
    let clock = FakeClock::new(datetime!(2026-01-31 12:00 UTC));
    let addresses = Addresses { token: Some("hf_t0ken".into()), ..Addresses::default() };
    let catalogues = Arc::new(Catalogues::new(web.clone(), addresses, Arc::new(clock.clone())));
    World { web, clock, catalogues }
}

fn answers(status: u16, body: &'static [u8]) -> Action {
    Box::new(move |_| Ok(WebAnswer { status, body: body.to_vec() }))
}

const SOON: std::time::Duration = std::time::Duration::ZERO;
const MODELS: &[u8] = include_bytes!("samples/models.json");
const PAGE: &[u8] = include_bytes!("samples/search.html");

fn query(text: &str) -> Query {
    Query::new(text).unwrap()
}

#[test]
fn what_cannot_be_looked_for() {
    assert_eq!(Query::new(&"x".repeat(1000)), Err(InvalidQuery::TooLong));
    assert_eq!(Query::new("a\nb"), Err(InvalidQuery::Control));
    assert_eq!(Query::new("a\u{0}"), Err(InvalidQuery::Control));
    assert!(Query::new("").is_ok() && Query::new("  ").is_ok() && Query::new(&"ü".repeat(200)).is_ok());
}

#[tokio::test]
async fn each_server_has_its_catalogue_and_the_token_goes_to_one_alone() {
    let world = world(
        SOON,
        Box::new(|request| {
            let hub = request.url.starts_with("https://huggingface.co/api/models?");
            assert_eq!(request.token.is_some(), hub, "{}", request.url);
            if request.url.starts_with("https://registry.ollama.ai/v2/library/llama3.1/manifests/8b") {
                let body = r#"{"layers": [{"mediaType": "application/vnd.ollama.image.model", "size": 4920738944}]}"#;
                return Ok(WebAnswer { status: 200, body: body.into() });
            }
            if request.url.starts_with("https://registry.ollama.ai/") {
                return Ok(WebAnswer { status: 404, body: vec![] });
            }
            Ok(WebAnswer { status: 200, body: if hub { MODELS.to_vec() } else { PAGE.to_vec() } })
        }),
    );
    for backend in [Backend::Vllm, Backend::Sglang] {
        let found = world.catalogues.search(backend, &query("qwen")).await.unwrap();
        assert_eq!(found.models[0].id, "Qwen/Qwen2.5-7B-Instruct");
    }
    assert_eq!(world.web.asked.load(Relaxed), 1, "both have the same catalogue");
    let found = world.catalogues.search(Backend::Ollama, &query("llama")).await.unwrap();
    let sizes: Vec<_> =
        found.models.iter().map(|model| model.facts.as_ref().map(|facts| facts.weights.bytes().0)).collect();
    assert_eq!(sizes[0], Some(4_920_738_944), "of its manifest");
    assert_eq!(sizes[1], Some(70_000_000_000 * 489 / 800), "of its name, where there is no manifest");
}

#[tokio::test]
async fn what_was_found_is_told_for_ten_minutes_and_with_a_mark_while_the_catalogue_is_down() {
    let world = world(SOON, answers(200, MODELS));
    let search = async || world.catalogues.search(Backend::Vllm, &query("qwen")).await;
    let first = search().await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(9 * 60));
    assert_eq!(search().await.unwrap().at, first.at);
    assert_eq!(world.web.asked.load(Relaxed), 1);

    *world.web.action.lock().unwrap() = answers(500, b"oh no");
    world.clock.advance(std::time::Duration::from_secs(2 * 60));
    for _ in 0..2 {
        let stale = search().await.unwrap();
        assert_eq!((stale.at, stale.models.len()), (first.at, first.models.len()));
        assert_eq!(stale.stale.unwrap().failure, Failure::Refused(500));
    }
    assert_eq!(world.web.asked.load(Relaxed), 2, "one that failed is left alone for a while");
    *world.web.action.lock().unwrap() = answers(200, b"[]");
    world.clock.advance(std::time::Duration::from_secs(10));
    let fresh = search().await.unwrap();
    assert!(fresh.stale.is_none() && fresh.models.is_empty() && fresh.at > first.at);

    *world.web.action.lock().unwrap() = answers(500, b"oh no");
    world.clock.advance(std::time::Duration::from_secs(8 * 24 * 3600));
    assert!(search().await.is_err(), "what is a week old is told no more");
}

#[tokio::test]
async fn every_fault_is_an_error_with_words_and_a_hint() {
    let check = async |backend: Backend, action: Action, expect: Failure| {
        let world = world(SOON, action);
        let error = world.catalogues.search(backend, &query("qwen")).await.unwrap_err();
        assert_eq!(error.failure, expect);
        let problem = Problem::from(&error);
        assert_eq!(problem.code, ErrorCode::DependencyUnavailable);
        let words = format!("{problem:?}");
        assert!(
            problem.hint.is_some() && !words.contains("hf_t0ken") && !words.contains("https://"),
            "{words}"
        );
        problem
    };
    let refused = check(Backend::Vllm, answers(401, b"{}"), Failure::NotAllowed(401)).await;
    assert!(refused.hint.unwrap().contains("HF_TOKEN"));
    check(Backend::Vllm, answers(403, b"{}"), Failure::NotAllowed(403)).await;
    check(Backend::Vllm, answers(429, b"{}"), Failure::TooOften).await;
    check(Backend::Vllm, answers(500, b"{}"), Failure::Refused(500)).await;
    check(Backend::Vllm, answers(301, b""), Failure::Refused(301)).await;
    check(Backend::Vllm, answers(200, b"<html></html>"), Failure::Unreadable).await;
    check(Backend::Vllm, answers(200, &MODELS[..500]), Failure::Unreadable).await;
    check(Backend::Vllm, Box::new(|_| Err(WebError::TimedOut)), Failure::TimedOut).await;
    check(Backend::Vllm, Box::new(|_| Err(WebError::TooLarge { limit: 7 })), Failure::TooLarge(7)).await;
    let changed =
        check(Backend::Ollama, answers(200, b"<!doctype html><html></html>"), Failure::Unreadable).await;
    assert!(changed.hint.unwrap().contains("pages may have changed"));
    check(Backend::Ollama, answers(429, b""), Failure::TooOften).await;
}

#[tokio::test]
async fn fifty_who_look_for_the_same_at_once_ask_once() {
    for (action, good) in [(answers(200, MODELS), true), (answers(500, b""), false)] {
        let world = world(std::time::Duration::from_millis(100), action);
        let search = |text: String| {
            let catalogues = Arc::clone(&world.catalogues);
            tokio::spawn(async move { catalogues.search(Backend::Vllm, &query(&text)).await })
        };
        let searches: Vec<_> = (0..50).map(|number| search(format!("model {}", number % 5))).collect();
        for search in searches {
            assert_eq!(search.await.unwrap().is_ok(), good);
        }
        assert_eq!(world.web.asked.load(Relaxed), 5, "once for each distinct search");
    }
}

#[tokio::test(start_paused = true)]
async fn a_catalogue_that_never_answers_is_given_up() {
    let world = world(std::time::Duration::from_secs(3600), answers(200, MODELS));
    let began = tokio::time::Instant::now();
    let error = world.catalogues.search(Backend::Vllm, &query("qwen")).await.unwrap_err();
    assert_eq!(error.failure, Failure::TimedOut);
    assert!(began.elapsed() <= LIMIT + std::time::Duration::from_millis(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn no_more_is_kept_than_there_is_room_for() {
    let world = world(SOON, answers(200, b"[]"));
    let began = Instant::now();
    for number in 0..1000 {
        world.catalogues.search(Backend::Vllm, &query(&number.to_string())).await.unwrap();
    }
    assert_eq!(world.web.asked.load(Relaxed), 1000);
    assert!(began.elapsed().as_secs() < 10);
    world.catalogues.search(Backend::Vllm, &query("999")).await.unwrap();
    assert_eq!(world.web.asked.load(Relaxed), 1000, "the newest is kept");
}
