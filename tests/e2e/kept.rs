//! What the service makes and removes by itself, and what it tells: the real program, restarts included.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339, macros::format_description,
};

use crate::{
    crash_points,
    service::{Service, World, until},
};

/// A web address that takes everything, and what it was told.
struct Listener {
    url: String,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Listener {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hooks/t0ken-of-the-hook", listener.local_addr().unwrap());
        let told: Arc<Mutex<Vec<Value>>> = Arc::default();
        let shared = Arc::clone(&told);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = BufReader::new(connection.unwrap());
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    connection.read_line(&mut line).unwrap();
                    let line = line.trim().to_ascii_lowercase();
                    if let Some(value) = line.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                connection.read_exact(&mut body).unwrap();
                shared.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
                connection.get_mut().write_all(answer).unwrap();
            }
        });
        Self { url, told }
    }

    /// What was told, as the event and the reason.
    fn told(&self) -> Vec<String> {
        let told = self.told.lock().unwrap();
        told.iter()
            .map(|body| format!("{} {}", body["event"].as_str().unwrap(), body["reason"].as_str().unwrap()))
            .collect()
    }
}

fn checkpoints(world: &World) -> Vec<String> {
    world.files().into_iter().filter(|name| name.starts_with("nova-checkpoint-")).collect()
}

