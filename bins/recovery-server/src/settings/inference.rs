//! How it is found out what the machine has for language models.

use std::{fs::File, io::Read as _, path::Path};

use recovery_inference::recommend::RecommendedModels;

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
    Some(InferenceSettings {
        hardware_file: hardware_file?,
        tool_directories: tool_directories?,
        models: models.ok()?,
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
