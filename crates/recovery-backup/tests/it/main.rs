//! Backups and restores of real databases, with PostgreSQL's own programs.

mod bad_input;
mod cancel;
mod everything;
mod faults;
mod fixture;
mod locks;
mod round_trip;
