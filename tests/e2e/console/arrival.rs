//! The page when parts of it do not arrive: a browser breaks requests off when the networks of its machine change.

use serde_json::{Value, json};
use thirtyfour::PageLoadStrategy;

use super::{browser::Page, world};
use crate::service::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_does_not_arrive_is_said_and_fetched_again() {
    let world = world();
    let service = world.serve().await;
    let page = Page::empty(&service, PageLoadStrategy::Normal).await;
    page.tell_browser("Network.enable", json!({})).await;
    page.tell_browser("Network.setBlockedURLs", json!({"urls": ["*/verdict.js"]})).await;
    page.load().await;
    page.until_text("#banner [role=alert]", "Part of this page did not arrive").await;
    // Again and again, for as long as the tab is there, with pauses that grow.
    let attempts = "return history.state?.attempts ?? 0";
    until("the third attempt", async || page.run(attempts).await.as_u64() >= Some(2)).await;
    page.tell_browser("Network.setBlockedURLs", json!({"urls": []})).await;
    page.until_text("#verdict", "There is no backup yet").await;
    assert!(!page.is_there("#banner [role=alert]").await);
    assert_eq!(page.run("return history.state").await, Value::Null, "the next pause is a short one again");

    // Whoever does not want to wait need not.
    page.tell_browser("Network.setBlockedURLs", json!({"urls": ["*/charts.js"]})).await;
    page.run("history.replaceState({ attempts: 9 }, ''); location.reload()").await;
    page.until_text("#banner [role=alert]", "It is loaded again in 60 s").await;
    page.tell_browser("Network.setBlockedURLs", json!({"urls": []})).await;
    page.press("#banner", "Load it now").await;
    page.until_text("#verdict", "There is no backup yet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_waits_says_that_it_takes_long() {
    let world = world();
    let service = world.serve().await;
    let page = Page::empty(&service, PageLoadStrategy::None).await;
    page.tell_browser("Fetch.enable", json!({"patterns": [{"urlPattern": "*/start.js"}]})).await;
    page.load().await;
    page.until_text("#verdict", "Looking at how things stand").await;
    page.until_text("#verdict", "This takes longer than it should. Load the page again").await;
    page.tell_browser("Fetch.disable", json!({})).await;
    page.until_text("#verdict", "There is no backup yet").await;
    assert!(!page.text("#verdict").await.contains("longer than it should"));
}
