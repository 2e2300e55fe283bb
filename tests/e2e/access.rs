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
