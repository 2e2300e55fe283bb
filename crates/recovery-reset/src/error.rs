//! Why there was no reset, and what a person can do about it.

use recovery_core::{
    ErrorCode, Problem,
    port::{Cancelled, DatabaseError, StateError},
};

use crate::PlannedDirectory;

/// A reset was not done. Unless it is [`ResetError::EndUnknown`], everything is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// Rows that are to stay refer to rows that are to go, and could not do without.
    #[error("rows that are to be kept depend on rows that are to go")]
    Conflicts {
        /// Of each: the table of the rows that stay, what is in the way, and what can be done.
        conflicts: Vec<(String, String, String)>,
    },
    /// Redis does not answer, and keys are to be removed from it.
    #[error("Redis cannot be used, and keys are to be removed from it")]
    RedisAway {
        /// What is wrong with it.
        why: Problem,
    },
    /// Directories cannot be emptied.
    #[error("not every directory can be emptied")]
    DirectoriesUnusable {
        /// Which, and why.
        directories: Vec<PlannedDirectory>,
    },
    /// There is no safety backup.
    #[error("the safety backup was not made")]
    SafetyBackup(#[source] Problem),
    /// The lock that keeps other operations away is lost, or the backups cannot be looked at.
    #[error(transparent)]
    Backups(Problem),
    /// PostgreSQL did not do what was asked of it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The connection was lost while the rows were being deleted for good, and the server cannot be asked how that
    /// ended.
    #[error("it is not known whether the rows were deleted")]
    EndUnknown {
        /// What went wrong.
        #[source]
        source: DatabaseError,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Somebody stopped it.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<ResetError> for Problem {
    fn from(error: ResetError) -> Self {
        match error {
            ResetError::Conflicts { conflicts } => of_conflicts(conflicts),
            ResetError::RedisAway { why } => nothing_changed(Self {
                hint: Some(format!(
                    "{} Or send \"accept_partial\": true to reset everything but the keys of Redis.",
                    why.hint.unwrap_or_default()
                )),
                ..Self::new(why.code, format!("{} Keys of it were to be removed.", why.detail))
            }),
            ResetError::DirectoriesUnusable { directories } => of_directories(&directories),
            ResetError::SafetyBackup(why) if why.code == ErrorCode::Cancelled => nothing_changed(why),
            ResetError::SafetyBackup(why) => nothing_changed(Self {
                detail: format!("The safety backup was not made. {}", why.detail),
                hint: Some(format!(
                    "{} Or send \"safety_backup\": false to go on without one: then there is no way back.",
                    why.hint.unwrap_or_default()
                )),
                ..why
            }),
            ResetError::Backups(problem) => nothing_changed(problem),
            ResetError::Database(error) => nothing_changed(error.into()),
            ResetError::State(error) => nothing_changed(error.into()),
            ResetError::Cancelled(error) => nothing_changed(error.into()),
            ResetError::EndUnknown { .. } => Self::new(
                ErrorCode::DatabaseUnavailable,
                "PostgreSQL stopped answering while the rows were being deleted for good: either all of them are gone or \
                 none. Keys, directories and backups are as they were.",
            )
            .hint("Send the same reset again once PostgreSQL answers: it does what is still to be done."),
        }
    }
}

fn nothing_changed(problem: Problem) -> Problem {
    Problem { detail: format!("{} Nothing was changed.", problem.detail), ..problem }
}

fn of_conflicts(conflicts: Vec<(String, String, String)>) -> Problem {
    let detail = match conflicts.as_slice() {
        [(_, sentence, _)] => format!("A row that is kept is in the way: {sentence}."),
        all => format!("Rows that are kept are in the way, in {} places.", all.len()),
    };
    let hint = match conflicts.as_slice() {
        [(.., remedy)] => remedy.clone(),
        _ => "Each of `errors` says what can be done about it.".to_owned(),
    };
    let problem = nothing_changed(Problem::new(ErrorCode::Conflict, detail).hint(hint));
    conflicts.into_iter().fold(problem, |problem, (table, sentence, remedy)| {
        problem.field(table, format!("{sentence}. {remedy}"))
    })
}

fn of_directories(directories: &[PlannedDirectory]) -> Problem {
    let problem = nothing_changed(Problem::new(
        ErrorCode::Conflict,
        format!("{} of the directories that were to be emptied cannot be.", directories.len()),
    ))
    .hint(
        "Mend them, or keep the categories that they belong to. Or send \"accept_partial\": true to reset everything \
         but these directories.",
    );
    directories.iter().fold(problem, |problem, directory| {
        let why = directory.unusable().unwrap_or_default();
        problem.field(directory.path.display().to_string(), why)
    })
}
