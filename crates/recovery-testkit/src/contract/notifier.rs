//! What `Notifier` promises.

use recovery_core::{
    ErrorCode,
    port::{Notice, NoticeEvent, Notifier, NotifyError},
};
use time::macros::datetime;

/// What holds while the receiver takes notices: each arrives once, whole and in its turn. `arrived` gives the texts of
/// those that the receiver has.
pub async fn notifier(notifier: &dyn Notifier, arrived: impl Fn() -> Vec<String>) {
    let texts = ["one", "two \"quoted\"\nlines", "größer 🦀"];
    for text in texts {
        notifier.notify(&notice(text)).await.expect("it is taken");
    }
    assert_eq!(arrived(), texts);
}

/// What holds while nobody takes notices: every call says so, and within a few seconds.
pub async fn notifier_away(notifier: &dyn Notifier) {
    let notice = notice("anybody there?");
    let told = tokio::time::timeout(super::SOON, notifier.notify(&notice)).await.expect("no call hangs");
    let error = told.expect_err("nobody answers");
    assert!(matches!(error, NotifyError::Unavailable { .. }), "{error:?}");
}

fn notice(text: &str) -> Notice {
    Notice {
        event: NoticeEvent::Failed,
        subject: "contract".to_owned(),
        reason: ErrorCode::Internal,
        text: text.to_owned(),
        at: datetime!(2026-01-31 12:00:00 UTC),
    }
}
