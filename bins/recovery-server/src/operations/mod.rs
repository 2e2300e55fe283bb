//! The registry of operations: starts them in tasks of their own, journals their beginning and end, keeps what is
//! known of them in memory and tells everybody who watches.
//!
//! What an operation does is decided by whoever starts it. A client that hangs up, a handler that is dropped or a
//! panic inside an operation changes nothing for the others.

mod context;
mod events;
mod failure;
mod history;
mod registry;
mod running;
mod tally;

pub use events::{Delivery, Event, EventHub, Happening, Subscription};
pub use failure::{Failure, chain};
pub use history::Became;
pub use registry::{CancelError, NewOperation, Operations};
pub use tally::Tally;
