//! Thirty containers: how many requests a second are answered about them and about the machine, and how soon a death is
//! seen.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{ADMIN_SECRET, Bench, milliseconds, report::Report};
use crate::{docker::Engine, http, packages, service::Service, shell, workspace};

const CONTAINERS: usize = 30;
const PROJECT: &str = "nova-recovery-bench";
const CONNECTIONS: &str = "32";
/// The service that is killed.
const VICTIM: &str = "llm-gateway";
/// What the platform always has; the others are called by number.
const CORE: [&str; 7] =
    ["postgres", "redis", "orchestrator", "llm-gateway", "memory-service", "chat-api", "dashboard"];

/// The containers, removed when dropped.
struct Project<'a> {
    engine: &'a Engine,
    file: PathBuf,
}

/// Measures with real containers that do nothing.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    packages::ensure_load_generator()?;
    let engine = Engine::take()?;
    let project = Project::start(&engine, bench)?;
    let port = workspace::free_port(0)?;
    let mut settings = bench.settings();
    let tools = hanging_tool(bench)?;
    settings.extend([
        ("GPU_TOOL_DIRS", format!("{}:/usr/bin:/bin", tools.display())),
        ("DOCKER_HOST", engine.host.clone()),
        ("COMPOSE_PROJECT_NAME", PROJECT.to_owned()),
        ("COMPOSE_PROJECT_DIR", bench.directory.to_string_lossy().into_owned()),
        ("COMPOSE_FILE", project.file.to_string_lossy().into_owned()),
        ("NOVA_ENV_FILE", bench.directory.join("none.env").to_string_lossy().into_owned()),
    ]);
    let mut service = Service::spawn(&bench.binary, &settings, port, &bench.directory.join("requests.log"))?;
    service.wait_for("/health/ready", Duration::from_millis(20), Duration::from_secs(20))?;
    wait_until_all_run(port)?;
    look(bench, port, report)?;

    let told_from_memory = [
        "services",
        "status",
        "inference/hardware",
        "inference/models/recommended",
        "inference/recommendation",
    ];
    let secret = format!("X-Admin-Secret: {ADMIN_SECRET}");
    for path in told_from_memory {
        let mut rates = Vec::new();
        let mut slowest = Vec::new();
        for _ in 0..bench.runs {
            let url = format!("http://127.0.0.1:{port}/api/v1/recovery/{path}");
            let mut wrk = shell::command("wrk");
            wrk.args(["--threads", "2", "--connections", CONNECTIONS, "--duration", "8s", "--latency"]);
            wrk.args(["--header", &secret, &url]);
            let (rate, p99) = parse(&shell::output(&mut wrk)?)?;
            rates.push(rate);
            slowest.push(p99);
        }
        report.at_least(&format!("GET {path}, {CONTAINERS} containers"), "/s", middle(rates), 5000.0);
        let name = format!("GET {path}, 99th percentile");
        // wrk and the service share the machine: at the rates of what is told ready made, it waits for its turn.
        match path.starts_with("inference/") {
            true => report.note(&format!("{name}, ms"), middle(slowest)),
            false => report.at_most(&name, "ms", middle(slowest), 25.0),
        }
    }
    let deaths: Result<Vec<f64>> = (0..bench.runs.max(5)).map(|_| project.death(port)).collect();
    report.at_most("a container's death is shown after", "ms", middle(deaths?), 250.0);
    service.stop()
}

/// A directory with an `nvidia-smi` that never ends, and does not when it is asked to.
fn hanging_tool(bench: &Bench) -> Result<PathBuf> {
    let directory = bench.directory.join("tools");
    fs::create_dir_all(&directory)?;
    let tool = directory.join("nvidia-smi");
    fs::write(&tool, "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n")?;
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755))?;
    Ok(directory)
}

/// How long it takes at most to look at the machine, where one of the tools hangs.
fn look(bench: &Bench, port: u16, report: &mut Report) -> Result<()> {
    let path = "/api/v1/recovery/inference/hardware/detect";
    let mut longest = Duration::ZERO;
    for _ in 0..bench.runs.max(3) {
        let begun = Instant::now();
        let found = http::request(port, "POST", path, &[("X-Admin-Secret", ADMIN_SECRET)])?.json()?;
        longest = longest.max(begun.elapsed());
        if !found.get("notes").is_some_and(|notes| notes.to_string().contains("nvidia-smi did not end")) {
            bail!("the tool that hangs was not waited for: {found}");
        }
    }
    report.at_most("a look at the machine, where a tool hangs", "ms", milliseconds(longest), 2000.0);
    Ok(())
}

