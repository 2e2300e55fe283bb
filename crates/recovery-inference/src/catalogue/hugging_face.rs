//! The models of Hugging Face, as its interface lists them.

use std::collections::BTreeMap;

use recovery_core::port::{WebClient, WebRequest};
use serde_json::Value;

use super::{
    Addresses, FoundModel, Query,
    error::{Failure, good},
    text::{encoded, line, parameters},
};
use crate::estimate::{Dtype, Model, Quantization, Weights};

/// The most bytes of a list: 40 models with all that is asked for are about 400 KiB.
const LARGEST: usize = 8 * 1024 * 1024;
/// How many models are asked for.
const MOST: usize = 40;
const MOST_TAGS: usize = 30;

/// Without these names a list says neither how large a model is nor what may be done with it.
const EXPANDED: [&str; 8] =
    ["safetensors", "gguf", "config", "downloads", "likes", "tags", "gated", "pipeline_tag"];

pub(super) async fn search(
    web: &dyn WebClient,
    addresses: &Addresses,
    query: &Query,
) -> Result<Vec<FoundModel>, Failure> {
    let request = WebRequest {
        url: address(&addresses.hugging_face, query),
        accept: "application/json",
        token: addresses.token.clone(),
        limit: LARGEST,
        timeout: addresses.limit,
    };
    parse(&good(web.get(request).await?)?)
}

fn address(base: &str, query: &Query) -> String {
    let search =
        if query.text.is_empty() { String::new() } else { format!("search={}&", encoded(&query.text)) };
    let expand: String = EXPANDED.iter().map(|name| format!("&expand[]={name}")).collect();
    let base = base.trim_end_matches('/');
    format!("{base}/api/models?{search}pipeline_tag=text-generation&sort=downloads&limit={MOST}{expand}")
}

/// Reads a list. An entry that has no name is passed over; what is no list is an error.
fn parse(answer: &[u8]) -> Result<Vec<FoundModel>, Failure> {
    let Ok(Value::Array(list)) = serde_json::from_slice(answer) else { return Err(Failure::Unreadable) };
    let models: Vec<FoundModel> = list.iter().filter_map(model).take(MOST).collect();
    // A list of something else is not an empty list of models.
    if models.is_empty() && !list.is_empty() { Err(Failure::Unreadable) } else { Ok(models) }
}

fn model(entry: &Value) -> Option<FoundModel> {
    let id = entry.get("id").or_else(|| entry.get("modelId"))?.as_str()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if id.is_empty() || id.len() > 200 || !id.chars().all(plain) {
        return None;
    }
    let tags: Vec<String> = entry.get("tags").and_then(Value::as_array).map_or_else(Vec::new, |tags| {
        tags.iter().filter_map(Value::as_str).map(|tag| line(tag, 80)).take(MOST_TAGS).collect()
    });
    let method = entry
        .pointer("/config/quantization_config/quant_method")
        .and_then(Value::as_str)
        .map(|method| line(method, 30).to_ascii_lowercase());
    let form = method.as_deref().and_then(Quantization::of_name).or_else(|| Quantization::of_name(id));
    let is_gguf = entry.get("gguf").is_some_and(Value::is_object);
    let number = |name: &str| entry.get(name).and_then(Value::as_u64).unwrap_or_default();
    let facts = weights(entry, id, form).map(|weights| Model { weights, shape: None });
    Some(FoundModel {
        id: id.to_owned(),
        description: describe(entry, id, facts.as_ref()),
        downloads: number("downloads"),
        likes: number("likes"),
        quantized: method.is_some() || is_gguf || form.is_some_and(Quantization::is_quantized),
        quantization: method.or_else(|| is_gguf.then(|| "gguf".to_owned())),
        max_context: entry
            .pointer("/gguf/context_length")
            .or_else(|| entry.pointer("/config/max_position_embeddings"))
            .and_then(Value::as_u64)
            .and_then(|tokens| tokens.try_into().ok()),
        // `false`, `"auto"` or `"manual"`.
        gated: entry.get("gated").is_some_and(|gated| gated.is_string() || gated == &Value::Bool(true)),
        tags,
        facts,
    })
}

/// What its weights take: parameters by type where the files say it, or their number and the form that its name tells
/// of, or both out of the name.
fn weights(entry: &Value, id: &str, form: Option<Quantization>) -> Option<Weights> {
    let by_type = entry.pointer("/safetensors/parameters").and_then(Value::as_object);
    let mut tensors = BTreeMap::new();
    for (name, count) in by_type.into_iter().flatten() {
        let (Some(dtype), Some(count)) = (Dtype::named(name), count.as_u64()) else { continue };
        let sum: &mut u64 = tensors.entry(dtype).or_default();
        *sum = sum.saturating_add(count);
    }
    if !tensors.is_empty() {
        return Some(Weights::Tensors(tensors));
    }
    let count = |path: &str| entry.pointer(path).and_then(Value::as_u64).filter(|&count| count > 0);
    if let Some(count) = count("/safetensors/total") {
        return Some(Weights::Parameters {
            count,
            quantization: form.unwrap_or(Quantization::Half),
            guessed: false,
        });
    }
    if let Some(count) = count("/gguf/total") {
        // Which of its files is used is not known; most people take this one.
        let quantization = Quantization::gguf(id).or_else(|| Quantization::gguf("q4_k_m"))?;
        return Some(Weights::Parameters { count, quantization, guessed: false });
    }
    let quantization = form.unwrap_or(Quantization::Half);
    parameters(id).map(|count| Weights::Parameters { count, quantization, guessed: true })
}

fn describe(entry: &Value, id: &str, facts: Option<&Model>) -> String {
    let author = id.split_once('/').map(|(author, _)| author);
    let kind = entry.pointer("/config/model_type").and_then(Value::as_str).map(|kind| line(kind, 40));
    let count = facts.and_then(|facts| facts.weights.parameters()).map(|count| {
        let hundreds_of_millions = count.saturating_add(50_000_000) / 100_000_000;
        format!("{}.{} billion parameters", hundreds_of_millions / 10, hundreds_of_millions % 10)
    });
    let by = author.map(|author| format!("by {author}"));
    let parts: Vec<String> = [kind, count, by].into_iter().flatten().collect();
    parts.join(", ")
}

#[cfg(test)]
#[path = "tests/hugging_face.rs"]
mod tests;
