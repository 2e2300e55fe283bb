//! Factory reset on the page: looked at, refused and done.

use serde_json::json;

use super::{browser::Page, world};
use crate::service::DATABASE;

/// Ticks a box, or takes the tick away.
async fn tick(page: &Page, id: &str) {
    page.element(&format!("#{id}")).await.click().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_looked_at_refused_and_done() {
    let mut world = world();
    // How many rows there are is estimated by what the server has counted last.
    world.postgres.psql(DATABASE, "ANALYZE");
    let service = world.serve().await;
    let page = Page::signed_in(&service).await;
    page.until_there("#keep-chat_history").await;

    // Accounts without the chats that hang on them.
    tick(&page, "keep-chat_history").await;
    tick(&page, "keep-users_and_auth").await;
    page.until_text("#reset .warning", "Every account on this instance is deleted").await;
    page.press("#reset", "Preview").await;
    page.until_text("#reset", "This cannot be done as it is").await;
    page.until_text("#reset [role=alert]", "messages").await;
    assert!(!page.is_there("#reset-word").await, "what cannot be done cannot be confirmed");

    // What is kept changes, and the preview of something else is gone with it.
    tick(&page, "keep-chat_history").await;
    tick(&page, "keep-users_and_auth").await;
    page.until_gone("#preview-title").await;
    page.press("#reset", "Preview").await;
    page.until_text("#reset", "What would go").await;
    page.until_text("#reset", "Chat history: messages (5,000)").await;
    assert_eq!(page.focused().await, "What would go");

    page.write("#reset-word", "reset").await;
    page.keys("\n").await;
    page.until_text("#reset [role=alert]", "Type RESET, in capitals").await;

    // The service refuses what cannot be done any more.
    world.redis.stop();
    page.write("#reset-word", "RESET").await;
    page.press("#reset", "Reset 6 categories").await;
    page.until_text("#reset [role=alert]", "Redis").await;
    page.until_there("#reset [role=alert] .hint").await;
    assert_eq!(world.count("messages"), 5000);
    world.redis.restart();
    page.until_text("#facts", "Redis\nanswers").await;

    page.write("#reset-word", "RESET").await;
    page.press("#reset", "Reset 6 categories").await;
    page.until_text("#reset .notice[role=status]", "The reset is done").await;
    page.until_text("#reset .notice[role=status]", "restoring that brings all of it back").await;
    assert_eq!((world.count("messages"), world.count("users")), (0, 100));
    page.until_text("#backup-list .rows", "Safety").await;
    page.until_text("#ended", "Factory reset succeeded").await;
    assert_eq!(
        page.run("return document.querySelectorAll('#preview-title, #reset-word').length").await,
        json!(0)
    );
}
