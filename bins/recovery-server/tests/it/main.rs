//! The service over fakes of everything outside: who is let in, how errors look, and what operations do.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets what it does not expect has failed"
)]

mod access;
mod backends;
mod backends_world;
mod background;
mod backups;
mod catalogues;
mod console;
mod diagnostics;
mod drills;
mod environment;
mod events;
mod factory_reset;
mod inference;
mod language_model;
mod models_pull;
mod operations;
mod problems;
mod profiles;
mod schedule;
mod services;
mod transfers;
mod web;
mod world;
