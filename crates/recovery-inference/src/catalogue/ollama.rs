//! The models of Ollama's library. It has no interface for searching: its page is read, by the marks that it has for
//! tests; sizes come from the registry, whose manifests are what `ollama pull` reads.

use futures_util::future::join_all;
use recovery_core::port::{WebClient, WebRequest};
use serde_json::Value;

use super::{
    Addresses, FoundModel, Query,
    error::{Failure, good},
    text::{encoded, line, parameters},
};
use crate::estimate::{Model, Quantization, Weights};

/// The most bytes of a page; one is about 150 KiB.
const LARGEST_PAGE: usize = 4 * 1024 * 1024;
const LARGEST_MANIFEST: usize = 256 * 1024;
/// How many models of a page are told.
const MOST: usize = 60;
/// Of how many the registry is asked: the first, which are most likely meant.
const MOST_MANIFESTS: usize = 8;

pub(super) async fn search(
    web: &dyn WebClient,
    addresses: &Addresses,
    query: &Query,
) -> Result<Vec<FoundModel>, Failure> {
    let base = addresses.ollama_library.trim_end_matches('/');
    let request = WebRequest {
        url: format!("{base}/search?q={}", encoded(&query.text)),
        accept: "text/html",
        token: None,
        limit: LARGEST_PAGE,
        timeout: addresses.limit,
    };
    let page = good(web.get(request).await?)?;
    let mut models = parse(&String::from_utf8_lossy(&page))?;
    let asking = models.iter().take(MOST_MANIFESTS).map(|model| size(web, addresses, &model.id));
    let sizes = join_all(asking).await;
    for (model, size) in models.iter_mut().zip(sizes) {
        // A registry that does not answer leaves what the name says.
        if let Some(bytes) = size {
            let parameters = model.facts.as_ref().and_then(|facts| facts.weights.parameters());
            model.facts = Some(Model { weights: Weights::Files { bytes, parameters }, shape: None });
        }
    }
    Ok(models)
}

/// The bytes of a model's weights, as its manifest says.
async fn size(web: &dyn WebClient, addresses: &Addresses, id: &str) -> Option<u64> {
    let (name, tag) = id.split_once(':').unwrap_or((id, "latest"));
    let name = if name.contains('/') { name.to_owned() } else { format!("library/{name}") };
    let base = addresses.ollama_registry.trim_end_matches('/');
    let request = WebRequest {
        url: format!("{base}/v2/{name}/manifests/{tag}"),
        accept: "application/vnd.docker.distribution.manifest.v2+json",
        token: None,
        limit: LARGEST_MANIFEST,
        timeout: addresses.limit / 3,
    };
    manifest(&good(web.get(request).await.ok()?).ok()?)
}

/// The bytes of the layers that are weights: the model, and what it reads images with.
fn manifest(answer: &[u8]) -> Option<u64> {
    let manifest: Value = serde_json::from_slice(answer).ok()?;
    let layers = manifest.get("layers")?.as_array()?;
    let weights = layers.iter().filter(|layer| {
        let kind = layer.get("mediaType").and_then(Value::as_str).unwrap_or_default();
        matches!(kind, "application/vnd.ollama.image.model" | "application/vnd.ollama.image.projector")
    });
    let bytes = weights.filter_map(|layer| layer.get("size")?.as_u64()).fold(0, u64::saturating_add);
    (bytes > 0).then_some(bytes)
}

