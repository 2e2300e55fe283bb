//! Whether what the service depends on answers: asked in the background, so that a status page never waits for a
//! server that hangs.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use recovery_core::{
    ErrorCode, Problem,
    port::{Clock, KeyValue, ProtectedDatabase},
};
use time::OffsetDateTime;

/// How often each is asked.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of one dependency.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dependency {
    /// Whether it answered when it was last asked; `None` before that.
    pub(crate) up: Option<bool>,
    /// Since when that is so, UTC.
    pub(crate) since: Option<OffsetDateTime>,
    /// Its version, where it is known.
    pub(crate) version: Option<String>,
    /// Why it is not up.
    pub(crate) problem: Option<Problem>,
}

/// The dependencies of the service.
pub(crate) struct Dependencies {
    database: Arc<dyn ProtectedDatabase>,
    key_value: Arc<dyn KeyValue>,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

/// What is known of all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// How often one has come or gone.
    changes: u64,
    /// PostgreSQL.
    pub(crate) database: Dependency,
    /// Redis.
    pub(crate) redis: Dependency,
    /// The container engine, as its watcher sees it.
    pub(crate) docker: Dependency,
    /// Docker Compose.
    pub(crate) compose: Dependency,
}

impl Dependencies {
    pub(crate) fn new(
        database: Arc<dyn ProtectedDatabase>,
        key_value: Arc<dyn KeyValue>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { database, key_value, clock, known: Mutex::default() }
    }

    /// What is known.
    pub(crate) fn known(&self) -> Known {
        self.lock().clone()
    }

    /// A number that is another one when a dependency has come or gone.
    pub(crate) fn revision(&self) -> u64 {
        self.lock().changes
    }

    /// Asks all of them once, and remembers the answers.
    pub(crate) async fn ask(&self) {
        let database = async {
            match tokio::time::timeout(PATIENCE, self.database.ping()).await {
                Ok(answer) => answer.map_err(Problem::from),
                Err(_) => Err(silent("PostgreSQL")),
            }
        };
        let redis = async {
            match tokio::time::timeout(PATIENCE, self.key_value.ping()).await {
                Ok(answer) => answer.map_err(Problem::from),
                Err(_) => Err(silent("Redis")),
            }
        };
        let (database, redis) = tokio::join!(database, redis);
        self.note_database(database);
        self.note("redis", |known| &mut known.redis, redis);
    }

    /// Remembers what somebody else just learnt of the database.
    pub(crate) fn note_database(&self, answer: Result<(), Problem>) {
        self.note("database", |known| &mut known.database, answer);
    }

    /// Remembers what the watcher of the container engine learnt.
    pub(crate) fn note_docker(&self, answer: Result<(), Problem>) {
        self.note("docker", |known| &mut known.docker, answer);
    }

    /// Remembers whether there is a Compose, and which.
    pub(crate) fn note_compose(&self, version: Result<String, Problem>) {
        let (version, answer) = match version {
            Ok(version) => (Some(version), Ok(())),
            Err(problem) => (None, Err(problem)),
        };
        self.lock().compose.version = version;
        self.note("compose", |known| &mut known.compose, answer);
    }

    fn note(&self, name: &'static str, of: fn(&mut Known) -> &mut Dependency, answer: Result<(), Problem>) {
        let (now, mut known) = (self.clock.now(), self.lock());
        let dependency = of(&mut known);
        let (up, problem) = (answer.is_ok(), answer.err());
        let changed = dependency.up != Some(up);
        if changed {
            match &problem {
                None => tracing::info!(dependency = name, "answers"),
                Some(problem) => tracing::warn!(dependency = name, "{}", problem.detail),
            }
            dependency.since = Some(now);
        }
        dependency.up = Some(up);
        dependency.problem = problem;
        known.changes += u64::from(changed);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dependency took too long.
pub(crate) fn silent(name: &str) -> Problem {
    let code =
        if name == "Redis" { ErrorCode::DependencyUnavailable } else { ErrorCode::DatabaseUnavailable };
    Problem::new(code, format!("{name} did not answer in time."))
        .hint(format!("Check that {name} runs and can be reached from the recovery service."))
}
