//! Waiting until a server has finished its requests.
//!
//! That nothing is running proves nothing while the gateway may still lead new requests there. So its caches are waited
//! out first; then the server has to say three times in a row that it has nothing to do. Where it cannot tell, the
//! gateway is the witness: its count is of all servers, so that only 0 says something.

use std::time::Duration;

use recovery_core::port::{Gateway, InferenceServer, Remaining, ServerError};
use tokio::time::{Instant, sleep, sleep_until};

use super::Timing;

/// How often in a row a server has to say that it has nothing to do.
const IN_A_ROW: u32 = 3;

/// What a server still had to do when it was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: no request is cut off.
    Nothing,
    /// At most so many requests, which are cut off.
    Requests(u64),
    /// Nobody could tell how much.
    Unknown,
}

/// A server that no new requests are led to any more.
pub struct Drain<'a> {
    /// The server.
    pub server: &'a dyn InferenceServer,
    /// The gateway before it.
    pub gateway: &'a dyn Gateway,
    /// How long the gateway's caches last.
    pub timing: Timing,
    /// When the gateway was told.
    pub since: Instant,
    /// How long the server is given after the gateway's caches were waited out.
    pub deadline: Duration,
}

impl Drain<'_> {
    /// Waits. `tell` hears how much is left, each time that it is counted.
    pub async fn wait(&self, tell: &(dyn Fn(Left) + Send + Sync)) -> Left {
        let settled = self.since + self.timing.settled();
        sleep_until(settled).await;
        let (mut in_a_row, mut left) = (0, Left::Unknown);
        loop {
            match self.server.remaining().await {
                // What does not listen has nothing to finish; it must not be a moment of a restart either.
                Ok(Remaining::Nothing) | Err(ServerError::Closed { .. }) => in_a_row += 1,
                Ok(Remaining::Requests(requests)) => {
                    (in_a_row, left) = (0, Left::Requests(requests));
                    tell(left);
                }
                Ok(Remaining::Something) | Err(_) => {
                    in_a_row = 0;
                    match self.gateway.in_flight().await {
                        Ok(0) => return Left::Nothing,
                        Ok(requests) => left = Left::Requests(requests),
                        Err(_) => left = Left::Unknown,
                    }
                    tell(left);
                }
            }
            if in_a_row >= IN_A_ROW {
                return Left::Nothing;
            }
            if Instant::now() >= settled + self.deadline {
                return if in_a_row > 0 { Left::Nothing } else { left };
            }
            sleep(self.timing.poll).await;
        }
    }
}
