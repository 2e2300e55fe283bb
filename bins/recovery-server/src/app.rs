//! The service as a whole: every part, wired together over the ports.
//!
//! [`App::assemble`] takes any ports, which is how tests put fakes in; [`App::build`] takes those that the settings
//! name. Neither waits for a connection: what is needed is connected when it is used, and asked after in the
//! background once [`App::start`] was called.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use recovery_backup::{BackupError, BackupService, BackupSettings, IncludedDirectory};
use recovery_core::{
    Actor, OperationId, OperationKind, crash_point,
    port::{
        AuditLog, Clock, CommandRunner, Compose, ContainerEngine, DataDirectories, DatabaseAdmin,
        DatabaseError, DocumentStore, EnvFile, Gateway, GpuEngine, InferenceServer, Journal, KeySpace,
        KeyValue, Notifier, ProtectedDatabase, ResetDatabase, WebClient,
    },
};
use recovery_docker::Patience;
use recovery_env::Environment;
use recovery_inference::server::BackendName;
use recovery_reset::{Categories, CutOffReset, Reset, ResetSettings};
use secrecy::SecretString;
use time::OffsetDateTime;
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    alerts::Alerts,
    auth::{AccessSettings, Auth},
    backends::{Announcer, Around, BackendControl, BackendSettings},
    compose::ComposeProject,
    dependencies::{self, Dependencies},
    glance::Glance,
    housekeeping,
    http::Strangers,
    inference::{Inference, InferenceSettings},
    kept::KeptTime,
    operations::{Became, EventHub, Operations, chain},
    schedule::{self, Checkpoints, Drills, Job, Schedule},
    services::Services,
    troubleshoot::ProviderAddresses,
};

/// The numbered database of Redis that is this service's own where nothing else is said.
const SYSTEM_KEYS: u8 = 7;

