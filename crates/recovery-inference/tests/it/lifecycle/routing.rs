//! What the gateway is told, and what others write there.

use std::{sync::Arc, time::Duration};

use recovery_inference::lifecycle::{Route, RouteState, Routed, Routing, Selection, Timing};

use super::world::World;

const BACKEND: &str = "nova:config:inference.backend";
const URL: &str = "nova:config:inference.url";
const STATE: &str = "nova:config:inference.state";

fn world() -> World {
    World::new(Timing::default())
}

/// A backend that has been routed to for long.
async fn settled(world: &World, name: &str) -> Route {
    let route = Route::to(&world.spec(name), RouteState::Ready);
    if let Routed::ReadyAt(at) = world.parts().routing.lead(route.clone()).await.unwrap() {
        tokio::time::sleep_until(at).await;
        assert_eq!(world.parts().routing.lead(route.clone()).await.unwrap(), Routed::Done);
    }
    route
}

#[tokio::test(start_paused = true)]
async fn a_new_address_is_ready_only_when_nobody_can_mix_it_up() {
    let world = world();
    let vllm = Route::to(&world.spec("vllm"), RouteState::Ready);
    let began = tokio::time::Instant::now();
    let Routed::ReadyAt(at) = world.parts().routing.lead(vllm.clone()).await.unwrap() else { panic!() };
    assert_eq!(at - began, Duration::from_secs(12));
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 starting");
    tokio::time::sleep(Duration::from_millis(11_900)).await;
    world.parts().routing.keep().await.unwrap();
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 starting");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.parts().routing.keep().await.unwrap(), Routed::Done);
    assert_eq!(world.route(), "vllm http://nova-vllm:8000 ready");

    let both = Route::beside(&world.spec("sglang"));
    assert_eq!(world.parts().routing.lead(both).await.unwrap(), Routed::Done);
    assert_eq!(world.route(), "sglang http://nova-sglang:8000 ready", "the old one takes requests still");
}

#[tokio::test(start_paused = true)]
async fn an_early_write_of_the_dashboard_is_put_right_and_never_interrupts() {
    let world = world();
    settled(&world, "ollama").await;
    for written in ["vllm", "\"vllm\""] {
        world.redis.put(1, BACKEND, written);
        assert_eq!(world.parts().routing.keep().await.unwrap(), Routed::Done);
        assert_eq!(world.route(), "ollama http://ollama:11434 ready");
    }
    // The same name as JSON is no other name, and is written plainly again.
    world.redis.put(1, BACKEND, "\"ollama\"");
    world.redis.put(1, STATE, "\"ready\"");
    world.parts().routing.keep().await.unwrap();
    assert_eq!(world.route(), "ollama http://ollama:11434 ready");
}

#[tokio::test(start_paused = true)]
async fn the_address_of_a_person_is_left_alone() {
    let world = world();
    world.redis.put(1, URL, "\"http://192.168.1.9:11434\"");
    settled(&world, "ollama").await;
    assert_eq!(world.route(), "ollama \"http://192.168.1.9:11434\" ready");
    world.redis.put(1, URL, "");
    world.parts().routing.keep().await.unwrap();
    assert_eq!(world.route(), "ollama http://ollama:11434 ready");
}

#[tokio::test(start_paused = true)]
async fn a_server_of_a_person_s_own_is_respected_until_they_ask_for_another() {
    for word in ["custom", "\"none\""] {
        let world = world();
        let route = settled(&world, "ollama").await;
        world.redis.put(1, BACKEND, word);
        world.redis.put(1, STATE, "ready");
        assert_eq!(world.parts().routing.selection().await.unwrap(), Selection::Elsewhere);
        assert_eq!(world.parts().routing.keep().await.unwrap(), Routed::Elsewhere);
        assert_eq!(world.parts().routing.lead(route.clone()).await.unwrap(), Routed::Elsewhere);
        assert!(world.route().starts_with(word), "{}", world.route());
        world.parts().routing.claim().await;
        world.parts().routing.lead(route).await.unwrap();
        assert_eq!(world.route(), "ollama http://ollama:11434 ready");
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_written_later() {
    let world = world();
    let route = settled(&world, "ollama").await;
    world.redis.away();
    let draining = Route { state: RouteState::Draining, ..route };
    world.parts().routing.lead(draining).await.unwrap_err();
    world.parts().routing.keep().await.unwrap_err();
    world.redis.back();
    world.parts().routing.keep().await.unwrap();
    assert_eq!(world.route(), "ollama http://ollama:11434 draining");
}

#[tokio::test(start_paused = true)]
async fn after_a_start_of_this_service_what_is_routed_to_stays_ready() {
    let world = world();
    settled(&world, "ollama").await;
    let again = Routing::new(Arc::new(world.redis.clone()), &world.parts().backends, Timing::default());
    let route = Route::to(&world.spec("ollama"), RouteState::Ready);
    assert_eq!(again.lead(route).await.unwrap(), Routed::Done);
    assert_eq!(world.route(), "ollama http://ollama:11434 ready");

    // One that was not ready yet may be mixed up still.
    world.redis.put(1, STATE, "starting");
    let again = Routing::new(Arc::new(world.redis.clone()), &world.parts().backends, Timing::default());
    let route = Route::to(&world.spec("ollama"), RouteState::Ready);
    assert!(matches!(again.lead(route).await.unwrap(), Routed::ReadyAt(_)));
}
