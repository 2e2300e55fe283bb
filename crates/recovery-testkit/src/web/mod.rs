//! The world outside: as a fake, and as servers on ports of this machine that misbehave in the same ways.

mod site;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use recovery_core::port::{WebAnswer, WebClient, WebError, WebRequest};
use secrecy::ExposeSecret as _;

pub use site::WebSite;

use crate::{Faults, lock};

/// What a server of the world outside does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebManner {
    /// Answers with this status and body.
    Answers(u16, Vec<u8>),
    /// Sends whoever asks to this address, which is whole or begins with `/`.
    LeadsTo(String),
    /// Announces this body and sends half of it.
    Cuts(Vec<u8>),
    /// Takes the request and says nothing.
    Hangs,
    /// Sends a byte now and then, so that no single wait is long, and never ends.
    Trickles,
    /// Sends a body without end.
    Floods,
    /// Answers something that is no HTTP.
    Mumbles,
}

impl WebManner {
    /// Answers with this status and body.
    #[must_use]
    pub fn answers(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answers(status, body.into())
    }
}

/// A request that a server got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenRequest {
    /// Its path, with the query.
    pub path: String,
    /// What was to come.
    pub accept: String,
    /// The token that came with it.
    pub token: Option<String>,
}

/// What a server does with each request.
pub type WebManners = Arc<dyn Fn(&TakenRequest) -> WebManner + Send + Sync>;

/// Where [`FakeWeb`] can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebPoint {
    /// Before anybody is asked.
    Get,
}

/// A world outside with servers that do as they are told. Clones share it.
///
/// Stricter than the real one: it panics over a request without bounds, and over a token that stands in an address.
#[derive(Clone, Default)]
pub struct FakeWeb {
    sites: Arc<Mutex<BTreeMap<String, Site>>>,
    faults: Faults<WebPoint, WebError>,
}

struct Site {
    manners: WebManners,
    taken: Vec<TakenRequest>,
}

impl fmt::Debug for FakeWeb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeWeb").field("sites", &lock(&self.sites).keys()).finish_non_exhaustive()
    }
}

impl FakeWeb {
    /// How often one is led on before that is an error.
    pub const REDIRECTS: usize = 3;

    /// A world in which nobody can be reached.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a server at this address, such as `https://hub.example`, or changes what the one there does.
    pub fn put(&self, address: &str, manners: impl Fn(&TakenRequest) -> WebManner + Send + Sync + 'static) {
        self.put_shared(address, Arc::new(manners));
    }

    /// As [`Self::put`].
    pub fn put_shared(&self, address: &str, manners: WebManners) {
        let mut sites = lock(&self.sites);
        let taken = sites.remove(address).map(|site| site.taken).unwrap_or_default();
        sites.insert(address.to_owned(), Site { manners, taken });
    }

    /// The requests that the server at this address got, oldest first.
    #[must_use]
    pub fn taken(&self, address: &str) -> Vec<TakenRequest> {
        lock(&self.sites).get(address).map(|site| site.taken.clone()).unwrap_or_default()
    }

    /// What is to fail.
    #[must_use]
    pub fn faults(&self) -> &Faults<WebPoint, WebError> {
        &self.faults
    }

    /// What the server at this address does with a request for this path.
    fn ask(&self, address: &str, request: TakenRequest) -> Option<WebManner> {
        let mut sites = lock(&self.sites);
        let site = sites.get_mut(address)?;
        site.taken.push(request.clone());
        Some((site.manners)(&request))
    }
}

/// An address without its path, and the path.
fn split(url: &str) -> (String, String) {
    let (scheme, rest) = url.split_once("://").expect("a whole address");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    (format!("{scheme}://{host}"), format!("/{path}"))
}

#[async_trait]
impl WebClient for FakeWeb {
    async fn get(&self, request: WebRequest) -> Result<WebAnswer, WebError> {
        assert!(!request.timeout.is_zero() && request.timeout.as_secs() <= 60, "no bound in time");
        assert!((1..=16 << 20).contains(&request.limit), "no bound in size");
        let mut token = request.token.as_ref().map(|token| token.expose_secret().to_owned());
        assert!(token.as_ref().is_none_or(|token| !request.url.contains(token)), "a token in an address");
        let unreachable = |why: &str| Err(WebError::Unreachable { why: why.to_owned() });
        self.faults.pass(WebPoint::Get).await?;
        let (mut address, mut path) = split(&request.url);
        for _ in 0..=Self::REDIRECTS {
            let taken = TakenRequest { path, accept: request.accept.to_owned(), token: token.clone() };
            let Some(manner) = self.ask(&address, taken) else { return unreachable("nobody is there") };
            let to = match manner {
                WebManner::Answers(_, body) if body.len() > request.limit => {
                    return Err(WebError::TooLarge { limit: request.limit });
                }
                WebManner::Answers(status, body) => return Ok(WebAnswer { status, body }),
                WebManner::LeadsTo(to) => to,
                WebManner::Cuts(_) => return unreachable("it broke off"),
                WebManner::Mumbles => return unreachable("it does not speak HTTP"),
                WebManner::Floods => return Err(WebError::TooLarge { limit: request.limit }),
                WebManner::Hangs | WebManner::Trickles => {
                    tokio::time::sleep(request.timeout).await;
                    return Err(WebError::TimedOut);
                }
            };
            if to.starts_with('/') {
                path = to;
                continue;
            }
            let (next, next_path) = split(&to);
            token = token.filter(|_| next == address);
            (address, path) = (next, next_path);
        }
        unreachable("it leads on without end")
    }
}
