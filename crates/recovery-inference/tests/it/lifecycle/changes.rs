//! Both ways of changing, with fifty clients at the gateway all the while.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use recovery_core::port::ContainerEngine as _;
use recovery_inference::lifecycle::{
    BreakBeforeMake, Changed, Failed, Left, LifecycleError, MakeBeforeBreak, ModelChange, Timing,
};
use recovery_testkit::Sickness;

use super::world::{BAD_MODEL, Heard, World};

const DEADLINE: Duration = Timing::DRAIN;

/// A world in which this server serves, with everything settled.
async fn serving(name: &str, timing: Timing) -> World {
    let world = World::new(timing);
    start(&world, name).await;
    assert_eq!(world.running(), [name]);
    world
}

async fn start(world: &World, name: &str) {
    let new = world.spec(name);
    let change = BreakBeforeMake { old: None, new: &new, model: None, deadline: DEADLINE, reason: "start" };
    change.run(world.parts(), &Heard::default()).await.unwrap();
}

async fn beside(world: &World, old: &str, new: &str, heard: &Heard) -> Result<Changed, Failed> {
    let (old, new) = (world.spec(old), world.spec(new));
    let change = MakeBeforeBreak { old: &old, new: &new, deadline: DEADLINE, reason: "both fit" };
    change.run(world.parts(), heard).await
}

async fn instead(world: &World, old: &str, new: &str, model: Option<&str>) -> Result<Changed, Failed> {
    let (old, new) = (world.spec(old), world.spec(new));
    let model = model.map(|model| ModelChange {
        variable: new.model_variable().unwrap().to_owned(),
        model: model.to_owned(),
        previous: None,
    });
    let change = BreakBeforeMake {
        old: Some(&old),
        new: &new,
        model,
        deadline: DEADLINE,
        reason: "too little memory",
    };
    change.run(world.parts(), &Heard::default()).await
}

