//! `reset`: what would go, and the reset itself.

mod render;
mod view;

use clap::Args;
use recovery_core::{ErrorCode, Problem};
use recovery_reset::check_confirmation;
use serde::Serialize;

use super::{backend::Task, commands::Session, failure::Failure};
use view::{Done, Preview};

/// What is to be reset.
#[derive(Args, Clone, Debug)]
pub struct ResetArguments {
    /// Shows what would go, and changes nothing
    #[arg(long)]
    preview: bool,
    /// With --preview: counts everything, however long that takes; otherwise large numbers are estimates
    #[arg(long, requires = "preview", conflicts_with = "confirm")]
    exact: bool,
    /// The categories that are kept, separated by commas; everything else is wiped. An empty text keeps nothing. A
    /// preview without it keeps what is usually kept
    #[arg(long, value_name = "CATEGORIES", required_unless_present = "preview")]
    keep: Option<String>,
    /// The word RESET, in capital letters
    #[arg(long, value_name = "RESET", required_unless_present = "preview", conflicts_with = "preview")]
    confirm: Option<String>,
    /// Whether the platform's migrations run again; where it is left out, what is wiped decides
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    reseed: Option<bool>,
    /// Makes no safety backup first: then there is no way back
    #[arg(long, conflicts_with = "preview")]
    no_safety_backup: bool,
    /// Goes on where Redis or a directory is away, with what is there
    #[arg(long)]
    accept_partial: bool,
    /// Removes pinned backups, too, where backups are removed
    #[arg(long)]
    include_pinned: bool,
}

/// A reset as the service is asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ResetOrder {
    /// The categories that are kept.
    pub(super) keep: Vec<String>,
    /// Whether migrations run again, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reseed: Option<bool>,
    /// Whether a safety backup is made first.
    pub(super) safety_backup: bool,
    /// Whether Redis or a directory may be away.
    pub(super) accept_partial: bool,
    /// Whether pinned backups go.
    pub(super) include_pinned: bool,
}

/// The categories of a list such as `api_keys,backups`.
fn listed(keep: &str) -> Vec<String> {
    keep.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

impl Session<'_> {
    /// `reset`
    pub(super) async fn reset(&mut self, arguments: ResetArguments) -> Result<(), Failure> {
        let ResetArguments { preview, exact, keep, confirm, reseed, .. } = &arguments;
        let keep = match keep {
            Some(keep) => listed(keep),
            None => self.backend.kept_by_default().await?,
        };
        let order = ResetOrder {
            keep,
            reseed: *reseed,
            safety_backup: !arguments.no_safety_backup,
            accept_partial: arguments.accept_partial,
            include_pinned: arguments.include_pinned,
        };
        if *preview {
            let preview = self.backend.preview_reset(&order, *exact).await?;
            let shown: Preview = serde_json::from_value(preview.clone()).unwrap_or_default();
            return self.output.result(&preview, || render::preview(&shown));
        }
        check_confirmation(confirm.as_deref().unwrap_or_default())?;
        let result = self.follow(&Task::Reset(order)).await?;
        let done: Done = serde_json::from_value(result.clone()).unwrap_or_default();
        self.output.result(&result, || render::done(&done))?;
        if done.errors.is_none() {
            return Ok(());
        }
        // The result has said what is left; only the status is left to tell.
        Err(Failure { told: true, ..Problem::new(ErrorCode::Internal, "Not everything is reset.").into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_keeps_nothing() {
        assert_eq!(listed(""), Vec::<String>::new());
        assert_eq!(listed("api_keys, backups,"), ["api_keys", "backups"]);
    }
}
