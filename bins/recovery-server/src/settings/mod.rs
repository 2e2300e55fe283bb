//! What the operator may set: read once at start, from the environment and an optional TOML file, checked as a whole
//! and handed down as values.
//!
//! This is the only place that reads the environment. `table` holds each variable once; loading, the output of
//! `nova-recovery config` and `docs/configuration.md` come from it. What a setting does is the business of the part
//! that gets it.

mod backends;
#[cfg(feature = "crash-points")]
mod crash;
mod effective;
mod error;
mod include;
mod inference;
mod load;
mod order;
mod parse;
mod platform;
mod reference;
mod reset;
mod table;
#[cfg(test)]
mod tests;
mod variable;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use recovery_backup::{Compression, IncludedDirectory, RetentionPolicy};
use recovery_core::database::ConnectionTarget;
use recovery_reset::Categories;
use secrecy::SecretString;

#[cfg(feature = "crash-points")]
pub(crate) use crash::CrashSettings;
pub use effective::{EffectiveSetting, Source};
pub use error::{InvalidSettings, SettingError};
pub use platform::{EngineAddress, PlatformSettings};
pub use reference::reference;

pub(crate) use parse::admin_secret as check_admin_secret;

use crate::{
    alerts::Webhook,
    backends::BackendSettings,
    inference::InferenceSettings,
    logging::{LogFilter, LogFormat},
};

/// Everything that the operator may set, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database to protect.
    pub database: DatabaseSetting,
    /// The admin secret; where it is unset, one is generated and kept in the state directory.
    pub admin_secret: Option<SecretString>,
    /// Where backups are stored.
    pub backup_dir: PathBuf,
    /// Journal, audit log and generated secret.
    pub state_dir: PathBuf,
    /// The address to listen on.
    pub bind_address: IpAddr,
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// Redis; the path is the system database.
    pub redis_url: SecretString,
    /// How long after the newest checkpoint the next one is made; `None` where none is made by itself.
    pub checkpoint_interval: Option<Duration>,
    /// Which backups are kept.
    pub retention: RetentionPolicy,
    /// Who is told when what the service does by itself fails.
    pub notify: Option<Webhook>,
    /// How long the database that a restore replaced is kept.
    pub keep_replaced: Duration,
    /// How long after a good drill the next one takes place by itself; `None` for never.
    pub drill_interval: Option<Duration>,
    /// Web origins that may call with credentials.
    pub cors_allowed_origins: Vec<String>,
    /// `Host` names accepted besides the built-in ones, in lower case and without a port.
    pub allowed_hosts: Vec<String>,
    /// Peers whose `X-Real-IP` names the client.
    pub trusted_proxies: Vec<IpNet>,
    /// Peers that need no secret on admin routes that neither destroy nor disclose.
    pub trusted_networks: Vec<IpNet>,
    /// How long a call waits for its operation before it answers 202.
    pub sync_wait: Duration,
    /// Whether `/metrics` is open to everybody.
    pub metrics_open: bool,
    /// What is logged.
    pub log_level: LogFilter,
    /// How it is written.
    pub log_format: LogFormat,
    /// How many tables are dumped or restored at once.
    pub backup_jobs: usize,
    /// How dump files are compressed.
    pub backup_compression: Compression,
    /// Directories in which `pg_dump` and `pg_restore` are looked for.
    pub tool_directories: Vec<PathBuf>,
    /// Directories that belong to every backup besides the database.
    pub backup_include: Vec<IncludedDirectory>,
    /// The platform that is looked after.
    pub platform: PlatformSettings,
    /// How it is found out what the machine has for language models.
    pub inference: InferenceSettings,
    /// Which servers of language models there are, and how they are run.
    pub backends: BackendSettings,
    /// What belongs to which category of a factory reset.
    pub reset_categories: Categories,
}

/// The database to protect. That it is unset or wrong does not keep the service from starting: what needs the
/// database says so.
#[derive(Clone, Debug)]
pub enum DatabaseSetting {
    /// Nothing names one.
    Unset,
    /// Something does, and cannot be understood. The words hold no part of the value.
    Invalid(String),
    /// This one.
    Target(ConnectionTarget),
}

impl DatabaseSetting {
    /// How to reach it, where that is known.
    #[must_use]
    pub fn target(&self) -> Option<&ConnectionTarget> {
        match self {
            Self::Target(target) => Some(target),
            Self::Unset | Self::Invalid(_) => None,
        }
    }
}

/// The settings, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Every variable as it is in effect, in the order of the reference; no secret among them.
    pub effective: Vec<EffectiveSetting>,
}
