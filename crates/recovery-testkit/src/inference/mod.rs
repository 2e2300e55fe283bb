//! Servers of language models and the gateway before them, in memory and on the clock of the runtime: where that is
//! paused, an hour of requests is over at once.

mod gateway;
mod http;
mod server;

pub use gateway::{Answered, FakeGateway};
pub use http::{SpokenDialect, StandIn};
pub use server::{FakeServer, Served, Sickness};
