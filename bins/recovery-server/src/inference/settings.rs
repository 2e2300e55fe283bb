use std::path::PathBuf;

use recovery_inference::{catalogue::Addresses, recommend::RecommendedModels};

/// How it is found out what the machine has for language models, and what is recommended.
#[derive(Clone, Debug)]
pub struct InferenceSettings {
    /// Facts that the host's installer wrote.
    pub hardware_file: PathBuf,
    /// The root of the file system whose `/sys` and `/proc` are looked at: `/` but in tests.
    pub root: PathBuf,
    /// Where the vendors' tools are looked for.
    pub tool_directories: Vec<PathBuf>,
    /// The recommended models.
    pub models: RecommendedModels,
    /// Where the catalogues of models are.
    pub catalogues: Addresses,
    /// The number of the Redis database that what is found out is written to.
    pub system_database: u8,
}

impl Default for InferenceSettings {
    fn default() -> Self {
        Self {
            hardware_file: "/app/data/hardware.json".into(),
            root: "/".into(),
            tool_directories: vec!["/usr/bin".into()],
            models: RecommendedModels::built_in(),
            catalogues: Addresses::default(),
            system_database: 7,
        }
    }
}
