//! The engine and Compose, over fakes and for real.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod compose;
mod compose_faults;
mod compose_fixture;
mod compose_hang;
mod compose_registry;
mod engine;
mod engine_fixture;
mod probe;
mod restart;
