//! The `.env` file of a Compose project: read as Compose reads it, changed so that nothing else in it changes, and
//! shown so that no secret is.
//!
//! [`EnvDocument`] knows the format and does no I/O. [`Environment`] is what the service works with: which variables
//! may be seen and changed, over the ports [`EnvFile`](recovery_core::port::EnvFile) and
//! [`Compose`](recovery_core::port::Compose). [`DiskEnvFile`] is the file itself.

mod candidate;
mod document;
mod environment;
mod error;
mod file;
mod key;
mod policy;

pub use document::{EnvDocument, ParseError, ParseErrorKind, SetError};
pub use environment::{Environment, Expected, Shown};
pub use error::EnvError;
pub use file::DiskEnvFile;
pub use key::{EnvKey, InvalidEnvKey};
pub use policy::{Visibility, mask, sounds_secret, visibility};
