//! The gateway: how many requests it has inside the servers.

use async_trait::async_trait;
use recovery_core::port::{Gateway, ServerError};
use serde::Deserialize;

use super::{Limits, http::Client};

/// The gateway over HTTP.
#[derive(Clone, Debug)]
pub struct HttpGateway(Client);

impl HttpGateway {
    /// The gateway at this address, for example `http://llm-gateway:8001`.
    ///
    /// # Errors
    /// No connections can be made at all on this system.
    pub fn new(address: &str, limits: Limits) -> Result<Self, reqwest::Error> {
        Client::new(address.trim_end_matches('/'), limits).map(Self)
    }
}

#[async_trait]
impl Gateway for HttpGateway {
    async fn in_flight(&self) -> Result<u64, ServerError> {
        let count: Count = self.0.json("/health/inflight").await?;
        Ok(count.local_inflight)
    }
}

#[derive(Deserialize)]
struct Count {
    local_inflight: u64,
}
