//! The admin secret: the configured one, or the one that took its place at run time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use recovery_core::port::KeyValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use tokio::{runtime::Handle, sync::Mutex};

use crate::settings::check_admin_secret;

/// The database of Redis and the key under which the platform keeps a changed secret.
const DATABASE: u8 = 1;
const KEY: &str = "nova:config:auth.admin_secret";

/// How long an answer of Redis is good for.
const MAX_AGE: Duration = Duration::from_secs(30);
/// How old an answer becomes before the background asks again.
const REFRESH: Duration = Duration::from_secs(20);
/// How long Redis is left alone after it did not answer.
const PAUSE: Duration = Duration::from_secs(5);
/// How often Redis is asked again because of a secret that does not match.
const REREAD: Duration = Duration::from_secs(1);
/// How long an answer is waited for, and how long where the last one did not come.
const PATIENCE: Duration = Duration::from_secs(1);
const LITTLE_PATIENCE: Duration = Duration::from_millis(100);

/// The secret that counts now.
#[derive(Clone)]
pub(super) struct Current {
    secret: SecretString,
    /// Goes up with every change: what was begun under another secret ends.
    pub(super) generation: u64,
}

impl Current {
    /// Compares in a time that does not depend on where the two differ.
    pub(super) fn is(&self, offered: &[u8]) -> bool {
        self.secret.expose_secret().as_bytes().ct_eq(offered).into()
    }
}

pub(super) struct AdminSecret {
    configured: SecretString,
    store: Arc<dyn KeyValue>,
    runtime: Handle,
    state: Mutex<State>,
}

struct State {
    current: Current,
    asked: Option<Instant>,
    good_for: Duration,
    /// Whether the stored secret was not fit to be one when it was last read, which is said once.
    unfit: bool,
}

impl AdminSecret {
    pub(super) fn new(configured: SecretString, store: Arc<dyn KeyValue>, runtime: Handle) -> Self {
        let current = Current { secret: configured.clone(), generation: 0 };
        Self {
            configured,
            store,
            runtime,
            state: Mutex::new(State { current, asked: None, good_for: MAX_AGE, unfit: false }),
        }
    }

    /// The secret, at most half a minute old while Redis answers; else the last one known.
    pub(super) async fn current(&self) -> Current {
        self.not_older_than(MAX_AGE).await
    }

    /// The secret, asked for again unless that was done a moment ago.
    pub(super) async fn reread(&self) -> Current {
        self.not_older_than(REREAD).await
    }

    /// Asks for the secret ahead of its time, so that a change is known even if Redis dies before anybody signs in.
    pub(super) async fn refresh(&self) {
        self.not_older_than(REFRESH).await;
    }

    pub(super) async fn generation(&self) -> u64 {
        self.current().await.generation
    }

    async fn not_older_than(&self, age: Duration) -> Current {
        let mut state = self.state.lock().await;
        if state.asked.is_none_or(|asked| asked.elapsed() >= age.min(state.good_for)) {
            self.ask(&mut state).await;
        }
        state.current.clone()
    }

    /// The secret that the stored value puts into force; without a fit one it is the configured secret.
    fn changed(&self, state: &mut State, stored: Option<&str>) -> SecretString {
        let (secret, unfit) = match stored.map_or(Ok(None), unquote) {
            Ok(secret) => (secret, false),
            Err(reason) => {
                if !state.unfit {
                    tracing::warn!("the admin secret under {KEY} in Redis is ignored: it {reason}");
                }
                (None, true)
            }
        };
        state.unfit = unfit;
        secret.unwrap_or_else(|| self.configured.clone())
    }

    async fn ask(&self, state: &mut State) {
        let store = Arc::clone(&self.store);
        // On the runtime of the service: a connection that is opened here must not end with the thread that asked.
        let asking = self.runtime.spawn(async move { store.get(DATABASE, KEY).await });
        let patience = if state.good_for == PAUSE { LITTLE_PATIENCE } else { PATIENCE };
        let answer = tokio::time::timeout(patience, asking).await;
        state.asked = Some(Instant::now());
        let secret = match answer {
            Ok(Ok(Ok(value))) => self.changed(state, value.as_deref()),
            Ok(Ok(Err(_)) | Err(_)) | Err(_) => {
                state.good_for = PAUSE;
                return;
            }
        };
        state.good_for = MAX_AGE;
        if secret.expose_secret() != state.current.secret.expose_secret() {
            tracing::info!("the admin secret in force has changed; console sessions have ended");
            state.current = Current { secret, generation: state.current.generation + 1 };
        }
    }
}

/// The secret of a stored value: plain text or a JSON string. An empty one is none, and so is any other JSON value
/// but a number, which is as well plain text.
///
/// # Errors
/// Why a secret is not fit to be one, as at the start of the service.
fn unquote(stored: &str) -> Result<Option<SecretString>, String> {
    let text = match serde_json::from_str::<Value>(stored) {
        Ok(Value::String(text)) => text,
        Ok(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => return Ok(None),
        Ok(Value::Number(_)) | Err(_) => stored.to_owned(),
    };
    if text.is_empty() { Ok(None) } else { check_admin_secret(&text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stored: &str, expect: Option<&str>) {
        let secret = unquote(stored).unwrap();
        assert_eq!(secret.as_ref().map(|secret| secret.expose_secret()), expect, "{stored}");
    }

    #[test]
    fn a_stored_secret_may_be_quoted() {
        check("plain-secret", Some("plain-secret"));
        check(r#""quoted-\"secret""#, Some(r#"quoted-"secret"#));
        check("1234567890", Some("1234567890"));
        check("{not quite JSON", Some("{not quite JSON"));
    }

    #[test]
    fn what_is_no_text_is_no_secret() {
        for stored in
            ["", r#""""#, "null", "true", "false", "{}", r#"{"value":"long-enough"}"#, "[]", " null "]
        {
            check(stored, None);
        }
    }

    #[test]
    fn a_secret_that_the_settings_would_refuse_is_refused() {
        for stored in ["changeme", r#""ChangeMe""#, r#""short""#, "7654321", "two\nlines of text"] {
            assert!(unquote(stored).is_err(), "{stored}");
        }
    }

    #[test]
    fn only_the_whole_secret_matches() {
        let current = Current { secret: "correct horse".into(), generation: 0 };
        assert!(current.is(b"correct horse"));
        for wrong in [&b"correct hors"[..], b"correct horsf", b"correct horse ", b"", b"\xff"] {
            assert!(!current.is(wrong));
        }
    }
}
