//! Documents of the world outside, over HTTP with TLS: bounded in time and in what is read.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use recovery_core::port::{WebAnswer, WebClient, WebError, WebRequest};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;
use ureq::{
    Agent, Body, Error,
    config::RedirectAuthHeaders,
    http::{HeaderValue, Request, Response, Uri, header},
};

use crate::alerts::why_unreachable;

/// How many are fetched at once: each takes a thread for as long as it takes.
const AT_ONCE: usize = 16;
/// How often an answer may lead on.
const MOST_REDIRECTS: usize = 3;

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
            Ok(Err(_)) => Err(unreachable("it could not be asked")),
            // The thread ends by itself: it has the same time.
            Err(_) => Err(WebError::TimedOut),
        }
    }
}

fn fetch(request: &WebRequest) -> Result<WebAnswer, WebError> {
    let began = Instant::now();
    let mut url: Uri = request.url.parse().map_err(|_| unreachable("its address is none"))?;
    let mut token = request.token.as_ref();
    for _ in 0..=MOST_REDIRECTS {
        let left = request.timeout.saturating_sub(began.elapsed());
        let mut answer =
            ask(&url, token, request.accept, left).map_err(|error| failed(&error, request.limit))?;
        let status = answer.status();
        match answer.headers().get(header::LOCATION) {
            Some(to) if status.is_redirection() => {
                let next = led_on(&url, to)?;
                // A model that was renamed is found behind one; the token does not follow to another server.
                token = token.filter(|_| is_one_server(&url, &next));
                url = next;
            }
            _ => {
                // One byte more than there may be tells what is too large from what just fits.
                let limit = u64::try_from(request.limit).unwrap_or(u64::MAX).saturating_add(1);
                let body = answer.body_mut().with_config().limit(limit).read_to_vec();
                let body = body.map_err(|error| failed(&error, request.limit))?;
                if body.len() > request.limit {
                    return Err(WebError::TooLarge { limit: request.limit });
                }
                return Ok(WebAnswer { status: status.as_u16(), body });
            }
        }
    }
    Err(unreachable("it leads from one address to the next without end"))
}

/// Asks one server.
fn ask(
    url: &Uri,
    token: Option<&SecretString>,
    accept: &str,
    limit: Duration,
) -> Result<Response<Body>, Error> {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .proxy(None)
        // What leads elsewhere is looked at here: the library keeps a token for every port of a host.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .redirect_auth_headers(RedirectAuthHeaders::Never)
        .user_agent(concat!("nova-recovery/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut request = Request::get(url).header(header::ACCEPT, accept);
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(ureq::http::Error::from)?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    agent.run(request.body(())?)
}

/// The address that an answer leads to, which is whole or a path of the same server.
fn led_on(from: &Uri, to: &HeaderValue) -> Result<Uri, WebError> {
    let to = to.to_str().unwrap_or_default();
    let whole = match (to.starts_with('/') && !to.starts_with("//"), from.scheme_str(), from.authority()) {
        (true, Some(scheme), Some(server)) => format!("{scheme}://{server}{to}"),
        _ => to.to_owned(),
    };
    let next = whole.parse::<Uri>().ok();
    next.filter(|next| matches!(next.scheme_str(), Some("http" | "https")) && next.host().is_some())
        .ok_or_else(|| unreachable("it leads to an address that is none"))
}

fn is_one_server(one: &Uri, other: &Uri) -> bool {
    one.scheme() == other.scheme() && one.authority() == other.authority()
}

fn unreachable(why: &str) -> WebError {
    WebError::Unreachable { why: why.to_owned() }
}

fn failed(error: &Error, limit: usize) -> WebError {
    match error {
        Error::Timeout(_) => WebError::TimedOut,
        Error::BodyExceedsLimit(_) => WebError::TooLarge { limit },
        Error::Http(_) => unreachable("its token cannot be sent"),
        error => WebError::Unreachable { why: why_unreachable(error) },
    }
}
