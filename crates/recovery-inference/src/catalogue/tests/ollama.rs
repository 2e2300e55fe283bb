use super::*;
use crate::{
    Backend,
    estimate::{Use, estimate},
};

const PAGE: &str = include_str!("../samples/search.html");

#[test]
fn a_page_is_read_model_by_model_and_size_by_size() {
    let models = parse(PAGE).unwrap();
    let told: Vec<_> =
        models.iter().map(|model| (model.id.as_str(), model.downloads, model.tags.join(" "))).collect();
    assert_eq!(
        told,
        [
            ("llama3.1:8b", 109_300_000, "tools".to_owned()),
            ("llama3.1:70b", 109_300_000, "tools".to_owned()),
            ("llama3.1:405b", 109_300_000, "tools".to_owned()),
            ("nomic-embed-text", 1024, "embedding".to_owned()),
            ("someone/their-model", 12_000, String::new()),
        ]
    );
    assert_eq!(
        models[0].description,
        "Llama 3.1 is a new state-of-the-art model from Meta available in 8B, 70B & 405B parameter sizes."
    );
    let need = |at: usize| {
        models[at].facts.as_ref().map(|facts| estimate(facts, Use::chat(Backend::Ollama)).weights)
    };
    assert_eq!(need(0), Some(8_000_000_000 * 489 / 800));
    assert_eq!(need(3), None, "what nothing says is not guessed");
}

#[test]
fn a_page_that_changed_is_an_error_and_not_nonsense() {
    let nothing = "<!doctype html><html><body><p>No models found</p></body></html>";
    assert_eq!(parse(nothing).unwrap(), [], "nothing was found");
    for page in [
        "",
        "<!doctype html><html><body><div id=app></div></body></html>",
        "{\"models\": []}",
        &PAGE.replace("x-test-model", "data-model"),
        &PAGE.replace("href=\"/", "onclick=\"go('"),
        "No models found",
    ] {
        assert_eq!(parse(page), Err(Failure::Unreadable), "{page}");
    }
    for at in ["<ul", "llama3.1", "8b</span>", "nomic-embed-text", "12K", "</html>"] {
        let cut = PAGE.split_at(PAGE.find(at).unwrap()).0;
        assert_eq!(parse(cut), Err(Failure::Unreadable), "cut off before {at}");
    }
    let long = format!("<html>{}</html>", "x-test-model href=\"/library/a\" ".repeat(200_000));
    assert_eq!(parse(&long).unwrap().len(), MOST);
    assert!(parse("<html>x-test-model <a href=\"/library/../../etc\"></html>").is_err());
}

#[test]
fn a_manifest_says_how_large_the_weights_are() {
    let manifest_of = |layers: &str| manifest(format!("{{\"layers\": {layers}}}").as_bytes());
    let layers = r#"[
        {"mediaType": "application/vnd.ollama.image.model", "size": 4920738944},
        {"mediaType": "application/vnd.ollama.image.projector", "size": 1000},
        {"mediaType": "application/vnd.ollama.image.template", "size": 1481},
        {"mediaType": "application/vnd.ollama.image.license", "size": 12320}]"#;
    assert_eq!(manifest_of(layers), Some(4_920_739_944));
    for layers in
        ["[]", "null", "[1]", r#"[{"mediaType": "application/vnd.ollama.image.model", "size": -1}]"#]
    {
        assert_eq!(manifest_of(layers), None, "{layers}");
    }
    assert_eq!(manifest(b"<html>"), None);
}

#[test]
fn counts_of_people() {
    for (text, expect) in [
        ("109.3M", Some(109_300_000)),
        ("12K", Some(12_000)),
        ("1,024", Some(1024)),
        ("1B", Some(1_000_000_000)),
        ("", None),
        ("many", None),
        ("é", None),
    ] {
        assert_eq!(count(text), expect, "{text}");
    }
}
