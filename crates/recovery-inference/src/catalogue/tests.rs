use std::sync::Arc;

use recovery_core::{ErrorCode, Problem, port::WebError};
use recovery_testkit::{FakeClock, FakeWeb, TakenRequest, WebManner, WebPoint};
use time::macros::datetime;

use super::*;

const HUB: &str = "https://huggingface.co";
const LIBRARY: &str = "https://ollama.com";
const REGISTRY: &str = "https://registry.ollama.ai";

struct World {
    web: FakeWeb,
    clock: FakeClock,
    catalogues: Arc<Catalogues>,
}

/// A world in which both catalogues do this with every request.
fn world(manners: impl Fn(&TakenRequest) -> WebManner + Clone + Send + Sync + 'static) -> World {
    let web = FakeWeb::new();
    web.put(HUB, manners.clone());
    web.put(LIBRARY, manners);
    let clock = FakeClock::new(datetime!(2026-01-31 12:00 UTC));
    let addresses = Addresses { token: Some("hf_t0ken".into()), ..Addresses::default() };
    let catalogues = Catalogues::new(Arc::new(web.clone()), addresses, Arc::new(clock.clone()));
    World { web, clock, catalogues: Arc::new(catalogues) }
}

fn answers(
    status: u16,
    body: &'static [u8],
) -> impl Fn(&TakenRequest) -> WebManner + Clone + Send + Sync + 'static {
    move |_| WebManner::answers(status, body)
}

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
    let world = world(answers(200, MODELS));
    world.web.put(LIBRARY, answers(200, PAGE));
    world.web.put(REGISTRY, |request| match request.path.as_str() {
        "/v2/library/llama3.1/manifests/8b" => {
            let body =
                r#"{"layers": [{"mediaType": "application/vnd.ollama.image.model", "size": 4920738944}]}"#;
            WebManner::answers(200, body)
        }
        _ => WebManner::answers(404, ""),
    });
    for backend in [Backend::Vllm, Backend::Sglang] {
        let found = world.catalogues.search(backend, &query("qwen")).await.unwrap();
        assert_eq!(found.models[0].id, "Qwen/Qwen2.5-7B-Instruct");
    }
    let asked = world.web.taken(HUB);
    assert_eq!(asked.len(), 1, "both have the same catalogue");
    assert!(asked[0].path.starts_with("/api/models?") && asked[0].token.as_deref() == Some("hf_t0ken"));
    let found = world.catalogues.search(Backend::Ollama, &query("llama")).await.unwrap();
    let sizes: Vec<_> =
        found.models.iter().map(|model| model.facts.as_ref().map(|facts| facts.weights.bytes().0)).collect();
    assert_eq!(sizes[0], Some(4_920_738_944), "of its manifest");
    assert_eq!(sizes[1], Some(70_000_000_000 * 489 / 800), "of its name, where there is no manifest");
    let others = [world.web.taken(LIBRARY), world.web.taken(REGISTRY)].concat();
    assert!(others.len() > 3 && others.iter().all(|request| request.token.is_none()), "{others:?}");
}

#[tokio::test]
async fn what_was_found_is_told_for_ten_minutes_and_with_a_mark_while_the_catalogue_is_down() {
    let world = world(answers(200, MODELS));
    let search = async || world.catalogues.search(Backend::Vllm, &query("qwen")).await;
    let first = search().await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(9 * 60));
    assert_eq!(search().await.unwrap().at, first.at);
    assert_eq!(world.web.taken(HUB).len(), 1);

    world.web.put(HUB, answers(500, b"oh no"));
    world.clock.advance(std::time::Duration::from_secs(2 * 60));
    for _ in 0..2 {
        let stale = search().await.unwrap();
        assert_eq!((stale.at, stale.models.len()), (first.at, first.models.len()));
        assert_eq!(stale.stale.unwrap().failure, Failure::Refused(500));
    }
    assert_eq!(world.web.taken(HUB).len(), 2, "one that failed is left alone for a while");
    world.web.put(HUB, answers(200, b"[]"));
    world.clock.advance(std::time::Duration::from_secs(10));
    let fresh = search().await.unwrap();
    assert!(fresh.stale.is_none() && fresh.models.is_empty() && fresh.at > first.at);

    world.web.put(HUB, answers(500, b"oh no"));
    world.clock.advance(std::time::Duration::from_secs(8 * 24 * 3600));
    assert!(search().await.is_err(), "what is a week old is told no more");
}

