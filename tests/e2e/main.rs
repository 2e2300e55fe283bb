//! End-to-end tests: the real binary, PostgreSQL, its client programs and Redis; nothing is faked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that meets what it does not expect has failed"
)]

mod access;
mod archives;
mod cli;
mod console;
mod crash;
mod crash_keys;
mod crash_places;
mod crash_points;
mod crash_table;
mod crash_transfers;
mod environment;
mod faults;
mod inference;
mod inference_changes;
mod inference_crash;
mod inference_sickness;
mod inference_stage;
mod instances;
mod kept;
mod lifecycle;
mod outages;
mod places;
mod profiles;
mod proving_ground;
mod recorded;
mod reset;
mod reset_crash;
mod reset_oracle;
mod reset_refusals;
mod reset_world;
mod service;
mod services;
mod stack;
mod stack_profiles;
mod stand_ins;
mod transfers;
mod upgrading;
mod walkthrough;
