//! `cargo xtask bench`: is the service as fast and as small as it is meant to be?
//!
//! Everything is measured in the same run against the same PostgreSQL server: our program, the bare tools with the
//! same settings, and the classic way (plain SQL in a compressed tar). The competitors take turns, so that a machine
//! that grows slower or faster meanwhile does so for all.

mod gap;
mod many;
mod memory;
mod page;
mod report;
mod requests;
mod reset;
mod speed;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    cluster::{self, Cluster},
    packages, sample,
    service::Service,
    shell, workspace,
};
use report::Report;

/// A small production server; the same for every competitor. `fsync` stays on.
const SERVER: [&str; 4] =
    ["shared_buffers=512MB", "max_wal_size=4GB", "checkpoint_timeout=30min", "max_connections=40"];

const ADMIN_SECRET: &str = "bench-only-secret";
/// Set to 0: what the service does by itself would be measured with what it is asked for.
const NO_CHECKPOINTS: &str = "CHECKPOINT_INTERVAL_HOURS";
/// As [`NO_CHECKPOINTS`].
const NO_DRILLS: &str = "DRILL_INTERVAL_DAYS";

/// What can be measured by itself.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The time to the first answer
    Start,
    /// Backups, restores and drills against PostgreSQL's own programs, and the gap of a restore
    Speed,
    /// The memory of the service
    Memory,
    /// A thousand backups and a long journal
    Many,
    /// Requests about thirty containers
    Requests,
    /// The console in a browser
    Page,
    /// A factory reset of a million keys and a hundred tables
    Reset,
}

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Measure only this; may be given again
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// How often each thing is measured; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The size of the database: 1 is 290 MB
    #[arg(long, default_value_t = 3.2)]
    scale: f64,
    /// Measure this program instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// What is measured, and with what.
struct Bench {
    postgres: Cluster,
    binary: PathBuf,
    directory: PathBuf,
    jobs: usize,
    runs: u32,
}

/// Measures, prints, writes `target/bench/*.json`, and fails where a limit is broken.
pub(crate) fn run(options: &Options) -> Result<()> {
    packages::ensure()?;
    let binary = match &options.binary {
        Some(path) => fs::canonicalize(path).with_context(|| path.display().to_string())?,
        None => {
            println!("building nova-recovery (release)");
            workspace::build_service(true)?
        }
    };
    let results = workspace::target_directory()?.join("bench");
    fs::create_dir_all(&results)?;
    let scratch = tempfile::Builder::new().prefix("work-").tempdir_in(&results)?;
    let home = cluster::home(&results.join("postgres"))?;
    if home.exists() {
        cluster::stop_left_behind(&home)?;
        fs::remove_dir_all(&home)?;
    }
    let postgres = Cluster::start(&home, 0, &SERVER)?;
    println!("loading the database …");
    sample::load(&postgres, "nova", options.scale)?;
    postgres.sql("nova", "VACUUM ANALYZE")?;
    let bench = Bench {
        postgres,
        binary,
        directory: scratch.path().to_owned(),
        jobs: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8)),
        runs: options.runs,
    };
    let mut report = Report::new(
        bench.runs,
        bench.jobs,
        sample::size(&bench.postgres, "nova")?,
        bench.postgres.sql("postgres", "SHOW server_version")?,
    );
    println!("database: {}, {} jobs, median of {}\n", report.database, bench.jobs, bench.runs);
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    if wanted(Part::Start) {
        bench.start(&mut report)?;
    }
    if wanted(Part::Speed) {
        let archive = speed::create(&bench, &mut report)?;
        speed::restore(&bench, &archive, &mut report)?;
        gap::measure(&bench, &archive, &mut report)?;
    }
    if wanted(Part::Memory) {
        memory::measure(&bench, &mut report)?;
    }
    if wanted(Part::Many) {
        many::measure(&bench, &mut report)?;
    }
    if wanted(Part::Requests) {
        requests::measure(&bench, &mut report)?;
    }
    if wanted(Part::Page) {
        page::measure(&bench, &mut report)?;
    }
    if wanted(Part::Reset) {
        reset::measure(&bench, &mut report)?;
    }
    drop(bench);
    fs::remove_dir_all(&home)?;

    println!("\n{report}");
    let path = report.write(&results)?;
    println!("written to {}", path.display());
    match report.broken() {
        0 => Ok(()),
        count => bail!("{count} limit(s) broken"),
    }
}

