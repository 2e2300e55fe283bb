use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

/// A document of the world outside that is asked for.
#[derive(Clone, Debug)]
pub struct WebRequest {
    /// Its address.
    pub url: String,
    /// What is to come, for example `application/json`.
    pub accept: &'static str,
    /// A token that says who asks. It is never passed on to another server.
    pub token: Option<SecretString>,
    /// The most bytes of the answer; more is an error.
    pub limit: usize,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Nothing came. Holds no address and no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// Nobody can be reached there.
    #[error("{why}")]
    Unreachable {
        /// Why, in words.
        why: String,
    },
    /// It took too long.
    #[error("it did not answer in time")]
    TimedOut,
    /// The answer is larger than it may be.
    #[error("it answered with more than {limit} bytes")]
    TooLarge {
        /// How large it may be.
        limit: usize,
    },
}

/// Fetches documents of the world outside.
#[async_trait]
pub trait WebClient: Send + Sync {
    /// Fetches one. That the status says something bad is no error here.
    async fn get(&self, request: WebRequest) -> Result<WebAnswer, WebError>;
}
