//! Who is let in.

use actix_web::http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use recovery_core::port::{AuditOutcome, KeyValue as _};
use serde_json::json;

use crate::world::{Call, SECRET, World};

pub(crate) const KEY: &str = "the key of the platform";

pub(crate) fn token(world: &World) -> String {
    use recovery_core::port::Clock as _;
    let claims = json!({
        "type": "access", "is_admin": true, "exp": world.clock.now().unix_timestamp() + 60
    });
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(KEY.as_bytes()))
        .unwrap()
}

fn with_key() -> World {
    let world = World::new();
    world.database.set_platform_config("auth.jwt_secret", json!(KEY));
    world
}

async fn sign_in(world: &World) -> String {
    let answer = world
        .send(
            Call::post("session")
                .header("host", "localhost:8888")
                .json(&json!({ "secret": SECRET }).to_string()),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let cookie = answer.header("set-cookie").unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

#[actix_web::test]
async fn open_routes_ask_for_nothing_and_all_others_do() {
    let world = World::new();
    let id = recovery_core::OperationId::new();
    let backup = "backups/nova-backup-2026-01-31_23-59-59.tar";
    for path in ["/health/live", "/health/ready", "status", "backups", "openapi.json"] {
        assert_eq!(world.send(Call::get(path)).await.status, 200, "{path}");
    }
    for (method, path) in [
        (Method::GET, "/metrics"),
        (Method::POST, "backups"),
        (Method::GET, backup),
        (Method::DELETE, backup),
        (Method::GET, &format!("{backup}/download")),
        (Method::POST, &format!("{backup}/verify")),
        (Method::POST, &format!("{backup}/restore")),
        (Method::GET, "restores"),
        (Method::POST, &format!("restores/{id}/rollback")),
        (Method::DELETE, &format!("restores/{id}")),
        (Method::GET, "operations"),
        (Method::GET, &format!("operations/{id}")),
        (Method::POST, &format!("operations/{id}/cancel")),
        (Method::GET, "events"),
        (Method::GET, "audit"),
    ] {
        for call in [Call::new(method.clone(), path), Call::new(method.clone(), path).secret("")] {
            let answer = world.send(call).await;
            assert_eq!((answer.status, answer.code()), (401, "unauthorized"), "{method} {path}");
            assert!(answer.header("www-authenticate").is_some());
        }
    }
}

#[actix_web::test]
async fn header_credentials_work_under_every_host_and_origin() {
    let world = with_key();
    let bearer = format!("Bearer {}", token(&world));
    for call in [Call::get("operations").admin(), Call::get("operations").header("authorization", &bearer)] {
        let call = call.header("host", "nova.example").header("origin", "http://nova.example");
        assert_eq!(world.send(call).await.status, 200);
    }
    // A wrong or old token beside the right secret does no harm.
    let call = Call::get("operations").admin().header("authorization", "Bearer null");
    assert_eq!(world.send(call).await.status, 200);
    let answer = world.send(Call::get("operations").header("authorization", "Bearer null")).await;
    assert_eq!((answer.status, answer.json["detail"].as_str()), (401, Some("The token is not valid.")));
}

#[actix_web::test]
async fn a_signed_in_admin_gets_in_while_postgres_is_down() {
    let world = with_key();
    let bearer = format!("Bearer {}", token(&world));
    let call = || Call::get("operations").header("authorization", &bearer);
    world.database.stop();
    let answer = world.send(call()).await;
    assert_eq!(answer.status, 401);
    assert!(answer.json["hint"].as_str().unwrap().contains("X-Admin-Secret"), "{}", answer.text);

    let world = with_key();
    assert_eq!(world.send(call()).await.status, 200);
    world.database.stop();
    assert_eq!(world.send(call()).await.status, 200);
}

#[actix_web::test]
async fn six_wrong_secrets_shut_their_client_out_and_nobody_else() {
    let world = with_key();
    let bearer = format!("Bearer {}", token(&world));
    for _ in 0..20 {
        assert_eq!(world.send(Call::get("operations").secret("")).await.status, 401);
    }
    for _ in 0..6 {
        let answer =
            world.send(Call::get("operations").secret("a guess").header("x-forwarded-for", "8.8.8.8")).await;
        assert_eq!(answer.status, 401);
    }
    let answer = world.send(Call::get("operations").admin()).await;
    assert_eq!((answer.status, answer.code()), (429, "too_many_attempts"));
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    // Neither a header that anybody can write nor the sign-in is a way around.
    let call = Call::get("operations").admin().header("x-real-ip", "192.0.2.77");
    assert_eq!(world.send(call).await.status, 429);
    let call =
        Call::post("session").header("host", "localhost").json(&json!({ "secret": SECRET }).to_string());
    assert_eq!(world.send(call).await.status, 429);

    assert_eq!(world.send(Call::get("operations").admin().from("192.0.2.2")).await.status, 200);
    assert_eq!(world.send(Call::get("operations").header("authorization", &bearer)).await.status, 200);
    let valid_token_beside = Call::get("operations").secret("a guess").header("authorization", &bearer);
    assert_eq!(world.send(valid_token_beside).await.status, 200);
}

#[actix_web::test]
async fn behind_a_trusted_proxy_each_client_is_counted_by_itself() {
    let world = World::new();
    let call = |client: &str| Call::get("operations").from("172.18.0.2").header("x-real-ip", client);
    for _ in 0..6 {
        assert_eq!(world.send(call("198.51.100.1").secret("a guess")).await.status, 401);
    }
    assert_eq!(world.send(call("198.51.100.1").admin()).await.status, 429);
    assert_eq!(world.send(call("198.51.100.2").admin()).await.status, 200);
}

#[actix_web::test]
async fn a_changed_secret_takes_the_place_of_the_configured_one_and_ends_sessions() {
    let world = World::new();
    let cookie = sign_in(&world).await;
    let session = || Call::get("operations").header("cookie", &cookie).header("host", "localhost:8888");
    assert_eq!(world.send(session()).await.status, 200);

    world.key_value.set(1, "nova:config:auth.admin_secret", r#""rotated-secret""#).await.unwrap();
    // An unknown secret makes the service ask Redis again, but not more than once a second; each try is another client,
    // so that none is shut out.
    let mut clients = 1..=250;
    while world
        .send(
            Call::get("operations")
                .secret("rotated-secret")
                .from(&format!("198.51.100.{}", clients.next().unwrap())),
        )
        .await
        .status
        != 200
    {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(world.send(Call::get("operations").admin()).await.status, 401);
    assert_eq!(world.send(session()).await.status, 401);

    // While Redis is away, what was known last stays.
    world.key_value.away();
    assert_eq!(world.send(Call::get("operations").secret("rotated-secret")).await.status, 200);
}

#[actix_web::test]
async fn a_session_counts_under_our_own_name_only_and_ends() {
    let world = World::new();
    let cookie = sign_in(&world).await;
    let call = |host: &str| {
        Call::post("backups/x/restore")
            .header("cookie", &cookie)
            .header("host", host)
            .header("origin", &format!("http://{host}"))
    };
    // 400: let in, even where credentials must be explicit; the name is no backup's.
    assert_eq!(world.send(call("localhost:8888")).await.status, 400);
    assert_eq!(world.send(call("recovery:8888")).await.status, 400);
    assert_eq!(world.send(call("evil.example")).await.code(), "misdirected_host");

    let sign_out = |origin: &str| {
        Call::delete("session")
            .header("cookie", &cookie)
            .header("host", "localhost:8888")
            .header("origin", origin)
    };
    assert_eq!(world.send(sign_out("http://localhost:3000")).await.code(), "forbidden_origin");
    assert_eq!(world.send(call("localhost:8888")).await.status, 400);
    assert_eq!(world.send(sign_out("http://localhost:8888")).await.status, 204);
    assert_eq!(world.send(call("localhost:8888")).await.status, 401);
}

#[actix_web::test]
async fn a_session_changes_something_for_the_page_of_the_console_alone() {
    let world = World::new();
    let cookie = sign_in(&world).await;
    let call = |method: &Method, path: &str| {
        Call::new(method.clone(), path).header("cookie", &cookie).header("host", "localhost:8888")
    };
    let foreign = ["http://localhost:3000", "http://evil.example", "http://localhost", "null"];
    for (method, path) in [
        (Method::POST, "backups"),
        (Method::POST, "backups/upload"),
        (Method::POST, "backups/nova-backup-2026-01-31_23-59-59.tar/restore"),
        (Method::DELETE, "backups/nova-backup-2026-01-31_23-59-59.tar"),
        (Method::PATCH, "env"),
        (Method::POST, "factory-reset"),
        (Method::POST, "services/postgres/restart"),
    ] {
        // Not even the page of an origin that may call: with the cookie it would act for somebody who is only looking
        // at it. And nothing that does not say where it is from.
        for origin in foreign {
            let answer = world.send(call(&method, path).header("origin", origin)).await;
            assert_eq!((answer.status, answer.code()), (403, "forbidden_origin"), "{method} {path} {origin}");
        }
        let answer = world.send(call(&method, path)).await;
        assert_eq!((answer.status, answer.code()), (403, "forbidden_origin"), "{method} {path}");
        assert!(answer.json["hint"].as_str().unwrap().contains("TRUSTED_PROXIES"), "{}", answer.text);
        let own = world.send(call(&method, path).header("origin", "http://localhost:8888")).await;
        assert!(own.status != 401 && own.code() != "forbidden_origin", "{method} {path}: {}", own.text);
    }
    // Reading: browsers name no origin then, unless a page of another one asks.
    assert_eq!(world.send(call(&Method::GET, "operations")).await.status, 200);
    for origin in foreign {
        assert_eq!(world.send(call(&Method::GET, "operations").header("origin", origin)).await.status, 403);
    }
    // The rules for credentials in a header are others.
    let listed = call(&Method::POST, "backups").admin().header("origin", "http://localhost:3000");
    assert_eq!(world.send(listed).await.status, 200);
    // Nor does another page begin a session.
    let sign_in =
        Call::post("session").header("host", "localhost:8888").header("origin", "http://localhost:3000");
    let answer = world.send(sign_in.json(&json!({ "secret": SECRET }).to_string())).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (403, None));
}

#[actix_web::test]
async fn behind_a_proxy_the_address_of_the_page_is_what_a_trusted_proxy_says() {
    let world = World::with(|settings| settings.access.allowed_hosts = vec!["nova.lan".into()]);
    let through = |peer: &str, call: Call, host: &str| {
        call.from(peer)
            .header("host", "localhost:8888")
            .header("x-forwarded-host", host)
            .header("x-forwarded-proto", "https")
            .header("origin", "https://nova.lan")
    };
    let proxy = "172.18.0.2";
    let sign_in = || Call::post("session").json(&json!({ "secret": SECRET }).to_string());
    let answer = world.send(through(proxy, sign_in(), "nova.lan")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();

    let call = || Call::post("backups").header("cookie", cookie);
    assert_eq!(world.send(through(proxy, call(), "nova.lan")).await.status, 200);
    // Under a name that is not ours, whoever it comes through.
    assert_eq!(world.send(through(proxy, call(), "evil.example")).await.status, 421);
    assert_eq!(world.send(through(proxy, call(), "nova.lan, evil.example")).await.status, 421);
    // Anybody can write these headers.
    assert_eq!(world.send(through("192.0.2.9", call(), "nova.lan")).await.status, 403);
    assert_eq!(world.send(through("192.0.2.9", sign_in(), "nova.lan")).await.status, 403);
}

#[actix_web::test]
async fn sessions_end_with_time_and_with_the_service() {
    let world = World::new();
    let cookie = sign_in(&world).await;
    let call = || Call::get("operations").header("cookie", &cookie).header("host", "localhost:8888");
    assert_eq!(world.send(call()).await.status, 200);
    world.clock.advance(std::time::Duration::from_secs(12 * 3600));
    assert_eq!(world.send(call()).await.status, 401);

    let cookie = sign_in(&world).await;
    let world = world.restarted();
    let call = Call::get("operations").header("cookie", &cookie).header("host", "localhost:8888");
    assert_eq!(world.send(call).await.status, 401);
}

#[actix_web::test]
async fn a_trusted_network_may_do_what_neither_destroys_nor_discloses() {
    let world = World::new();
    let backup = "backups/nova-backup-2026-01-31_23-59-59.tar";
    let call = |method, path: &str| Call::new(method, path).from("10.1.2.3").header("host", "localhost:8888");
    assert_eq!(world.send(call(Method::GET, "operations")).await.status, 200);
    assert_eq!(world.send(call(Method::GET, backup)).await.status, 404);
    for (method, path) in [
        (Method::DELETE, backup.to_owned()),
        (Method::GET, format!("{backup}/download")),
        (Method::POST, format!("{backup}/restore")),
        (Method::POST, format!("restores/{}/rollback", recovery_core::OperationId::new())),
        (Method::DELETE, format!("restores/{}", recovery_core::OperationId::new())),
    ] {
        let answer = world.send(call(method.clone(), &path)).await;
        assert_eq!((answer.status, answer.code()), (401, "credentials_required"), "{method} {path}");
        assert!(answer.json["detail"].as_str().unwrap().contains("X-Admin-Secret"));
        assert_eq!(world.send(call(method, &path).admin()).await.status, 404);
    }
    assert_eq!(world.send(call(Method::GET, "operations").secret("wrong")).await.status, 401);
    let foreign = Call::post("backups").from("10.1.2.3").header("host", "evil.example");
    assert_eq!(world.send(foreign).await.status, 421);
    assert_eq!(
        world.send(call(Method::POST, "backups").header("origin", "http://evil.example")).await.status,
        403
    );
    // Somebody else's request, passed on by a machine of the network, is not of the network.
    assert_eq!(
        world.send(call(Method::GET, "operations").header("x-forwarded-for", "8.8.8.8")).await.status,
        401
    );
    assert_eq!(world.send(call(Method::GET, "operations").header("x-real-ip", "10.1.1.1")).await.status, 401);
    let through_proxy = Call::get("operations").from("172.18.0.2").header("host", "localhost");
    assert_eq!(world.send(through_proxy.header("x-real-ip", "10.1.1.1")).await.status, 200);
}

#[actix_web::test]
async fn preflights_are_for_listed_origins() {
    let world = World::new();
    let call = |origin: &str| {
        Call::new(Method::OPTIONS, "backups")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
    };
    let answer = world.send(call("http://localhost:3000")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost:3000"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST, PATCH, DELETE"));
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("Authorization, X-Admin-Secret, Content-Type, If-Match, Prefer, Last-Event-ID")
    );
    for origin in ["http://evil.example", "null", "http://localhost:3000.evil.example"] {
        let answer = world.send(call(origin)).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None), "{origin}");
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    let answer = world.send(Call::get("status").header("origin", "http://evil.example")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
}

#[actix_web::test]
async fn what_changes_something_is_audited_refused_or_not() {
    let world = World::new();
    world.send(Call::delete("backups/nova-backup-2026-01-31_23-59-59.tar")).await;
    let name = world.backup().await;
    world.send(Call::delete("backups/nova-backup-2026-01-31_23-59-59.tar").admin()).await;
    sign_in(&world).await;
    let audited: Vec<(String, String, AuditOutcome)> = world
        .audit
        .written()
        .into_iter()
        .map(|entry| (entry.action, entry.actor.to_string(), entry.outcome))
        .collect();
    let entry = |action: &str, actor: &str, outcome| (action.to_owned(), actor.to_owned(), outcome);
    assert_eq!(
        audited,
        [
            entry("delete_backup", "nobody known from 192.0.2.1", AuditOutcome::Refused),
            entry("backup", "admin secret from 192.0.2.1", AuditOutcome::Succeeded),
            entry("delete_backup", "admin secret from 192.0.2.1", AuditOutcome::Refused),
            entry("sign_in", "admin secret from 192.0.2.1", AuditOutcome::Succeeded),
        ]
    );
    assert!(world.audit.written()[1].operation_id.is_some());
    let answer = world.send(Call::get("audit?limit=1").admin()).await;
    assert_eq!(answer.json[0]["action"], "sign_in");
    assert_eq!(answer.json.as_array().unwrap().len(), 1);
    assert!(name.starts_with("nova-backup-"));
}