/// Everything outside that the service reaches.
#[derive(Clone)]
pub struct Ports {
    /// The server that holds the protected database.
    pub admin: Arc<dyn DatabaseAdmin>,
    /// The protected database.
    pub database: Arc<dyn ProtectedDatabase>,
    /// Runs `pg_dump` and `pg_restore`.
    pub runner: Arc<dyn CommandRunner>,
    /// Redis.
    pub key_value: Arc<dyn KeyValue>,
    /// The keys of the same Redis, many at a time.
    pub key_space: Arc<dyn KeySpace>,
    /// The tables of the protected database, as a reset needs them.
    pub reset_database: Arc<dyn ResetDatabase>,
    /// The directories that a reset empties.
    pub directories: Arc<dyn DataDirectories>,
    /// The journal of operations.
    pub journal: Arc<dyn Journal>,
    /// The audit log.
    pub audit: Arc<dyn AuditLog>,
    /// What is known of backups and of replaced databases.
    pub documents: Arc<dyn DocumentStore>,
    /// The Compose project of the platform.
    pub compose: Arc<dyn Compose>,
    /// The engine that has the platform's containers.
    pub engine: Arc<dyn ContainerEngine>,
    /// The engine, for looking at GPUs and for commands in containers.
    pub gpu_engine: Arc<dyn GpuEngine>,
    /// The servers of language models; those of the settings.
    pub inference_servers: BTreeMap<BackendName, Arc<dyn InferenceServer>>,
    /// The gateway before them.
    pub gateway: Arc<dyn Gateway>,
    /// The catalogues of models.
    pub web: Arc<dyn WebClient>,
    /// The `.env` of the platform.
    pub env_file: Arc<dyn EnvFile>,
    /// Who is told when what the service does by itself fails; `None` where nobody is.
    pub notifier: Option<Arc<dyn Notifier>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What the service is told about itself.
#[derive(Clone, Debug)]
pub struct AppSettings {
    /// Where backups lie and how they are made.
    pub backup: BackupSettings,
    /// The admin secret, as long as no other is set at run time.
    pub admin_secret: SecretString,
    /// Who is let in.
    pub access: AccessSettings,
    /// How long a call waits for its operation before it answers that it goes on.
    pub sync_wait: Duration,
    /// Whether the metrics are open to everybody.
    pub metrics_open: bool,
    /// How long after a good drill the next one takes place by itself; `None` for never.
    pub drill_interval: Option<Duration>,
    /// How long after the newest checkpoint the next one is made; `None` where none is made by itself.
    pub checkpoint_interval: Option<Duration>,
    /// The directory in which a changed `.env` is written down for Compose to look at; nobody else writes there.
    pub env_candidates: PathBuf,
    /// How patiently restarted services are waited for.
    pub restart_patience: Patience,
    /// Where language models are that can be asked what is wrong.
    pub providers: ProviderAddresses,
    /// What belongs to which category of a factory reset.
    pub reset_categories: Categories,
    /// How it finds out what the machine has for language models.
    pub inference: InferenceSettings,
    /// Which servers of language models there are, and how they are run.
    pub backends: BackendSettings,
    /// What this machine is called in notices.
    pub machine: String,
}

/// The service.
pub struct App {
    pub(crate) backups: Arc<BackupService>,
    pub(crate) environment: Environment,
    pub(crate) services: Services,
    pub(crate) compose: ComposeProject,
    pub(crate) glance: Glance,
    pub(crate) inference: Arc<Inference>,
    pub(crate) backends: BackendControl,
    pub(crate) operations: Operations,
    pub(crate) auth: Auth,
    pub(crate) database: Arc<dyn ProtectedDatabase>,
    /// The protected database's name; `None` where none is configured.
    pub(crate) database_name: Option<String>,
    pub(crate) dependencies: Dependencies,
    pub(crate) audit: Arc<dyn AuditLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sync_wait: Duration,
    pub(crate) metrics_open: bool,
    pub(crate) drill_interval: Option<time::Duration>,
    pub(crate) started_at: OffsetDateTime,
    pub(crate) stopping: CancellationToken,
    pub(crate) strangers: Strangers,
    /// One permit for each client that may watch the events.
    pub(crate) watchers: Arc<Semaphore>,
    pub(crate) providers: ProviderAddresses,
    /// One permit for each question to a language model.
    pub(crate) advice: Semaphore,
    /// What must not leave in a text that others wrote.
    pub(crate) own_secrets: Vec<SecretString>,
    pub(crate) alerts: Alerts,
    pub(crate) schedule: Schedule,
    /// For how long replaced databases have been kept.
    pub(crate) kept_time: KeptTime,
    pub(crate) checkpoint_interval: Option<Duration>,
    /// How many backups had had their time and were removed since the service began.
    pub(crate) removed: Arc<AtomicU64>,
    /// Factory resets.
    pub(crate) reset: Arc<Reset>,
    /// What is done again and again.
    jobs: Vec<Arc<dyn Job>>,
    /// Set once it was tried to clear up after earlier runs.
    looked_for_leftovers: CancellationToken,
    runtime: Handle,
}

impl App {
    /// How long the service may take to stop: `docker stop` kills after 10 s.
    pub const STOP_LIMIT: Duration = Duration::from_secs(5);

    /// How many clients may watch the events at once: each holds a connection for as long as it likes.
    pub const WATCHERS: usize = 64;

    /// How many questions to a language model are answered at once: each takes a thread for as long as it takes.
    pub const QUESTIONS: usize = 4;

