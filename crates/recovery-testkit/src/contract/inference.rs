//! What `InferenceServer` and `Gateway` promise.

use std::{sync::Mutex, time::Duration};

use recovery_core::port::{Gateway, InferenceServer, PullError, Remaining, ServerError};

use crate::{FakeGateway, FakeServer, Sickness};

/// What holds of a client of a server. `server` is what it speaks with, has a model, and is ready at once when it is
/// started.
pub async fn inference_server(client: &dyn InferenceServer, server: &FakeServer) {
    server.start();
    super::soon("it answers", async || client.health().await.is_ok()).await;
    let model = client.ready().await.expect("it is ready").expect("it has a model");
    assert_eq!(client.models().await.unwrap(), [model]);

    super::soon("it has nothing to do", async || client.remaining().await.unwrap() == Remaining::Nothing)
        .await;
    let long = tokio::spawn({
        let server = server.clone();
        async move { server.request(Duration::from_secs(3600)).await }
    });
    super::soon("it has something to do", async || client.remaining().await.unwrap() != Remaining::Nothing)
        .await;
    let remaining = client.remaining().await.unwrap();
    assert!(matches!(remaining, Remaining::Requests(1) | Remaining::Something), "{remaining:?}");

    for (sickness, kind) in [(Sickness::Status(500), "status"), (Sickness::Hung, "hung")] {
        server.sick(Some(sickness));
        let errors = [
            client.health().await.unwrap_err(),
            client.ready().await.unwrap_err(),
            client.remaining().await.unwrap_err(),
            client.models().await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(kind_of(&error), kind, "{error:?}");
        }
    }
    server.sick(Some(Sickness::EngineHung));
    client.health().await.expect("it says that it is well");
    let error = client.ready().await.expect_err("and no model answers");
    assert_eq!(kind_of(&error), "hung", "{error:?}");
    server.sick(None);
    if let Some(before) = client.tokens().await.unwrap() {
        super::soon("it makes tokens", async || client.tokens().await.unwrap() > Some(before)).await;
    }

    server.stop();
    assert_eq!(long.await.unwrap(), crate::Served::Cut);
    super::soon("nothing listens", async || matches!(client.health().await, Err(ServerError::Closed { .. })))
        .await;
    for error in [client.ready().await.unwrap_err(), client.remaining().await.unwrap_err()] {
        assert_eq!(kind_of(&error), "closed", "{error:?}");
    }
    server.start();
    super::soon("it answers again", async || client.ready().await.is_ok()).await;
}

/// What holds of a client of a server that fetches models. `server` is what it speaks with, and runs.
pub async fn puller(client: &dyn InferenceServer, server: &FakeServer) {
    server.offers("small:1b", 1_000, Duration::from_millis(40));
    let heard = Mutex::new(Vec::new());
    let hear = |progress: recovery_core::Progress| heard.lock().unwrap().push(progress);
    client.pull("small:1b", &hear).await.expect("it is offered");
    assert!(client.models().await.unwrap().contains(&"small:1b".to_owned()));
    let counted: Vec<(u64, Option<u64>)> = {
        let heard = heard.lock().unwrap();
        let pulling = heard.iter().filter(|progress| progress.phase == "pulling" && progress.total.is_some());
        pulling.map(|progress| (progress.done, progress.total)).collect()
    };
    assert!(counted.is_sorted() && counted.len() > 1, "{counted:?}");
    assert_eq!(counted.last(), Some(&(1_000, Some(1_000))));
    client.pull("small:1b", &hear).await.expect("once more does no harm");

    let error = client.pull("nobody/nothing", &|_| {}).await.expect_err("nobody offers it");
    assert!(matches!(&error, PullError::Refused { said } if said.contains("does not exist")), "{error:?}");
    server.sick(Some(Sickness::Status(500)));
    let error = client.pull("small:1b", &|_| {}).await.unwrap_err();
    assert!(matches!(error, PullError::Server(ServerError::Status { status: 500 })), "{error:?}");
    server.sick(None);

    server.offers("large:70b", 1_000_000, Duration::from_millis(400));
    let begun = tokio::sync::Notify::new();
    let hear = |_| begun.notify_one();
    let pulling = client.pull("large:70b", &hear);
    let stop = async {
        begun.notified().await;
        server.stop();
    };
    let (error, ()) = tokio::join!(pulling, stop);
    let error = error.expect_err("it ended in the middle");
    assert!(matches!(error, PullError::Server(ServerError::Broken { .. })), "{error:?}");
    server.start();
    super::soon("it answers again", async || client.health().await.is_ok()).await;
    assert!(!client.models().await.unwrap().contains(&"large:70b".to_owned()), "half a model is none");
}

/// What holds of a client of a gateway. Its servers run, and its settings lead to one of them.
pub async fn gateway(client: &dyn Gateway, gateway: &FakeGateway) {
    assert_eq!(client.in_flight().await.unwrap(), 0);
    let long = tokio::spawn({
        let gateway = gateway.clone();
        async move { gateway.request(Duration::from_secs(3600)).await }
    });
    super::soon("it counts the request", async || client.in_flight().await.unwrap() == 1).await;
    long.abort();
    gateway.away(true);
    client.in_flight().await.expect_err("it does not say");
    gateway.away(false);
    client.in_flight().await.expect("it says again");
}

fn kind_of(error: &ServerError) -> &'static str {
    match error {
        ServerError::Closed { .. } => "closed",
        ServerError::Status { .. } => "status",
        ServerError::Hung { .. } => "hung",
        ServerError::Broken { .. } => "broken",
        ServerError::Unreadable { .. } => "unreadable",
    }
}
