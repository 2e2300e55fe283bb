//! Tokens that the platform issued to a signed-in admin.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use recovery_core::port::ProtectedDatabase;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::{runtime::Handle, sync::Mutex};

/// The row of `platform_config` that holds the key.
const KEY: &str = "auth.jwt_secret";
/// How long an answer of the database is good for.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How long the database is left alone after it did not answer.
const PAUSE: Duration = Duration::from_secs(10);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longer tokens are not looked at, in bytes.
const LONGEST: usize = 8 * 1024;

/// A token does not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The key is not known, and cannot be asked for.
    #[error("the key is not known")]
    KeyUnknown,
    /// It is no token, not signed with HS256 and the key, or lacks a claim.
    #[error("not valid")]
    Invalid,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// It is of another type, or of somebody who is no admin.
    #[error("not the access token of an admin")]
    NotAdmin,
}

pub(super) struct Tokens {
    database: Arc<dyn ProtectedDatabase>,
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    key: Option<SecretString>,
    answered: bool,
    ask_again: Option<Instant>,
}

impl Tokens {
    pub(super) fn new(database: Arc<dyn ProtectedDatabase>, runtime: Handle) -> Self {
        Self { database, runtime, state: Mutex::default() }
    }

    /// Whether this is the valid access token of an admin.
    pub(super) async fn verify(&self, token: &str, now: OffsetDateTime) -> Result<(), TokenError> {
        let key = self.key().await?;
        check(token, key.expose_secret().as_bytes(), now)
    }

    /// Asks for the key where it is time to, before a token arrives that needs it.
    pub(super) async fn refresh(&self) {
        // Where it is not known, there is nothing to say before somebody shows a token.
        let _ = self.key().await;
    }

    /// The key, at most five minutes old while the database answers; else the last one known, so that a signed-in
    /// admin gets in while it does not.
    async fn key(&self) -> Result<SecretString, TokenError> {
        let mut state = self.state.lock().await;
        if state.ask_again.is_none_or(|at| Instant::now() >= at) {
            let database = Arc::clone(&self.database);
            // On the runtime of the service: a connection that is opened here must not end with the thread that asked.
            let asking = self.runtime.spawn(async move { database.platform_config(KEY).await });
            let answer = tokio::time::timeout(PATIENCE, asking).await;
            let good_for = match answer {
                Ok(Ok(Ok(value))) => {
                    state.answered = true;
                    // Where the row or its table is gone, as in a database that is being replaced, the last key goes
                    // on: admins must get in to mend that.
                    if let Some(Value::String(key)) = value
                        && !key.is_empty()
                    {
                        state.key = Some(key.into());
                    }
                    MAX_AGE
                }
                Ok(Ok(Err(_)) | Err(_)) | Err(_) => PAUSE,
            };
            state.ask_again = Some(Instant::now() + good_for);
        }
        match &state.key {
            Some(key) => Ok(key.clone()),
            None if state.answered => Err(TokenError::Invalid),
            None => Err(TokenError::KeyUnknown),
        }
    }
}

fn check(token: &str, key: &[u8], now: OffsetDateTime) -> Result<(), TokenError> {
    if token.len() > LONGEST {
        return Err(TokenError::Invalid);
    }
    let mut validation = Validation::new(Algorithm::HS256);
    // The claims are judged below, by our own clock and without leeway.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_secret(key), &validation)
        .map_err(|_| TokenError::Invalid)?
        .claims;
    let number = |name: &str| claims.get(name).and_then(Value::as_f64);
    #[expect(clippy::cast_precision_loss, reason = "seconds of this era are exact in an f64")]
    let now = now.unix_timestamp() as f64;
    if number("exp").ok_or(TokenError::Invalid)? <= now {
        return Err(TokenError::Expired);
    }
    if claims.get("nbf").is_some() && !number("nbf").is_some_and(|begins| begins <= now) {
        return Err(TokenError::Invalid);
    }
    let is_access = claims.get("type").and_then(Value::as_str) == Some("access");
    if is_access && claims.get("is_admin") == Some(&Value::Bool(true)) {
        Ok(())
    } else {
        Err(TokenError::NotAdmin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-01-31 12:00 UTC);
    const KEY: &[u8] = b"the key of the platform";

    fn sign(algorithm: Algorithm, key: &[u8], claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(key)).unwrap()
    }

    fn good() -> Value {
        json!({ "sub": "1", "type": "access", "is_admin": true, "exp": NOW.unix_timestamp() + 60 })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = good();
        claims[name] = value;
        claims
    }

    fn verdict(claims: &Value) -> Result<(), TokenError> {
        check(&sign(Algorithm::HS256, KEY, claims), KEY, NOW)
    }

    #[test]
    fn only_the_access_token_of_an_admin_lets_in() {
        assert_eq!(verdict(&good()), Ok(()));
        assert_eq!(verdict(&with("exp", json!(NOW.unix_timestamp() as f64 + 0.5))), Ok(()));
        assert_eq!(verdict(&with("aud", json!("anyone"))), Ok(()));
        for (claim, value, expect) in [
            ("exp", json!(NOW.unix_timestamp()), TokenError::Expired),
            ("exp", json!(0), TokenError::Expired),
            ("exp", json!("9999999999"), TokenError::Invalid),
            ("exp", Value::Null, TokenError::Invalid),
            ("nbf", json!(NOW.unix_timestamp() + 1), TokenError::Invalid),
            ("nbf", json!("soon"), TokenError::Invalid),
            ("type", json!("refresh"), TokenError::NotAdmin),
            ("type", Value::Null, TokenError::NotAdmin),
            ("is_admin", json!(false), TokenError::NotAdmin),
            ("is_admin", json!("true"), TokenError::NotAdmin),
            ("is_admin", json!(1), TokenError::NotAdmin),
        ] {
            assert_eq!(verdict(&with(claim, value.clone())), Err(expect), "{claim} = {value}");
        }
    }

    #[test]
    fn another_algorithm_another_key_or_no_signature_does_not() {
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            assert_eq!(check(&sign(algorithm, KEY, &good()), KEY, NOW), Err(TokenError::Invalid));
        }
        assert_eq!(check(&sign(Algorithm::HS256, b"guess", &good()), KEY, NOW), Err(TokenError::Invalid));

        let signed = sign(Algorithm::HS256, KEY, &good());
        let (payload, _) = signed.rsplit_once('.').unwrap();
        let (_, claims) = payload.split_once('.').unwrap();
        // {"alg":"none","typ":"JWT"}
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
        for token in [none.as_str(), payload, "", "a.b.c", "null", &"x".repeat(LONGEST + 1)] {
            assert_eq!(check(token, KEY, NOW), Err(TokenError::Invalid), "{token}");
        }
    }
}
