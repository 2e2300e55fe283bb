//! Nova Recovery: the HTTP service and the command line.

pub mod logging;
pub mod settings;