    /// Wires the parts together over these ports. Must be called in the context of the tokio runtime that is to carry
    /// the operations: it must outlive them.
    #[must_use]
    pub fn assemble(settings: AppSettings, ports: Ports) -> Arc<Self> {
        let Ports {
            admin,
            database,
            runner,
            key_value,
            key_space,
            reset_database,
            directories,
            journal,
            audit,
            documents,
            compose,
            engine,
            gpu_engine,
            inference_servers,
            gateway,
            web,
            env_file,
            notifier,
            clock,
        } = ports;
        let runtime = Handle::current();
        let started_at = clock.now();
        let events = EventHub::new(started_at);
        let database_name = admin.target().ok().map(|target| target.database.to_string());
        let place = match &database_name {
            Some(name) => format!("{name} on {}", settings.machine),
            None => settings.machine,
        };
        let backup = BackupSettings {
            reset_directories: IncludedDirectory::named_by_path(
                &settings.reset_categories.directories(),
                &settings.backup.include,
            ),
            ..settings.backup
        };
        // What the service keeps for itself must outlive every reset.
        let reset_settings = ResetSettings {
            categories: settings.reset_categories,
            protected: vec![backup.directory.clone(), settings.env_candidates.clone()],
            own_key_database: backup.own_key_database.unwrap_or(SYSTEM_KEYS),
        };
        let mut own_secrets = vec![settings.admin_secret.clone()];
        own_secrets.extend(admin.target().ok().and_then(|target| target.password.clone()));
        let environment =
            Environment::new(env_file).checked_by(Arc::clone(&compose), settings.env_candidates);
        let compose = ComposeProject::new(compose);
        let operations = Operations::new(journal, Arc::clone(&clock), events, runtime.clone());
        let stopping = CancellationToken::new();
        let inference = Arc::new(Inference::new(
            settings.inference,
            Arc::clone(&runner),
            Arc::clone(&engine),
            gpu_engine,
            web,
            Arc::clone(&key_value),
            Arc::clone(&clock),
        ));
        let around = Around {
            servers: inference_servers,
            gateway,
            compose: compose.in_turn(),
            engine: Arc::clone(&engine),
            key_value: Arc::clone(&key_value),
            documents: Arc::clone(&documents),
            audit: Arc::clone(&audit),
            clock: Arc::clone(&clock),
            environment: environment.clone(),
            inference: Arc::clone(&inference),
            system_database: reset_settings.own_key_database,
        };
        let announcer = Announcer {
            operations: operations.clone(),
            environment: environment.clone(),
            own_secrets: own_secrets.clone(),
            stopping: stopping.clone(),
        };
        Arc::new(Self {
            providers: settings.providers,
            advice: Semaphore::new(Self::QUESTIONS),
            own_secrets,
            alerts: Alerts::new(notifier, Arc::clone(&documents), Arc::clone(&clock), place),
            schedule: Schedule::new(Arc::clone(&documents)),
            kept_time: KeptTime::new(Arc::clone(&documents)),
            checkpoint_interval: settings.checkpoint_interval,
            removed: Arc::default(),
            jobs: vec![
                Arc::new(Checkpoints { interval: settings.checkpoint_interval }),
                Arc::new(Drills { interval: settings.drill_interval }),
            ],
            looked_for_leftovers: CancellationToken::new(),
            backends: BackendControl::new(settings.backends, around, announcer),
            inference,
            backups: Arc::new(
                BackupService::new(backup, admin, runner, documents, Arc::clone(&clock))
                    .with_keys(Arc::clone(&key_space)),
            ),
            reset: Arc::new(Reset::new(reset_settings, reset_database, key_space, directories)),
            environment,
            compose,
            glance: Glance::default(),
            services: Services::new(engine, settings.restart_patience),
            operations,
            auth: Auth::new(
                settings.access,
                settings.admin_secret,
                Arc::clone(&key_value),
                Arc::clone(&database),
                Arc::clone(&clock),
                &runtime,
            ),
            dependencies: Dependencies::new(Arc::clone(&database), key_value, Arc::clone(&clock)),
            database,
            database_name,
            audit,
            clock,
            sync_wait: settings.sync_wait,
            metrics_open: settings.metrics_open,
            drill_interval: settings.drill_interval.and_then(|interval| interval.try_into().ok()),
            started_at,
            stopping,
            strangers: Strangers::default(),
            watchers: Arc::new(Semaphore::new(Self::WATCHERS)),
            runtime,
        })
    }

    /// The operations.
    #[must_use]
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// The backups.
    #[must_use]
    pub fn backups(&self) -> &Arc<BackupService> {
        &self.backups
    }

