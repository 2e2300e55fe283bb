use std::time::Duration;

use async_trait::async_trait;

use super::OnProgress;

/// A server of language models does not do what it was asked to. The kinds of sickness are told apart: what helps
/// against one is no help against another. The words hold no address and nothing that the server said.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Nothing listens at its address.
    #[error("nothing listens at its address")]
    Closed {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered that it cannot.
    #[error("it answered with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// It took the request and did not answer in time.
    #[error("it did not answer within {} s", within.as_secs())]
    Hung {
        /// The time that it was given.
        within: Duration,
    },
    /// The connection broke off.
    #[error("it broke off in the middle of an answer")]
    Broken {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered something that cannot be understood.
    #[error("its answer cannot be understood: {what}")]
    Unreadable {
        /// What is wrong with the answer. Nothing of the answer itself.
        what: &'static str,
    },
}

/// A model was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The server does not do what it should.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// It fetches no models: it has the one that it was started with.
    #[error("it fetches no models")]
    Unsupported,
    /// It says that it cannot fetch this one.
    #[error("it cannot fetch the model: {said}")]
    Refused {
        /// What it says, in one line of at most 300 characters. It may name addresses.
        said: String,
    },
    /// It has begun, and nothing comes any more.
    #[error("nothing has come for {} s", within.as_secs())]
    Stalled {
        /// For how long.
        within: Duration,
    },
}

/// What a server still has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// Nothing: it may be stopped.
    Nothing,
    /// So many requests, those that wait included.
    Requests(u64),
    /// Something, and it cannot say how much.
    Something,
}

/// One server of language models. Every call ends in the time that the adapter was given for it.
#[async_trait]
pub trait InferenceServer: Send + Sync {
    /// Whether it answers, without troubling a model.
    async fn health(&self) -> Result<(), ServerError>;

    /// Lets a model answer with one token: the only proof that the server works. Returns the model; a server which may
    /// have none, and has none, is ready as well, and `None` is returned.
    async fn ready(&self) -> Result<Option<String>, ServerError>;

    /// What it still has to do. To be asked only when no new requests are led to it: one that does not count its
    /// requests is told to put its models away, which it does when nobody uses them any more.
    async fn remaining(&self) -> Result<Remaining, ServerError>;

    /// How many tokens its models have made since it was started; `None` where it does not say. A server that makes some
    /// is at work, however long a request has to wait.
    async fn tokens(&self) -> Result<Option<u64>, ServerError>;

    /// The names of the models that it has.
    async fn models(&self) -> Result<Vec<String>, ServerError>;

    /// Lets it fetch a model, and returns when it has said that it has the whole of it. Takes as long as something
    /// comes; `progress` hears how much that is, in bytes where the server tells. When the future is dropped, the server
    /// stops; what it has so far it need not fetch again.
    async fn pull(&self, model: &str, progress: OnProgress<'_>) -> Result<(), PullError>;
}

/// The gateway that leads the requests of the platform to a server of language models.
#[async_trait]
pub trait Gateway: Send + Sync {
    /// How many requests are inside any server of this machine now, as the gateway counts them.
    async fn in_flight(&self) -> Result<u64, ServerError>;
}
