//! Nova Recovery: the HTTP service and the command line.
//!
//! This is the only crate that knows HTTP, the environment and how the parts are wired together: [`app::App`] holds
//! them, [`operations`] carries out everything that takes long, [`auth`] decides who may ask for it, and [`http`]
//! answers. What a backup is, and how PostgreSQL is spoken to, is the business of the crates below.

mod actions;
pub mod alerts;
pub mod app;
pub mod auth;
pub mod backends;
pub mod cli;
mod compose;
mod console;
#[cfg(feature = "crash-points")]
pub mod crash;
mod dependencies;
mod diagnostics;
mod environment;
mod factory_reset;
mod glance;
mod housekeeping;
pub mod http;
pub mod inference;
mod integrations;
mod kept;
pub mod logging;
pub mod operations;
mod overview;
mod redact;
mod schedule;
mod services;
pub mod settings;
pub mod troubleshoot;
pub mod view;
pub mod web;
mod wiring;

pub use wiring::StartError;
