//! [`ProcessRunner`] with real processes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod ending;
mod running;
