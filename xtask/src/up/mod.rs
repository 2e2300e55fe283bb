//! `cargo xtask up`: from a fresh machine to a running service with a database that can be damaged without regret.
//!
//! Everything lies under `.run`: the PostgreSQL cluster, Redis, the backups, the admin secret, the sample stack's
//! project, and `env`, a file for the shell with the settings of all this. It stays when `up` ends; `--fresh` starts over.

mod runfiles;
pub(crate) mod stack;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    cluster::{self, Cluster},
    packages,
    redis::Redis,
    sample,
    service::Service,
    signal::Interrupts,
    workspace,
};
use runfiles::{RunFiles, Running};
use stack::Stack;

const POSTGRES_PORT: u16 = 54_329;
const REDIS_PORT: u16 = 63_799;

/// Options of `cargo xtask up`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The port of the service
    #[arg(long, default_value_t = 8888)]
    port: u16,
    /// How much sample data a new database gets
    #[arg(long, value_enum, default_value_t = sample::Rows::Real)]
    rows: sample::Rows,
    /// Start over: drop the sample database, the backups and the secret of earlier runs
    #[arg(long)]
    fresh: bool,
    /// Build with optimisations: slower to build, faster to hash
    #[arg(long)]
    release: bool,
    /// Without the sample stack: no container engine is looked for or started
    #[arg(long)]
    no_stack: bool,
}

/// Runs until Ctrl-C.
pub(crate) fn run(options: &Options) -> Result<()> {
    packages::ensure()?;
    let files = RunFiles::lock(&workspace::root().join(".run"))?;
    files.stop_left_behind()?;
    if !workspace::port_is_free(options.port) {
        bail!("port {} is taken by another program; stop it, or use --port", options.port);
    }
    println!(
        "building nova-recovery ({})",
        if options.release { "release" } else { "debug build; --release for speed" }
    );
    let binary = workspace::build_service(options.release)?;

    let mut interrupts = Interrupts::catch()?;
    let home = cluster::home(&files.path("postgres"))?;
    if options.fresh {
        files.remove_data(&home)?;
    }
    let mut postgres = Cluster::start(&home, POSTGRES_PORT, &[])?;
    println!("PostgreSQL on 127.0.0.1:{} (data in {})", postgres.port, home.display());
    let mut redis = Redis::start(&files.path("redis"), REDIS_PORT)?;
    println!("Redis on 127.0.0.1:{}", redis.port);
    load_sample(&postgres, options.rows)?;
    let mut stack = sample_stack(options, &files);

    let secret = files.admin_secret()?;
    let backups = files.path("backups");
    fs::create_dir_all(&backups)?;
    fs::set_permissions(&backups, fs::Permissions::from_mode(0o700))?;
    let url = format!("http://localhost:{}", options.port);
    let mut settings = vec![
        ("DATABASE_URL", postgres.url("nova")),
        ("REDIS_URL", redis.url()),
        ("ADMIN_SECRET", secret),
        ("BACKUP_DIR", backups.to_string_lossy().into_owned()),
        // The first thing that somebody tries must not find a checkpoint in its way.
        ("CHECKPOINT_INTERVAL_HOURS", "0".to_owned()),
    ];
    settings.extend(stack.iter().flat_map(Stack::settings));
    files.write_environment(&settings, &binary)?;
    let log = files.path("service.log");
    let mut service = Service::spawn(&binary, &settings, options.port, &log)?;
    files.remember(&Running {
        up: std::process::id(),
        service: service.pid(),
        redis: redis.pid(),
        url: url.clone(),
    })?;
    service
        .wait_for("/health/ready", Duration::from_millis(50), Duration::from_secs(30))
        .with_context(|| format!("the service is not ready (log: {})", log.display()))?;
    greet(&url, &postgres, &log, stack.is_some());

    while !interrupts.wait(Duration::from_millis(500)) {
        if let Some(status) = service.ended()? {
            bail!("the service ended by itself ({status}); its log is {}", log.display());
        }
    }
    println!("\nstopping the service …");
    service.stop()?;
    if let Some(stack) = &mut stack {
        println!("stopping the sample stack …");
        stack.stop()?;
    }
    println!("stopping Redis and PostgreSQL …");
    redis.stop()?;
    postgres.stop()?;
    files.forget()?;
    println!("stopped. The data stays in {}; `cargo xtask up` continues with it.", files.path("").display());
    Ok(())
}

/// The sample stack. Backups can be tried out without it, so what is in its way is said and is no error.
fn sample_stack(options: &Options, files: &RunFiles) -> Option<Stack> {
    if options.no_stack {
        return None;
    }
    match Stack::start(stack::PROJECT, &files.path("nova")) {
        Ok(stack) => Some(stack),
        Err(error) => {
            eprintln!("without the sample stack: {error:#}");
            None
        }
    }
}

fn load_sample(postgres: &Cluster, rows: sample::Rows) -> Result<()> {
    // A load that was cut off has left `nova_loading`; the name is changed only once everything is in.
    postgres.sql("postgres", "DROP DATABASE IF EXISTS nova_loading")?;
    if postgres.sql("postgres", "SELECT 1 FROM pg_database WHERE datname = 'nova'")?.is_empty() {
        println!("loading the sample database …");
        sample::load(postgres, "nova_loading", rows.scale())?;
        postgres.sql("postgres", "ALTER DATABASE nova_loading RENAME TO nova")?;
    }
    println!("database nova: {}", sample::size(postgres, "nova")?);
    Ok(())
}

fn greet(url: &str, postgres: &Cluster, log: &Path, with_stack: bool) {
    let services = if with_stack {
        format!(
            "
  curl {url}/api/v1/recovery/services                # the sample stack: stand-ins for Nova's services
  curl -X POST {url}/api/v1/recovery/services/chat-api/restart -H \"X-Admin-Secret: $ADMIN_SECRET\"
"
        )
    } else {
        String::new()
    };
    println!(
        "
Nova Recovery runs at {url}   (log: {log})

In another terminal, in this directory:

  . .run/env                             # sets ADMIN_SECRET, DATABASE_URL and the rest
                                         # (the secret alone: export ADMIN_SECRET=$(cat .run/admin-secret))
  psql \"$DATABASE_URL\"                   # the sample database, on 127.0.0.1:{port}

  curl -X POST {url}/api/v1/recovery/backups -H \"X-Admin-Secret: $ADMIN_SECRET\"
  curl {url}/api/v1/recovery/backups
  make restore                           # lists; make restore F=<file> restores
{services}
Ctrl-C stops everything and keeps the data.",
        log = log.display(),
        port = postgres.port
    );
}
