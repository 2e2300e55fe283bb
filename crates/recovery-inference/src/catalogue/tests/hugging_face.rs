use super::*;
use crate::{
    Backend,
    estimate::{Certainty, Room, Use, estimate},
};

const MODELS: &[u8] = include_bytes!("../samples/models.json");

#[test]
fn a_list_is_read_entry_by_entry() {
    let models = parse(MODELS).unwrap();
    let ids: Vec<&str> = models.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "Qwen/Qwen2.5-7B-Instruct",
            "meta-llama/Llama-3.1-8B-Instruct",
            "Qwen/Qwen2.5-7B-Instruct-AWQ",
            "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF",
            "someone/Mystery-13B",
            "someone/no-size-at-all",
        ],
        "those without a name, and with one that is none, are passed over"
    );
    let told: Vec<_> = models
        .iter()
        .map(|model| (model.downloads, model.likes, model.quantized, model.gated, model.max_context))
        .collect();
    assert_eq!(told[0], (9_123_456, 812, false, false, None));
    assert_eq!(told[1], (5_600_000, 4500, false, true, Some(131_072)));
    assert_eq!(told[2], (1_200_000, 30, true, false, None));
    assert_eq!(told[3], (300_000, 250, true, false, Some(131_072)));
    assert_eq!(told[5], (0, 0, false, false, None), "figures of another type are none");
    assert_eq!(models[2].quantization.as_deref(), Some("awq"));
    assert_eq!(models[0].description, "qwen2, 7.6 billion parameters, by Qwen");
    assert!(models[0].tags.contains(&"license:apache-2.0".to_owned()));
}

#[test]
fn estimates_follow_from_what_the_list_says() {
    let models = parse(MODELS).unwrap();
    let need = |at: usize| {
        let facts = models[at].facts.as_ref()?;
        let estimate = estimate(facts, Use::chat(Backend::Vllm));
        Some((estimate.weights / 1_000_000, estimate.certainty))
    };
    assert_eq!(need(0), Some((15_231, Certainty::Medium)), "the shape is not known");
    assert_eq!(need(2), Some((5571, Certainty::Medium)), "5.57 GB on its page");
    assert_eq!(need(3).map(|need| need.1), Some(Certainty::Medium));
    assert_eq!(need(4), Some((26_000, Certainty::Low)), "thirteen billion, of its name");
    assert_eq!(need(5), None, "what nothing says is not guessed");
    let room = Room::one_gpu(24_564, Backend::Vllm);
    assert_eq!(models[0].fit(Backend::Vllm, room).unwrap().as_str(), "fits");
    assert_eq!(models[4].fit(Backend::Vllm, room).unwrap().as_str(), "does_not_fit");
    assert_eq!(models[5].fit(Backend::Vllm, room), None);
}

#[test]
fn what_is_no_list_of_models_is_an_error() {
    assert_eq!(parse(b"[]").unwrap(), [], "nothing was found");
    for answer in [
        &b""[..],
        b"{}",
        b"null",
        b"{\"error\": \"over capacity\"}",
        b"[1, 2]",
        b"[{\"name\": \"x\"}]",
        b"<html><body>Bad gateway</body></html>",
        &MODELS[..MODELS.len() / 2],
        b"\xff\xfe\x00",
    ] {
        assert_eq!(parse(answer), Err(Failure::Unreadable));
    }
}

#[test]
fn the_address_asks_for_all_that_is_needed() {
    let query = Query::new(" llama 3&limit=1000 ").unwrap();
    let address = address("http://hub.example/", &query);
    assert!(
        address.starts_with("http://hub.example/api/models?search=llama%203%26limit%3D1000&"),
        "{address}"
    );
    for name in ["safetensors", "gguf", "config", "downloads", "likes", "tags", "gated"] {
        assert!(address.contains(&format!("&expand[]={name}")), "{address}");
    }
    let popular = super::address("http://hub.example", &Query::new("").unwrap());
    assert!(!popular.contains("search=") && popular.contains("sort=downloads"), "{popular}");
}