impl<'a> Project<'a> {
    fn start(engine: &'a Engine, bench: &Bench) -> Result<Self> {
        let numbered = (CORE.len()..CONTAINERS).map(|number| format!("worker-{number}"));
        let mut text = String::from("services:\n");
        for name in CORE.into_iter().map(str::to_owned).chain(numbered) {
            text.push_str(&format!(
                "  {name}:\n    image: debian:trixie-slim\n    command: sleep infinity\n    network_mode: none\n    \
                 stop_grace_period: 0s\n"
            ));
        }
        let file = bench.directory.join("thirty.yml");
        fs::write(&file, text)?;
        let project = Self { engine, file };
        shell::quiet(project.compose().args(["up", "--detach", "--quiet-pull"]))?;
        Ok(project)
    }

    fn compose(&self) -> Command {
        let mut compose = shell::command(&self.engine.compose);
        compose
            .env("DOCKER_HOST", &self.engine.host)
            .args(["--project-name", PROJECT, "--file"])
            .arg(&self.file);
        compose
    }

    /// How long after the engine has told that it killed a container this is shown.
    fn death(&self, port: u16) -> Result<f64> {
        shell::quiet(self.compose().args(["up", "--detach"]))?;
        wait_until_all_run(port)?;
        let mut kill = self
            .engine
            .command(&["kill", &format!("{PROJECT}-{VICTIM}-1")])
            .stdout(std::process::Stdio::null())
            .spawn()?;
        let mut told = None;
        let give_up = Instant::now() + Duration::from_secs(30);
        while Instant::now() < give_up {
            if told.is_none() && kill.try_wait()?.is_some() {
                told = Some(Instant::now());
            }
            if running(port)?.get(VICTIM).is_none_or(|status| status != "running") {
                kill.wait()?;
                return Ok(milliseconds(told.map(|told| told.elapsed()).unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("the death of a container is not shown")
    }
}

impl Drop for Project<'_> {
    fn drop(&mut self) {
        if let Err(error) = shell::quiet(self.compose().args(["down", "--timeout", "0"])) {
            eprintln!("the containers of the bench were not removed: {error:#}");
        }
    }
}

/// What each service does.
fn running(port: u16) -> Result<std::collections::BTreeMap<String, String>> {
    let listed = http::request(port, "GET", "/api/v1/recovery/services", &[])?.json()?;
    let entries = listed.as_array().context("no list of services")?;
    let text = |entry: &Value, key: &str| Some(entry.get(key)?.as_str()?.to_owned());
    Ok(entries.iter().filter_map(|entry| Some((text(entry, "service")?, text(entry, "status")?))).collect())
}

fn wait_until_all_run(port: u16) -> Result<()> {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        let count = running(port)?.values().filter(|status| *status == "running").count();
        if count == CONTAINERS {
            return Ok(());
        }
        if Instant::now() > give_up {
            bail!("{count} of {CONTAINERS} containers are shown as running");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Requests a second, and the 99th percentile in milliseconds, out of what `wrk --latency` prints.
fn parse(text: &str) -> Result<(f64, f64)> {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    if let Some(failed) = value("Non-2xx or 3xx responses:") {
        bail!("{failed} requests were refused");
    }
    let rate = value("Requests/sec:").and_then(|rate| rate.parse().ok()).context("wrk told no rate")?;
    let p99 = value("99%").as_deref().and_then(duration).context("wrk told no latency")?;
    Ok((rate, p99))
}

/// `1.23ms`, `950.00us` or `1.02s`, in milliseconds.
fn duration(text: &str) -> Option<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)];
    units.into_iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

/// The middle one; of an even number the lower of the two.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints_is_read() {
        let text = "Running 8s test @ http://127.0.0.1:1/\n  Latency Distribution\n     50%    1.10ms\n     \
                    99%  950.50us\n  90 requests in 8.00s, 1.00MB read\nRequests/sec:  12345.67\nTransfer/sec:      1.00MB\n";
        assert_eq!(parse(text).unwrap(), (12_345.67, 0.9505));
        assert_eq!(
            (duration("1.5s"), duration("2.00m"), duration("x")),
            (Some(1500.0), Some(120_000.0), None)
        );
        assert!(parse(&text.replace("Requests/sec", "  Non-2xx or 3xx responses: 7\nRequests/sec")).is_err());
        assert!(middle(Vec::new()).is_nan());
    }
}
