//! A directory with a thousand backups and a long journal: how long the service takes to start on it, and to list them.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::{
    ADMIN_SECRET, Bench, NO_CHECKPOINTS, NO_DRILLS, milliseconds,
    report::{Report, median},
};
use crate::{http, sample, service, service::Service, shell, workspace};

const BACKUPS: u32 = 1000;
/// How many entries the journal has at least.
const ENTRIES: usize = 10_000;
/// How often a warm list is asked for.
const WARM: usize = 21;

/// Starts the service on them again and again; the first list after a start reads every manifest, the others none.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let directory = bench.directory.join("many");
    let settings = vec![
        ("DATABASE_URL", bench.postgres.url("few_rows")),
        ("REDIS_URL", "redis://127.0.0.1:1/7".to_owned()),
        ("ADMIN_SECRET", ADMIN_SECRET.to_owned()),
        ("BACKUP_DIR", directory.to_string_lossy().into_owned()),
        (NO_CHECKPOINTS, "0".to_owned()),
        (NO_DRILLS, "0".to_owned()),
    ];
    sample::load(&bench.postgres, "few_rows", 0.001)?;
    let mut backup = service::command(&bench.binary, &settings);
    shell::quiet(backup.arg("backup"))?;
    multiply(&directory)?;
    let journal = directory.join(".state/journal.jsonl");
    let long_journal = lengthen(&fs::read_to_string(&journal)?)?;

    let (mut starts, mut cold, mut warm) = (Vec::new(), Vec::new(), Vec::new());
    let serve = || -> Result<(Service, u16)> {
        let port = workspace::free_port(0)?;
        let mut service = Service::spawn(&bench.binary, &settings, port, &bench.directory.join("many.log"))?;
        service.wait_for("/health/live", Duration::from_millis(1), Duration::from_secs(10))?;
        Ok((service, port))
    };
    for _ in 0..bench.runs.max(5) {
        fs::write(&journal, &long_journal)?;
        let started = Instant::now();
        let (mut service, _) = serve()?;
        starts.push(started.elapsed());
        service.stop()?;
        // The journal was shortened: what is measured now is the list alone.
        let (mut service, port) = serve()?;
        cold.push(list(port)?);
        for _ in 0..WARM {
            warm.push(list(port)?);
        }
        service.stop()?;
    }
    bench.postgres.sql("postgres", "DROP DATABASE few_rows")?;
    let name = |what: &str| format!("{what}, {BACKUPS} backups");
    report.at_most(&name("start, 10,000 entries in the journal"), "ms", milliseconds(median(&starts)), 500.0);
    report.at_most(&name("first list after a start"), "ms", milliseconds(median(&cold)), 50.0);
    report.at_most(&name("list after that"), "ms", milliseconds(median(&warm)), 5.0);
    Ok(())
}

/// The time of one list.
fn list(port: u16) -> Result<Duration> {
    let begun = Instant::now();
    let answer = http::request(port, "GET", "/api/v1/recovery/backups", &[])?;
    let took = begun.elapsed();
    let listed = answer.json()?;
    let backups = listed.as_array().context("no list")?;
    let good = backups.iter().filter(|backup| backup.get("verification") == Some(&json!("verified")));
    match good.count() {
        count if count == BACKUPS as usize => Ok(took),
        count => bail!("{count} good backups are listed"),
    }
}

/// Makes a thousand of the one backup that is there, each under a name of its own and known to be good.
fn multiply(directory: &Path) -> Result<()> {
    let mut names = fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let original = names.find(|name| name.starts_with("nova-backup-")).context("no backup was made")?;
    let bytes = fs::read(directory.join(&original))?;
    fs::remove_file(directory.join(&original))?;
    let at = position(&bytes, original.as_bytes()).context("a manifest without its name")?;
    let mut checks = Map::new();
    for number in 0..BACKUPS {
        let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
        let name = format!("nova-backup-2026-01-01_{hour:02}-{minute:02}-{second:02}.tar");
        let mut copy = bytes.clone();
        copy.get_mut(at..at + name.len()).context("a short manifest")?.copy_from_slice(name.as_bytes());
        fs::write(directory.join(&name), copy)?;
        let data = fs::metadata(directory.join(&name))?;
        let stamp = json!({ "size": data.len(), "mtime": data.mtime(), "mtime_nsec": data.mtime_nsec() });
        let check = json!({
            "stamp": stamp, "verification": "verified", "level": "hashes", "at": "2026-01-02T00:00:00Z", "problems": []
        });
        checks.insert(name, check);
    }
    let document = directory.join(".state/documents/verifications.json");
    fs::write(document, serde_json::to_vec(&Value::Object(checks))?)?;
    Ok(())
}

/// The journal of one operation, again and again under new ids.
fn lengthen(journal: &str) -> Result<String> {
    let first: Value = serde_json::from_str(journal.lines().next().context("an empty journal")?)?;
    let id = first.get("operation").and_then(Value::as_str).context("an entry of no operation")?;
    let (begin, _) = id.split_at_checked(24).context("a short id")?;
    let rounds = ENTRIES.div_ceil(journal.lines().count());
    let copies = (0..rounds).map(|number| journal.replace(id, &format!("{begin}{number:012x}")));
    Ok(copies.collect())
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
