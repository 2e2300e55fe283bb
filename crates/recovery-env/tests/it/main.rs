//! The environment on a real disk and with the real Compose.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "what cannot be is a failed test"
)]

mod checked;
mod disk;
mod environment;
mod mounts;
mod oracle;
