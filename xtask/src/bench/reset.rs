//! A factory reset: how soon a preview is there, how long a million keys of Redis take, and how long its other clients
//! wait meanwhile.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{ADMIN_SECRET, Bench, NO_CHECKPOINTS, NO_DRILLS, milliseconds, report::Report};
use crate::{http, redis::Redis, service::Service, workspace};

/// The category that is wiped. It has everything in its database of Redis but what the configuration has there.
const WIPED: &str = "intel_data";
const DATABASE: u8 = 6;
const GOING: u32 = 200_000;
const STAYING: u32 = 800_000;
const TABLES: usize = 100;
/// How many keys are set with one command.
const CHUNK: u32 = 1_000;

/// Previews and resets through the service.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let keep = tables(bench)?;
    let redis = Redis::start(&bench.directory.join("redis"), 0)?;
    fill(&redis, "nova:config", STAYING)?;
    let settings = vec![
        ("DATABASE_URL", bench.postgres.url("reset")),
        ("REDIS_URL", redis.url()),
        ("ADMIN_SECRET", ADMIN_SECRET.to_owned()),
        ("BACKUP_DIR", bench.directory.join("reset").to_string_lossy().into_owned()),
        (NO_CHECKPOINTS, "0".to_owned()),
        (NO_DRILLS, "0".to_owned()),
    ];
    let port = workspace::free_port(0)?;
    let mut service = Service::spawn(&bench.binary, &settings, port, &bench.directory.join("reset.log"))?;
    service.wait_for("/health/ready", Duration::from_millis(20), Duration::from_secs(20))?;

    let (mut previews, mut resets, mut alone, mut pings) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=bench.runs {
        for safety_backup in [true, false] {
            fill(&redis, "nova:feed", GOING)?;
            let begun = Instant::now();
            ask(port, "factory-reset/preview", &json!({ "keep": keep }))?;
            previews.push(begun.elapsed());

            let probe = Probe::start(&redis)?;
            let begun = Instant::now();
            let order =
                json!({ "keep": keep, "confirm": "RESET", "safety_backup": safety_backup, "reseed": false });
            let done = ask(port, "factory-reset", &order)?;
            let took = begun.elapsed();
            let worst = probe.stop()?;
            let deleted = done.pointer("/stats/redis_keys_deleted").and_then(Value::as_u64);
            if deleted != Some(u64::from(GOING)) {
                bail!("{deleted:?} keys instead of {GOING} were removed: {done}");
            }
            println!(
                "reset {round}: {:.1} s {} safety backup; the longest PING took {:.1} ms",
                took.as_secs_f64(),
                if safety_backup { "with" } else { "without" },
                milliseconds(worst)
            );
            let times = if safety_backup { &mut resets } else { &mut alone };
            times.push(took);
            pings.push(worst);
        }
    }
    let longest = |times: &[Duration]| times.iter().max().copied().unwrap_or_default();
    report.at_most(
        &format!("preview of a reset, {TABLES} tables, 1 M keys"),
        "ms",
        milliseconds(super::report::median(&previews)),
        300.0,
    );
    report.at_most("reset of 200 k of 1 M keys, backed up first", "s", longest(&resets).as_secs_f64(), 20.0);
    report.at_most("the same without a backup", "s", longest(&alone).as_secs_f64(), 20.0);
    report.at_most("longest PING meanwhile", "ms", milliseconds(longest(&pings)), 50.0);
    service.stop()
}

/// A database with the tables of the categories, and some more; the categories to keep.
fn tables(bench: &Bench) -> Result<Vec<String>> {
    let text = fs::read_to_string(workspace::root().join("data/reset_categories.json"))?;
    let file: Value = serde_json::from_str(&text)?;
    let categories = file.get("categories").and_then(Value::as_array).context("no categories")?;
    let (mut keep, mut names) = (Vec::new(), Vec::new());
    for category in categories {
        let key = category.get("key").and_then(Value::as_str).context("a category without a key")?;
        if key != WIPED {
            keep.push(key.to_owned());
        }
        let tables = category.get("tables").and_then(Value::as_array).context("a category without tables")?;
        let tables: Vec<&str> = tables.iter().filter_map(Value::as_str).collect();
        // Each refers to the first of its category.
        names.extend(
            tables
                .iter()
                .map(|name| (name.to_string(), tables.first().filter(|first| *first != name).copied())),
        );
    }
    for number in names.len()..TABLES {
        names.push((format!("more_{number}"), None));
    }
    let sql: String = names
        .iter()
        .map(|(name, refers_to)| {
            let parent =
                refers_to.map(|to| format!(" REFERENCES {to} ON DELETE CASCADE")).unwrap_or_default();
            format!(
                "CREATE TABLE {name} (id bigint PRIMARY KEY, parent bigint{parent}, value text);
             INSERT INTO {name} SELECT n, 1, repeat('x', 100) FROM generate_series(1, 2000) n;\n"
            )
        })
        .collect();
    bench.postgres.sql("postgres", "CREATE DATABASE reset")?;
    bench.postgres.sql("reset", &sql)?;
    bench.postgres.sql("reset", "VACUUM ANALYZE")?;
    Ok(keep)
}

/// Asks the service as an administrator.
fn ask(port: u16, path: &str, body: &Value) -> Result<Value> {
    let headers = [("X-Admin-Secret", ADMIN_SECRET), ("Content-Type", "application/json")];
    http::send(port, "POST", &format!("/api/v1/recovery/{path}"), &headers, &body.to_string())?.json()
}

/// Sets keys by number.
fn fill(redis: &Redis, prefix: &str, count: u32) -> Result<()> {
    let mut session = connect(redis, DATABASE)?;
    for first in (0..count).step_by(CHUNK as usize) {
        let mut command = format!("*{}\r\n$4\r\nMSET\r\n", 2 * CHUNK + 1);
        for number in first..first + CHUNK {
            let key = format!("{prefix}:{number}");
            command.push_str(&format!("${}\r\n{key}\r\n$20\r\nxxxxxxxxxxxxxxxxxxxx\r\n", key.len()));
        }
        call(&mut session, &command, "+OK\r\n")?;
    }
    Ok(())
}

fn connect(redis: &Redis, database: u8) -> Result<TcpStream> {
    let mut session = TcpStream::connect(("127.0.0.1", redis.port))?;
    session.set_nodelay(true)?;
    session.set_read_timeout(Some(Duration::from_secs(30)))?;
    call(&mut session, &format!("SELECT {database}\r\n"), "+OK\r\n")?;
    Ok(session)
}

/// Sends a command that is answered like this.
fn call(session: &mut TcpStream, command: &str, expected: &str) -> Result<()> {
    session.write_all(command.as_bytes())?;
    let mut answer = vec![0; expected.len()];
    session.read_exact(&mut answer)?;
    if answer != expected.as_bytes() {
        bail!("Redis answers {:?}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// Another client, which asks all the time.
struct Probe {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Result<Duration>>,
}

impl Probe {
    fn start(redis: &Redis) -> Result<Self> {
        let mut session = connect(redis, 0)?;
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                call(&mut session, "PING\r\n", "+PONG\r\n")?;
                worst = worst.max(begun.elapsed());
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(worst)
        });
        Ok(Self { ended, thread })
    }

    /// The longest time that it waited for an answer.
    fn stop(self) -> Result<Duration> {
        self.ended.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(worst) => worst,
            Err(_) => bail!("the client that asks Redis has panicked"),
        }
    }
}