#[tokio::test(start_paused = true)]
async fn every_fault_is_an_error_with_words_and_a_hint() {
    let check = async |backend: Backend, manner: WebManner, expect: Failure| {
        let world = world(move |_| manner.clone());
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
    for backend in [Backend::Vllm, Backend::Ollama] {
        let whole = if backend == Backend::Ollama { PAGE } else { MODELS };
        let unreachable = |why: &str| Failure::Unreachable(why.to_owned());
        for (manner, expect) in [
            (WebManner::answers(401, "{}"), Failure::NotAllowed(401)),
            (WebManner::answers(403, "{}"), Failure::NotAllowed(403)),
            (WebManner::answers(429, "{}"), Failure::TooOften),
            (WebManner::answers(500, whole), Failure::Refused(500)),
            (WebManner::answers(301, ""), Failure::Refused(301)),
            (WebManner::answers(200, "<html></html>"), Failure::Unreadable),
            (WebManner::answers(200, &whole[..500]), Failure::Unreadable),
            (WebManner::Cuts(whole.into()), unreachable("it broke off")),
            (WebManner::Mumbles, unreachable("it does not speak HTTP")),
            (WebManner::Hangs, Failure::TimedOut),
        ] {
            check(backend, manner, expect).await;
        }
        let flood =
            world(|_| WebManner::Floods).catalogues.search(backend, &query("qwen")).await.unwrap_err();
        assert!(matches!(flood.failure, Failure::TooLarge(_)), "{flood}");
    }
    let hint = async |backend, manner, failure| check(backend, manner, failure).await.hint.unwrap();
    let refused = hint(Backend::Vllm, WebManner::answers(401, ""), Failure::NotAllowed(401)).await;
    assert!(refused.contains("HF_TOKEN"), "{refused}");
    let changed = hint(Backend::Ollama, WebManner::answers(200, "<html></html>"), Failure::Unreadable).await;
    assert!(changed.contains("pages may have changed"), "{changed}");
}

#[tokio::test]
async fn fifty_who_look_for_the_same_at_once_ask_once() {
    for (status, good) in [(200, true), (500, false)] {
        let world = world(answers(status, MODELS));
        let holds: Vec<_> = (0..5).map(|_| world.web.faults().hold_next(WebPoint::Get)).collect();
        let search = |text: String| {
            let catalogues = Arc::clone(&world.catalogues);
            tokio::spawn(async move { catalogues.search(Backend::Vllm, &query(&text)).await })
        };
        let searches: Vec<_> = (0..50).map(|number| search(format!("model {}", number % 5))).collect();
        for mut hold in holds {
            hold.reached().await;
            hold.release();
        }
        for search in searches {
            assert_eq!(search.await.unwrap().is_ok(), good);
        }
        assert_eq!(world.web.taken(HUB).len(), 5, "once for each distinct search");
    }
}

#[tokio::test(start_paused = true)]
async fn a_catalogue_that_never_answers_is_given_up_also_by_a_client_that_waits_for_ever() {
    let world = world(|_| WebManner::Hangs);
    let search = async || {
        let began = tokio::time::Instant::now();
        let error = world.catalogues.search(Backend::Vllm, &query("qwen")).await.unwrap_err();
        assert_eq!(error.failure, Failure::TimedOut);
        assert!(began.elapsed() <= LIMIT + std::time::Duration::from_millis(10), "{:?}", began.elapsed());
    };
    search().await;
    world.clock.advance(std::time::Duration::from_secs(60));
    let hold = world.web.faults().hold_next(WebPoint::Get);
    search().await;
    hold.release();
}

#[tokio::test]
async fn what_a_client_says_of_a_failure_is_told() {
    let world = world(answers(200, MODELS));
    world
        .web
        .faults()
        .fail_next(WebPoint::Get, || WebError::Unreachable { why: "its name is not known".into() });
    let error = world.catalogues.search(Backend::Vllm, &query("qwen")).await.unwrap_err();
    assert_eq!(error.to_string(), "Hugging Face cannot be reached: its name is not known");
}

#[tokio::test]
async fn no_more_is_kept_than_there_is_room_for() {
    let world = world(answers(200, b"[]"));
    for number in 0..1000 {
        world.catalogues.search(Backend::Vllm, &query(&number.to_string())).await.unwrap();
    }
    assert_eq!(world.web.taken(HUB).len(), 1000);
    world.catalogues.search(Backend::Vllm, &query("999")).await.unwrap();
    assert_eq!(world.web.taken(HUB).len(), 1000, "the newest is kept");
}
