use serde_json::{Value, json};

use super::*;

fn configured(changes: Value) -> Result<Backends, InvalidBackend> {
    Backends::configured(serde_json::from_value(changes).unwrap())
}

fn get<'a>(backends: &'a Backends, name: &str) -> &'a BackendSpec {
    backends.get(&name.parse().unwrap()).unwrap()
}

#[test]
fn the_three_of_the_platform_are_built_in() {
    let backends = configured(json!({})).unwrap();
    let list: Vec<String> = backends
        .iter()
        .map(|spec| {
            let variable = spec.model_variable().unwrap_or("-");
            format!("{} {} {} {} {variable}", spec.name(), spec.profile(), spec.service(), spec.address())
        })
        .collect();
    assert_eq!(
        list,
        [
            "ollama local-ollama ollama http://ollama:11434 -",
            "sglang local-sglang nova-sglang http://nova-sglang:8000 SGLANG_MODEL",
            "vllm local-vllm nova-vllm http://nova-vllm:8000 VLLM_MODEL",
        ]
    );
}

#[test]
fn what_the_configuration_says_goes_before_and_the_rest_stays() {
    let backends =
        configured(json!({ "vllm": { "address": "http://10.0.0.5:9000/", "stop_grace_s": 90 } })).unwrap();
    let vllm = get(&backends, "vllm");
    assert_eq!(vllm.address(), "http://10.0.0.5:9000");
    assert_eq!(vllm.stop_grace(), Duration::from_secs(90));
    assert_eq!(vllm.service().as_str(), "nova-vllm");
    assert_eq!(vllm.label(), "vLLM");
}

#[test]
fn a_fourth_backend_is_added_by_configuration_alone() {
    let backends = configured(json!({ "llamacpp": {
        "label": "llama.cpp",
        "address": "http://llamacpp:8080",
        "in_flight": { "metrics": {
            "path": "/metrics",
            "counters": ["llamacpp:requests_processing", "llamacpp:requests_deferred"],
        } },
        "model_variable": "LLAMACPP_MODEL",
    } }))
    .unwrap();
    let fourth = get(&backends, "llamacpp");
    assert_eq!(fourth.profile().as_str(), "local-llamacpp");
    assert_eq!(fourth.service().as_str(), "llamacpp");
    assert_eq!(fourth.health(), "/health");
    assert_eq!(backends.iter().count(), 4);
    assert_eq!(backends.of_profile(&"local-llamacpp".parse().unwrap()), Some(fourth));
    assert_eq!(backends.of_service(&"llamacpp".parse().unwrap()), Some(fourth));
}

/// A change of vLLM, or of a backend named `other`, that is refused for this.
fn refused(name: &str, changes: Value, expect: &str) {
    let mut all = serde_json::Map::new();
    all.insert(name.to_owned(), changes);
    let error = configured(all.into()).unwrap_err();
    assert_eq!(format!("{} {}", error.field, error.why), expect);
}

#[test]
fn what_could_not_work_is_refused() {
    let metrics = json!({ "metrics": { "path": "/metrics", "counters": ["a"] } });
    refused("other", json!({ "in_flight": metrics }), "address is missing");
    refused("other", json!({ "address": "http://other:1" }), "in_flight is missing");
    for address in ["other:1", "https://other", "http://u:p@other", "http://other/v1", "http://other?x", ""] {
        refused("vllm", json!({ "address": address }), "address must be http://host:port");
    }
    refused("vllm", json!({ "health": "health" }), "health must be a path that begins with /");
    refused(
        "vllm",
        json!({ "in_flight": { "metrics": { "path": "/m", "counters": [] } } }),
        "in_flight must name counters",
    );
    refused(
        "vllm",
        json!({ "in_flight": { "metrics": { "path": "/m", "counters": ["a b"] } } }),
        "in_flight must name counters",
    );
    refused(
        "vllm",
        json!({ "in_flight": { "metrics": { "path": "/m", "counters": ["a"], "tokens": "b c" } } }),
        "in_flight must name a counter of tokens, or none",
    );
    refused(
        "vllm",
        json!({ "in_flight": "unload" }),
        "in_flight can be unload only where the dialect is ollama",
    );
    refused(
        "vllm",
        json!({ "model_variable": "A=B" }),
        "model_variable must be the name of a variable, such as VLLM_MODEL",
    );
    refused("vllm", json!({ "stop_grace_s": 0 }), "stop_grace_s must be 1 to 3600");
    refused("vllm", json!({ "service": "nova-sglang" }), "service is that of another backend");
    refused("vllm", json!({ "address": "http://nova-sglang:8000/" }), "address is that of another backend");
}

#[test]
fn names_are_small_and_plain() {
    for name in ["", "Vllm", "1a", "a b", "a/b", "custom", "none", &"a".repeat(33)] {
        assert!(name.parse::<BackendName>().is_err(), "{name:?}");
    }
    let unknown_field = serde_json::from_value::<SpecChanges>(json!({ "adress": "http://a" }));
    unknown_field.unwrap_err();
}
