//! One small HTTP client: bounded in time and size, and with errors that tell the kinds of sickness apart.

use std::{error::Error as _, io, time::Duration};

use recovery_core::port::ServerError;
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Limits;

/// The most that is read of an answer, in bytes: the metrics of a server with many labels are some 100 KiB.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

/// A client of one server.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    address: String,
    pub(super) limits: Limits,
}

impl Client {
    pub(super) fn new(address: &str, limits: Limits) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            // A proxy of the environment has no business between containers, and a redirection leads elsewhere.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("nova-recovery/", env!("CARGO_PKG_VERSION")))
            // A kept connection to a server that is gone would look like one that breaks off.
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { http, address: address.to_owned(), limits })
    }

    /// Asks without a model, and does not look at the answer beyond its status.
    pub(super) async fn answers(&self, path: &str) -> Result<(), ServerError> {
        self.ask(Method::GET, path, None, self.limits.quick).await.map(drop)
    }

    /// The answer as text.
    pub(super) async fn text(&self, path: &str) -> Result<String, ServerError> {
        let bytes = self.ask(Method::GET, path, None, self.limits.quick).await?;
        String::from_utf8(bytes).map_err(|_| ServerError::Unreadable { what: "it is not a text" })
    }

    /// The answer as JSON.
    pub(super) async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ServerError> {
        read_json(&self.ask(Method::GET, path, None, self.limits.quick).await?)
    }

    /// Sends JSON, within this time.
    pub(super) async fn post(
        &self,
        path: &str,
        body: Value,
        within: Duration,
    ) -> Result<Vec<u8>, ServerError> {
        self.ask(Method::POST, path, Some(body), within).await
    }

    /// Sends JSON, and has the answer read bit by bit. Whoever reads it has to look at its status.
    pub(super) async fn stream(&self, path: &str, body: Value) -> Result<Response, ServerError> {
        let request = self.http.post(format!("{}{path}", self.address)).json(&body);
        let within = self.limits.pull;
        match tokio::time::timeout(within, request.send()).await {
            Ok(answer) => answer.map_err(trouble),
            Err(_) => Err(ServerError::Hung { within }),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        within: Duration,
    ) -> Result<Vec<u8>, ServerError> {
        let mut request = self.http.request(method, format!("{}{path}", self.address));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = async {
            let answer = request.send().await.map_err(trouble)?;
            match answer.status() {
                StatusCode::OK => read(answer).await,
                status => Err(ServerError::Status { status: status.as_u16() }),
            }
        };
        tokio::time::timeout(within, answer).await.unwrap_or(Err(ServerError::Hung { within }))
    }
}

/// Reads JSON of an expected shape.
pub(super) fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ServerError> {
    serde_json::from_slice(bytes)
        .map_err(|_| ServerError::Unreadable { what: "it is not JSON of the expected shape" })
}

async fn read(mut answer: Response) -> Result<Vec<u8>, ServerError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(trouble)? {
        if bytes.len() + chunk.len() > LARGEST_ANSWER {
            return Err(ServerError::Unreadable { what: "it is too long" });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What kind of sickness it is. A name that leads nowhere is a container that is gone: nothing listens either.
pub(super) fn trouble(error: reqwest::Error) -> ServerError {
    let refused = {
        let mut cause = error.source();
        let mut found = false;
        while let Some(source) = cause {
            let io = source.downcast_ref::<io::Error>();
            found |= io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionReset);
            cause = source.source();
        }
        error.is_connect() && !found
    };
    let source = Box::new(error.without_url());
    if refused { ServerError::Closed { source } } else { ServerError::Broken { source } }
}
