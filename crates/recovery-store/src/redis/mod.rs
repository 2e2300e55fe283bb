//! Redis behind the ports [`KeyValue`] and [`KeySpace`](recovery_core::port::KeySpace): one connection for each numbered
//! database that is used, and another one for work on many of its keys, made when it is first asked for and made again,
//! with growing pauses, whenever it breaks. No call waits long for a server that is away.

mod dump;
mod key_space;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientLike, EventInterface, KeysInterface},
    types::{
        Builder, ConnectHandle,
        config::{Config, ReconnectPolicy, UnresponsiveConfig},
    },
};
use recovery_core::port::{KeyValue, KeyValueError};
use secrecy::{ExposeSecret, SecretString};

/// How long a call may take.
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// How long one that moves many keys, or a large one, may take.
const BULK_LIMIT: Duration = Duration::from_secs(15);
/// How long a call waits for a connection that does not stand yet.
const CONNECT_WAIT: Duration = Duration::from_secs(1);
const MIN_PAUSE_MS: u32 = 100;
const MAX_PAUSE_MS: u32 = 5_000;

/// A text that is no usable URL of a Redis server. Never repeats it: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRedisUrl {
    /// It does not begin like one.
    #[error("the Redis URL must begin with redis://")]
    Scheme,
    /// TLS is asked for.
    #[error("the Redis URL asks for TLS (rediss://), which is not supported yet")]
    Tls,
    /// The rest of it makes no sense.
    #[error("the Redis URL is not of the form redis://[user:password@]host[:port][/database]")]
    Form,
}

/// The numbered databases of a Redis server.
pub struct RedisStore {
    config: Config,
    clients: Mutex<HashMap<(u8, Purpose), Connection>>,
}

/// What a connection is for: a call that others wait for never stands behind one that takes long.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Purpose {
    /// A question that is answered at once.
    Prompt,
    /// Work on many keys, or a large one.
    Bulk,
}

impl Purpose {
    fn limit(self) -> Duration {
        match self {
            Self::Prompt => CALL_LIMIT,
            Self::Bulk => BULK_LIMIT,
        }
    }
}

type LastError = Arc<Mutex<Option<Error>>>;

struct Connection {
    client: Client,
    /// Ends only where the connection is given up for good.
    task: ConnectHandle,
    /// Why the last attempt to connect failed.
    last_error: LastError,
}

impl RedisStore {
    /// The server behind this URL. Does not connect.
    ///
    /// # Errors
    /// Says what is wrong with the URL, without repeating it.
    pub fn new(url: &SecretString) -> Result<Self, InvalidRedisUrl> {
        let url = url.expose_secret().trim();
        match url.split_once("://") {
            Some(("redis", _)) => {}
            Some(("rediss", _)) => return Err(InvalidRedisUrl::Tls),
            _ => return Err(InvalidRedisUrl::Scheme),
        }
        let mut config = Config::from_url_centralized(url).map_err(|_| InvalidRedisUrl::Form)?;
        // A server that is away at first is tried again like one that goes away later.
        config.fail_fast = false;
        Ok(Self { config, clients: Mutex::default() })
    }

    /// The database that the URL names: where the service keeps what is its own.
    #[must_use]
    pub fn system_database(&self) -> u8 {
        self.config.database.unwrap_or(0)
    }

