//! Answers as they come, for what docker-api would take apart wrongly: its decoder of output panics on that of a
//! terminal and believes any length that it is told.

use std::{collections::HashMap, pin::Pin};

use containers_api::conn::{
    self, Headers, Payload, RequestClient, Transport, get_http_connector, get_unix_connector,
    hyper::{Body, Client, Response, StatusCode, body::Bytes},
};
use docker_api::{ApiVersion, Error};
use futures_util::{AsyncRead, Stream, StreamExt as _};

use recovery_core::container::ContainerId;

use super::address::Address;

/// The most bytes of the words of an error that are read.
const MOST_WORDS: usize = 16 * 1024;

/// A container that was found by a label.
pub(super) struct Labelled {
    pub(super) id: String,
    /// The label's value.
    pub(super) label: String,
    /// When it was made, in Unix time.
    pub(super) created: i64,
}

/// A client that hands out bytes.
pub(super) struct Raw {
    client: RequestClient<Error>,
    version: Option<ApiVersion>,
}

impl Raw {
    pub(super) fn new(address: &Address, version: Option<ApiVersion>) -> Result<Self, Error> {
        let transport = match address {
            Address::Unix(path) => Transport::Unix {
                // As docker-api does: a socket costs nothing to connect to, and an idle connection may be dead.
                client: Client::builder().pool_max_idle_per_host(0).build(get_unix_connector()),
                path: path.clone(),
            },
            Address::Tcp(host) => Transport::Tcp {
                client: Client::builder().pool_max_idle_per_host(0).build(get_http_connector()),
                host: containers_api::url::url::Url::parse(&format!("tcp://{host}"))
                    .map_err(Error::InvalidUrl)?,
            },
        };
        Ok(Self { client: RequestClient::new(transport, Box::new(validate)), version })
    }

    /// The bytes of an answer, as they arrive.
    pub(super) fn get<'a>(&'a self, endpoint: &'a str) -> impl Stream<Item = Result<Bytes, Error>> + 'a {
        self.client.get_stream(self.versioned(endpoint))
    }

    /// Makes ready to run a command in a container: docker-api does not hand out the id that it needs to be run.
    pub(super) async fn make_exec(&self, container: &ContainerId, json: String) -> Result<String, Error> {
        #[derive(serde::Deserialize)]
        struct Made {
            #[serde(rename = "Id")]
            id: String,
        }
        let endpoint = self.versioned(&format!("/containers/{}/exec", container.as_str()));
        let made: Made = self.client.post_json(endpoint, Payload::Json(json), Headers::none()).await?;
        let is_id = made.id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id { Ok(made.id) } else { Err(Error::InvalidResponse("an id that is none".to_owned())) }
    }

    /// Makes a container; docker-api's options know no GPUs by their CDI names. Returns its id.
    pub(super) async fn make_container(&self, json: String) -> Result<String, Error> {
        #[derive(serde::Deserialize)]
        struct Made {
            #[serde(rename = "Id")]
            id: String,
        }
        let endpoint = self.versioned("/containers/create");
        let made: Made = self.client.post_json(endpoint, Payload::Json(json), Headers::none()).await?;
        Ok(made.id)
    }

    /// Starts a container.
    pub(super) async fn start_container(&self, container: &ContainerId) -> Result<(), Error> {
        let endpoint = self.versioned(&format!("/containers/{}/start", container.as_str()));
        self.client.post(endpoint, Payload::<Body>::None, Headers::none()).await.map(drop)
    }

    /// Waits for the end of a container's program. Returns its exit status.
    pub(super) async fn wait_for_container(&self, container: &ContainerId) -> Result<i64, Error> {
        #[derive(serde::Deserialize)]
        struct Ended {
            #[serde(rename = "StatusCode")]
            status: i64,
        }
        let endpoint = self.versioned(&format!("/containers/{}/wait", container.as_str()));
        let ended: Ended = self.client.post_json(endpoint, Payload::<Body>::None, Headers::none()).await?;
        Ok(ended.status)
    }

    /// Removes a container and its nameless volumes, whatever it does.
    pub(super) async fn remove_container(&self, container: &ContainerId) -> Result<(), Error> {
        let endpoint = format!("/containers/{}?force=true&v=true", container.as_str());
        self.client.delete(self.versioned(&endpoint)).await.map(drop)
    }

    /// All containers with this label, whose name is none that needs escaping.
    pub(super) async fn containers_with_label(&self, label: &str) -> Result<Vec<Labelled>, Error> {
        #[derive(serde::Deserialize)]
        struct Listed {
            #[serde(rename = "Id")]
            id: String,
            #[serde(rename = "Created", default)]
            created: i64,
            #[serde(rename = "Labels", default)]
            labels: HashMap<String, String>,
        }
        let endpoint = format!("/containers/json?all=true&filters=%7B%22label%22%3A%5B%22{label}%22%5D%7D");
        let listed: Vec<Listed> = self.client.get_json(self.versioned(&endpoint)).await?;
        let labelled = |mut listed: Listed| Labelled {
            label: listed.labels.remove(label).unwrap_or_default(),
            id: listed.id,
            created: listed.created,
        };
        Ok(listed.into_iter().map(labelled).collect())
    }

    /// Sends JSON, and takes the connection over for what comes back.
    pub(super) async fn take_over(
        &self,
        endpoint: &str,
        json: String,
    ) -> Result<impl AsyncRead + use<>, Error> {
        self.client.clone().post_upgrade_stream(self.versioned(endpoint), Payload::Json(json)).await
    }

    fn versioned(&self, endpoint: &str) -> String {
        match self.version {
            Some(version) => version.make_endpoint(endpoint),
            None => endpoint.to_owned(),
        }
    }
}

type Validated = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send + Sync>>;

fn validate(response: Response<Body>) -> Validated {
    Box::pin(async move {
        let code = response.status();
        if code.is_success() || code == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let mut body = response.into_body();
        let mut words = Vec::new();
        while let Some(bytes) = body.next().await {
            words.extend_from_slice(&bytes.map_err(conn::Error::from)?);
            if words.len() > MOST_WORDS {
                break;
            }
        }
        let message = serde_json::from_slice::<serde_json::Value>(&words)
            .ok()
            .and_then(|words| words.get("message")?.as_str().map(str::to_owned))
            .unwrap_or_else(|| "no reason given".to_owned());
        Err(Error::Fault { code, message })
    })
}
