//! Factory reset: its categories, what would go, and what went.

use recovery_reset::Category;
use serde::Serialize;
use utoipa::ToSchema;

/// What belongs together, and is wiped or kept as a whole.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ResetCategory {
    /// Its name for programs.
    #[schema(example = "chat_history")]
    key: String,
    /// Its name for people.
    label: String,
    /// What is in it, in words.
    description: String,
    /// Whether it is usually kept.
    default_keep: bool,
    /// What a person should know before it is wiped.
    destructive_warning: Option<String>,
}

impl From<&Category> for ResetCategory {
    fn from(category: &Category) -> Self {
        Self {
            key: category.key.to_string(),
            label: category.label.clone(),
            description: category.description.clone(),
            default_keep: category.default_keep,
            destructive_warning: category.destructive_warning.clone(),
        }
    }
}
