//! The page and how things go on: by events, by asking where there are none, and never an old fact without its age.

use serde_json::json;

use super::{
    browser::{Look, Page},
    world,
};
use crate::service::{SECRET, until};

/// In the page: no event stream while `window.quiet`, and no list of backups while `window.broken`.
const BROKEN: &str = r#"
    const real = window.fetch;
    window.quiet = true;
    window.asked = 0;
    window.fetch = (address, options) => {
        const path = String(address);
        if (path.endsWith("/status")) window.asked += 1;
        if (window.quiet && path.endsWith("/events")) return Promise.resolve(new Response("", { status: 503 }));
        if (window.broken && path.endsWith("/backups")) {
            const problem = { status: 503, code: "storage_unavailable", title: "Unavailable", detail: "The disk is away.", hint: "Plug it in." };
            return Promise.resolve(new Response(JSON.stringify(problem), { status: 503, headers: { "x-request-id": "x" } }));
        }
        return real(address, options);
    };"#;

#[tokio::test(flavor = "multi_thread")]
async fn without_events_it_asks_and_says_how_old_everything_is() {
    let world = world();
    let service = world.serve().await;
    let page = Page::open_with(&service, Look::WIDE, Some(BROKEN)).await;
    page.until_there("#secret").await;
    page.write("#secret", SECRET).await;
    page.press("#sign-in", "Sign in").await;
    page.until_text("#session", "Sign out").await;
    page.until_text("#backup-list", "There is no backup yet").await;
    assert!(page.text("#connection").await.starts_with("As of "), "there are no events");

    // Nothing tells it of this; it asks by itself.
    service.backup().await;
    page.until_text("#backup-list .rows", "Verified").await;
    page.until_text("#audit", "Backup").await;
    let before = page.run("return window.asked").await.as_u64().unwrap();
    until("it to ask again and again", async || {
        page.run("return window.asked").await.as_u64().unwrap() >= before + 2
    })
    .await;

    // One answer fails: what was known stays, with its age and with the reason.
    page.run("window.broken = true").await;
    page.until_text("#backup-list .notice", "The disk is away").await;
    page.until_text("#backup-list .notice", "What is shown is from ").await;
    page.until_text("#backup-list .notice", "Plug it in").await;
    assert!(page.text("#backup-list .rows").await.contains("Verified"));
    page.run("window.broken = false").await;
    page.until_gone("#backup-list .notice").await;

    // With the events it is live again, and sees at once what happens.
    page.run("window.quiet = false").await;
    page.until_text("#connection", "Live").await;
    service.backup().await;
    until("both backups to be listed", async || {
        page.run("return document.querySelectorAll('#backup-list .rows > li').length").await == json!(2)
    })
    .await;
}
