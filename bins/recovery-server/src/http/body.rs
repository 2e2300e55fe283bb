//! Request bodies: JSON, bounded in size and time, with errors that name the field.

use std::{pin::Pin, time::Duration};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web::BytesMut};
use futures_util::StreamExt as _;
use recovery_core::{ErrorCode, Problem};
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// The largest body, in bytes.
pub(super) const LARGEST: usize = 1024 * 1024;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

/// A JSON body, or none at all.
pub(super) struct OptionalBody<T>(pub(super) T);

/// For a route that needs no body: one that is sent all the same must be JSON.
#[derive(Default, serde::Deserialize)]
pub(super) struct Nothing {}

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let bytes = read(&request, payload).await?;
            if bytes.is_empty() {
                return Err(Problem::new(ErrorCode::InvalidBody, "The request needs a body.")
                    .hint(HINT)
                    .into());
            }
            parse(&request, &bytes).map(Self)
        })
    }
}

impl<T: DeserializeOwned + Default + 'static> FromRequest for OptionalBody<T> {
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let bytes = read(&request, payload).await?;
            if bytes.is_empty() { Ok(Self(T::default())) } else { parse(&request, &bytes).map(Self) }
        })
    }
}

const HINT: &str = "Send a JSON object with Content-Type: application/json.";

async fn read(request: &HttpRequest, mut payload: Payload) -> Result<BytesMut, ApiError> {
    let too_large =
        || Problem::new(ErrorCode::BodyTooLarge, format!("The request body is larger than {LARGEST} bytes."));
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > LARGEST as u64) {
        return Err(too_large().into());
    }
    let reading = async {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk =
                chunk.map_err(|_| Problem::new(ErrorCode::InvalidRequest, "The request body broke off."))?;
            if bytes.len() + chunk.len() > LARGEST {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .unwrap_or_else(|_| {
            Err(Problem::new(ErrorCode::InvalidRequest, "The request body did not arrive in time."))
        })
        .map_err(ApiError::from)
}

fn parse<T: DeserializeOwned>(request: &HttpRequest, bytes: &[u8]) -> Result<T, ApiError> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(is_json) {
        return Err(Problem::new(
            ErrorCode::UnsupportedMediaType,
            "The request body is not declared to be JSON.",
        )
        .hint(HINT)
        .into());
    }
    serde_json::from_slice(bytes).map_err(|error| invalid(&error).into())
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Says what is wrong without repeating what was sent, which may be a secret.
fn invalid(error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        let place = format!("line {}, column {}", error.line(), error.column());
        return Problem::new(
            ErrorCode::InvalidBody,
            format!("The request body is not valid JSON ({place})."),
        )
        .hint(HINT);
    }
    let words = error.to_string();
    let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
    match words.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        Some(field) => {
            Problem::new(ErrorCode::InvalidBody, format!("The request body lacks the field {field}."))
                .field(field, "is missing")
        }
        None => {
            // serde says `invalid type: …, expected …`, `unknown variant …, expected …`.
            let expected = words.rsplit_once("expected ").map(|(_, expected)| expected.replace('`', ""));
            let message = expected.map_or_else(
                || "is not of the expected form".to_owned(),
                |expected| format!("must be {expected}"),
            );
            Problem::new(ErrorCode::InvalidBody, format!("A value in the request body {message}."))
                .field("body", message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Level {
        Low,
        High,
    }

    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Sample {
        secret: String,
        #[serde(default)]
        level: Option<Level>,
    }

    fn check(json: &str, expect: &str) {
        let problem = invalid(&serde_json::from_str::<Sample>(json).unwrap_err());
        assert_eq!(problem.detail, expect, "{json}");
        assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
    }

    #[test]
    fn the_words_say_what_is_wrong_and_repeat_nothing() {
        check("{}", "The request body lacks the field secret.");
        check(r#"{"secret": 12345}"#, "A value in the request body must be a string.");
        check(r#"{"secret": "x", "level": "hunter2"}"#, "A value in the request body must be low or high.");
        check(r#""hunter2""#, "A value in the request body must be struct Sample.");
        check(r#"{"secret": "hunter2"#, "The request body is not valid JSON (line 1, column 19).");
    }

    #[test]
    fn json_is_known_by_its_type() {
        for (content_type, expect) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            assert_eq!(is_json(content_type), expect, "{content_type}");
        }
    }
}
