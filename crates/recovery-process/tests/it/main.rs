//! [`ProcessRunner`] with real processes.

mod ending;
mod running;
