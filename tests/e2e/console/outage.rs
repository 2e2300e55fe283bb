//! The page while something else is down: the service itself, PostgreSQL, Redis; and one that is open for very long.

use serde_json::{Value, json};

use super::{
    browser::{Look, Page},
    world,
};
use crate::service::until;

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_killed_and_started_again_under_an_open_page() {
    let world = world();
    let mut service = world.serve().await;
    let name = service.backup().await;
    let page = Page::signed_in(&service).await;
    page.until_text("#backup-list .rows", "Verified").await;
    service.kill();
    page.until_text("#banner [role=alert]", "Not connected since").await;
    page.until_text("#banner [role=alert]", "Everything below is from").await;
    page.until_text("#connection", "Not connected since").await;
    page.until_text("#verdict", "The recovery service has not answered").await;
    page.until_text("#verdict", "docker compose up -d recovery").await;
    assert!(page.text("#backup-list .rows").await.contains("Verified"), "what is known stays");

    let other = world.serve_in_place_of(&service).await;
    page.until_gone("#banner [role=alert]").await;
    page.until_text("#verdict", "The container engine does not answer").await;
    // Sessions end with the process; the page says so and goes on from where it is.
    page.until_text("#sign-in", "Your session has ended").await;
    page.sign_in().await;
    page.until_there(&format!("[aria-label='More about {name}']")).await;
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_down_is_said_in_one_sentence() {
    let mut world = world();
    let service = world.serve().await;
    service.backup().await;
    let page = Page::open(&service).await;
    page.until_text("#verdict", "The container engine does not answer").await;
    world.postgres.stop();
    page.until_text("#verdict", "PostgreSQL does not answer").await;
    page.until_text("#facts", "does not answer").await;
    assert!(page.text("#verdict").await.contains("Something is wrong"), "in words, not by colour alone");
    world.postgres.restart();
    page.until_text("#verdict", "The container engine does not answer").await;
}

/// As many events as a service makes in weeks, through the page's own stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_events_do_not_fill_the_memory() {
    let world = world();
    let service = world.serve().await;
    let flood = r#"
        const real = window.fetch;
        let left = 100_000, id = 0;
        window.fetch = (address, options) => {
            if (!String(address).endsWith("/events")) return real(address, options);
            const encoder = new TextEncoder();
            const body = new ReadableStream({
                async pull(controller) {
                    if (!window.flood) { await new Promise((go) => setTimeout(go, 20)); return controller.enqueue(encoder.encode(": waiting\n\n")); }
                    if (left <= 0) { window.flooded = true; return new Promise(() => {}); }
                    let text = "";
                    for (let n = 0; n < 500; n += 1, left -= 1, id += 1) {
                        const operation = {
                            id: `operation-${Math.floor(id / 2)}`, kind: "backup", actor: "the test", target: "t".repeat(200),
                            state: id % 2 === 1 ? "succeeded" : "running",
                            started_at: new Date(1.7e12 + Math.floor(id / 2) * 1000).toISOString(),
                            progress: { phase: `phase ${id % 100}`, done: id % 100, total: 100, unit: "steps" },
                        };
                        text += `id: ${id}\nevent: operation\ndata: ${JSON.stringify(operation)}\n\n`;
                    }
                    controller.enqueue(encoder.encode(text));
                },
            });
            return Promise.resolve(new Response(body, { headers: { "content-type": "text/event-stream" } }));
        };"#;
    let page = Page::open_with(&service, Look::WIDE, Some(flood)).await;
    page.sign_in().await;
    let before = heap(&page).await;
    page.run("window.flood = true").await;
    until("every event to be read", async || page.run("return window.flooded === true").await == json!(true))
        .await;
    page.until_text("#ended", "Backup succeeded").await;
    let grown = heap(&page).await - before;
    assert!(grown < 10.0 * 1024.0 * 1024.0, "{grown} bytes more");
}

/// The bytes that are in use once everything that nobody needs is cleared away.
async fn heap(page: &Page) -> f64 {
    page.tell_browser("HeapProfiler.collectGarbage", json!({})).await;
    page.tell_browser("Performance.enable", json!({})).await;
    let metrics = page.tell_browser("Performance.getMetrics", json!({})).await;
    let metrics = metrics["metrics"].as_array().cloned().unwrap_or_default();
    let used = |metric: &&Value| metric["name"] == "JSHeapUsedSize";
    metrics.iter().find(used).unwrap()["value"].as_f64().unwrap()
}
