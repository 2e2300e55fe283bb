//! The owner: what it does when it is asked, and where it goes on after it was killed.

use std::{sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use async_trait::async_trait;
use recovery_core::{
    ErrorCode, Problem,
    port::{ContainerEngine as _, OperationContext},
};
use recovery_inference::{
    lifecycle::{
        Begun, Done, Left, Lifecycle, Memory, MemoryFacts, MemoryView, Owner, Refusal, STATE_KEY, State,
        Step, Timing, Wish,
    },
    server::BackendSpec,
};
use recovery_testkit::{EngineContainer, MemoryDocuments, RecordingContext};
use tokio::task::JoinHandle;

use super::world::{BAD_MODEL, Discreet, World};

/// A machine on which two servers fit beside each other, or do not.
struct Fits(bool);

#[async_trait]
impl MemoryView for Fits {
    async fn facts(&self, _old: &BackendSpec, _new: &BackendSpec) -> MemoryFacts {
        MemoryFacts {
            on_gpu: true,
            gpu_free_mib: Some(24 * 1024),
            system_free_mib: None,
            needed_mib: Some(if self.0 { 20 } else { 40 } * 1024),
        }
    }
}

/// A process of the service.
pub(crate) struct Process {
    pub(crate) lifecycle: Lifecycle,
    tasks: [JoinHandle<()>; 2],
}

impl Process {
    pub(crate) fn start(world: &World, documents: &MemoryDocuments, fits: bool) -> Self {
        let writes = Memory {
            documents: Arc::new(documents.clone()),
            redis: Arc::new(world.redis.clone()),
            database: 7,
        };
        let (owner, lifecycle) = Owner::new(world.fresh(), Arc::new(Fits(fits)), writes);
        let engine = world.engine.clone();
        let watch = async move { engine.watch().await };
        Self {
            lifecycle,
            tasks: [tokio::spawn(owner.heralded_by(Arc::new(Discreet)).run()), tokio::spawn(watch)],
        }
    }

    /// Kills it: what it was doing stands where it stood.
    pub(crate) async fn kill(self) {
        for task in self.tasks {
            task.abort();
            task.await.unwrap_err();
        }
    }

    pub(crate) async fn ask(&self, wish: Wish) -> Result<Begun, Refusal> {
        let context: Arc<dyn OperationContext> = Arc::new(RecordingContext::new());
        self.lifecycle.ask(wish, Timing::DRAIN, context).await
    }

    /// Asks, and waits for the end.
    pub(crate) async fn done(&self, wish: Wish) -> Result<Done, Problem> {
        match self.ask(wish).await.unwrap() {
            Begun::Accepted(end) => end.await.unwrap(),
            Begun::AlreadyStarting => panic!("it is being started already"),
        }
    }

    pub(crate) async fn until(&self, state: State) {
        let mut status = self.lifecycle.watch();
        let waited = status.wait_for(|status| status.state == state);
        if tokio::time::timeout(Duration::from_secs(7200), waited).await.is_err() {
            panic!("never {state:?}: {:?}", self.lifecycle.status());
        }
    }
}

pub(crate) fn start(backend: &str) -> Wish {
    Wish::Start { backend: backend.parse().unwrap() }
}

pub(crate) fn switch(backend: &str, model: &str) -> Wish {
    Wish::SwitchModel { backend: backend.parse().unwrap(), model: model.parse().unwrap() }
}

/// A world in which this server serves, and the process that looks after it.
pub(crate) async fn serving(name: &str, fits: bool) -> (World, MemoryDocuments, Process) {
    let (world, documents) = (World::new(Timing::default()), MemoryDocuments::new());
    let process = Process::start(&world, &documents, fits);
    let done = process.done(start(name)).await.unwrap();
    assert_eq!(done.serving.unwrap().as_str(), name);
    (world, documents, process)
}

#[tokio::test(start_paused = true)]
async fn it_starts_changes_switches_and_stops_under_load_without_a_drop() {
    for fits in [true, false] {
        let (world, _, process) = serving("ollama", fits).await;
        let load = world.load();
        let done = process.done(start("vllm")).await.unwrap();
        assert_eq!((done.model.as_deref(), done.left), (Some("qwen"), Left::Nothing));
        assert_eq!(load.tally.fallback.load(Relaxed) == 0, fits, "{:?}", load.tally);
        assert_eq!(world.running(), ["vllm"]);
        let done = process.done(switch("vllm", "org/other")).await.unwrap();
        assert_eq!(done.model.as_deref(), Some("org/other"));
        // Saved and started anew.
        process.done(start("vllm")).await.unwrap();
        assert_eq!(world.route(), "vllm http://nova-vllm:8000 ready");
        let done = process.done(Wish::Stop).await.unwrap();
        assert_eq!((done.serving, done.left), (None, Left::Nothing));
        assert_eq!(world.route(), "vllm http://nova-vllm:8000 stopped");
        assert!(world.running().is_empty());
        let tally = load.end().await;
        assert_eq!(tally.dropped.load(Relaxed), 0, "{tally:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_it_does_is_shown_and_written_to_redis() {
    let (world, _, process) = serving("ollama", true).await;
    let Begun::Accepted(end) = process.ask(start("vllm")).await.unwrap() else { panic!() };
    process.lifecycle.watch().wait_for(|status| status.progress.is_some()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let status = process.lifecycle.status();
    assert_eq!((status.backend.unwrap().as_str(), status.state), ("vllm", State::Starting));
    assert_eq!(
        world.route(),
        "ollama http://ollama:11434 ready",
        "what the gateway routes by is another thing"
    );
    let written = |world: &World| {
        let value = &world.redis.contents()[&(7, STATE_KEY.as_bytes().to_vec())].value;
        serde_json::from_slice::<serde_json::Value>(value).unwrap()
    };
    assert_eq!(written(&world)["state"], "starting");
    assert_eq!(written(&world)["backend"], "vllm");
    end.await.unwrap().unwrap();
    let status = process.lifecycle.status();
    assert_eq!((status.state, status.model.as_deref()), (State::Ready, Some("qwen")));
    assert_eq!(status.progress, Some((Step::Ready, "vLLM serves.".to_owned())));
    assert_eq!(written(&world)["state"], "ready");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let (world, _, process) = serving("ollama", true).await;
    let refused = async |wish: Wish, code: ErrorCode| {
        let before = (world.route(), process.lifecycle.status());
        let refusal = process.ask(wish.clone()).await.unwrap_err();
        assert_eq!(Problem::from(refusal).code, code, "{wish:?}");
        assert_eq!((world.route(), process.lifecycle.status()), before, "{wish:?}");
    };
    refused(start("llamacpp"), ErrorCode::InvalidRequest).await;
    refused(switch("ollama", "a"), ErrorCode::InvalidRequest).await;
    refused(switch("vllm", "a"), ErrorCode::InvalidRequest).await;
    let Begun::Accepted(end) = process.ask(start("vllm")).await.unwrap() else { panic!() };
    assert!(matches!(process.ask(start("vllm")).await, Ok(Begun::AlreadyStarting)));
    for wish in [start("sglang"), Wish::Stop, switch("vllm", "a")] {
        refused(wish, ErrorCode::Busy).await;
    }
    end.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failure_stays_visible_and_the_old_server_serves_on() {
    let (world, _, process) = serving("ollama", true).await;
    world.models.0.lock().unwrap().insert("VLLM_MODEL".to_owned(), BAD_MODEL.to_owned());
    let problem = process.done(start("vllm")).await.unwrap_err();
    assert_eq!(problem.code, ErrorCode::ServiceFailed);
    let status = process.lifecycle.status();
    assert_eq!((status.state, status.error), (State::Error, Some(problem)));
    assert_eq!(status.backend.unwrap().as_str(), "ollama");
    assert_eq!(world.route(), "ollama http://ollama:11434 ready");
    process.done(start("sglang")).await.unwrap();
    assert_eq!(process.lifecycle.status().error, None);
    assert_eq!(world.running(), ["sglang"]);
}

/// Kills the process so many seconds into a change, starts another one, and waits until it has come to rest. Returns
/// whether the change had ended before.
async fn killed_after(seconds: u64, wish: Wish, fits: bool) -> bool {
    let (world, documents, process) = serving("vllm", fits).await;
    let load = world.load();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let Begun::Accepted(mut end) = process.ask(wish.clone()).await.unwrap() else { panic!() };
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let ended = end.try_recv().is_ok();
    process.kill().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let process = Process::start(&world, &documents, fits);
    let expect = if wish == Wish::Stop { State::Stopped } else { State::Ready };
    tokio::time::sleep(Duration::from_millis(10)).await;
    process.until(expect).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (running, route): (&[&str], &str) = match &wish {
        Wish::Stop => (&[], "vllm http://nova-vllm:8000 stopped"),
        Wish::Start { .. } => (&["sglang"], "sglang http://nova-sglang:8000 ready"),
        Wish::SwitchModel { model, .. } => {
            assert_eq!(world.models.0.lock().unwrap()["VLLM_MODEL"], model.as_str());
            (&["vllm"], "vllm http://nova-vllm:8000 ready")
        }
    };
    assert_eq!(world.running(), running, "{wish:?} after {seconds} s");
    assert_eq!(world.route(), route, "{wish:?} after {seconds} s");
    let tally = load.end().await;
    assert_eq!(tally.dropped.load(Relaxed), 0, "{wish:?} after {seconds} s: {tally:?}");
    ended
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_moment_the_next_process_goes_on_and_drops_nothing() {
    let wishes = [
        (start("sglang"), true),
        (start("sglang"), false),
        (switch("vllm", "org/b"), false),
        (Wish::Stop, false),
    ];
    for (wish, fits) in wishes {
        let mut seconds = 0;
        while !killed_after(seconds, wish.clone(), fits).await {
            // Close together at first, where one step follows another.
            seconds += if seconds < 6 { 1 } else { 7 };
        }
        assert!(seconds > 20, "{wish:?} took {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn what_runs_is_taken_over_and_what_was_stopped_stays_so() {
    let (world, documents, process) = serving("ollama", true).await;
    process.kill().await;
    let process = Process::start(&world, &documents, true);
    process.until(State::Ready).await;
    assert_eq!(world.route(), "ollama http://ollama:11434 ready");
    process.kill().await;
    world.stop_by_hand("ollama");
    let process = Process::start(&world, &documents, true);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(process.lifecycle.status().state, State::Stopped);
    assert!(world.running().is_empty());
    assert_eq!(world.route(), "ollama http://ollama:11434 stopped");
}

#[tokio::test(start_paused = true)]
async fn a_server_of_a_person_s_own_is_left_alone() {
    let (world, documents, process) = serving("ollama", true).await;
    world.redis.put(1, "nova:config:inference.backend", "\"custom\"");
    process.until(State::Stopped).await;
    world.servers["ollama"].sick(Some(recovery_testkit::Sickness::Status(500)));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(world.route().starts_with("\"custom\""), "{}", world.route());
    process.kill().await;
    let process = Process::start(&world, &documents, true);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(world.route().starts_with("\"custom\""), "{}", world.route());
    world.servers["ollama"].sick(None);
    process.done(start("ollama")).await.unwrap();
    assert_eq!(world.route(), "ollama http://ollama:11434 ready");
}

#[tokio::test(start_paused = true)]
async fn the_name_that_the_dashboard_writes_while_it_asks_is_put_right_at_once() {
    let (world, _, process) = serving("ollama", true).await;
    let load = world.load();
    world.redis.put(1, "nova:config:inference.backend", "\"vllm\"");
    let Begun::Accepted(end) = process.ask(start("vllm")).await.unwrap() else { panic!() };
    assert_eq!(world.route(), "ollama http://ollama:11434 ready");
    // Or a moment later.
    world.redis.put(1, "nova:config:inference.backend", "\"vllm\"");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(world.route(), "ollama http://ollama:11434 ready");
    end.await.unwrap().unwrap();
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 ready");
    let tally = load.end().await;
    assert_eq!((tally.dropped.load(Relaxed), tally.fallback.load(Relaxed)), (0, 0), "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn without_redis_it_goes_on_and_writes_later() {
    let (world, documents) = (World::new(Timing::default()), MemoryDocuments::new());
    world.redis.away();
    let process = Process::start(&world, &documents, true);
    process.done(start("ollama")).await.unwrap();
    assert_eq!(world.running(), ["ollama"]);
    world.redis.back();
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(world.route(), "ollama http://ollama:11434 ready");
    assert!(world.redis.contents().contains_key(&(7, STATE_KEY.as_bytes().to_vec())));
}

#[tokio::test(start_paused = true)]
async fn without_the_engine_nobody_knows_what_runs_and_nothing_is_begun() {
    let (world, documents) = (World::new(Timing::default()), MemoryDocuments::new());
    world.engine.add(EngineContainer::of("ollama"));
    world.servers["ollama"].start();
    world.engine.away();
    let process = Process::start(&world, &documents, true);
    assert_eq!(process.ask(start("vllm")).await.unwrap_err(), Refusal::EngineAway);
    world.engine.back();
    process.until(State::Ready).await;
    assert_eq!(process.lifecycle.status().backend.unwrap().as_str(), "ollama");
}
