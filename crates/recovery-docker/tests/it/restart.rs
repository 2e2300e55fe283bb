//! Restarts over a fake engine: what is restarted, in which order, and what is told of it.

use std::{collections::BTreeSet, time::Duration};

use recovery_core::{
    ErrorCode, Problem, ServiceName,
    container::{ContainerState, Health, RestartPolicy},
    port::{ContainerEngine, EngineError, Unwatched},
};
use recovery_docker::{Patience, RestartError, Restarter, restart_order};
use recovery_testkit::{EngineContainer, EnginePoint, FakeEngine, Fate, RecordingContext};

const QUICK: Patience = Patience {
    stable: Duration::from_millis(30),
    poll: Duration::from_millis(1),
    margin: Duration::from_millis(50),
};

fn name(service: &str) -> ServiceName {
    service.parse().unwrap()
}

async fn restart(engine: &FakeEngine, service: &str) -> Result<Vec<String>, RestartError> {
    let context = Unwatched::new();
    let restarter = Restarter { engine, patience: QUICK, context: &context };
    let others = restarter.restart(&name(service), &BTreeSet::from([name("postgres")])).await?;
    Ok(others.into_iter().map(String::from).collect())
}

/// An engine with one container of `web`.
fn with(container: EngineContainer) -> FakeEngine {
    let engine = FakeEngine::new();
    engine.add(container);
    engine
}

#[tokio::test]
async fn a_service_is_well_when_its_health_check_says_so_or_it_runs_untouched() {
    for container in [
        EngineContainer::of("web"),
        EngineContainer::of("web").health(Health::Healthy),
        EngineContainer::of("web").health(Health::Unhealthy),
        EngineContainer::of("web").state(ContainerState::Exited),
    ] {
        let engine = with(container);
        assert_eq!(restart(&engine, "web").await.unwrap(), Vec::<String>::new());
        assert_eq!(engine.restarted(), ["nova-web-1"]);
        assert!(engine.look().await.unwrap().service(&name("web")).is_up());
    }
}

#[tokio::test]
async fn a_job_that_is_done_has_been_restarted() {
    let job = EngineContainer::of("migrate").with(|container| container.restart_policy = RestartPolicy::No);
    let engine = with(job.fate(Fate::Ends(0)));
    restart(&engine, "migrate").await.unwrap();
}

/// How a restart of one container fails.
async fn check_failure(container: EngineContainer, words: &str) {
    let engine = with(container.printed(["first", "second", "third", "\u{20}", "no\u{20}database", "bye"]));
    let error = restart(&engine, "web").await.unwrap_err();
    assert_eq!(error.to_string(), words);
    let problem = Problem::from(error);
    assert_eq!(problem.code, ErrorCode::ServiceFailed);
    let hint = problem.hint.unwrap();
    assert!(hint.ends_with("It ends: second / third / no database / bye"), "{hint}");
}

#[tokio::test]
async fn what_does_not_come_up_is_told_with_its_last_words() {
    let web = || EngineContainer::of("web");
    let healthy = || web().health(Health::Healthy);
    check_failure(healthy().fate(Fate::Unhealthy), "the service web is unhealthy after its restart").await;
    check_failure(web().fate(Fate::Ends(3)), "the service web ends again and again after its restart").await;
    check_failure(healthy().fate(Fate::Ends(3)), "the service web ends again and again after its restart")
        .await;
    let once = web().with(|container| container.restart_policy = RestartPolicy::No);
    check_failure(once.fate(Fate::Ends(3)), "the service web has ended with exit status 3 after its restart")
        .await;
    let words = "the service web did not come up in time after its restart";
    check_failure(healthy().fate(Fate::Undecided), words).await;
}

#[tokio::test]
async fn replicas_are_restarted_one_after_the_other_and_the_rest_go_on_where_one_fails() {
    let engine = FakeEngine::new();
    for number in 1..=3 {
        let fate = if number == 2 { Fate::Ends(1) } else { Fate::Well };
        engine.add(EngineContainer::replica("worker", number).fate(fate));
    }
    restart(&engine, "worker").await.unwrap_err();
    assert_eq!(engine.restarted(), ["nova-worker-1", "nova-worker-2"]);
    let snapshot = engine.look().await.unwrap();
    assert!(snapshot.of_service(&name("worker")).last().unwrap().is_up(), "the third was left alone");
}

#[tokio::test]
async fn what_depends_on_it_is_restarted_after_it_and_nothing_else() {
    let engine = FakeEngine::new();
    let vpn = engine.add(EngineContainer::of("vpn"));
    engine.add(EngineContainer::of("behind").with(|container| container.network_of = Some(vpn)));
    engine.add(EngineContainer::of("asks").depends_on("vpn", true));
    engine.add(EngineContainer::of("asks-in-turn").depends_on("asks", true));
    engine.add(EngineContainer::of("does-not-ask").depends_on("vpn", false));
    engine.add(EngineContainer::of("stopped").depends_on("vpn", true).state(ContainerState::Exited));
    engine.add(EngineContainer::of("postgres").depends_on("vpn", true));
    let one_off = EngineContainer::replica("vpn", 2).with(|container| container.compose.one_off = true);
    engine.add(one_off.state(ContainerState::Exited));
    assert_eq!(restart(&engine, "vpn").await.unwrap(), ["asks", "asks-in-turn", "behind"]);
    assert_eq!(engine.restarted(), ["nova-vpn-1", "nova-asks-1", "nova-asks-in-turn-1", "nova-behind-1"]);
}

