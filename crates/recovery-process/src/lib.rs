//! The one place where Nova Recovery runs external programs: [`ProcessRunner`] carries out the
//! [`CommandRunner`](recovery_core::port::CommandRunner) port with real processes.
//!
//! Every program gets an environment of its own, a time limit, a limit on what it may print, and a process group that
//! is ended as a whole: nothing that a program started outlives the call. This crate knows no program by name; what
//! to run, and what its output means, is the business of the crates that ask for it.

mod capture;
mod group;
mod runner;

pub use runner::ProcessRunner;
