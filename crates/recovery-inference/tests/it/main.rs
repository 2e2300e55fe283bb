//! What is found out about the machine that the tests run on.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod detect;
mod lifecycle;
mod machine;
mod pull;
mod servers;
