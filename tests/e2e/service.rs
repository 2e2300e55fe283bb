//! The service as a process, with servers of its own.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use recovery_testkit::servers::{PostgresServer, RedisServer};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use time::OffsetDateTime;

pub(crate) const DATABASE: &str = "nova";
pub(crate) const SECRET: &str = "an-admin-secret-for-tests";
pub(crate) const BASE: &str = "/api/v1/recovery";

/// PostgreSQL with a small database, Redis, a directory, and the binary between them.
pub(crate) struct World {
    pub postgres: PostgresServer,
    pub redis: RedisServer,
    pub directory: tempfile::TempDir,
    /// What is set besides the usual.
    pub variables: Vec<(String, String)>,
}

impl World {
    pub(crate) fn new() -> Self {
        let postgres = PostgresServer::start();
        postgres.psql("postgres", &format!("CREATE DATABASE {DATABASE}"));
        postgres.psql(
            DATABASE,
            "CREATE TABLE users (id int PRIMARY KEY, name text);
             CREATE TABLE messages (id int PRIMARY KEY, author int REFERENCES users, body text);
             CREATE TABLE platform_config (key text PRIMARY KEY, value jsonb);
             INSERT INTO users SELECT i, 'user ' || i FROM generate_series(1, 100) i;
             INSERT INTO messages SELECT i, 1 + i % 100, repeat('m', 200) FROM generate_series(1, 5000) i;",
        );
        let directory = tempfile::tempdir().unwrap();
        Self { postgres, redis: RedisServer::start(), directory, variables: Vec::new() }
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// A table that takes two minutes to load, but only into a scratch database.
    pub(crate) fn slow_to_load(&self) {
        self.postgres.psql(
            DATABASE,
            "CREATE FUNCTION slow() RETURNS bool LANGUAGE sql AS $$
                 SELECT CASE WHEN current_database() LIKE '%\\_\\_restore\\_%' THEN pg_sleep(2) IS NOT NULL ELSE true END $$;
             CREATE TABLE slow (id int CHECK (slow()));
             INSERT INTO slow SELECT generate_series(1, 60)",
        );
    }

    /// Waits until `pg_restore` copies rows.
    pub(crate) async fn until_loading(&self) {
        let loading = "SELECT count(*) > 0 FROM pg_stat_activity
                       WHERE application_name LIKE 'nova-recovery-load-%' AND query LIKE 'COPY%'";
        until("a restore to be loading", async || self.postgres.psql("postgres", loading).trim() == "t")
            .await;
    }

    pub(crate) fn backups(&self) -> PathBuf {
        self.directory.path().join("backups")
    }

    pub(crate) fn count(&self, table: &str) -> u64 {
        self.postgres.psql(DATABASE, &format!("SELECT count(*) FROM {table}")).trim().parse().unwrap()
    }

    pub(crate) fn databases(&self) -> Vec<String> {
        let sql =
            "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY 1";
        self.postgres.psql("postgres", sql).lines().map(str::to_owned).collect()
    }

    /// The names in the backup directory that do not begin with a dot, and partial ones.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.backups()).into_iter().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.') || name.starts_with(".partial"))
            .collect();
        names.sort();
        names
    }

    /// The binary with the settings of this world and nothing else.
    pub(crate) fn binary(&self) -> Command {
        self.command("NOVA_RECOVERY_BIN")
    }

    /// The one that was built with the feature `crash-points`.
    pub(crate) fn crash_binary(&self) -> Command {
        self.command("NOVA_RECOVERY_CRASH_BIN")
    }

    fn command(&self, variable: &str) -> Command {
        let path = std::env::var_os(variable)
            .unwrap_or_else(|| panic!("{variable} names a built nova-recovery; `cargo xtask test` sets it"));
        let mut command = Command::new(path);
        command
            .env_clear()
            .env("DATABASE_URL", self.postgres.url(DATABASE))
            .env("REDIS_URL", self.redis.url(7))
            .env("ADMIN_SECRET", SECRET)
            .env("BACKUP_DIR", self.backups())
            // Only what a test asks for is to happen.
            .env("CHECKPOINT_INTERVAL_HOURS", "0")
            .env("DRILL_INTERVAL_DAYS", "0")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.binary().args(args).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that must succeed, and reads what it printed as JSON.
    pub(crate) fn run_json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
    }

    /// Starts the service and waits until it answers.
    pub(crate) async fn serve(&self) -> Service {
        self.serve_with(|_| {}).await
    }

    pub(crate) async fn serve_with(&self, change: impl FnOnce(&mut Command)) -> Service {
        self.serve_by(self.binary(), change).await
    }

