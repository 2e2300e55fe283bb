//! A server that is described in the configuration alone.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use recovery_inference::lifecycle::{Left, State, Timing, Wish};
use recovery_testkit::{MemoryDocuments, Sickness};

use super::{
    owner::{Process, start, switch},
    world::{BAD_MODEL, World},
};

#[tokio::test(start_paused = true)]
async fn it_goes_through_everything_that_the_others_do() {
    for fits in [true, false] {
        let changes = [("llamacpp".parse().unwrap(), crate::servers::llama_cpp())].into();
        let (world, documents) = (World::configured(Timing::default(), changes), MemoryDocuments::new());
        world.models.0.lock().unwrap().insert("LLAMACPP_MODEL".to_owned(), "phi".to_owned());
        let process = Process::start(&world, &documents, fits);
        process.done(start("ollama")).await.unwrap();
        let load = world.load();
        let done = process.done(start("llamacpp")).await.unwrap();
        assert_eq!((done.model.as_deref(), done.left), (Some("phi"), Left::Nothing));
        assert_eq!(load.tally.fallback.load(Relaxed) == 0, fits, "{:?}", load.tally);
        assert_eq!(world.route(), "llamacpp http://llamacpp:8080 ready");
        assert_eq!(world.running(), ["llamacpp"]);

        let done = process.done(switch("llamacpp", "org/other")).await.unwrap();
        assert_eq!(done.model.as_deref(), Some("org/other"));
        process.done(switch("llamacpp", BAD_MODEL)).await.unwrap_err();
        assert_eq!(world.models.0.lock().unwrap()["LLAMACPP_MODEL"], "org/other");
        assert_eq!(world.running(), ["llamacpp"]);

        process.done(start("vllm")).await.unwrap();
        assert_eq!(world.compose.grace("llamacpp"), Some(Duration::from_secs(35)));
        process.done(start("llamacpp")).await.unwrap();
        let tally = load.end().await;
        assert_eq!(tally.dropped.load(Relaxed), 0, "{tally:?}");

        world.servers["llamacpp"].sick(Some(Sickness::EngineHung));
        process.until(State::Draining).await;
        world.servers["llamacpp"].sick(None);
        process.until(State::Ready).await;
        process.done(Wish::Stop).await.unwrap();
        assert_eq!(world.route(), "llamacpp http://llamacpp:8080 stopped");
    }
}
