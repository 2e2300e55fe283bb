//! What each port promises, as suites that a fake and the real thing must both pass.
//!
//! A suite is an async function that panics over the first broken promise. It works on whatever it is given and makes
//! no assumption about what else is in there, so that it can run against a shared server.

mod command;
mod compose;
mod database;
mod database_load;
mod database_rewrite;
mod database_swap;
mod directories;
mod engine;
mod env_file;
mod gpu_engine;
mod inference;
mod key_space;
mod key_value;
mod notifier;
mod reset_database;
mod state;
mod web;

use std::time::{Duration, Instant};

pub use command::{CommandCases, command_runner};
pub use compose::{ComposeFixture, compose};
pub use database::{
    DatabaseFixture, OtherSession, database_admin, database_unconfigured, protected_database,
};
pub use directories::{DirectoryFixture, data_directories};
pub use engine::{EngineDeed, EngineFixture, container_engine, container_engine_away};
pub use env_file::{env_file, env_file_missing};
pub use gpu_engine::gpu_engine;
pub use inference::{gateway, inference_server, puller};
pub use key_space::{key_space, key_space_away};
pub use key_value::{key_value, key_value_away};
pub use notifier::{notifier, notifier_away};
pub use reset_database::{ResetFixture, reset_database};
pub use state::{audit_log, documents, journal};
pub use web::{WebFixture, web_client};

/// How long a promise that is kept "soon" may take, also on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

/// Tries again until something is so; panics where it is not in time.
async fn soon(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < SOON, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
