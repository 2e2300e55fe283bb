//! Fetching a model with the server that serves.

use std::time::Duration;

use recovery_core::{ErrorCode, Problem};
use recovery_inference::lifecycle::{Lifecycle, Refusal};
use recovery_testkit::{MemoryDocuments, Sickness};

use super::{
    owner::{Process, serving, start},
    world::World,
};
use recovery_inference::lifecycle::{Timing, Wish};

fn refusal(lifecycle: &Lifecycle) -> Refusal {
    match lifecycle.puller() {
        Ok(puller) => panic!("{} would", puller.label()),
        Err(refusal) => refusal,
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_that_serves_fetches_a_model_or_says_why_not() {
    let (world, _, process) = serving("ollama", true).await;
    world.servers["ollama"].offers("small:1b", 1_000, Duration::from_secs(60));
    let puller = process.lifecycle.puller().unwrap();
    assert_eq!(puller.label(), "Ollama");
    let pull = async |model: &str| puller.pull(&model.parse().unwrap(), &|_| {}).await;
    pull("small:1b").await.unwrap();
    let check = |problem: Problem, code: ErrorCode, words: &str| {
        assert_eq!((problem.code, problem.detail.as_str()), (code, words));
        assert!(problem.hint.is_some());
    };
    check(
        pull("nobody/nothing").await.unwrap_err(),
        ErrorCode::ServiceFailed,
        "Ollama has not fetched nobody/nothing: it says \u{201c}pull model manifest: file does not exist\u{201d}.",
    );
    world.servers["ollama"].sick(Some(Sickness::Status(500)));
    check(
        pull("small:1b").await.unwrap_err(),
        ErrorCode::DependencyUnavailable,
        "Ollama has not fetched small:1b: it answered with status 500.",
    );
    world.servers["ollama"].sick(None);

    process.ask(start("vllm")).await.unwrap();
    assert_eq!(refusal(&process.lifecycle), Refusal::Busy);
    process.until(recovery_inference::lifecycle::State::Ready).await;
    assert_eq!(refusal(&process.lifecycle), Refusal::FetchesNothing { backend: "vLLM".to_owned() });
    process.done(Wish::Stop).await.unwrap();
    assert_eq!(refusal(&process.lifecycle), Refusal::NothingServes);
}

#[tokio::test(start_paused = true)]
async fn before_anything_serves_nothing_is_fetched() {
    let (world, documents) = (World::new(Timing::default()), MemoryDocuments::new());
    let process = Process::start(&world, &documents, true);
    assert_eq!(refusal(&process.lifecycle), Refusal::NothingServes);
    for (refusal, code) in [
        (Refusal::NothingServes, ErrorCode::InvalidRequest),
        (Refusal::FetchesNothing { backend: "vLLM".to_owned() }, ErrorCode::InvalidRequest),
    ] {
        assert_eq!(Problem::from(refusal).code, code);
    }
}
