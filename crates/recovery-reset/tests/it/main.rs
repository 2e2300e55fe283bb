//! Factory reset on real servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what cannot be is a failed test"
)]

mod generated;
mod kept_is_kept;
mod words;
