//! A real server with a database, a backup directory, and the service between them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use recovery_backup::{BackupError, BackupService, BackupSettings, ExclusiveLock, RestoreReport};
use recovery_core::{
    Actor, BackupInfo, BackupKind, BackupName, OperationKind,
    database::ConnectionTarget,
    port::{OperationContext, SystemClock, Unwatched},
};
use recovery_process::ProcessRunner;
use recovery_store::PostgresDatabase;
use recovery_testkit::{MemoryDocuments, servers::PostgresServer};

pub(crate) const DATABASE: &str = "nova";

/// What a test works on. Fields drop in order: the service's connections before the server.
pub(crate) struct Fixture {
    pub backups: BackupService,
    pub documents: Arc<MemoryDocuments>,
    pub directory: tempfile::TempDir,
    pub server: PostgresServer,
}

impl Fixture {
    /// A server with an empty database.
    pub(crate) fn empty() -> Self {
        Self::on(PostgresServer::start(), |_| {})
    }

    /// A server with a small database.
    pub(crate) fn small() -> Self {
        let fixture = Self::empty();
        fixture.sql(
            "CREATE TABLE users (id int PRIMARY KEY, name text);
             CREATE TABLE messages (id int PRIMARY KEY, author int REFERENCES users, body text);
             INSERT INTO users SELECT i, 'user ' || i FROM generate_series(1, 100) i;
             INSERT INTO messages SELECT i, 1 + i % 100, repeat('m', 200) FROM generate_series(1, 5000) i;",
        );
        fixture
    }

    pub(crate) fn on(server: PostgresServer, change: impl FnOnce(&mut BackupSettings)) -> Self {
        server.psql("postgres", &format!("CREATE DATABASE {DATABASE}"));
        let directory = tempfile::tempdir().unwrap();
        let documents = Arc::new(MemoryDocuments::default());
        let backups = service_for(&server, DATABASE, directory.path(), Arc::clone(&documents), change);
        Self { backups, documents, directory, server }
    }

    /// Another instance of the service, on the same server and directory.
    pub(crate) fn another(&self, change: impl FnOnce(&mut BackupSettings)) -> BackupService {
        service_for(&self.server, DATABASE, self.directory.path(), Arc::clone(&self.documents), change)
    }

    /// An instance that signs in to the server as somebody else.
    pub(crate) fn signed_in_as(&self, user: &str, password: &str) -> BackupService {
        self.signed_in_with(user, password, |_| {})
    }

    /// One that is told more.
    pub(crate) fn signed_in_with(
        &self,
        user: &str,
        password: &str,
        change: impl FnOnce(&mut BackupSettings),
    ) -> BackupService {
        let mut target = self.server.target(DATABASE);
        target.user = user.to_owned();
        target.password = Some(password.to_owned().into());
        service_with(target, &self.server, self.directory.path(), Arc::clone(&self.documents), change)
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.psql(DATABASE, sql)
    }

    pub(crate) fn count(&self, table: &str) -> u64 {
        self.sql(&format!("SELECT count(*) FROM {table}")).trim().parse().unwrap()
    }

    pub(crate) async fn lock(&self, kind: OperationKind, context: &dyn OperationContext) -> ExclusiveLock {
        self.backups.lock(kind, context.id(), &Actor::new("test")).await.unwrap()
    }

    pub(crate) async fn create(&self) -> BackupInfo {
        let context = Unwatched::new();
        self.try_create(&context).await.unwrap()
    }

    pub(crate) async fn try_create(&self, context: &dyn OperationContext) -> Result<BackupInfo, BackupError> {
        let lock = self.backups.lock(OperationKind::Backup, context.id(), &Actor::new("test")).await?;
        self.backups.create(&lock, BackupKind::Manual, context).await
    }

    pub(crate) async fn restore(&self, name: &BackupName) -> Result<RestoreReport, BackupError> {
        let context = Unwatched::new();
        self.restore_in(name, &context).await
    }

    pub(crate) async fn restore_in(
        &self,
        name: &BackupName,
        context: &dyn OperationContext,
    ) -> Result<RestoreReport, BackupError> {
        let lock = self.lock(OperationKind::Restore, context).await;
        self.backups.restore(&lock, name, context).await
    }

    pub(crate) fn path(&self, name: &BackupName) -> PathBuf {
        self.directory.path().join(name.as_str())
    }

    /// The databases of the server, without the templates and the maintenance database.
    pub(crate) fn databases(&self) -> Vec<String> {
        let names = self.server.psql(
            "postgres",
            "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY 1",
        );
        names.lines().map(str::to_owned).collect()
    }

    /// What stands in the backup directory besides the locks.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| ![".lock", ".records.lock"].contains(&name.as_str()))
            .collect();
        names.sort();
        names
    }

    /// Fails where an operation that did not succeed has left something, or has touched the live database.
    pub(crate) fn assert_untouched(&self, dump_before: &str, files_before: &[String]) {
        assert_eq!(self.databases(), [DATABASE], "no other database is left");
        assert_eq!(self.files(), files_before, "no other file is left");
        assert!(self.server.pg_dump_text(DATABASE) == dump_before, "the live database is as it was");
    }
}

pub(crate) fn service_for(
    server: &PostgresServer,
    database: &str,
    directory: &Path,
    documents: Arc<MemoryDocuments>,
    change: impl FnOnce(&mut BackupSettings),
) -> BackupService {
    service_with(server.target(database), server, directory, documents, change)
}

fn service_with(
    target: ConnectionTarget,
    server: &PostgresServer,
    directory: &Path,
    documents: Arc<MemoryDocuments>,
    change: impl FnOnce(&mut BackupSettings),
) -> BackupService {
    let mut settings = BackupSettings::new(directory);
    settings.tool_directories = vec![server.programs().to_owned()];
    settings.jobs = 2;
    change(&mut settings);
    let database = Arc::new(PostgresDatabase::new(Some(target)));
    let runner = Arc::new(ProcessRunner::new());
    BackupService::new(settings, database, runner, documents, Arc::new(SystemClock))
}
