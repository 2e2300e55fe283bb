//! From the settings to the parts: which adapter stands behind which port.

use std::sync::Arc;

use recovery_backup::BackupSettings;
use recovery_core::{
    ErrorCode, OperationId, Problem,
    port::{Notifier, StateError, SystemClock},
};
use recovery_docker::{ComposeCli, ComposeSettings, DockerEngine, InvalidAddress, Patience};
use recovery_env::{DiskEnvFile, Environment};
use recovery_inference::server::{BackendSpec, HttpGateway, Limits, connect};
use recovery_process::ProcessRunner;
use recovery_store::{InvalidRedisUrl, LocalDirectories, PostgresDatabase, RedisStore, StateDirectory};
use secrecy::SecretString;

use crate::{
    app::{App, AppSettings, Ports},
    auth::AccessSettings,
    compose::ComposeFiles,
    inference::InferenceSettings,
    settings::{DatabaseSetting, Settings},
    troubleshoot::ProviderAddresses,
    web::Web,
};

/// The service cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// `REDIS_URL` is not one.
    #[error(transparent)]
    Redis(#[from] InvalidRedisUrl),
    /// `DOCKER_HOST` or `DOCKER_SDK_HOST` is not one.
    #[error(transparent)]
    Engine(#[from] InvalidAddress),
    /// Nothing can be asked over HTTP on this system.
    #[error("no connections over HTTP can be made")]
    Http(#[source] reqwest::Error),
    /// The address to listen on cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The server ended by itself.
    #[error("the HTTP server failed")]
    Serve(#[source] std::io::Error),
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        match error {
            StartError::State(error) => error.into(),
            StartError::Redis(error) => {
                Self::new(ErrorCode::InvalidRequest, format!("REDIS_URL cannot be used: {error}."))
                    .hint("It looks like redis://redis:6379/7.")
            }
            StartError::Engine(error) => Self::from_words(ErrorCode::InvalidRequest, error)
                .hint("Correct DOCKER_HOST, or DOCKER_SDK_HOST."),
            StartError::Listen { address, source } => {
                let (detail, hint) = match source.kind() {
                    std::io::ErrorKind::AddrInUse => (
                        format!("Another program listens on {address} already."),
                        "Stop it, or set PORT to another number.",
                    ),
                    std::io::ErrorKind::AddrNotAvailable => (
                        format!("This machine has no address {}.", address.ip()),
                        "Set BIND_ADDRESS to 127.0.0.1, 0.0.0.0 or an address of this machine.",
                    ),
                    std::io::ErrorKind::PermissionDenied => (
                        format!("The system does not allow to listen on {address}."),
                        "Set PORT to a number from 1024 up.",
                    ),
                    _ => (
                        format!("It is not possible to listen on {address}."),
                        "Check BIND_ADDRESS and PORT.",
                    ),
                };
                Self::new(ErrorCode::Conflict, detail).hint(hint)
            }
            StartError::Http(_) => Self::new(ErrorCode::Internal, "No connections over HTTP can be made."),
            StartError::Serve(_) => Self::new(ErrorCode::Internal, "The HTTP server failed."),
        }
    }
}

impl App {
    /// Wires the parts together as the settings say. Nothing is connected and nothing is waited for; of all that is
    /// outside, only the state directory must be there.
    ///
    /// # Errors
    /// Where the state directory cannot be used.
    #[expect(clippy::unused_async, reason = "must be called on a runtime, which only an async caller shows")]
    pub async fn build(settings: &Settings) -> Result<Arc<Self>, StartError> {
        let state = Arc::new(StateDirectory::open(&settings.state_dir)?);
        let admin_secret = match &settings.admin_secret {
            Some(secret) => secret.clone(),
            None => {
                let (secret, path) = state.admin_secret()?;
                tracing::info!(path = %path.display(), "ADMIN_SECRET is not set; the generated one is in this file");
                secret
            }
        };
        Self::wire(settings, state, admin_secret)
    }

    /// The parts for one command in this process, which lets nobody in: it needs no secret, and what it only reads it
    /// leaves without a trace.
    ///
    /// # Errors
    /// Where the settings cannot be used.
    #[expect(clippy::unused_async, reason = "must be called on a runtime, which only an async caller shows")]
    pub(crate) async fn build_for_command(settings: &Settings) -> Result<Arc<Self>, StartError> {
        let nobody_knows_it = SecretString::from(OperationId::new().to_string());
        Self::wire(settings, Arc::new(StateDirectory::at(&settings.state_dir)), nobody_knows_it)
    }

    fn wire(
        settings: &Settings,
        state: Arc<StateDirectory>,
        admin_secret: SecretString,
    ) -> Result<Arc<Self>, StartError> {
        let database = Arc::new(match &settings.database {
            DatabaseSetting::Target(target) => PostgresDatabase::new(Some(target.clone())),
            DatabaseSetting::Unset => PostgresDatabase::new(None),
            DatabaseSetting::Invalid(why) => {
                tracing::error!("the database's address cannot be used: {why}");
                PostgresDatabase::misconfigured(why)
            }
        });
        let runner = Arc::new(ProcessRunner::new());
        let platform = &settings.platform;
        let env_file = Arc::new(DiskEnvFile::new(&platform.env_file).keeping_in(&settings.state_dir));
        let compose = ComposeSettings {
            project: platform.project.clone(),
            directory: platform.project_directory.clone(),
            files: Arc::new(ComposeFiles {
                setting: platform.compose_files.clone(),
                environment: Environment::new(env_file.clone()),
            }),
            env_file: platform.env_file.clone(),
            engine: platform.engine.to_string(),
            path: ComposeSettings::PATH.to_owned(),
            patience: ComposeSettings::PATIENCE,
        };
        let redis = Arc::new(RedisStore::new(&settings.redis_url)?);
        let system_database = redis.system_database();
        // What runs inside containers never goes through the socket proxy.
        let whole_engine = DockerEngine::new(&platform.engine.to_string(), platform.project.clone())?;
        let backends = &settings.backends;
        let limits = Limits { token: backends.timing.stall, ..Limits::default() };
        let server = |spec: &BackendSpec| Ok((spec.name().clone(), connect(spec, limits)?));
        let servers = backends.backends.iter().map(server).collect::<Result<_, reqwest::Error>>();
        let ports = Ports {
            inference_servers: servers.map_err(StartError::Http)?,
            gateway: Arc::new(HttpGateway::new(&backends.gateway, limits).map_err(StartError::Http)?),
            admin: database.clone(),
            database: database.clone(),
            runner: runner.clone(),
            key_value: redis.clone(),
            key_space: redis,
            reset_database: database,
            directories: Arc::new(LocalDirectories),
            journal: state.clone(),
            audit: state.clone(),
            documents: state,
            compose: Arc::new(ComposeCli::new(compose, runner)),
            engine: Arc::new(DockerEngine::new(
                &settings.platform.engine_api.to_string(),
                settings.platform.project.clone(),
            )?),
            gpu_engine: Arc::new(whole_engine),
            web: Arc::new(Web::new()),
            env_file,
            notifier: settings.notify.clone().map(|webhook| Arc::new(webhook) as Arc<dyn Notifier>),
            clock: Arc::new(SystemClock),
        };
        let mut allowed_hosts = settings.allowed_hosts.clone();
        allowed_hosts.push("recovery".to_owned());
        allowed_hosts.extend(own_name());
        let settings = AppSettings {
            backup: BackupSettings {
                jobs: settings.backup_jobs,
                compression: settings.backup_compression,
                tool_directories: settings.tool_directories.clone(),
                keep_replaced: settings.keep_replaced,
                retention: settings.retention,
                include: settings.backup_include.clone(),
                own_key_database: Some(system_database),
                ..BackupSettings::new(&settings.backup_dir)
            },
            admin_secret,
            access: AccessSettings {
                allowed_origins: settings.cors_allowed_origins.clone(),
                allowed_hosts,
                trusted_proxies: settings.trusted_proxies.clone(),
                trusted_networks: settings.trusted_networks.clone(),
            },
            sync_wait: settings.sync_wait,
            metrics_open: settings.metrics_open,
            drill_interval: settings.drill_interval,
            checkpoint_interval: settings.checkpoint_interval,
            env_candidates: settings.state_dir.clone(),
            restart_patience: Patience::default(),
            providers: ProviderAddresses::default(),
            reset_categories: settings.reset_categories.clone(),
            inference: InferenceSettings { system_database, ..settings.inference.clone() },
            backends: backends.clone(),
            machine: own_name().unwrap_or_else(|| "this machine".to_owned()),
        };
        Ok(Self::assemble(settings, ports))
    }
}

/// The name of this machine or container, under which others on its network call it.
fn own_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim().to_ascii_lowercase();
    (!name.is_empty()).then_some(name)
}