/// A world that has three checkpoints, and a service that makes no more.
async fn three_checkpoints() -> World {
    let world = World::new();
    let make = |command: &mut std::process::Command| {
        command.env("CHECKPOINT_INTERVAL_HOURS", "0.0005");
    };
    let mut service = world.serve_with(make).await;
    until("three checkpoints", async || checkpoints(&world).len() >= 3).await;
    service.stop().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_neither_put_checkpoints_off_nor_repeat_them_and_so_many_stay() {
    let interval = Duration::from_millis(3600);
    let world = World::new().with("CHECKPOINT_INTERVAL_HOURS", "0.001").with("CHECKPOINT_MAX_KEEP", "2");
    let (began, mut seen) = (Instant::now(), BTreeSet::new());
    while seen.len() < 4 {
        let mut service = world.serve().await;
        let started = Instant::now();
        until("two seconds of service", async || {
            seen.extend(checkpoints(&world));
            started.elapsed() > Duration::from_secs(2)
        })
        .await;
        service.stop().await;
        assert!(began.elapsed() < Duration::from_secs(60), "{seen:?}");
    }
    let times: Vec<PrimitiveDateTime> = {
        let stamp = format_description!("[year]-[month]-[day]_[hour]-[minute]-[second]");
        let time =
            |name: &String| PrimitiveDateTime::parse(&name["nova-checkpoint-".len()..][..19], stamp).unwrap();
        seen.iter().map(time).collect()
    };
    for pair in times.windows(2) {
        let apart = pair[1] - pair[0];
        // Names have whole seconds; the machine may be busy.
        assert!(apart >= interval - Duration::from_secs(1), "repeated: {times:?}");
        assert!(apart <= interval + Duration::from_secs(6), "put off: {times:?}");
    }
    let mut newest: Vec<String> = seen.into_iter().rev().take(2).collect();
    newest.sort();
    assert_eq!(checkpoints(&world), newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_checkpoint_is_told_once_also_across_restarts_and_so_is_its_end() {
    let listener = Listener::start();
    let mut world =
        World::new().with("CHECKPOINT_INTERVAL_HOURS", "0.0005").with("NOTIFY_URL", &listener.url);
    world.postgres.stop_immediately();
    let mut service = world.serve().await;
    until("somebody to be told", async || listener.told().len() == 1).await;
    service.stop().await;
    assert!(!service.log().contains("t0ken-of-the-hook"), "{}", service.log());

    let service = world.serve().await;
    let failures = async |service: &Service| {
        let status = service.get_json("/status").await.assert_ok();
        status["checkpoints"]["last_error"]["failures"].as_u64().unwrap_or(0)
    };
    until("more failures after the restart", async || failures(&service).await >= 5).await;
    let status = service.get_json("/status").await.assert_ok();
    assert_eq!(status["checkpoints"]["last_error"]["code"], "database_unavailable", "{status}");
    assert_eq!(listener.told(), ["failed database_unavailable"]);

    world.postgres.restart();
    until("somebody to be told", async || listener.told().len() == 2).await;
    assert_eq!(listener.told()[1], "recovered database_unavailable");
    let body = listener.told.lock().unwrap()[0].clone();
    assert_eq!((&body["service"], &body["subject"]), (&json!("nova-recovery"), &json!("checkpoint")));
    assert!(body["text"].as_str().unwrap().contains("PostgreSQL does not answer"), "{body}");
    assert!(OffsetDateTime::parse(body["at"].as_str().unwrap(), &Rfc3339).is_ok(), "{body}");
    let status = service.get_json("/status").await.assert_ok();
    assert!(status["checkpoints"]["last"].is_string(), "{status}");
    assert!(status["checkpoints"].get("last_error").is_none(), "{status}");
    let metrics = service
        .send(service.request(Method::GET, "/metrics").header("X-Admin-Secret", crate::service::SECRET))
        .await;
    let metrics = metrics.body.as_str().unwrap().to_owned();
    for name in [
        "nova_recovery_newest_good_backup_age_seconds",
        "nova_recovery_last_checkpoint_success_timestamp_seconds",
        "nova_recovery_scheduled_failures_total",
        "nova_recovery_retention_removed_total",
    ] {
        assert!(metrics.contains(&format!("\n{name} ")), "{name}: {metrics}");
    }
    assert!(!service.log().contains("t0ken-of-the-hook"), "{}", service.log());
    let output = world.run(&["config"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("NOTIFY_URL") && !shown.contains("t0ken-of-the-hook"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_old_backups_are_removed_leaves_whole_ones() {
    let world = three_checkpoints().await.with("CHECKPOINT_MAX_KEEP", "1");
    let all = checkpoints(&world);
    let newest = all.last().unwrap().clone();
    let mut must_be = all.len();
    for moment in crash_points::RETAIN.iter().copied() {
        let mut service = world
            .serve_by(world.crash_binary(), |command| {
                command.env("NOVA_CRASH_AT", moment);
            })
            .await;
        // It may die before it has answered.
        let _ = service.admin(Method::POST, "/backups").send().await;
        service.ended(&format!("the service to die at {moment}")).await;
        if moment == "retain:removed" {
            must_be -= 1;
        }
        assert_eq!(checkpoints(&world).len(), must_be, "{moment}");

        let mut service = world.serve().await;
        let over = async || {
            let operations = service.get_json("/operations").await.assert_ok();
            operations.as_array().unwrap().iter().all(|operation| operation["state"] != "running")
                && operations[0]["error"]["detail"].as_str().is_some_and(|detail| detail.contains("is kept"))
        };
        until("the next start to clear up", over).await;
        let operation = service.get_json("/operations").await.assert_ok()[0].clone();
        assert_eq!(operation["state"], "interrupted", "{moment}: {operation}");
        let detail = operation["error"]["detail"].as_str().unwrap();
        let listed = service.get_json("/backups").await.assert_ok();
        let names_it = |backup: &serde_json::Value| {
            backup["kind"] == "manual" && detail.contains(backup["filename"].as_str().unwrap())
        };
        assert!(listed.as_array().unwrap().iter().any(names_it), "{moment}: {operation}: {listed}");
        for backup in listed.as_array().unwrap() {
            assert_eq!(backup["verification"], "verified", "{moment}: {backup}");
        }
        service.stop().await;
    }
    // What could not be done then is done after the next success.
    let service = world.serve().await;
    let made = service.post("/backups").await.assert_ok();
    assert_eq!(made["removed"].as_array().unwrap().len(), must_be - 1, "{made}");
    assert_eq!(checkpoints(&world), [newest]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_hold_over_http_and_on_the_command_line() {
    let world = three_checkpoints().await.with("CHECKPOINT_MAX_KEEP", "1");
    let oldest = checkpoints(&world)[0].clone();
    let service = world.serve().await;
    let pinned = service.post(&format!("/backups/{oldest}/pin")).await.assert_ok();
    assert_eq!((&pinned["filename"], &pinned["pinned"]), (&json!(oldest), &json!(true)));
    let audit = service.get_json("/audit").await.assert_ok();
    assert_eq!((&audit[0]["action"], &audit[0]["target"]), (&json!("pin"), &json!(oldest)), "{audit}");
    let anybody = service.request(Method::POST, &format!("{}/backups/{oldest}/unpin", crate::service::BASE));
    service.send(anybody).await.assert_problem(401, "unauthorized");

    service.backup().await;
    assert_eq!(checkpoints(&world).len(), 2, "the newest and the pinned one");
    let refused = service.send(service.admin(Method::DELETE, &format!("/backups/{oldest}"))).await;
    refused.assert_problem(409, "conflict");
    assert!(refused.body["hint"].as_str().unwrap().contains("npin it first"), "{refused:?}");
    let output = world.run(&["delete", &oldest, "--yes"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("is pinned"), "{output:?}");
    assert!(world.backups().join(&oldest).exists());

    let url = ["--url", &service.url];
    let unpinned = world.run_json(&[&["unpin", &oldest], &url[..]].concat());
    assert_eq!(unpinned["pinned"], json!(false));
    let listed = String::from_utf8(world.run(&["backups"]).stdout).unwrap();
    assert!(!listed.contains("pinned"), "{listed}");
    assert_eq!(world.run_json(&["pin", &oldest])["pinned"], json!(true));
    let listed = String::from_utf8(world.run(&["backups"]).stdout).unwrap();
    assert!(listed.contains("checkpoint, pinned"), "{listed}");
    assert_eq!(world.run_json(&["unpin", &oldest])["pinned"], json!(false));
    let missing = world.run(&["pin", "nova-backup-2001-01-01_00-00-00.tar"]);
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");

    let made = world.run_json(&["backup"]);
    assert_eq!(made["removed"][0]["filename"], json!(oldest), "{made}");
    assert_eq!(checkpoints(&world).len(), 1);
}
