//! The fakes keep what their ports promise, and are as strict as they say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod contracts;
mod faults;
mod reset;
mod strictness;
mod tools;