/// Reads the page of a search: each model in each of its sizes.
fn parse(page: &str) -> Result<Vec<FoundModel>, Failure> {
    let mut pieces = page.split("x-test-model");
    let head = pieces.next().unwrap_or_default();
    // Longer marks, such as x-test-model-title, are no beginning.
    let entries: Vec<&str> = pieces.filter(|piece| !piece.starts_with('-')).collect();
    let models: Vec<FoundModel> = entries.iter().flat_map(|entry| models(entry)).take(MOST).collect();
    // What comes after the cut of one that broke off is not known, and of the entry before it not all.
    if !page.trim_end().ends_with("</html>") {
        return Err(Failure::Unreadable);
    }
    // A page that says itself that it has found nothing is one; another one is not what it was.
    let says_so = page.contains("No models found") || page.contains("No results");
    let is_its_page =
        head.contains("<html") || head.contains("<!doctype html") || head.contains("<!DOCTYPE html");
    match models.is_empty() {
        false => Ok(models),
        true if is_its_page && says_so && entries.is_empty() => Ok(models),
        true => Err(Failure::Unreadable),
    }
}

fn models(entry: &str) -> Vec<FoundModel> {
    let Some(name) = name(entry) else { return Vec::new() };
    let description = after(entry, "<p").map(|text| line(&decoded(text), 400)).unwrap_or_default();
    let tags: Vec<String> = marked(entry, "x-test-capability").map(|text| line(&decoded(text), 40)).collect();
    let downloads = marked(entry, "x-test-pull-count").next().and_then(count).unwrap_or_default();
    let sizes: Vec<String> = marked(entry, "x-test-size")
        .map(|text| line(text, 20).to_ascii_lowercase())
        .filter(|size| !size.is_empty() && size.chars().all(|c| c.is_ascii_alphanumeric() || c == '.'))
        .collect();
    let model = |id: String, size: Option<&str>| FoundModel {
        facts: size.and_then(parameters).or_else(|| parameters(&id)).and_then(facts),
        id,
        description: description.clone(),
        downloads,
        likes: 0,
        quantized: true,
        quantization: Some("gguf".to_owned()),
        max_context: None,
        gated: false,
        tags: tags.clone(),
    };
    if sizes.is_empty() {
        return vec![model(name, None)];
    }
    sizes.iter().map(|size| model(format!("{name}:{size}"), Some(size))).collect()
}

/// What the library gives where only the size is named: four bits and a little.
fn facts(count: u64) -> Option<Model> {
    let quantization = Quantization::gguf("q4_k_m")?;
    Some(Model { weights: Weights::Parameters { count, quantization, guessed: true }, shape: None })
}

/// The name of a model: what its link leads to.
fn name(entry: &str) -> Option<String> {
    let (_, rest) = entry.split_once("href=\"/")?;
    let (path, _) = rest.split_once('"')?;
    let name = path.strip_prefix("library/").unwrap_or(path);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let parts: Vec<&str> = name.split('/').collect();
    let is_name = (1..=2).contains(&parts.len())
        && parts.iter().all(|part| (1..=100).contains(&part.len()) && part.chars().all(plain));
    is_name.then(|| name.to_owned())
}

/// The texts of the elements that have this mark.
fn marked<'a>(entry: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    entry.split(mark).skip(1).take(50).filter_map(content)
}

/// The text of the first element that begins so.
fn after<'a>(entry: &'a str, start: &str) -> Option<&'a str> {
    let (_, rest) = entry.split_once(start)?;
    content(rest)
}

/// What stands between the end of a tag and the next one.
fn content(rest: &str) -> Option<&str> {
    let (_, rest) = rest.split_once('>')?;
    rest.split_once('<').map(|(text, _)| text.trim())
}

/// `109.3M`, `1,024`, `12K`.
fn count(text: &str) -> Option<u64> {
    let text = text.trim().replace(',', "");
    let (number, unit) = match text.char_indices().last()? {
        (at, 'K' | 'k') => (text.get(..at)?, 1e3),
        (at, 'M') => (text.get(..at)?, 1e6),
        (at, 'B') => (text.get(..at)?, 1e9),
        _ => (text.as_str(), 1.0),
    };
    crate::hardware::number::whole(number.parse::<f64>().ok()? * unit)
}

/// The text that HTML writes for this one.
fn decoded(text: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
#[path = "tests/ollama.rs"]
mod tests;
