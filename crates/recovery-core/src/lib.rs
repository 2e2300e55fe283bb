//! The vocabulary of Nova Recovery: names that are valid by construction, the [`Operation`] model, errors that say
//! what to do, and the [`port`]s through which everything else reaches the outside world.
//!
//! This crate is for the parts and for programs that embed them. It is not a place for behaviour: it does no I/O,
//! needs no async runtime and knows no framework, so that every other crate can be tested against fakes.

pub mod backup;
pub mod compose;
pub mod container;
mod crash;
pub mod database;
pub mod drill;
pub mod keys;
pub mod operation;
pub mod platform;
pub mod port;
pub mod problem;
pub mod schema;

pub use backup::{BackupFiles, BackupInfo, BackupKind, BackupName, Verification, VerifyLevel};
pub use crash::crash_point;
#[cfg(feature = "crash-points")]
pub use crash::on_crash_point;
pub use drill::{Drill, DrillHistory, DrillResult};
pub use operation::{Actor, Operation, OperationId, OperationKind, OperationState, Progress, Unit};
pub use platform::{ProfileName, ProjectName, ServiceName};
pub use problem::{ErrorCode, Problem};