/// Ten changes round the three servers under load. Returns how many requests were dropped.
async fn ten_changes(timing: Timing, way: &str, light: bool) -> u64 {
    let world = serving("ollama", timing).await;
    let load = if light { world.light_load() } else { world.load() };
    let round = ["ollama", "vllm", "sglang"];
    for (old, new) in round.iter().cycle().zip(round.iter().cycle().skip(1)).take(10) {
        let changed = match way {
            "beside" => beside(&world, old, new, &Heard::default()).await,
            _ => instead(&world, old, new, None).await,
        };
        let changed = changed.unwrap();
        assert!(changed.warning.is_none(), "{changed:?}");
        assert_eq!(world.running(), [*new], "one serves, and the other is stopped");
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    let tally = load.end().await;
    assert!(tally.local.load(Relaxed) > if light { 20 } else { 300 }, "there was load: {tally:?}");
    if way == "beside" && timing == Timing::default() {
        assert_eq!(tally.fallback.load(Relaxed), 0, "one always served: {tally:?}");
    }
    let dropped = tally.dropped.load(Relaxed);
    let cut: u64 = world.servers.values().map(|server| server.cut()).sum();
    assert!(cut <= dropped, "{cut} cut off by servers, {tally:?}");
    dropped
}

#[tokio::test(start_paused = true)]
async fn ten_changes_beside_each_other_drop_no_request() {
    for light in [false, true] {
        assert_eq!(ten_changes(Timing::default(), "beside", light).await, 0, "light: {light}");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_changes_one_after_the_other_drop_no_request() {
    for light in [false, true] {
        assert_eq!(ten_changes(Timing::default(), "instead", light).await, 0, "light: {light}");
    }
}

/// That the two tests above can see a request that is dropped. Under a heavy load a server that is told nothing new
/// has requests for longer than the gateway's caches last; it is the light load that shows it.
#[tokio::test(start_paused = true)]
async fn without_waiting_for_the_gateway_requests_are_dropped() {
    let hasty = Timing { gateway_cache: Duration::ZERO, margin: Duration::ZERO, ..Timing::default() };
    for way in ["beside", "instead"] {
        assert!(ten_changes(hasty, way, true).await > 0, "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_switches_of_a_model_drop_no_request() {
    let world = serving("vllm", Timing::default()).await;
    let load = world.load();
    for number in 0..10 {
        let model = format!("org/model-{number}");
        let changed = instead(&world, "vllm", "vllm", Some(&model)).await.unwrap();
        assert_eq!(changed.model.as_deref(), Some(model.as_str()), "the new one answers");
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    let tally = load.end().await;
    assert_eq!(tally.dropped.load(Relaxed), 0, "{tally:?}");
    assert!(tally.fallback.load(Relaxed) > 0 && tally.local.load(Relaxed) > 300, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_does_not_come_up_is_taken_back() {
    let world = serving("vllm", Timing::default()).await;
    let load = world.load();
    let failed = instead(&world, "vllm", "vllm", Some(BAD_MODEL)).await.unwrap_err();
    assert!(matches!(failed.error, LifecycleError::CrashLoop { times: 2, .. }), "{failed:?}");
    assert_eq!(failed.serving.unwrap().as_str(), "vllm");
    assert_eq!(world.models.0.lock().unwrap()["VLLM_MODEL"], "qwen", "the model before");
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 ready");
    assert_eq!(world.running(), ["vllm"]);
    let tally = load.end().await;
    assert_eq!(tally.dropped.load(Relaxed), 0, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_server_that_does_not_come_up_leaves_the_old_one_serving() {
    let world = serving("ollama", Timing::default()).await;
    world.models.0.lock().unwrap().insert("VLLM_MODEL".to_owned(), BAD_MODEL.to_owned());
    let load = world.load();
    let failed = beside(&world, "ollama", "vllm", &Heard::default()).await.unwrap_err();
    assert_eq!(failed.serving.unwrap().as_str(), "ollama");
    assert_eq!(world.route(), "ollama http://ollama:11434 ready");
    let tally = load.end().await;
    assert_eq!((tally.dropped.load(Relaxed), tally.fallback.load(Relaxed)), (0, 0), "{tally:?}");
    let vllm = world.engine.look_for("nova-vllm");
    assert!(!world.engine.inspect(&vllm).await.unwrap().is_up(), "the new one is not left behind");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_says_that_it_is_well_does_not_take_over() {
    let world = serving("ollama", Timing { stall: Duration::from_secs(120), ..Timing::default() }).await;
    world.servers["vllm"].sick(Some(Sickness::EngineHung));
    let failed = beside(&world, "ollama", "vllm", &Heard::default()).await.unwrap_err();
    assert!(matches!(failed.error, LifecycleError::Stalled { .. }), "{failed:?}");
    assert_eq!(world.route(), "ollama http://ollama:11434 ready");
    assert_eq!(world.running(), ["ollama"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_deadline_cuts_off_is_counted() {
    for (old, way) in [("vllm", "its own counters"), ("ollama", "the gateway")] {
        let world = serving(old, Timing::default()).await;
        let load: Vec<_> = (0..3)
            .map(|_| {
                let gateway = world.gateway.clone();
                tokio::spawn(async move { gateway.request(Duration::from_secs(3600)).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let changed = beside(&world, old, "sglang", &Heard::default()).await.unwrap();
        assert_eq!(changed.left, Left::Requests(3), "by {way}");
        for request in load {
            assert_eq!(request.await.unwrap(), recovery_testkit::Answered::Cut);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_redis_the_old_server_serves_until_the_gateway_can_be_told() {
    let world = serving("ollama", Timing::default()).await;
    world.redis.away();
    let heard = Heard::default();
    let change = async {
        let changed = beside(&world, "ollama", "vllm", &heard).await.unwrap();
        assert_eq!(changed.left, Left::Nothing);
    };
    let redis = async {
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(world.running(), ["ollama", "vllm"], "both");
        world.redis.back();
    };
    tokio::join!(change, redis);
    assert_eq!(world.running(), ["vllm"]);
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 ready");
    let told = heard.told.lock().unwrap().join("\n");
    assert!(told.contains("serves on until Redis is back"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_cannot_be_written_down_is_not_made() {
    let world = serving("ollama", Timing::default()).await;
    let heard = Heard::default();
    heard.deaf.store(true, Relaxed);
    let failed = beside(&world, "ollama", "vllm", &heard).await.unwrap_err();
    assert!(matches!(failed.error, LifecycleError::State(_)), "{failed:?}");
    assert_eq!(world.running(), ["ollama"]);
    assert_eq!(world.route(), "ollama http://ollama:11434 ready");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_could_not_be_brought_back_is_not_changed() {
    let world = serving("vllm", Timing::default()).await;
    let vllm = world.spec("vllm");
    let (variable, model) = ("VLLM_MODEL".to_owned(), "org/other".to_owned());
    let change = BreakBeforeMake {
        old: Some(&vllm),
        new: &vllm,
        model: Some(ModelChange { variable, model, previous: None }),
        deadline: DEADLINE,
        reason: "another model",
    };
    let heard = Heard::default();
    heard.forgetful.store(true, Relaxed);
    let failed = change.run(world.parts(), &heard).await.unwrap_err();
    assert!(matches!(failed.error, LifecycleError::State(_)), "{failed:?}");
    assert_eq!(failed.serving.unwrap().as_str(), "vllm");
    assert_eq!(world.models.0.lock().unwrap()["VLLM_MODEL"], "qwen");
    assert_eq!(world.running(), ["vllm"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_is_given_longer_to_stop_than_it_needs_itself() {
    let world = serving("sglang", Timing::default()).await;
    beside(&world, "sglang", "vllm", &Heard::default()).await.unwrap();
    assert_eq!(world.compose.grace("nova-sglang"), Some(Duration::from_secs(65)));
    world
        .engine
        .alter(&world.container("vllm"), |container| container.stop_timeout = Duration::from_secs(300));
    world.engine.look().await.unwrap();
    beside(&world, "vllm", "ollama", &Heard::default()).await.unwrap();
    assert_eq!(world.compose.grace("nova-vllm"), Some(Duration::from_secs(300)), "as its container says");
}

#[tokio::test(start_paused = true)]
async fn the_steps_are_told_in_words_that_a_person_understands() {
    let world = serving("ollama", Timing::default()).await;
    let heard = Heard::default();
    beside(&world, "ollama", "vllm", &heard).await.unwrap();
    let steps: Vec<String> = heard
        .steps
        .lock()
        .unwrap()
        .iter()
        .map(|(step, detail)| format!("{}: {detail}", step.as_str()))
        .collect();
    assert_eq!(
        steps,
        [
            "starting: Ollama serves on while vLLM is started, since both fit.",
            "starting: The container of vLLM is started.",
            "loading: vLLM loads its model.",
            "draining: vLLM answers; the gateway is told.",
            "stopping: Ollama is stopped.",
        ]
    );
}