    /// Reads what earlier runs left, and begins what goes on in the background: asking after the dependencies,
    /// clearing up after operations that were cut off, dropping replaced databases whose time is over, and what is
    /// done on schedule.
    pub async fn start(self: &Arc<Self>) {
        // Another process may be at work in the same directory.
        let elsewhere = self.backups.holder().await;
        if let Err(error) = self.operations.load(elsewhere).await {
            tracing::error!("the operations of earlier runs are not known: {}", chain(&error));
        }
        let app = Arc::clone(self);
        self.in_background(async move {
            let mut interval = tokio::time::interval(dependencies::INTERVAL);
            loop {
                interval.tick().await;
                app.dependencies.ask().await;
                app.auth.refresh().await;
            }
        });
        let app = Arc::clone(self);
        self.in_background(async move { app.services.engine().watch().await });
        let app = Arc::clone(self);
        self.in_background(async move { app.follow_services().await });
        let app = Arc::clone(self);
        self.in_background(async move { app.follow_compose().await });
        let app = Arc::clone(self);
        self.in_background(async move { app.inference.run().await });
        let app = Arc::clone(self);
        self.in_background(async move { app.follow_backends().await });
        let app = Arc::clone(self);
        self.in_background(async move { app.backends.run().await });
        let app = Arc::clone(self);
        self.in_background(async move {
            app.clear_up_once_possible().await;
            housekeeping::run(&app).await;
        });
        let app = Arc::clone(self);
        self.in_background(async move { app.alerts.run().await });
        // Without a database there is nothing to do by itself.
        for job in self.jobs.iter().filter(|_| self.database_name.is_some()) {
            let (app, job) = (Arc::clone(self), Arc::clone(job));
            self.in_background(async move {
                app.looked_for_leftovers.cancelled().await;
                schedule::run(&app, job.as_ref()).await;
            });
        }
    }

    /// Stops everything that runs, within the limit.
    pub async fn shutdown(&self, limit: Duration) {
        self.stopping.cancel();
        self.operations.shutdown(limit).await;
    }

    /// Carries a future out on the runtime of the service. Threads that answer requests come and go; what a future
    /// opens here, such as a pooled connection, must not end with one of them.
    pub(crate) async fn on_runtime<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.runtime.spawn(future).await.ok()
    }

    /// Carries a future out until it ends or the service stops.
    pub(crate) fn in_background(&self, future: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.runtime.spawn(async move {
            stopping.run_until_cancelled(future).await;
        });
    }

    /// Clears up what operations that were cut off have left, under the lock that keeps every other process away, and
    /// closes them in the journal. Returns what was done, in words.
    ///
    /// # Errors
    /// Where the lock cannot be had or the database does not answer; then it is as before.
    pub async fn clear_up(&self) -> Result<Vec<String>, BackupError> {
        let lock = self.backups.lock(OperationKind::CleanUp, OperationId::new(), &Actor::service()).await?;
        // Under the lock nothing else works on the database, so what is open in the journal was cut off.
        let unfinished = self.operations.load(None).await;
        // What is left lying about is cleared up even where the journal cannot be read.
        let found = self.backups.reconcile(&lock, unfinished.as_deref().unwrap_or_default()).await?;
        let mut became: BTreeMap<OperationId, Became> =
            found.operations.into_iter().map(|(id, words)| (id, words.into())).collect();
        for reset in self.reset.cut_off(unfinished.as_deref().unwrap_or_default()).await? {
            let CutOffReset { id, words, hint, facts } = reset;
            became.insert(id, Became { words, hint, result: Some(facts) });
        }
        unfinished?;
        crash_point("clear-up:before-settling");
        self.operations.settle(&became).await?;
        Ok(found.done)
    }

    async fn clear_up_once_possible(&self) {
        const LONGEST_PAUSE: Duration = Duration::from_secs(60);
        let mut pause = Duration::from_secs(1);
        loop {
            let cleared = self.clear_up().await;
            self.looked_for_leftovers.cancel();
            match cleared {
                Ok(done) => {
                    done.iter().for_each(|done| tracing::warn!("cleared up: {done}"));
                    return;
                }
                Err(BackupError::Database(DatabaseError::NotConfigured { .. })) => {
                    tracing::warn!("no database can be used; nothing can be backed up or restored");
                    return;
                }
                Err(error) => {
                    tracing::info!("clearing up after the last run must wait: {}", chain(&error));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
