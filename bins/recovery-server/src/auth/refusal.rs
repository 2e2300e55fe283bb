//! Why a caller is not let in, in words that help the right person and tell the wrong one nothing.

use std::time::Duration;

use recovery_core::{ErrorCode, Problem};

use super::token::TokenError;

/// A caller is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It shows nothing.
    #[error("no credentials")]
    NoCredentials,
    /// The secret is not the admin secret.
    #[error("wrong admin secret")]
    WrongSecret,
    /// The token is not one of an admin.
    #[error("the token does not let in")]
    WrongToken(#[source] TokenError),
    /// Its address lets it in, but not here.
    #[error("a trusted network is not enough here")]
    NeedsExplicit,
    /// It sent too many wrong secrets.
    #[error("too many wrong secrets")]
    TooManyAttempts {
        /// When it may try again.
        retry_after: Duration,
    },
    /// The `Host` header is of another server.
    #[error("the Host header is not of this service")]
    MisdirectedHost,
    /// A web page of another origin sent it.
    #[error("a web page of another origin sent the request")]
    ForeignOrigin,
    /// The console's session came from elsewhere than the console's own page.
    #[error("the console's session came from elsewhere than its own page")]
    AnotherPage,
}

const HOW: &str =
    "Send the header X-Admin-Secret, or Authorization: Bearer with the token of a signed-in admin.";

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoCredentials => {
                Self::new(ErrorCode::Unauthorized, "This needs the credentials of an admin.").hint(HOW)
            }
            Refusal::WrongSecret => Self::new(ErrorCode::Unauthorized, "The admin secret is wrong.").hint(
                "It is the value of ADMIN_SECRET; where none was set, the service generated one and logged the path of \
                 its file at the start.",
            ),
            Refusal::WrongToken(TokenError::KeyUnknown) => Self::new(
                ErrorCode::Unauthorized,
                "The token cannot be checked: PostgreSQL, which holds the key, does not answer.",
            )
            .hint("Use the admin secret (header X-Admin-Secret) until it does."),
            Refusal::WrongToken(TokenError::Expired) => {
                Self::new(ErrorCode::Unauthorized, "The token has expired.").hint("Sign in again.")
            }
            Refusal::WrongToken(TokenError::NotAdmin) => {
                Self::new(ErrorCode::Unauthorized, "The token is not the access token of an admin.").hint(HOW)
            }
            Refusal::WrongToken(TokenError::Invalid) => {
                Self::new(ErrorCode::Unauthorized, "The token is not valid.").hint("Sign in again.")
            }
            Refusal::NeedsExplicit => Self::new(
                ErrorCode::CredentialsRequired,
                "This destroys or discloses data, so it needs explicit credentials even from a trusted network: send \
                 the header X-Admin-Secret, or Authorization: Bearer with the token of a signed-in admin.",
            ),
            Refusal::TooManyAttempts { retry_after } => Self::new(
                ErrorCode::TooManyAttempts,
                "Too many wrong admin secrets came from this address.",
            )
            .hint(format!("Try again in {} s.", whole_seconds(retry_after))),
            Refusal::MisdirectedHost => Self::new(
                ErrorCode::MisdirectedHost,
                "The Host header names a server that this is not.",
            )
            .hint(
                "Use a name that is listed in ALLOWED_HOSTS, or localhost; or show credentials in a header, which \
                 works under every name.",
            ),
            Refusal::ForeignOrigin => {
                Self::new(ErrorCode::ForbiddenOrigin, "A web page of another origin may not do this.")
                    .hint("If the page is yours, list its origin in CORS_ALLOWED_ORIGINS.")
            }
            Refusal::AnotherPage => Self::new(
                ErrorCode::ForbiddenOrigin,
                "The console's session counts for the console's own page, and this did not come from it.",
            )
            .hint(
                "Behind a proxy, name the proxy in TRUSTED_PROXIES and let it set X-Forwarded-Proto and \
                 X-Forwarded-Host (or Host, with its port) to what the browser asked for. A program shows credentials \
                 in a header instead.",
            ),
        }
    }
}

/// Rounded up: `Retry-After` counts whole seconds, and 0 would be too early.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