    pub(crate) async fn serve_by(&self, command: Command, change: impl FnOnce(&mut Command)) -> Service {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        self.serve_on(port, command, change).await
    }

    /// Starts the service where another one was.
    pub(crate) async fn serve_in_place_of(&self, gone: &Service) -> Service {
        let port = gone.url.rsplit(':').next().unwrap().parse().unwrap();
        self.serve_on(port, self.binary(), |_| {}).await
    }

    async fn serve_on(&self, port: u16, mut command: Command, change: impl FnOnce(&mut Command)) -> Service {
        let log = self.directory.path().join(format!("log-{port}"));
        command.arg("serve").env("PORT", port.to_string()).stdin(Stdio::null());
        command
            .stdout(File::options().create(true).append(true).open(&log).unwrap())
            .stderr(File::options().append(true).open(&log).unwrap());
        change(&mut command);
        let service = Service {
            process: command.spawn().unwrap(),
            url: format!("http://127.0.0.1:{port}"),
            client: Client::builder().pool_max_idle_per_host(0).build().unwrap(),
            log,
            secrets: vec![self.postgres.password().to_owned(), SECRET.to_owned()],
        };
        until("the service to answer", async || service.get("/health/live").await.is_some()).await;
        service
    }
}

/// Asks again and again, for a minute, until the answer is yes.
pub(crate) async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    until_within(Duration::from_secs(60), what, condition).await;
}

/// As [`until`], for as long as this.
pub(crate) async fn until_within(time: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the present second is over: a backup that begins then has a name that none before has had.
pub(crate) async fn next_second() {
    let second = OffsetDateTime::now_utc().second();
    until("the next second", async || OffsetDateTime::now_utc().second() != second).await;
}

/// The running service; killed when dropped. None of its answers and no line of its log may hold a secret: every
/// answer is looked at when it comes, the log when the test is over.
pub(crate) struct Service {
    process: Child,
    pub url: String,
    pub client: Client,
    log: PathBuf,
    secrets: Vec<String>,
}

/// A status and a JSON body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    /// Checks that this is a complete problem with this status and code.
    pub(crate) fn assert_problem(&self, status: u16, code: &str) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], status, "{self:?}");
        assert_eq!(self.body["code"], code, "{self:?}");
        for field in ["type", "title", "detail"] {
            assert!(self.body[field].is_string(), "{field}: {self:?}");
        }
        self
    }

    pub(crate) fn assert_ok(self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.body
    }
}

impl Service {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A request with the admin secret.
    pub(crate) fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &format!("{BASE}{path}")).header("X-Admin-Secret", SECRET)
    }

    async fn get(&self, path: &str) -> Option<Response> {
        self.request(Method::GET, path).send().await.ok()
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = Answer::of(request.send().await.unwrap()).await;
        self.assert_discreet(&format!("{:?} {}", answer.headers, answer.body));
        answer
    }

    /// Checks that a text that the outside sees shows no password and no connection string.
    fn assert_discreet(&self, text: &str) {
        for secret in self.secrets.iter().map(String::as_str).chain(["://nova:", "://nova@"]) {
            assert!(!text.contains(secret), "a secret was let out: {secret} in {text}");
        }
    }

    pub(crate) async fn get_json(&self, path: &str) -> Answer {
        self.send(self.admin(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.send(self.admin(Method::POST, path)).await
    }

    /// Begins an operation and returns its id at once.
    pub(crate) async fn begin(&self, path: &str) -> String {
        let answer = self.send(self.admin(Method::POST, path).header("Prefer", "respond-async")).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.body["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn operation(&self, id: &str) -> Value {
        self.get_json(&format!("/operations/{id}")).await.assert_ok()
    }

    /// Waits until an operation is over.
    pub(crate) async fn finished(&self, id: &str) -> Value {
        until("an operation to end", async || self.operation(id).await["state"] != "running").await;
        self.operation(id).await
    }

    /// Makes a backup and returns its name.
    pub(crate) async fn backup(&self) -> String {
        self.post("/backups").await.assert_ok()["filename"].as_str().unwrap().to_owned()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.process)
    }

    /// Asks it to end, and waits for its exit status.
    pub(crate) async fn stop(&mut self) -> std::process::ExitStatus {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::TERM).unwrap();
        self.ended("the service to end").await
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self, what: &str) -> std::process::ExitStatus {
        let mut status = None;
        until(what, async || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    /// Kills it as the kernel does when memory is short.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the service\n{}", self.log());
        } else {
            self.assert_discreet(&self.log());
        }
    }
}

/// Writes an executable script.
pub(crate) fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
