//! `cargo xtask screenshots`: pictures of the console in its main states, as somebody sees them at a desk and on a
//! telephone, in the light and in the dark.
//!
//! Everything is real: a PostgreSQL server with the sample database, Redis, the sample stack, the service and Chromium,
//! all started for it and ended after it.

mod page;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    browser::Look,
    cluster::{self, Cluster},
    http, packages,
    redis::Redis,
    sample,
    service::Service,
    up::stack::Stack,
    workspace,
};
use page::Page;

const PROJECT: &str = "nova-screenshots";
const ADMIN_SECRET: &str = "secret-of-the-pictures";
const BASE: &str = "/api/v1/recovery";
/// What each picture is called, and how it is looked at.
const LOOKS: [(&str, Look); 4] = [
    ("light", Look { width: 1280, height: 800, dark: false }),
    ("dark", Look { width: 1280, height: 800, dark: true }),
    ("phone", Look { width: 360, height: 740, dark: false }),
    ("phone-dark", Look { width: 360, height: 740, dark: true }),
];

/// Options of `cargo xtask screenshots`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Look at this program instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Without the sample stack: no container engine is looked for or started
    #[arg(long)]
    no_stack: bool,
}

/// What the pictures are taken of.
struct World {
    postgres: Cluster,
    redis: Redis,
    stack: Option<Stack>,
    service: Service,
    port: u16,
}

/// Takes the pictures.
pub(crate) fn run(options: &Options) -> Result<()> {
    packages::ensure()?;
    let binary = match &options.binary {
        Some(path) => fs::canonicalize(path).with_context(|| path.display().to_string())?,
        None => workspace::build_service(false)?,
    };
    let pictures = workspace::target_directory()?.join("screenshots");
    fs::create_dir_all(&pictures)?;
    let scratch = tempfile::Builder::new().prefix("nova-screenshots-").tempdir()?;
    let home = cluster::home(&pictures.join("postgres"))?;
    if home.exists() {
        cluster::stop_left_behind(&home)?;
        fs::remove_dir_all(&home)?;
    }
    let mut world = World::start(&binary, &home, scratch.path(), !options.no_stack)?;
    let page = Page::open(world.port, &pictures)?;
    world.take(&page)?;
    drop(page);
    world.service.stop()?;
    if let Some(stack) = &mut world.stack {
        stack.stop()?;
    }
    drop(world);
    fs::remove_dir_all(&home)?;
    println!("written to {}", pictures.display());
    Ok(())
}

impl World {
    fn start(binary: &Path, home: &Path, directory: &Path, with_stack: bool) -> Result<Self> {
        let postgres = Cluster::start(home, 0, &[])?;
        sample::load(&postgres, "nova", sample::Rows::Small.scale())?;
        let redis = Redis::start(&directory.join("redis"), 0)?;
        let stack = if with_stack { Some(Stack::start(PROJECT, &directory.join("nova"))?) } else { None };
        let mut settings = vec![
            ("DATABASE_URL", postgres.url("nova")),
            ("REDIS_URL", redis.url()),
            ("ADMIN_SECRET", ADMIN_SECRET.to_owned()),
            ("BACKUP_DIR", directory.join("backups").to_string_lossy().into_owned()),
            ("DRILL_INTERVAL_DAYS", "0".to_owned()),
            ("CHECKPOINT_INTERVAL_HOURS", "0".to_owned()),
        ];
        settings.extend(stack.iter().flat_map(Stack::settings));
        let port = workspace::free_port(0)?;
        let mut service = Service::spawn(binary, &settings, port, &directory.join("service.log"))?;
        service.wait_for("/health/ready", Duration::from_millis(50), Duration::from_secs(30))?;
        Ok(Self { postgres, redis, stack, service, port })
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let headers = [("X-Admin-Secret", ADMIN_SECRET), ("Content-Type", "application/json")];
        http::send(self.port, "POST", &format!("{BASE}/{path}"), &headers, &body.to_string())?.json()
    }

    /// Walks through the states, from the quiet ones to those in which nothing works.
    fn take(&mut self, page: &Page) -> Result<()> {
        page.until("#verdict", "There is no backup yet")?;
        page.picture("signed-out", None)?;

        let first = self.post("backups", &json!({}))?;
        let name = first.get("filename").and_then(Value::as_str).context("a backup has a name")?.to_owned();
        self.post(&format!("backups/{name}/pin"), &json!({}))?;
        self.post(&format!("backups/{name}/verify"), &json!({"level": "restore"}))?;
        self.post("backups", &json!({}))?;
        page.sign_in(ADMIN_SECRET)?;
        page.until("#backup-list", "Rehearsed")?;
        page.until("#connection", "Live")?;
        page.picture("all-well", None)?;
        page.picture("all-of-it", Some("body"))?;

        page.press("#backup-list", &format!("Restore …: {name}"))?;
        page.until("dialog", "Largest")?;
        page.picture("restore-plan", None)?;
        page.press("dialog", "Cancel")?;
        self.post(&format!("backups/{name}/restore"), &json!({}))?;
        page.until("#replaced", "Kept until")?;
        page.press("#backup-list", &format!("More about {name}"))?;
        page.picture("backups", Some("#backups"))?;

        page.until("#inference", "This machine")?;
        page.picture("inference", Some("#inference"))?;
        page.press("#reset", "Preview")?;
        page.until("#reset", "What would go")?;
        page.picture("reset", Some("#reset"))?;

        self.at_work(page)?;
        self.broken(page)
    }

    /// A backup that waits for a table, so that there is something to see.
    fn at_work(&self, page: &Page) -> Result<()> {
        std::thread::scope(|scope| {
            let held =
                scope.spawn(|| self.postgres.sql("nova", "BEGIN; LOCK TABLE messages; SELECT pg_sleep(6)"));
            self.postgres.sql(
                "nova",
                "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
                     AND relation = 'messages'::regclass) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$",
            )?;
            page.press("#backup-list", "Back up now")?;
            page.until("#verdict", "Backup under way")?;
            page.picture("at-work", None)?;
            held.join().map_err(|_| anyhow::anyhow!("the table was not held"))??;
            page.until("#backup-list", "is complete and was read back")
        })
    }

    fn broken(&mut self, page: &Page) -> Result<()> {
        if let Some(stack) = &self.stack {
            stack.kill("chat-api")?;
            page.until("#verdict", "chat-api is not well; its container exited")?;
            page.press("#services", "Log: chat-api")?;
            page.until("#log-chat-api", "\n")?;
            page.picture("service-down", None)?;
            page.picture("services", Some("#services"))?;
            stack.kill("postgres")?;
        }
        self.postgres.stop()?;
        page.until("#verdict", "PostgreSQL does not answer")?;
        page.picture("database-down", None)?;
        self.service.stop()?;
        page.until("#banner", "Not connected since")?;
        page.picture("not-connected", None)?;
        self.redis.stop()
    }
}
