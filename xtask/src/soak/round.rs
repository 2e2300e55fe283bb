//! One round: change something, begin an operation, kill the service in the middle, start it again, and look.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Random, dump};
use crate::{cluster::Cluster, http, service::Service, signal, workspace};

const SECRET: &str = "soak-only-secret";
const BASE: &str = "/api/v1/recovery";
/// How long clearing up may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many backups are there at most; then some are deleted.
const BACKUPS: usize = 6;

/// What goes on, and what must be.
pub(super) struct Soak {
    binary: PathBuf,
    postgres: Cluster,
    directory: PathBuf,
    random: Random,
    rounds: u64,
    /// What the live database is.
    live: String,
    /// What the database was when each backup was made.
    backups: BTreeMap<String, String>,
    /// How long each kind of operation took that was not killed in time, and how often one was killed.
    killed: BTreeMap<&'static str, (u64, u64)>,
}

/// An operation, and what it may make of the world.
struct Attempt {
    kind: &'static str,
    method: &'static str,
    path: String,
    /// What the live database is when it is done.
    after: String,
    /// The backup that it deletes.
    deletes: Option<String>,
}

impl Soak {
    pub(super) fn new(binary: PathBuf, postgres: Cluster, directory: PathBuf, seed: u64) -> Result<Self> {
        let live = dump(&postgres, "nova")?;
        let random = Random(seed);
        let (backups, killed) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { binary, postgres, directory, random, rounds: 0, live, backups, killed })
    }

    pub(super) fn rounds(&self) -> u64 {
        self.rounds
    }

    /// How often each kind of operation was killed, and how often it was quicker.
    pub(super) fn tally(&self) -> String {
        let kinds = self
            .killed
            .iter()
            .map(|(kind, (cut_off, done))| format!("{kind} {cut_off} (and {done} times too late)"));
        kinds.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn round(&mut self) -> Result<()> {
        self.change()?;
        let (service, port) = self.serve()?;
        let attempt = self.choose(port)?;
        let begun = Instant::now();
        let answer = request(port, attempt.method, &attempt.path, true)?;
        let known = answer.status == 202 || answer.status == 200;
        ensure!(known, "{} {}: {} {}", attempt.method, attempt.path, answer.status, answer.body);
        // Restores take the longest; a quick operation is met more often by short waits.
        let longest = match attempt.kind {
            "backup" => 1200,
            "restore" => 2500,
            _ => 120,
        };
        std::thread::sleep(Duration::from_millis(self.random.below(longest)));
        signal::kill(service.pid())?;
        let moment = begun.elapsed();
        drop(service);
        let (service, port) = self.serve()?;
        self.look(port, &attempt).with_context(|| {
            format!("round {}: a {} killed after {moment:?}", self.rounds + 1, attempt.kind)
        })?;
        drop(service);
        self.rounds += 1;
        if self.rounds.is_multiple_of(10) {
            println!("{} rounds, {} backups", self.rounds, self.backups.len());
        }
        Ok(())
    }

    /// At the end, the newest backup is restored and compared.
    pub(super) fn last_words(&mut self) -> Result<()> {
        let (_service, port) = self.serve()?;
        let made = request(port, "POST", &format!("{BASE}/backups"), false)?.json()?;
        let name = text(&made, "filename")?;
        self.postgres.sql("nova", "DELETE FROM messages")?;
        request(port, "POST", &format!("{BASE}/backups/{name}/restore"), false)?.json()?;
        self.compare("after the last restore", &[&self.live])?;
        Ok(())
    }

    /// Makes the database another than it ever was.
    fn change(&mut self) -> Result<()> {
        let mark = self.random.next();
        self.postgres.sql(
            "nova",
            &format!("CREATE TABLE IF NOT EXISTS soak (mark numeric); INSERT INTO soak VALUES ({mark})"),
        )?;
        self.live = dump(&self.postgres, "nova")?;
        Ok(())
    }

    fn choose(&mut self, port: u16) -> Result<Attempt> {
        let replaced = request(port, "GET", &format!("{BASE}/restores"), false)?.json()?;
        let replaced: Vec<Value> = replaced.as_array().cloned().unwrap_or_default();
        let names: Vec<String> = self.backups.keys().cloned().collect();
        let (backup, kept) = (self.random.one_of(&names).cloned(), self.random.one_of(&replaced).cloned());
        let attempt = |kind, method, path: String, after: &str| Attempt {
            kind,
            method,
            path: format!("{BASE}{path}"),
            after: after.to_owned(),
            deletes: None,
        };
        let id = |kept: &Value| text(kept, "id").map(str::to_owned);
        Ok(match (self.random.below(10), backup, kept) {
            (0..3, Some(name), _) => {
                let after = self.backups.get(&name).context("an unknown backup")?;
                attempt("restore", "POST", format!("/backups/{name}/restore"), after)
            }
            (3..5, _, Some(kept)) => {
                let after = dump(&self.postgres, text(&kept, "replaced_database")?)?;
                attempt("rollback", "POST", format!("/restores/{}/rollback", id(&kept)?), &after)
            }
            (5, _, Some(kept)) => {
                attempt("removal", "DELETE", format!("/restores/{}", id(&kept)?), &self.live)
            }
            (6..8, Some(name), _) if names.len() >= BACKUPS => Attempt {
                deletes: Some(name.clone()),
                ..attempt("deletion", "DELETE", format!("/backups/{name}"), &self.live)
            },
            _ => attempt("backup", "POST", "/backups".to_owned(), &self.live),
        })
    }

    /// Waits until what was cut off is cleared up, and compares everything with what must be.
    fn look(&mut self, port: u16, attempt: &Attempt) -> Result<()> {
        let newest = self.wait_until_cleared_up(port)?;
        let done = newest.as_ref().is_none_or(|operation| state(operation) == "succeeded");
        let count = self.killed.entry(attempt.kind).or_default();
        if done {
            count.1 += 1;
        } else {
            count.0 += 1;
        }

        let is = self.compare("the live database", &[&self.live, &attempt.after])?;
        let names = self.postgres.sql(
            "postgres",
            "SELECT datname FROM pg_database WHERE datname LIKE '%\\_\\_restore\\_%' OR (NOT datallowconn AND NOT datistemplate)",
        )?;
        ensure!(names.is_empty(), "left over or closed: {names}");
        for entry in fs::read_dir(self.directory.join("backups"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            ensure!(!name.starts_with(".partial"), "left over: {name}");
        }
        let listed = request(port, "GET", &format!("{BASE}/backups"), false)?.json()?;
        let mut found = Vec::new();
        for backup in listed.as_array().context("no list of backups")? {
            ensure!(text(backup, "verification")? == "verified", "listed and not good: {backup}");
            found.push(text(backup, "filename")?.to_owned());
        }
        for name in self.backups.keys().filter(|name| attempt.deletes.as_ref() != Some(*name)) {
            ensure!(found.contains(name), "the backup {name} is gone");
        }
        let new = found.iter().filter(|name| !self.backups.contains_key(*name)).count();
        ensure!(new == 0 || (new == 1 && attempt.kind == "backup"), "{new} backups that nobody made");
        self.backups.retain(|name, _| found.contains(name));
        for name in found {
            // A backup changes nothing, so the database is what it was when it was dumped.
            self.backups.entry(name).or_insert_with(|| self.live.clone());
        }
        self.live = is;
        Ok(())
    }

    /// Returns the newest operation.
    fn wait_until_cleared_up(&self, port: u16) -> Result<Option<Value>> {
        let journal = self.directory.join("backups/.state/journal.jsonl");
        let give_up = Instant::now() + PATIENCE;
        loop {
            let open = open_in_journal(&fs::read_to_string(&journal)?);
            let operations = request(port, "GET", &format!("{BASE}/operations"), false)?.json()?;
            let operations = operations.as_array().cloned().unwrap_or_default();
            if open == 0 && operations.iter().all(|operation| state(operation) != "running") {
                return Ok(operations.first().cloned());
            }
            if Instant::now() > give_up {
                bail!("{open} operation(s) are still open in the journal");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Which of these the live database is.
    fn compare(&self, what: &str, allowed: &[&String]) -> Result<String> {
        let is = dump(&self.postgres, "nova")?;
        if !allowed.contains(&&is) {
            fs::write(self.directory.join("is.sql"), &is)?;
            for (number, must) in allowed.iter().enumerate() {
                fs::write(self.directory.join(format!("must-{number}.sql")), must)?;
            }
            bail!("{what} is none of the {} that it may be; compare is.sql with must-*.sql", allowed.len());
        }
        Ok(is)
    }

    fn serve(&self) -> Result<(Service, u16)> {
        let port = workspace::free_port(0)?;
        let settings = [
            ("DATABASE_URL", self.postgres.url("nova")),
            ("REDIS_URL", "redis://127.0.0.1:1/7".to_owned()),
            ("ADMIN_SECRET", SECRET.to_owned()),
            ("BACKUP_DIR", self.directory.join("backups").to_string_lossy().into_owned()),
            // What happens is chosen here, and nothing by itself.
            ("CHECKPOINT_INTERVAL_HOURS", "0".to_owned()),
            ("DRILL_INTERVAL_DAYS", "0".to_owned()),
        ];
        let log = self.directory.join(format!("log-{}", self.rounds % 20));
        let mut service = Service::spawn(&self.binary, &settings, port, &log)?;
        service.wait_for("/health/ready", Duration::from_millis(5), Duration::from_secs(20))?;
        Ok((service, port))
    }
}

fn request(port: u16, method: &str, path: &str, at_once: bool) -> Result<http::Answer> {
    let mut headers = vec![("X-Admin-Secret", SECRET)];
    if at_once {
        headers.push(("Prefer", "respond-async"));
    }
    http::request(port, method, path, &headers)
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value.get(name).and_then(Value::as_str).with_context(|| format!("no {name} in {value}"))
}

fn state(operation: &Value) -> &str {
    text(operation, "state").unwrap_or_default()
}

/// How many operations have begun and not ended.
fn open_in_journal(journal: &str) -> usize {
    let mut open = std::collections::BTreeSet::new();
    // The last line may just be written.
    for entry in journal.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let id = text(&entry, "operation").unwrap_or_default().to_owned();
        match text(&entry, "event") {
            Ok("finished") => open.remove(&id),
            _ => open.insert(id),
        };
    }
    open.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_ended_is_counted() {
        let line = |id: u8, event: &str| format!("{{\"operation\":\"{id}\",\"event\":\"{event}\"}}\n");
        let check = |lines: &[String], expect: usize| assert_eq!(open_in_journal(&lines.concat()), expect);
        check(&[], 0);
        check(&[line(1, "started"), line(1, "step")], 1);
        check(&[line(1, "started"), line(2, "started"), line(1, "finished"), "{torn".to_owned()], 1);
    }
}
