//! Whether the live database can give up its name, asked before hours are spent on what would take it.

use super::BackupService;
use crate::BackupError;

impl BackupService {
    /// Refuses what would fail at the swap, and returns what the reader should know of the database that is replaced.
    pub(super) async fn check_replaceable(&self) -> Result<Vec<String>, BackupError> {
        let live = &self.database.target()?.database;
        let ties = self.database.ties(live).await?;
        if let Some(error) = ties.against_rename(live) {
            return Err(error.into());
        }
        let mut warnings = Vec::new();
        if !ties.replication_slots.is_empty() {
            warnings.push(format!(
                "The replaced database keeps its logical replication slot(s) {}. What reads from them hears nothing of \
                 the database that is live now: it needs a new slot. The replaced database cannot be dropped while they \
                 are read from.",
                ties.replication_slots.join(", ")
            ));
        }
        if !ties.subscriptions.is_empty() {
            warnings.push(format!(
                "The replaced database keeps its subscription(s) {} and goes on receiving. It cannot be dropped before \
                 they are dropped there; those of the database that is live now may have to be enabled.",
                ties.subscriptions.join(", ")
            ));
        }
        Ok(warnings)
    }
}
