//! What can go wrong with a catalogue, and the words for it.

use recovery_core::{
    ErrorCode, Problem,
    port::{WebAnswer, WebError},
};

/// A catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Hugging Face.
    HuggingFace,
    /// Ollama's library.
    Ollama,
}

impl Place {
    /// What people call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HuggingFace => "Hugging Face",
            Self::Ollama => "the library of Ollama",
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::HuggingFace => "HF_ENDPOINT",
            Self::Ollama => "OLLAMA_LIBRARY_URL",
        }
    }
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody can be reached there.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("did not answer in time")]
    TimedOut,
    /// It does not let us in.
    #[error("does not let us in (status {0})")]
    NotAllowed(u16),
    /// It is asked too often.
    #[error("says that it is asked too often (status 429)")]
    TooOften,
    /// It answered that it will not.
    #[error("answered with status {0}")]
    Refused(u16),
    /// What it answered cannot be understood.
    #[error("answered something that cannot be understood")]
    Unreadable,
    /// What it answered is too much.
    #[error("answered more than {0} bytes")]
    TooLarge(usize),
}

impl From<WebError> for Failure {
    fn from(error: WebError) -> Self {
        match error {
            WebError::Unreachable { why } => Self::Unreachable(why),
            WebError::TimedOut => Self::TimedOut,
            WebError::TooLarge { limit } => Self::TooLarge(limit),
        }
    }
}

/// The body of an answer that is a good one.
pub(super) fn good(answer: WebAnswer) -> Result<Vec<u8>, Failure> {
    match answer.status {
        200..=299 => Ok(answer.body),
        status @ (401 | 403) => Err(Failure::NotAllowed(status)),
        429 => Err(Failure::TooOften),
        status => Err(Failure::Refused(status)),
    }
}

/// A catalogue cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {failure}", place.as_str())]
pub struct CatalogueError {
    /// Which.
    pub place: Place,
    /// What went wrong.
    pub failure: Failure,
}

impl From<&CatalogueError> for Problem {
    fn from(error: &CatalogueError) -> Self {
        let hint = match (error.place, &error.failure) {
            (Place::HuggingFace, Failure::NotAllowed(_)) => {
                "Check HF_TOKEN: unset it, or set it to a token of yours that may read.".to_owned()
            }
            (_, Failure::TooOften) => "Wait a minute; with a token in HF_TOKEN one may ask more often.".to_owned(),
            (Place::Ollama, Failure::Unreadable) => {
                "Its pages may have changed: a newer version of this service may read them. A model can be pulled by its \
                 name all the same."
                    .to_owned()
            }
            (place, _) => format!(
                "Check that this machine reaches the internet, and {} where it is set. The recommended models need no \
                 catalogue.",
                place.setting()
            ),
        };
        Self::from_words(ErrorCode::DependencyUnavailable, error).hint(hint)
    }
}
