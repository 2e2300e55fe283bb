//! What becomes of the directories: what is in them, and that it goes.

use std::path::{Path, PathBuf};

use recovery_core::{
    crash_point,
    port::{DataDirectories, DirectoryError, DirectorySize, Emptied},
};

use crate::CategoryKey;

/// A directory that is to be emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedDirectory {
    /// The category that it belongs to.
    pub category: CategoryKey,
    /// Its path.
    pub path: PathBuf,
    /// How it is.
    pub state: DirectoryState,
}

/// How a directory is that is to be emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryState {
    /// It holds this; `None` where it takes longer to find out than anybody waits.
    Holds(Option<DirectorySize>),
    /// It does not exist, so there is nothing to do.
    Missing,
    /// It cannot be emptied, for this reason.
    Unusable(String),
}

impl PlannedDirectory {
    /// Why it cannot be emptied, where it cannot.
    #[must_use]
    pub fn unusable(&self) -> Option<&str> {
        match &self.state {
            DirectoryState::Unusable(why) => Some(why),
            DirectoryState::Holds(_) | DirectoryState::Missing => None,
        }
    }

    /// Whether it is there and can be emptied.
    #[must_use]
    pub fn goes(&self) -> bool {
        matches!(self.state, DirectoryState::Holds(_))
    }
}

/// What became of a directory.
#[derive(Debug)]
pub struct DirectoryOutcome {
    /// Where it is.
    pub path: PathBuf,
    /// What was removed, or why nothing was.
    pub result: Result<Emptied, DirectoryError>,
}

/// Empties directories one after the other. `report` is told how many files are gone, all together. One that is
/// missing, by now, is empty; what fails in one keeps nothing from being removed from the next. May be done again.
pub async fn empty_directories(
    directories: &dyn DataDirectories,
    paths: impl IntoIterator<Item = &Path> + Send,
    report: &(dyn Fn(u64) + Send + Sync),
) -> Vec<DirectoryOutcome> {
    let (mut outcomes, mut before) = (Vec::new(), 0);
    let paths: Vec<&Path> = paths.into_iter().collect();
    for path in paths {
        let result = match directories.empty(path, &|files| report(before + files)).await {
            Err(DirectoryError::Missing { .. }) => Ok(Emptied::default()),
            result => result,
        };
        crash_point("reset:emptied");
        before += result.as_ref().map_or(0, |emptied| emptied.removed.files);
        outcomes.push(DirectoryOutcome { path: path.to_owned(), result });
    }
    outcomes
}
