//! Who is let in, against the real database and Redis.

use reqwest::Method;

use crate::service::{BASE, SECRET, World, until};

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_only_the_open_routes_answer() {
    let world = World::new();
    let service = world.serve().await;
    for path in ["/health/live", "/health/ready", &format!("{BASE}/status"), &format!("{BASE}/backups")] {
        assert_eq!(service.send(service.request(Method::GET, path)).await.status, 200, "{path}");
    }
    for (method, path) in [
        (Method::POST, "/backups"),
        (Method::GET, "/operations"),
        (Method::GET, "/audit"),
        (Method::GET, "/restores"),
        (Method::DELETE, "/backups/nova-backup-2026-01-01_00-00-00.tar"),
        (Method::POST, "/backups/nova-backup-2026-01-01_00-00-00.tar/restore"),
        (Method::GET, "/backups/nova-backup-2026-01-01_00-00-00.tar/download"),
    ] {
        let path = format!("{BASE}{path}");
        service.send(service.request(method.clone(), &path)).await.assert_problem(401, "unauthorized");
        let wrong = service.request(method, &path).header("X-Admin-Secret", "");
        service.send(wrong).await.assert_problem(401, "unauthorized");
    }
    assert_eq!(world.files(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_rotated_through_redis_and_the_last_known_one_stays_while_redis_is_away() {
    let mut world = World::new();
    let service = world.serve().await;
    let with = async |secret: &str| {
        let request =
            service.request(Method::GET, &format!("{BASE}/operations")).header("X-Admin-Secret", secret);
        service.send(request).await.status.as_u16()
    };
    assert_eq!(with(SECRET).await, 200);
    let set = std::process::Command::new("redis-cli")
        .args(["-p", &world.redis.port().to_string(), "-n", "1", "SET", "nova:config:auth.admin_secret"])
        .arg("\"rotated-at-run-time\"")
        .output()
        .unwrap();
    assert!(set.status.success(), "{set:?}");
    until("the old secret to count no longer", async || with(SECRET).await == 401).await;
    assert_eq!(with("rotated-at-run-time").await, 200);
    world.redis.stop();
    assert_eq!(with("rotated-at-run-time").await, 200);
    assert_eq!(with(SECRET).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_cookie_only_the_page_of_the_console_changes_something() {
    let world = World::new();
    let service = world.serve().await;
    let name = service.backup().await;
    let body = serde_json::json!({"secret": SECRET});
    let session = format!("{BASE}/session");
    let answer = service.send(service.request(Method::POST, &session).json(&body)).await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let delete = async |origin: Option<&str>| {
        let path = format!("{BASE}/backups/{name}");
        let request = service.request(Method::DELETE, &path).header("Cookie", &cookie);
        let request = origin.into_iter().fold(request, |request, origin| request.header("Origin", origin));
        service.send(request).await
    };
    // The first is one of those that may call with credentials in a header.
    for origin in [Some("http://localhost:3000"), Some("http://evil.example"), Some("null"), None] {
        delete(origin).await.assert_problem(403, "forbidden_origin");
        assert_eq!(world.files(), [name.as_str()], "{origin:?}");
    }
    // Nobody who is not a trusted proxy says under which address it was asked for.
    let forwarded = service
        .request(Method::DELETE, &format!("{BASE}/backups/{name}"))
        .header("Cookie", &cookie)
        .header("Origin", "http://localhost")
        .header("X-Forwarded-Host", "localhost");
    service.send(forwarded).await.assert_problem(403, "forbidden_origin");
    delete(Some(&service.url)).await.assert_ok();
    assert_eq!(world.files(), Vec::<String>::new());
    let out = service.request(Method::DELETE, &session).header("Cookie", &cookie);
    assert_eq!(service.send(out.header("Origin", &service.url)).await.status, 204);
    delete(Some(&service.url)).await.assert_problem(401, "unauthorized");
}
