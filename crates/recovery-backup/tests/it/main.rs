//! Backups and restores of real databases, with PostgreSQL's own programs.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that meets what it does not expect has failed"
)]

mod bad_input;
mod bit_rot;
mod cancel;
mod disk_of_files;
mod disks;
mod drills;
mod everything;
mod faults;
mod files;
mod fixture;
mod in_place;
mod kept;
mod legacy;
mod legacy_files;
mod legacy_hostile;
mod locks;
mod proof;
mod replaceable;
mod round_trip;
mod safety;
mod safety_real;
mod safety_restore;
mod stuck_files;
mod uploads;
mod versions;
