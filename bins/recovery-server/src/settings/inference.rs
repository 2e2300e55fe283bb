//! How it is found out what the machine has for language models.

use std::{fs::File, io::Read as _, path::Path};

use recovery_inference::{catalogue::Addresses, recommend::RecommendedModels};

use super::{load::Values, table};
use crate::inference::InferenceSettings;

/// A longer file is no list of models.
const LARGEST: u64 = 4 * 1024 * 1024;

pub(super) fn read(values: &mut Values) -> Option<InferenceSettings> {
    let hardware_file = values.required(&table::HARDWARE_FILE);
    let tool_directories = values.required(&table::GPU_TOOL_DIRS);
    let models = match values.optional(&table::RECOMMENDED_MODELS_FILE) {
        Some(path) => models(&path),
        None => Ok(RecommendedModels::built_in()),
    };
    let models = models.map_err(|message| {
        values.refuse(&table::RECOMMENDED_MODELS_FILE.about, message);
    });
    let hugging_face = values.required(&table::HF_ENDPOINT);
    let token = values.optional(&table::HF_TOKEN);
    let ollama_library = values.required(&table::OLLAMA_LIBRARY_URL);
    let ollama_registry = values.required(&table::OLLAMA_REGISTRY_URL);
    Some(InferenceSettings {
        hardware_file: hardware_file?,
        tool_directories: tool_directories?,
        models: models.ok()?,
        catalogues: Addresses {
            hugging_face: hugging_face?,
            token,
            ollama_library: ollama_library?,
            ollama_registry: ollama_registry?,
            ..Addresses::default()
        },
        ..InferenceSettings::default()
    })
}

fn models(path: &Path) -> Result<RecommendedModels, String> {
    let name = path.display();
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    read.map_err(|error| format!("`{name}` cannot be read: {error}"))?;
    RecommendedModels::parse(&text).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("`{name}` cannot be used: {error}{cause}")
    })
}
