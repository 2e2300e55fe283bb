//! What can go wrong with the environment, and the words for it. None of them holds a value.

use recovery_core::{
    ErrorCode, Problem,
    port::{ComposeError, EnvFileError},
};

use crate::{EnvKey, ParseError, SetError};

/// The environment cannot be shown or changed. Whatever it is, nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] EnvFileError),
    /// The file is one that Compose refuses as it stands.
    #[error("the .env file cannot be understood")]
    Unreadable(#[source] ParseError),
    /// These variables may be neither seen nor changed.
    #[error("some of these variables may not be changed")]
    NotAllowed {
        /// Those that are variables of others.
        others: Vec<EnvKey>,
        /// Those that sound like secrets.
        secrets: Vec<EnvKey>,
        /// How many are not even names.
        nameless: usize,
    },
    /// These values cannot stand in a `.env`.
    #[error("some of these values cannot stand in a .env file")]
    BadValue {
        /// Whose value it is, and what is wrong with it.
        values: Vec<(EnvKey, &'static str)>,
    },
    /// With this value the file could not be read back.
    #[error("the value of {key} cannot be written")]
    CannotSet {
        /// Whose value it is.
        key: EnvKey,
        /// Why not.
        #[source]
        source: SetError,
    },
    /// Compose would refuse the project after the change.
    #[error("Docker Compose would refuse the project with this change")]
    Refused(#[source] ComposeError),
    /// Compose refuses the project with the change as well as without it.
    #[error("Docker Compose refuses the project with this change and without it")]
    RefusedBefore(#[source] ComposeError),
    /// Compose could not say whether it accepts the change.
    #[error("Docker Compose cannot check the change")]
    NotChecked(#[source] ComposeError),
    /// The file that Compose is to look at cannot be written.
    #[error("the change cannot be written down for Docker Compose to check it")]
    Candidate(#[source] std::io::Error),
    /// The file is another one than the caller has seen.
    #[error("the .env file is not the one that the change was meant for")]
    NotExpected,
}

impl From<EnvError> for Problem {
    fn from(error: EnvError) -> Self {
        let problem = |code| Self::from_words(code, &error);
        match &error {
            EnvError::File(source) => of_file(source),
            EnvError::Unreadable(source) => Self::new(
                ErrorCode::Conflict,
                format!("The .env file cannot be understood, by Docker Compose neither: {source}."),
            )
            .hint(format!("Mend line {} of the .env file with an editor.", source.line)),
            EnvError::NotAllowed { others, secrets, nameless } => not_allowed(others, secrets, *nameless),
            EnvError::BadValue { values } => values.iter().fold(
                Self::new(ErrorCode::InvalidBody, "A value cannot stand in a .env file. Nothing was written."),
                |problem, (key, message)| problem.field(format!("updates.{key}"), *message),
            ),
            EnvError::CannotSet { key, source } => Self::new(
                ErrorCode::EnvironmentRefused,
                format!("With this value of {key} the .env file could not be read any more. Nothing was written."),
            )
            .hint("Another line of the .env file needs this variable, or the value is far too large.")
            .field(format!("updates.{key}"), source.to_string()),
            EnvError::Refused(source) => Self::new(
                ErrorCode::EnvironmentRefused,
                format!("With this change Docker Compose could not read the project: {source}. Nothing was written."),
            )
            .hint("See where the Compose files use these variables: a port, a number or a name may be demanded there."),
            EnvError::RefusedBefore(source) => Self::new(
                ErrorCode::EnvironmentRefused,
                format!(
                    "Docker Compose cannot read the project, with this change as little as without it: {source}. Nothing was written."
                ),
            )
            .hint("Mend that first; `docker compose config -q` in the project's directory says more."),
            EnvError::NotChecked(_) => problem(ErrorCode::DependencyUnavailable)
                .hint("Nothing was written. Try again; the log of the recovery service has the details."),
            EnvError::Candidate(source) if is_full(source) => problem(ErrorCode::InsufficientStorage)
                .hint("Nothing was written. Free space where STATE_DIR lies."),
            EnvError::Candidate(_) => problem(ErrorCode::StorageUnavailable)
                .hint("Nothing was written. Let the user of the recovery service write to STATE_DIR."),
            EnvError::NotExpected => problem(ErrorCode::PreconditionFailed)
                .hint("Read it again, see whether the change is still wanted, and send it with the new ETag."),
        }
    }
}

fn of_file(error: &EnvFileError) -> Problem {
    let problem = |code| Problem::from_words(code, error);
    match error {
        EnvFileError::Missing => problem(ErrorCode::StorageUnavailable)
            .hint("NOVA_ENV_FILE says where it is looked for; mount the project's directory there."),
        EnvFileError::NotAFile => problem(ErrorCode::StorageUnavailable)
            .hint("Docker makes a directory where a file that it is to mount is missing: remove it, and create the file."),
        EnvFileError::TooLarge { .. } => {
            problem(ErrorCode::StorageUnavailable).hint("Check that NOVA_ENV_FILE names the right file.")
        }
        EnvFileError::ReadOnly => problem(ErrorCode::StorageUnavailable)
            .hint("Mount it without `ro`, and let the user of the recovery service write it."),
        EnvFileError::Changed => problem(ErrorCode::Conflict).hint("Try again."),
        EnvFileError::Locked => problem(ErrorCode::Busy).hint("Try again in a moment."),
        EnvFileError::Read(_) => problem(ErrorCode::StorageUnavailable)
            .hint("Let the user of the recovery service read the file that NOVA_ENV_FILE names."),
        EnvFileError::Keep(source) | EnvFileError::Write(source) if is_full(source) => {
            Problem::new(ErrorCode::InsufficientStorage, "The disk that the .env file lies on is full.")
                .hint("Free some space there. The .env file is as it was.")
        }
        EnvFileError::Keep(_) => problem(ErrorCode::StorageUnavailable)
            .hint("Let the user of the recovery service write to the directory of the .env file, or to STATE_DIR."),
        _ => problem(ErrorCode::StorageUnavailable)
            .hint("Let the user of the recovery service write the .env file and its directory."),
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

fn not_allowed(others: &[EnvKey], secrets: &[EnvKey], nameless: usize) -> Problem {
    let names: Vec<&str> = secrets.iter().chain(others).map(EnvKey::as_str).collect();
    let detail = match (names.as_slice(), nameless) {
        ([], _) => "What is not the name of a variable cannot be changed. Nothing was written.".to_owned(),
        ([one], _) => format!("{one} cannot be changed here. Nothing was written."),
        (several, _) => format!("{} cannot be changed here. Nothing was written.", several.join(", ")),
    };
    let hint = if secrets.is_empty() {
        "The documentation of this address lists the variables that can."
    } else {
        "Keys, tokens and passwords belong in the Dashboard's secret store."
    };
    names.iter().fold(Problem::new(ErrorCode::InvalidRequest, detail).hint(hint), |problem, name| {
        problem.field(format!("updates.{name}"), "cannot be changed here")
    })
}
