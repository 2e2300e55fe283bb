//! What is wrong with settings, told all at once so that nobody mends them one start at a time.

use std::fmt;

/// One setting that cannot be used. Never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// The variable, or the key of the file where no variable is meant.
    pub name: String,
    /// What is wrong with it, and what is expected.
    pub message: String,
    /// A value that would do.
    pub example: Option<String>,
}

impl SettingError {
    /// What is wrong, and an example, without the name.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.example {
            Some(example) => format!("{} (example: {}={example})", self.message, self.name),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.words())
    }
}

/// Settings that cannot be used: one line for each thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct InvalidSettings(pub Vec<SettingError>);

fn lines(errors: &[SettingError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
