//! Fetching a model with Ollama, whatever comes.

use std::{sync::Mutex, time::Duration};

use recovery_core::port::{PullError, ServerError};
use recovery_testkit::{FakeServer, Sickness, SpokenDialect, StandIn, contract};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::servers::{LIMITS, client_at, client_of};

#[tokio::test]
async fn it_keeps_what_the_port_promises() {
    let server = FakeServer::uncounted("m", Duration::ZERO);
    server.start();
    let stand_in = StandIn::serve(&server, SpokenDialect::Ollama).await;
    contract::puller(client_of("ollama", &stand_in).await.as_ref(), &server).await;
}

#[tokio::test]
async fn others_fetch_none() {
    for (name, dialect) in [("vllm", SpokenDialect::Vllm), ("sglang", SpokenDialect::Sglang)] {
        let server = FakeServer::new("m", Duration::ZERO);
        server.start();
        let stand_in = StandIn::serve(&server, dialect).await;
        let pulled = client_of(name, &stand_in).await.pull("a", &|_| {}).await;
        assert!(matches!(pulled, Err(PullError::Unsupported)), "{pulled:?}");
    }
}

#[tokio::test]
async fn one_that_gives_no_sign_is_not_waited_for() {
    let server = FakeServer::uncounted("m", Duration::ZERO);
    server.start();
    let stand_in = StandIn::serve(&server, SpokenDialect::Ollama).await;
    let client = client_of("ollama", &stand_in).await;
    server.offers("slow", 1_000, Duration::from_secs(3600));
    let pulled = client.pull("slow", &|_| {}).await;
    assert!(matches!(pulled, Err(PullError::Stalled { within }) if within == LIMITS.pull), "{pulled:?}");
    server.hangs_for(Duration::from_secs(3600));
    server.sick(Some(Sickness::Hung));
    let pulled = client.pull("slow", &|_| {}).await;
    assert!(matches!(pulled, Err(PullError::Server(ServerError::Hung { .. }))), "{pulled:?}");
}

/// What becomes of a pull when the server answers with these bytes, and what was heard of its progress. `more` are sent
/// for ever afterwards.
async fn pulled(answer: Vec<u8>, more: Option<&'static str>) -> (Result<(), PullError>, Vec<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let _ = stream.write_all(&answer).await;
        while let Some(more) = more {
            if stream.write_all(more.as_bytes()).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let heard = Mutex::new(Vec::new());
    let pulled =
        client_at("ollama", address).pull("m", &|progress| heard.lock().unwrap().push(progress.done)).await;
    server.abort();
    (pulled, heard.into_inner().unwrap())
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}").into_bytes()
}

#[tokio::test]
async fn only_success_is_success() {
    let (success, _) = pulled(ok("{\"status\":\"success\"}"), None).await;
    success.expect("a last line without an end is one");
    let refused = async |answer| match pulled(answer, None).await.0 {
        Err(PullError::Refused { said }) => said,
        other => panic!("{other:?}"),
    };
    let said = refused(ok(
        "{\"status\":\"pulling manifest\"}\n{\"error\":\"no such\\nmodel\"}\n{\"status\":\"success\"}\n",
    ));
    assert_eq!(said.await, "no such model", "an error is one, whatever comes after it");
    let error = "{\"error\":\"invalid model name: m\"}";
    let head = format!("HTTP/1.1 400 Bad\r\ncontent-length: {}\r\n\r\n", error.len());
    let body = format!("{head}{error}").into_bytes();
    assert!(refused(body).await.starts_with("invalid model name"));
    for body in
        ["", "{\"status\":\"pulling manifest\"}\n", "{\"status\":\"success\"}\n{\"status\":\"pulling\"}\n"]
    {
        let (pulled, _) = pulled(ok(body), None).await;
        assert!(matches!(pulled, Err(PullError::Server(ServerError::Broken { .. }))), "{body:?}: {pulled:?}");
    }
}

#[tokio::test]
async fn what_is_no_such_stream_is_not_read_for_ever() {
    for body in ["<html>", "7", &"x".repeat(1_000_000)] {
        let (pulled, _) = pulled(ok(body), None).await;
        assert!(matches!(pulled, Err(PullError::Server(ServerError::Unreadable { .. }))), "{pulled:?}");
    }
    let (pulled_all, _) = pulled(ok(""), Some("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")).await;
    assert!(pulled_all.is_err());
    // The same line again and again is no sign of progress.
    let line = "{\"status\":\"pulling a\",\"digest\":\"sha256:a\",\"total\":100,\"completed\":7}\n";
    let (pulled, heard) = pulled(ok(""), Some(line)).await;
    assert!(matches!(pulled, Err(PullError::Stalled { .. })), "{pulled:?}");
    assert_eq!(heard, [7], "and is told once");
}
