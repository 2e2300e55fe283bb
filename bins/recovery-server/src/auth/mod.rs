//! Who may call: decides, from what a request presents, whether its sender is an admin.
//!
//! Knows nothing of any web framework: the HTTP layer hands in what stands in the request and turns a [`Refusal`] into
//! an answer. Authority in a header (secret, token) was put there on purpose and is accepted under any `Host`. Ambient
//! authority (session cookie, trusted network) is there without the sender's doing, so a web page of somebody else
//! could borrow it: it counts only under a known `Host` and no foreign `Origin`. With the cookie, which can do
//! everything, only the page that it was made for changes anything: no other origin, not even a listed one, and no
//! request that keeps its origin to itself.

mod client;
mod origin;
mod refusal;
mod secret;
mod session;
mod throttle;
mod token;

use std::{sync::Arc, time::Instant};

use ipnet::IpNet;
use recovery_core::{
    Actor,
    port::{Clock, KeyValue, ProtectedDatabase},
};
use secrecy::SecretString;
use tokio::runtime::Handle;

pub use client::Client;
pub(crate) use client::lies_in;
pub use refusal::Refusal;
pub(crate) use refusal::whole_seconds;
pub use session::{NewSession, Sessions};

use self::{origin::Ambience, secret::AdminSecret, throttle::Throttle, token::Tokens};

/// What a route demands of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Open,
    /// That it is an admin.
    Admin,
    /// That it is an admin who shows credentials: being in a trusted network is not enough to destroy or disclose.
    Explicit,
}

/// What makes a caller an admin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The admin secret.
    Secret,
    /// A token that the platform issued.
    Token,
    /// The session cookie.
    Session,
    /// Its address.
    TrustedNetwork,
}

/// An admin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Where the request came from.
    pub client: Client,
    /// What makes it an admin.
    pub credential: Credential,
}

impl Caller {
    /// The words for logs.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let credential = match self.credential {
            Credential::Secret => "admin secret",
            Credential::Token => "admin token",
            Credential::Session => "console session",
            Credential::TrustedNetwork => "trusted network",
        };
        Actor::new(format!("{credential} from {}", self.client))
    }
}

/// What a request presents. Empty values count as absent.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Where it came from.
    pub client: Client,
    /// `X-Admin-Secret`.
    pub secret: Option<&'a [u8]>,
    /// The token of `Authorization: Bearer`.
    pub token: Option<&'a str>,
    /// The session cookie.
    pub session: Option<&'a str>,
    /// `Host`, as the browser sent it: a trusted proxy may have passed it on.
    pub host: Option<&'a str>,
    /// Whether the browser speaks TLS, which ends at a trusted proxy.
    pub secure: bool,
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// Whether the request is one that changes something, by its method.
    pub changes: bool,
}

/// Who is let in, besides those who show credentials.
#[derive(Clone, Debug, Default)]
pub struct AccessSettings {
    /// Web origins that may call with credentials, serialised as browsers do.
    pub allowed_origins: Vec<String>,
    /// `Host` names besides localhost and loopback addresses, in lower case and without a port.
    pub allowed_hosts: Vec<String>,
    /// Peers whose `X-Real-IP` names the client, and who say under which address the browser reached them.
    pub trusted_proxies: Vec<IpNet>,
    /// Clients that need no credentials where nothing is destroyed or disclosed.
    pub trusted_networks: Vec<IpNet>,
}

/// Decides who is an admin.
pub struct Auth {
    settings: AccessSettings,
    ambience: Ambience,
    secret: AdminSecret,
    tokens: Tokens,
    sessions: Sessions,
    throttle: Throttle,
    clock: Arc<dyn Clock>,
}

