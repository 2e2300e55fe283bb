//! What tests of Nova Recovery are made of: strict stateful fakes of every port, the [`contract`] suites that fakes
//! and real adapters both pass, and real [`servers`] for tests that need them.
//!
//! A fake behaves as its port's documentation says, remembers what was done to it, fails at named points on order
//! ([`Faults`]), and is stricter than production: what a real server would let pass but no caller should do is a panic
//! or an error here. Nothing in this crate is for use outside tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test support: what cannot be is a failed test"
)]

mod clock;
mod compose;
mod context;
pub mod contract;
mod database;
mod directories;
mod engine;
mod env_file;
mod faults;
mod inference;
mod key_value;
mod notifier;
mod postgres_tools;
mod reset;
mod runner;
pub mod servers;
mod state;
mod web;

pub use clock::FakeClock;
pub use compose::{ComposePoint, FakeCompose, FakeContainer};
pub use context::RecordingContext;
pub use database::{DatabaseFaults, DatabasePoint, FakeContents, FakeDatabase, FakeEntry, FakeSession};
pub use directories::{DirectoryNode, DirectoryPoint, MemoryDirectories};
pub use engine::{EngineContainer, EngineFaults, EnginePoint, FakeEngine, Fate};
pub use env_file::{EnvFilePoint, MemoryEnvFile};
pub use faults::{Faults, Hold};
pub use inference::{Answered, FakeGateway, FakeServer, Served, Sickness, SpokenDialect, StandIn};
pub use key_value::{KeySpacePoint, MemoryKeyValue, MemoryValue};
pub use notifier::{NotifyPoint, RecordingNotifier};
pub use postgres_tools::{FakePostgresTools, ToolPoint};
pub use reset::{
    FakeTables, HeldTable, ResetFaults, ResetPoint, SampleColumn, SampleKey, SampleRow, SampleTable,
    sample_schema, sample_sql,
};
pub use runner::{FakeProgram, FakeRunner, exits};
pub use state::{MemoryAuditLog, MemoryDocuments, MemoryJournal, StateFaults, StatePoint, disk_full};
pub use web::{FakeWeb, TakenRequest, WebManner, WebManners, WebPoint, WebSite};

/// Locks a mutex of a fake. A test that panicked while it held one has failed already; the others still see its state.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
