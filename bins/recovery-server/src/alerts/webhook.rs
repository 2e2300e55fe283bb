//! Delivers notices to a web address: one POST with a JSON body whose `text` is what chat services show.

use std::{io::ErrorKind, time::Duration};

use async_trait::async_trait;
use recovery_core::port::{Notice, Notifier, NotifyError};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use ureq::{Agent, Error, http::header::CONTENT_TYPE};

use crate::view::timestamp;

/// How long a delivery may take, from the look-up of the name to the end of the answer's head.
const LIMIT: Duration = Duration::from_secs(10);

/// A text that is not the address of a receiver. Holds no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no address of the form http://host/path or https://host/path")]
pub struct InvalidWebhook;

/// A receiver of notices at a web address, which often holds a token and is kept as a secret.
#[derive(Clone, Debug)]
pub struct Webhook {
    url: SecretString,
    limit: Duration,
}

/// The body of a request.
#[derive(Serialize)]
struct Body<'a> {
    text: &'a str,
    event: &'static str,
    subject: &'a str,
    reason: &'static str,
    at: String,
    service: &'static str,
}

impl Webhook {
    /// The receiver at this address.
    ///
    /// # Errors
    /// It is no address of that kind.
    pub fn new(url: &SecretString) -> Result<Self, InvalidWebhook> {
        Url::parse(url.expose_secret().trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .map(|url| Self { url: String::from(url).into(), limit: LIMIT })
            .ok_or(InvalidWebhook)
    }

    /// The same receiver, waited for this long.
    #[must_use]
    pub fn waiting_for(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }
}

#[async_trait]
impl Notifier for Webhook {
    async fn notify(&self, notice: &Notice) -> Result<(), NotifyError> {
        let body = Body {
            text: &notice.text,
            event: notice.event.as_str(),
            subject: &notice.subject,
            reason: notice.reason.as_str(),
            at: timestamp(notice.at),
            service: "nova-recovery",
        };
        let unavailable = |why: &dyn std::fmt::Display| NotifyError::Unavailable { why: why.to_string() };
        let body = serde_json::to_vec(&body).map_err(|error| unavailable(&error))?;
        let Self { url, limit } = self.clone();
        tokio::task::spawn_blocking(move || post(&url, limit, &body))
            .await
            .unwrap_or_else(|error| Err(unavailable(&error)))
    }
}

/// Notices are rare, so that nothing of a connection is kept between two of them.
fn post(url: &SecretString, limit: Duration, body: &[u8]) -> Result<(), NotifyError> {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        // Neither a proxy of the environment nor a redirection is to see the token.
        .proxy(None)
        .max_redirects(0)
        .user_agent(concat!("nova-recovery/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let sent = agent.post(url.expose_secret()).header(CONTENT_TYPE, "application/json").send(body);
    match sent {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(NotifyError::Refused { status: answer.status().as_u16() }),
        Err(error) => Err(NotifyError::Unavailable { why: words(&error) }),
    }
}

/// What happened, in words of ours where the program library's would name the address.
pub(crate) fn words(error: &Error) -> String {
    match error {
        Error::Timeout(_) => "it did not answer in time".to_owned(),
        Error::HostNotFound => "its name is not known".to_owned(),
        Error::ConnectionFailed => "a connection cannot be made".to_owned(),
        Error::Tls(_) | Error::Rustls(_) => "its certificate or encryption is not acceptable".to_owned(),
        // What TLS finds wrong comes as bad data.
        Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
            "its certificate or encryption is not acceptable".to_owned()
        }
        Error::Io(error) => match error.kind() {
            kind @ (ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::UnexpectedEof
            | ErrorKind::TimedOut) => kind.to_string(),
            _ => "its name is not known, or it cannot be reached".to_owned(),
        },
        _ => "it does not speak HTTP as expected".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::TcpListener,
        sync::{Arc, Mutex},
    };

    use recovery_core::{ErrorCode, port::NoticeEvent};
    use recovery_testkit::contract;
    use serde_json::Value;
    use time::macros::datetime;

    use super::*;

    fn webhook(url: &str) -> Webhook {
        Webhook::new(&url.into()).unwrap()
    }

    /// The heads and bodies of requests.
    type Requests = Arc<Mutex<Vec<(String, Value)>>>;

    /// A receiver that gives this answer to everybody, and what it was sent.
    fn receiver(answer: &'static str) -> (String, Requests) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook/t0ken?key=s3cret", listener.local_addr().unwrap());
        let taken = Requests::default();
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = BufReader::new(connection.unwrap());
                let (mut head, mut length) = (String::new(), 0);
                while !head.ends_with("\r\n\r\n") {
                    let begin = head.len();
                    // Whoever speaks TLS sends no text; it is answered in plain words.
                    if connection.read_line(&mut head).is_err() {
                        break;
                    }
                    let line = head[begin..].to_ascii_lowercase();
                    if let Some(value) = line.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                connection.read_exact(&mut body).unwrap();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                shared.lock().unwrap().push((head, body));
                connection.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        (url, taken)
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

    fn notice() -> Notice {
        Notice {
            event: NoticeEvent::Failed,
            subject: "checkpoint".to_owned(),
            reason: ErrorCode::DatabaseUnavailable,
            text: "PostgreSQL does not answer.".to_owned(),
            at: datetime!(2026-01-31 12:00 UTC),
        }
    }

    #[tokio::test]
    async fn it_keeps_the_contract() {
        let (url, taken) = receiver(OK);
        let texts = || {
            let taken = taken.lock().unwrap();
            taken.iter().map(|(_, body)| body["text"].as_str().unwrap().to_owned()).collect()
        };
        contract::notifier(&webhook(&url), texts).await;
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        contract::notifier_away(&webhook(&format!("http://{nobody}/"))).await;
        contract::notifier_away(&webhook("http://no-such-host.invalid/")).await;
    }

    #[tokio::test]
    async fn the_body_says_what_happened() {
        let (url, taken) = receiver(OK);
        webhook(&url).notify(&notice()).await.unwrap();
        let (head, body) = taken.lock().unwrap().remove(0);
        assert!(head.starts_with("POST /hook/t0ken?key=s3cret HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("content-type: application/json\r\n"), "{head}");
        assert_eq!(
            body,
            serde_json::json!({
                "text": "PostgreSQL does not answer.", "event": "failed", "subject": "checkpoint",
                "reason": "database_unavailable", "at": "2026-01-31T12:00:00Z", "service": "nova-recovery"
            })
        );
    }

    #[tokio::test]
    async fn a_receiver_that_says_nothing_is_given_up() {
        // The system accepts the connection; nobody ever reads from it.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/t0ken", silent.local_addr().unwrap());
        let error =
            webhook(&url).waiting_for(Duration::from_millis(200)).notify(&notice()).await.unwrap_err();
        assert!(error.to_string().contains("did not answer in time"), "{error}");
    }

    #[tokio::test]
    async fn no_error_holds_the_address() {
        let check = async |url: &str, expect: &str| {
            let error = webhook(url).waiting_for(Duration::from_secs(2)).notify(&notice()).await.unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains(expect), "{text}");
            for secret in ["t0ken", "s3cret", "127.0.0.1", "invalid/"] {
                assert!(!text.contains(secret), "{text}");
            }
        };
        let elsewhere =
            "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        check(&receiver(elsewhere).0, "status 302").await;
        check(&receiver("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").0, "status 404").await;
        check(&receiver("SSH-2.0-OpenSSH_9.2\r\n").0, "HTTP").await;
        check(&receiver(OK).0.replace("http://", "https://"), "certificate or encryption").await;
        check("http://no-such-host.invalid/t0ken", "not known").await;
        check("http://127.0.0.1:1/t0ken", "connection refused").await;
        assert!(!format!("{:?}", webhook("http://127.0.0.1/t0ken")).contains("t0ken"));
    }

    #[test]
    fn an_address_is_http_or_https() {
        for good in ["http://localhost/x", " https://hooks.example.org/services/T/B ", "http://[::1]:8080"] {
            assert!(Webhook::new(&good.into()).is_ok(), "{good}");
        }
        for bad in ["", "hooks.example.org/x", "ftp://h/x", "http://", "/x", "localhost:80/x"] {
            assert!(Webhook::new(&bad.into()).is_err(), "{bad}");
        }
    }
}
