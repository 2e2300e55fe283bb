//! What follows a restore in place, once its transaction is committed: directories and keys of Redis. No replaced
//! database keeps what they held before, so whoever wants that back finds it where the answer says.

use recovery_core::{database::DatabaseName, port::OperationContext};
use time::OffsetDateTime;

use super::{
    BackupService,
    files::{Directories, StagedFiles},
};
use crate::{
    SwitchedDirectory,
    records::{KeySource, PendingFiles},
};

/// What is to follow.
#[derive(Default)]
pub(super) struct Followers {
    /// Directories, complete and beside their places.
    pub files: StagedFiles,
    /// What keys are to hold.
    pub keys: Option<KeySource>,
}

/// What followed.
#[derive(Default)]
pub(super) struct Followed {
    /// The directories.
    pub files: Vec<SwitchedDirectory>,
    /// How many keys.
    pub keys: u64,
    /// What the reader should know besides.
    pub warnings: Vec<String>,
}

impl BackupService {
    /// Lets directories and keys follow. There is no way back from here: what cannot be done is said, and what is begun
    /// is written down first, so that the next start finishes it.
    pub(super) async fn follow_commit(
        &self,
        live: &DatabaseName,
        followers: Followers,
        at: OffsetDateTime,
        context: &dyn OperationContext,
    ) -> Followed {
        let Followers { files, keys } = followers;
        let mut followed = Followed { warnings: files.warnings.clone(), ..Followed::default() };
        match files.switches(at) {
            Ok(switches) if switches.is_empty() => {}
            Ok(switches) => {
                let pending = PendingFiles { live: live.clone(), retired: None, switches, swapped: true };
                files.announced();
                let (switched, warnings) = self.switch_files(pending, context).await;
                if !switched.is_empty() {
                    followed.warnings.push(
                        "The files that were replaced are kept until somebody removes them.".to_owned(),
                    );
                }
                followed.files = switched;
                followed.warnings.extend(warnings);
            }
            Err(error) => {
                followed
                    .warnings
                    .push(format!("The files could not be replaced and are as before: {error}."));
            }
        }
        if let Some(source) = keys {
            let pending = self.pending_keys(context.id(), live, None, &source);
            let (written, warnings) = self.write_keys(pending, context).await;
            followed.keys = written;
            followed.warnings.extend(warnings);
        }
        followed
    }
}
