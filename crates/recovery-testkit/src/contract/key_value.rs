//! What `KeyValue` promises.

use recovery_core::{
    OperationId,
    port::{KeyValue, KeyValueError},
};

/// What holds while the server answers. Leaves a few keys named `recovery-contract:…` behind, in databases 1 and 7.
pub async fn key_value(store: &dyn KeyValue) {
    store.ping().await.expect("it answers");
    let key = format!("recovery-contract:{}", OperationId::new());
    assert_eq!(store.get(7, &key).await.unwrap(), None, "a key that nobody set");

    for value in ["one", "", "\"quoted\"", "two words\nand a line", "größer 🦀"] {
        store.set(7, &key, value).await.unwrap();
        assert_eq!(store.get(7, &key).await.unwrap().as_deref(), Some(value), "what was set is what is read");
    }

    assert_eq!(store.get(1, &key).await.unwrap(), None, "databases are separate");
    store.set(1, &key, "other").await.unwrap();
    assert_eq!(store.get(7, &key).await.unwrap().as_deref(), Some("größer 🦀"), "databases are separate");
    assert_eq!(store.get(1, &key).await.unwrap().as_deref(), Some("other"));

    let (first, second) = tokio::join!(store.set(1, &key, "first"), store.get(7, &key));
    first.unwrap();
    let second = second.unwrap();
    assert_eq!(second.as_deref(), Some("größer 🦀"), "calls to two databases at once do not mix");

    // Whether as refused or as unavailable is left open: a client that signs in to each database by itself sees a
    // connection that never comes to stand.
    store.get(255, &key).await.expect_err("a database that the server does not have");
    store.set(255, &key, "x").await.expect_err("a database that the server does not have");
    assert_eq!(store.get(7, &key).await.unwrap().as_deref(), Some("größer 🦀"), "a refusal breaks nothing");
}

/// What holds while the server does not answer: every call says so, and within a few seconds.
pub async fn key_value_away(store: &dyn KeyValue) {
    let calls = async {
        [store.ping().await, store.get(7, "key").await.map(drop), store.set(7, "key", "value").await]
    };
    let results = tokio::time::timeout(super::SOON, calls).await.expect("no call hangs");
    for result in results {
        let error = result.expect_err("nobody answers");
        assert!(matches!(error, KeyValueError::Unavailable { .. }), "{error:?}");
    }
}