#[tokio::test]
async fn a_dependant_that_fails_is_named() {
    let engine = FakeEngine::new();
    engine.add(EngineContainer::of("vpn"));
    engine.add(EngineContainer::of("asks").depends_on("vpn", true).fate(Fate::Ends(1)));
    let error = restart(&engine, "vpn").await.unwrap_err();
    assert!(matches!(error, RestartError::Dependant { .. }));
    let problem = Problem::from(error);
    assert!(problem.detail.contains("vpn was restarted") && problem.detail.contains("asks"), "{problem}");
}

#[tokio::test]
async fn a_container_that_is_gone_by_the_time_it_is_restarted_is_followed_by_its_successor() {
    let engine = FakeEngine::new();
    let first = engine.add(EngineContainer::of("web"));
    let mut held = engine.faults().hold_next(EnginePoint::Restart);
    let restarting = tokio::spawn({
        let engine = engine.clone();
        async move { restart(&engine, "web").await }
    });
    held.reached().await;
    engine.remove(&first);
    engine.add(EngineContainer::of("web"));
    held.release();
    restarting.await.unwrap().unwrap();
    assert_eq!(engine.restarted(), ["nova-web-1"], "the new one");

    let engine = FakeEngine::new();
    let only = engine.add(EngineContainer::of("web"));
    let mut held = engine.faults().hold_next(EnginePoint::Restart);
    let restarting = tokio::spawn({
        let engine = engine.clone();
        async move { restart(&engine, "web").await }
    });
    held.reached().await;
    engine.remove(&only);
    held.release();
    let problem = Problem::from(restarting.await.unwrap().unwrap_err());
    assert_eq!(
        (problem.code, problem.detail.as_str()),
        (ErrorCode::NotFound, "The service web has no container.")
    );
}

#[tokio::test]
async fn names_are_compared_exactly() {
    let engine = with(EngineContainer::of("redis"));
    for other in ["red", "Redis", "nova-redis", "redis-1"] {
        let error = restart(&engine, other).await.unwrap_err();
        assert!(matches!(error, RestartError::NoContainer { .. }), "{other}: {error}");
    }
    assert!(engine.restarted().is_empty());
}

#[tokio::test]
async fn trouble_with_the_engine_is_told_as_such() {
    let engine = with(EngineContainer::of("web"));
    for point in [EnginePoint::Look, EnginePoint::Restart, EnginePoint::Inspect] {
        engine.faults().fail_next(point, || EngineError::TimedOut { doing: "anything" });
        let error = restart(&engine, "web").await.unwrap_err();
        assert!(matches!(error, RestartError::Engine(EngineError::TimedOut { .. })), "{error}");
        engine.faults().assert_spent();
    }
    // The last words are a courtesy.
    let engine = with(EngineContainer::of("web").fate(Fate::Ends(1)));
    engine.faults().fail_next(EnginePoint::Logs, || EngineError::TimedOut { doing: "anything" });
    let problem = Problem::from(restart(&engine, "web").await.unwrap_err());
    assert!(problem.hint.unwrap().starts_with("It has printed nothing."));
}

#[tokio::test]
async fn a_restart_can_be_stopped_between_two_containers() {
    let engine = FakeEngine::new();
    engine.add(EngineContainer::replica("worker", 1));
    engine.add(EngineContainer::replica("worker", 2));
    let context = RecordingContext::new().cancel_at_phase("restarting worker");
    let restarter = Restarter { engine: &engine, patience: QUICK, context: &context };
    let error = restarter.restart(&name("worker"), &BTreeSet::new()).await.unwrap_err();
    assert!(matches!(error, RestartError::Cancelled(_)), "{error}");
    assert_eq!(engine.restarted(), ["nova-worker-1"], "what was begun was brought to its end");
}

#[tokio::test]
async fn services_are_restarted_after_what_they_need_and_one_comes_last() {
    let engine = FakeEngine::new();
    engine.add(EngineContainer::of("dashboard"));
    engine.add(EngineContainer::of("api").depends_on("gateway", false).depends_on("absent", false));
    engine.add(EngineContainer::of("gateway").depends_on("store", false));
    engine.add(EngineContainer::of("store"));
    engine.add(EngineContainer::of("egg").depends_on("hen", false));
    engine.add(EngineContainer::of("hen").depends_on("egg", false));
    let snapshot = engine.look().await.unwrap();
    let all: BTreeSet<ServiceName> = snapshot.services().into_iter().cloned().collect();
    let order = restart_order(&snapshot, &all, Some(&name("dashboard")));
    let order: Vec<&str> = order.iter().map(ServiceName::as_str).collect();
    assert_eq!(order, ["store", "gateway", "api", "egg", "hen", "dashboard"]);
}
