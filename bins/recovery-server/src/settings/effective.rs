//! A setting as it is in effect: what `nova-recovery config` shows.

use serde::Serialize;

/// One variable as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EffectiveSetting {
    /// The variable.
    pub name: &'static str,
    /// Its value, a secret replaced by words; `None` where it is unset and has no default.
    pub value: Option<String>,
    /// Where the value came from.
    pub source: Source,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// It is built in.
    Default,
    /// The TOML file.
    File,
    /// The environment.
    Environment,
}

impl Source {
    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
        }
    }
}
