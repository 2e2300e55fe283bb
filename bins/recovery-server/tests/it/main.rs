//! The service over fakes of everything outside: who is let in, how errors look, and what operations do.

mod access;
mod backups;
mod events;
mod operations;
mod problems;
mod world;
