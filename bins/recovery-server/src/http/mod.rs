//! The HTTP interface: routes, what each demands of its caller, and how answers and errors look.
//!
//! A handler takes a request apart, asks [`App`](crate::app::App) and puts the answer together; what is done, and how,
//! is decided elsewhere. `endpoints` holds every route once: its method, its path, its access, and the name under
//! which the audit log knows it.

mod body;
mod cors;
mod endpoints;
mod error;
mod guard;
mod handlers;
mod observe;
mod openapi;
mod path;
mod present;
mod server;
mod waiting;

pub use endpoints::application;
pub(crate) use guard::Strangers;
pub use openapi::openapi_json;
pub use server::{bind, run, serve};

/// Where the interface begins.
pub(crate) const BASE: &str = "/api/v1/recovery";
