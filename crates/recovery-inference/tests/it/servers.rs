//! Real clients on servers that stand in for Ollama, vLLM, SGLang and the gateway.

use std::{collections::BTreeMap, time::Duration};

use recovery_core::port::{InferenceServer, Remaining, ServerError};
use recovery_inference::server::{Backends, HttpGateway, Limits, SpecChanges, connect};
use recovery_testkit::{FakeGateway, FakeServer, MemoryKeyValue, SpokenDialect, StandIn, contract};

pub(crate) const LIMITS: Limits = Limits {
    quick: Duration::from_millis(300),
    token: Duration::from_millis(300),
    pull: Duration::from_millis(600),
};

pub(crate) async fn client_of(name: &str, stand_in: &StandIn) -> std::sync::Arc<dyn InferenceServer> {
    client_at(name, stand_in.address())
}

pub(crate) fn client_at(name: &str, address: String) -> std::sync::Arc<dyn InferenceServer> {
    let base = if name == "llamacpp" { llama_cpp() } else { SpecChanges::default() };
    let changes = SpecChanges { address: Some(address), ..base };
    let backends = Backends::configured(BTreeMap::from([(name.parse().unwrap(), changes)])).unwrap();
    connect(backends.get(&name.parse().unwrap()).unwrap(), LIMITS).unwrap()
}

/// The server of llama.cpp, as a configuration describes it.
pub(crate) fn llama_cpp() -> SpecChanges {
    serde_json::from_value(serde_json::json!({
        "label": "llama.cpp",
        "address": "http://llamacpp:8080",
        "in_flight": { "metrics": {
            "path": "/metrics",
            "counters": ["llamacpp:requests_processing", "llamacpp:requests_deferred"],
            "tokens": "llamacpp:tokens_predicted_total",
        } },
        "model_variable": "LLAMACPP_MODEL",
    }))
    .unwrap()
}

#[tokio::test]
async fn they_keep_what_the_port_promises() {
    let servers = [
        ("ollama", SpokenDialect::Ollama, FakeServer::uncounted("m", Duration::ZERO)),
        ("vllm", SpokenDialect::Vllm, FakeServer::new("m", Duration::ZERO)),
        ("sglang", SpokenDialect::Sglang, FakeServer::new("m", Duration::ZERO)),
        ("llamacpp", SpokenDialect::LlamaCpp, FakeServer::new("m", Duration::ZERO)),
    ];
    for (name, dialect, server) in servers {
        // Nobody waits for what the stand-in never sends.
        server.hangs_for(Duration::from_secs(3600));
        let stand_in = StandIn::serve(&server, dialect).await;
        contract::inference_server(client_of(name, &stand_in).await.as_ref(), &server).await;
    }
}

#[tokio::test]
async fn the_gateway_keeps_what_the_port_promises() {
    let server = FakeServer::new("m", Duration::ZERO);
    server.start();
    let store = MemoryKeyValue::new();
    store.put(1, "nova:config:inference.backend", "vllm");
    store.put(1, "nova:config:inference.state", "ready");
    let gateway = FakeGateway::new(&store, &[("vllm", "http://nova-vllm:8000", &server)]);
    let stand_in = StandIn::gateway(&gateway).await;
    let client = HttpGateway::new(&stand_in.address(), LIMITS).unwrap();
    contract::gateway(&client, &gateway).await;
}

#[tokio::test]
async fn an_ollama_without_a_model_is_ready_and_a_vllm_is_not() {
    for (name, dialect) in [("ollama", SpokenDialect::Ollama), ("vllm", SpokenDialect::Vllm)] {
        let server = FakeServer::new("m", Duration::ZERO);
        server.set_model(None);
        server.start();
        let stand_in = StandIn::serve(&server, dialect).await;
        let ready = client_of(name, &stand_in).await.ready().await;
        match name {
            "ollama" => assert_eq!(ready.unwrap(), None),
            _ => assert!(matches!(ready, Err(ServerError::Unreadable { .. })), "{ready:?}"),
        }
    }
}

#[tokio::test]
async fn counters_that_are_not_there_are_no_zero() {
    let server = FakeServer::new("m", Duration::ZERO);
    server.start();
    // It has no path for metrics under these names: it is asked as if it were the other one.
    let stand_in = StandIn::serve(&server, SpokenDialect::Sglang).await;
    let remaining = client_of("vllm", &stand_in).await.remaining().await;
    assert!(matches!(remaining, Err(ServerError::Unreadable { .. })), "{remaining:?}");
    let right = client_of("sglang", &stand_in).await.remaining().await;
    assert_eq!(right.unwrap(), Remaining::Nothing);
}