impl Bench {
    /// Time to the first answer while nothing that the service depends on is there.
    fn start(&self, report: &mut Report) -> Result<()> {
        let directory = self.directory.join("alone");
        fs::create_dir_all(&directory)?;
        let dead = workspace::free_port(0)?;
        let settings = [
            ("DATABASE_URL", format!("postgresql://nova:nova@127.0.0.1:{dead}/nova")),
            ("REDIS_URL", format!("redis://127.0.0.1:{dead}/7")),
            ("ADMIN_SECRET", ADMIN_SECRET.to_owned()),
            ("BACKUP_DIR", directory.join("backups").to_string_lossy().into_owned()),
            // Nothing but what is measured.
            ("CHECKPOINT_INTERVAL_HOURS", "0".to_owned()),
        ];
        let mut times = Vec::new();
        for _ in 0..self.runs.max(5) {
            let port = workspace::free_port(0)?;
            let started = Instant::now();
            let mut service = Service::spawn(&self.binary, &settings, port, &directory.join("log"))?;
            service.wait_for("/health/live", Duration::from_millis(1), Duration::from_secs(10))?;
            times.push(started.elapsed());
            service.stop()?;
        }
        report.at_most(
            "start to first /health/live, nothing else up",
            "ms",
            milliseconds(report::median(&times)),
            200.0,
        );
        Ok(())
    }

    /// What the service and the command line are told.
    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DATABASE_URL", self.postgres.url("nova")),
            // There is no Redis here: it plays no part in a backup.
            ("REDIS_URL", "redis://127.0.0.1:1/7".to_owned()),
            ("ADMIN_SECRET", ADMIN_SECRET.to_owned()),
            ("BACKUP_DIR", self.backups().to_string_lossy().into_owned()),
            ("DRILL_INTERVAL_DAYS", "0".to_owned()),
            ("CHECKPOINT_INTERVAL_HOURS", "0".to_owned()),
        ]
    }

    fn backups(&self) -> PathBuf {
        self.directory.join("backups")
    }

    /// The newest backup.
    fn newest_backup(&self) -> Result<String> {
        let names =
            fs::read_dir(self.backups())?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| name.starts_with("nova-backup-")).max().context("no backup was made")
    }

    /// Times commands that follow each other; first, what others have left to write is written.
    fn time(&self, commands: &mut [Command]) -> Result<Duration> {
        self.postgres.sql("postgres", "CHECKPOINT")?;
        shell::quiet(&mut shell::command("sync"))?;
        let started = Instant::now();
        for command in commands {
            shell::quiet(command)?;
        }
        Ok(started.elapsed())
    }

    /// One of PostgreSQL's tools.
    fn tool<const N: usize>(&self, name: &str, arguments: [&str; N]) -> Command {
        let mut command = shell::command(self.postgres.program(name));
        command.args(arguments).current_dir(&self.directory);
        command
    }

    /// Drops what restores have replaced, so that the disk does not fill.
    fn drop_replaced(&self) -> Result<()> {
        let names = self.postgres.sql(
            "postgres",
            "SELECT quote_ident(datname) FROM pg_database WHERE datname LIKE 'nova\\_\\_before\\_%'",
        )?;
        for name in names.lines() {
            self.postgres.sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"))?;
        }
        Ok(())
    }

    /// The service, ready.
    fn serve(&self, name: &str) -> Result<(Service, u16)> {
        let port = workspace::free_port(0)?;
        let log = self.directory.join(format!("{name}.log"));
        let mut service = Service::spawn(&self.binary, &self.settings(), port, &log)?;
        service.wait_for("/health/ready", Duration::from_millis(20), Duration::from_secs(20))?;
        Ok((service, port))
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Removes a directory that may not be there.
fn remove_directory(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
