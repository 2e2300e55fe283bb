//! The handlers, one file per part of the interface. Each is documented as the OpenAPI document shows it.

pub(super) mod audit;
pub(super) mod backends;
pub(super) mod backups;
pub(super) mod console;
pub(super) mod diagnostics;
pub(super) mod download;
pub(super) mod environment;
pub(super) mod events;
pub(super) mod factory_reset;
pub(super) mod health;
pub(super) mod inference;
pub(super) mod integrations;
pub(super) mod metrics;
pub(super) mod operations;
pub(super) mod profiles;
pub(super) mod restores;
pub(super) mod services;
pub(super) mod session;
pub(super) mod upload;

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload};
use recovery_core::{Actor, ErrorCode, Problem};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::ApiError;
use crate::auth;

/// The admin who calls: only where the route demands one.
pub(super) struct Caller(auth::Caller);

impl Caller {
    fn actor(&self) -> Actor {
        self.0.actor()
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<auth::Caller>().copied();
        // The guard has let nobody pass without; should a route forget to demand an admin, it stays shut.
        ready(caller.map(Self).ok_or_else(|| {
            Problem::new(ErrorCode::Unauthorized, "This needs the credentials of an admin.").into()
        }))
    }
}

/// A text that no log can show.
struct SecretText(SecretString);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

/// What is known of a result before it is there.
fn fields<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The number in a query such as `limit=20`, within bounds.
fn number(request: &HttpRequest, name: &str, default: usize, most: usize) -> Result<usize, ApiError> {
    let mut pairs = request.query_string().split('&').filter_map(|pair| pair.split_once('='));
    let Some((_, text)) = pairs.find(|(key, _)| *key == name) else {
        return Ok(default);
    };
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => {
            let message = format!("must be a number from 1 to {most}");
            Err(Problem::new(ErrorCode::InvalidRequest, format!("The {name} {message}."))
                .field(name, message)
                .into())
        }
    }
}