    /// The client of a database; it connects in the background.
    fn client(&self, database: u8, purpose: Purpose) -> Result<(Client, LastError), Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (database, purpose);
        if let Some(connection) = clients.get(&key).filter(|connection| !connection.task.is_finished()) {
            return Ok((connection.client.clone(), Arc::clone(&connection.last_error)));
        }
        let mut config = self.config.clone();
        config.database = Some(database);
        let client = Builder::from_config(config)
            .with_performance_config(|performance| {
                performance.default_command_timeout = purpose.limit();
            })
            .with_connection_config(|connection| {
                connection.connection_timeout = CALL_LIMIT;
                connection.internal_command_timeout = CALL_LIMIT;
                connection.max_command_attempts = 1;
                connection.reconnect_on_auth_error = true;
                // A server that takes commands and never answers is as good as away.
                connection.unresponsive =
                    UnresponsiveConfig { max_timeout: Some(2 * purpose.limit()), interval: CALL_LIMIT };
            })
            .set_policy(ReconnectPolicy::new_exponential(0, MIN_PAUSE_MS, MAX_PAUSE_MS, 2))
            .build()?;
        let last_error = LastError::default();
        let newest = Arc::clone(&last_error);
        client.on_error(move |(error, _)| {
            *newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            std::future::ready(Ok(()))
        });
        let task = client.connect();
        let connection = Connection { client: client.clone(), task, last_error: Arc::clone(&last_error) };
        clients.insert(key, connection);
        Ok((client, last_error))
    }

    async fn call<T, F>(
        &self,
        database: u8,
        purpose: Purpose,
        command: impl FnOnce(Client) -> F,
    ) -> Result<T, KeyValueError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let call = async {
            let (client, last_error) = self.client(database, purpose).map_err(key_value_error)?;
            if !client.is_connected() {
                tokio::time::timeout(CONNECT_WAIT, client.wait_for_connect())
                    .await
                    .map_err(|_| no_connection(&last_error))?
                    .map_err(key_value_error)?;
            }
            command(client).await.map_err(key_value_error)
        };
        tokio::time::timeout(purpose.limit(), call)
            .await
            .unwrap_or_else(|_| Err(unavailable("no answer in time")))
    }
}

/// There is no connection: because the server refuses one (a wrong password, a database that it does not have), or
/// because it does not answer.
fn no_connection(last_error: &LastError) -> KeyValueError {
    match last_error.lock().unwrap_or_else(PoisonError::into_inner).clone() {
        Some(error) => key_value_error(error),
        None => unavailable("no connection yet"),
    }
}

fn unavailable(why: &str) -> KeyValueError {
    KeyValueError::Unavailable { source: why.into() }
}

fn key_value_error(error: Error) -> KeyValueError {
    match error.kind() {
        ErrorKind::Unknown if is_refusal(error.details()) => {
            KeyValueError::Refused { source: Box::new(error) }
        }
        ErrorKind::IO
        | ErrorKind::Timeout
        | ErrorKind::Canceled
        | ErrorKind::Routing
        | ErrorKind::Backpressure
        | ErrorKind::Unknown => KeyValueError::Unavailable { source: Box::new(error) },
        _ => KeyValueError::Refused { source: Box::new(error) },
    }
}

/// Whether this is what the server itself has answered. Its errors begin with a word in capitals; some of them say that it
/// will answer only later.
fn is_refusal(details: &str) -> bool {
    let word = details.split(' ').next().unwrap_or_default();
    !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_uppercase())
        && !matches!(word, "LOADING" | "MASTERDOWN" | "BUSY" | "TRYAGAIN")
}

#[async_trait]
impl KeyValue for RedisStore {
    async fn get(&self, database: u8, key: &str) -> Result<Option<String>, KeyValueError> {
        self.call(database, Purpose::Prompt, |client| async move { client.get(key).await }).await
    }

    async fn set(&self, database: u8, key: &str, value: &str) -> Result<(), KeyValueError> {
        self.call(database, Purpose::Prompt, |client| async move {
            client.set(key, value, None, None, false).await
        })
        .await
    }

    async fn ping(&self) -> Result<(), KeyValueError> {
        self.call(
            self.system_database(),
            Purpose::Prompt,
            |client| async move { client.ping::<()>(None).await },
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_the_system_database() {
        let check = |url: &str, expect: u8| {
            let store = RedisStore::new(&SecretString::from(url.to_owned())).unwrap();
            assert_eq!(store.system_database(), expect, "{url}");
        };
        check("redis://redis:6379/7", 7);
        check("redis://:pa%40ss@127.0.0.1", 0);
        check("redis://user:pass@redis/", 0);
    }

    #[test]
    fn wrong_urls_are_refused_without_being_repeated() {
        let check = |url: &str, expect: InvalidRedisUrl| {
            let error = RedisStore::new(&SecretString::from(url.to_owned())).err().unwrap();
            assert_eq!(error, expect, "{url}");
            assert!(!error.to_string().contains("hunter2"), "{url}");
        };
        check("http://:hunter2@redis", InvalidRedisUrl::Scheme);
        check("hunter2", InvalidRedisUrl::Scheme);
        check("rediss://:hunter2@redis/7", InvalidRedisUrl::Tls);
        check("redis://:hunter2@redis:port/7", InvalidRedisUrl::Form);
        check("redis://:hunter2@redis/seven", InvalidRedisUrl::Form);
        check("redis://", InvalidRedisUrl::Form);
    }
}
