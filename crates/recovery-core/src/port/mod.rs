//! The ports: small traits through which the crates reach PostgreSQL, Redis, the state directory, external programs,
//! the container engine and the clock. The server holds each as an `Arc<dyn Port>`; tests hand in fakes that pass the same contract suite.

mod audit;
mod backup_maker;
mod clock;
mod command;
mod compose;
mod context;
mod data_directories;
mod database;
mod document;
mod engine;
mod env_file;
mod gpu_engine;
mod inference;
mod journal;
mod key_space;
mod key_value;
mod load;
mod notifier;
mod problems;
mod reset_database;
mod rewrite;
mod web;

pub use audit::{AuditEntry, AuditLog, AuditOutcome};
pub use backup_maker::{BackupMaker, Besides};
pub use clock::{Clock, SystemClock};
pub use command::{Command, CommandError, CommandOutput, CommandRunner, EnvValue, Exit, LineListener};
pub use compose::{Compose, ComposeError, ImageTrouble, OnProgress};
pub use context::{Cancelled, OperationContext, Unwatched};
pub use data_directories::{DataDirectories, DirectoryError, DirectorySize, Emptied};
pub use database::{
    DatabaseAdmin, DatabaseError, DatabaseLock, DatabaseSnapshot, LockError, ProtectedDatabase, Swap,
};
pub use document::DocumentStore;
pub use engine::{ContainerEngine, EngineError, Exec, ExecOutput, LogLine, LogTail, OutputStream};
pub use env_file::{EnvContent, EnvFile, EnvFileError, EnvVersion};
pub use gpu_engine::{GpuEngine, GpuRequest, MAX_INFO, Probe};
pub use inference::{Gateway, InferenceServer, PullError, Remaining, ServerError};
pub use journal::{Journal, JournalEntry, JournalEvent, StateError};
pub use key_space::{Dump, KeySpace, ScanPosition};
pub use key_value::{KeyValue, KeyValueError};
pub use load::{LoadError, LoadSession};
pub use notifier::{Notice, NoticeEvent, Notifier, NotifyError};
pub use reset_database::{ResetDatabase, ResetTransaction};
pub use rewrite::{DatabaseRewrite, Kept, OtherRoles, Script};
pub use web::{WebAnswer, WebClient, WebError, WebRequest};
