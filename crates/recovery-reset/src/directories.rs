//! What becomes of the directories: what is in them, and that it goes.

use std::path::{Path, PathBuf};

use recovery_core::port::{DataDirectories, DirectoryError, DirectorySize, Emptied};

use crate::{Categories, CategoryKey, Selection};

/// A directory of a wiped category.
#[derive(Debug)]
pub struct DirectoryPlan {
    /// The category.
    pub category: CategoryKey,
    /// Where it is.
    pub path: PathBuf,
    /// What was found there.
    pub standing: DirectoryStanding,
}

/// What is found where a directory should be.
#[derive(Debug)]
pub enum DirectoryStanding {
    /// It can be emptied; this goes.
    Goes(DirectorySize),
    /// There is none, so there is nothing to do.
    Missing,
    /// It cannot be emptied.
    Unusable(DirectoryError),
}

impl DirectoryPlan {
    /// What goes.
    #[must_use]
    pub fn size(&self) -> DirectorySize {
        match self.standing {
            DirectoryStanding::Goes(size) => size,
            DirectoryStanding::Missing | DirectoryStanding::Unusable(_) => DirectorySize::default(),
        }
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

/// Looks at the directories of the categories that are not kept. Changes nothing.
pub async fn plan_directories(
    directories: &dyn DataDirectories,
    categories: &Categories,
    selection: &Selection,
) -> Vec<DirectoryPlan> {
    let mut plans = Vec::new();
    for category in selection.wiped(categories) {
        for path in &category.directories {
            let standing = match directories.measure(path).await {
                Ok(size) => DirectoryStanding::Goes(size),
                Err(DirectoryError::Missing { .. }) => DirectoryStanding::Missing,
                Err(error) => DirectoryStanding::Unusable(error),
            };
            plans.push(DirectoryPlan { category: category.key.clone(), path: path.clone(), standing });
        }
    }
    plans
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
        before += result.as_ref().map_or(0, |emptied| emptied.removed.files);
        outcomes.push(DirectoryOutcome { path: path.to_owned(), result });
    }
    outcomes
}