impl Auth {
    /// Over these ports; `configured` is the admin secret as long as no other is set at run time.
    #[must_use]
    pub fn new(
        settings: AccessSettings,
        configured: SecretString,
        key_value: Arc<dyn KeyValue>,
        database: Arc<dyn ProtectedDatabase>,
        clock: Arc<dyn Clock>,
        runtime: &Handle,
    ) -> Self {
        Self {
            ambience: Ambience::new(&settings),
            settings,
            secret: AdminSecret::new(configured, key_value, runtime.clone()),
            tokens: Tokens::new(database, runtime.clone()),
            sessions: Sessions::default(),
            throttle: Throttle::default(),
            clock,
        }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &AccessSettings {
        &self.settings
    }

    /// Whether a web page of this origin may call with credentials.
    #[must_use]
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.ambience.lists_origin(origin)
    }

    /// Asks for the admin secret and the key of tokens where it is time to: what was never asked for is not known once
    /// Redis or the database is away.
    pub(crate) async fn refresh(&self) {
        tokio::join!(self.secret.refresh(), self.tokens.refresh());
    }

    /// Lets an admin in, or says why not. For [`Access::Open`] there is nothing to decide: it is for the routes that
    /// demand something.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn admit(&self, access: Access, presented: &Presented<'_>) -> Result<Caller, Refusal> {
        let caller = |credential| Caller { client: presented.client, credential };
        // A valid token comes first: it is never throttled, whatever else the request carries.
        let token = match presented.token {
            Some(token) => Some(self.tokens.verify(token, self.clock.now()).await),
            None => None,
        };
        if let Some(Ok(())) = token {
            return Ok(caller(Credential::Token));
        }
        if let Some(secret) = presented.secret {
            self.check_secret(presented.client, secret).await?;
            return Ok(caller(Credential::Secret));
        }
        if let Some(Err(why)) = token {
            return Err(Refusal::WrongToken(why));
        }
        if let Some(session) = presented.session
            && self.sessions.is_valid(session, self.secret.generation().await, self.clock.now())
        {
            self.ambience.check_page(presented)?;
            return Ok(caller(Credential::Session));
        }
        if presented.client.is_in(&self.settings.trusted_networks) {
            self.ambience.check(presented.host, presented.origin)?;
            if access == Access::Explicit {
                return Err(Refusal::NeedsExplicit);
            }
            return Ok(caller(Credential::TrustedNetwork));
        }
        Err(Refusal::NoCredentials)
    }

    /// Begins a console session for who knows the admin secret.
    ///
    /// # Errors
    /// Where the secret is wrong, or the cookie would not be accepted under the `Host` and `Origin` of the request.
    pub async fn sign_in(&self, presented: &Presented<'_>, secret: &[u8]) -> Result<NewSession, Refusal> {
        // Who knows the secret needs no page for it.
        self.ambience.check_page(&Presented { changes: false, ..*presented })?;
        let generation = self.check_secret(presented.client, secret).await?;
        Ok(self.sessions.begin(generation, self.clock.now()))
    }

    /// Ends the console session of the request, and returns whether it had one.
    ///
    /// # Errors
    /// Where anything but the console's own page asks for it.
    pub fn sign_out(&self, presented: &Presented<'_>) -> Result<bool, Refusal> {
        let Some(session) = presented.session else { return Ok(false) };
        self.ambience.check_page(presented)?;
        Ok(self.sessions.end(session))
    }

    /// Returns the generation of the secret that was offered.
    async fn check_secret(&self, client: Client, offered: &[u8]) -> Result<u64, Refusal> {
        let mut current = self.secret.current().await;
        if !current.is(offered) {
            // Perhaps it was changed a moment ago.
            current = self.secret.reread().await;
        }
        // Compared and counted in one step: many attempts at once do not slip past the count.
        match self.throttle.attempt(client, Instant::now(), || current.is(offered)) {
            Ok(true) => Ok(current.generation),
            Ok(false) => Err(Refusal::WrongSecret),
            Err(retry_after) => Err(Refusal::TooManyAttempts { retry_after }),
        }
    }
}
