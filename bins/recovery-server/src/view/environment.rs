//! The environment.

use std::collections::BTreeMap;

use recovery_env::Shown;
use serde::Serialize;
use utoipa::ToSchema;

/// Variables by their names, those that are secret masked.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"HF_TOKEN": "hf_a...mnop", "LOG_LEVEL": "info"}))]
pub struct Variables(BTreeMap<String, String>);

impl From<Shown> for Variables {
    fn from(shown: Shown) -> Self {
        Self(shown.values.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
    }
}
