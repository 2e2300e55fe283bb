//! Documents of the world outside, over HTTP with TLS: bounded in time and in what is read.

use async_trait::async_trait;
use recovery_core::port::{WebAnswer, WebClient, WebError, WebRequest};
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;
use ureq::{
    Agent, Error,
    config::RedirectAuthHeaders,
    http::{HeaderValue, Request, header},
};

use crate::alerts::why_unreachable;

/// How many are fetched at once: each takes a thread for as long as it takes.
const AT_ONCE: usize = 16;

/// Fetches documents. Nothing of a connection is kept between two of them.
pub struct Web {
    at_once: Semaphore,
}

impl Web {
    /// A client.
    #[must_use]
    pub fn new() -> Self {
        Self { at_once: Semaphore::new(AT_ONCE) }
    }
}

impl Default for Web {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl WebClient for Web {
    async fn get(&self, request: WebRequest) -> Result<WebAnswer, WebError> {
        let limit = request.timeout;
        let fetching = async {
            let _permit = self.at_once.acquire().await.ok();
            tokio::task::spawn_blocking(move || fetch(&request)).await
        };
        match tokio::time::timeout(limit, fetching).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(WebError::Unreachable { why: "it could not be asked".to_owned() }),
            // The thread ends by itself: it has the same time.
            Err(_) => Err(WebError::TimedOut),
        }
    }
}

fn fetch(request: &WebRequest) -> Result<WebAnswer, WebError> {
    let unreachable = |why: &str| WebError::Unreachable { why: why.to_owned() };
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(request.timeout))
        .http_status_as_error(false)
        .proxy(None)
        // A model that was renamed is found behind one; the token does not follow to another server.
        .max_redirects(3)
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .user_agent(concat!("nova-recovery/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut built = Request::get(&request.url).header(header::ACCEPT, request.accept);
    if let Some(token) = &request.token {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(|_| unreachable("its token cannot be sent"))?;
        value.set_sensitive(true);
        built = built.header(header::AUTHORIZATION, value);
    }
    let built = built.body(()).map_err(|_| unreachable("its address is none"))?;
    let mut answer = agent.run(built).map_err(|error| failed(&error, request.limit))?;
    let status = answer.status().as_u16();
    let limit = u64::try_from(request.limit).unwrap_or(u64::MAX);
    let body = answer.body_mut().with_config().limit(limit).read_to_vec();
    Ok(WebAnswer { status, body: body.map_err(|error| failed(&error, request.limit))? })
}

fn failed(error: &Error, limit: usize) -> WebError {
    match error {
        Error::Timeout(_) => WebError::TimedOut,
        Error::BodyExceedsLimit(_) => WebError::TooLarge { limit },
        error => WebError::Unreachable { why: why_unreachable(error) },
    }
}
