//! How long a client of the database is without an answer while a restore takes place.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio_postgres::NoTls;

use super::{ADMIN_SECRET, Bench, report::Report};
use crate::http;

/// Restores through the service while a client asks every 10 ms.
pub(super) fn measure(bench: &Bench, archive: &str, report: &mut Report) -> Result<()> {
    let mut gaps = Vec::new();
    for round in 1..=bench.runs {
        let (mut service, port) = bench.serve("gap")?;
        let probe = Probe::start(&bench.postgres.url("nova"))?;
        run_operation(port, &format!("/api/v1/recovery/backups/{archive}/restore"))?;
        let seen = probe.stop()?;
        println!("gap {round}: {:.0} ms among {} answers", seen.longest_ms(), seen.answers);
        gaps.push(seen.longest);
        service.stop()?;
        bench.drop_replaced()?;
    }
    let worst = gaps.iter().max().copied().unwrap_or_default();
    report.at_most("longest time without an answer, our restore", "ms", super::milliseconds(worst), 1000.0);
    Ok(())
}

/// Starts an operation and waits for its end.
pub(super) fn run_operation(port: u16, path: &str) -> Result<serde_json::Value> {
    let secret = ("X-Admin-Secret", ADMIN_SECRET);
    let begun = http::request(port, "POST", path, &[secret, ("Prefer", "respond-async")])?.json()?;
    let id = begun.get("id").and_then(|id| id.as_str()).context("an operation without an id")?;
    let path = format!("/api/v1/recovery/operations/{id}");
    let deadline = Instant::now() + Duration::from_secs(600);
    while Instant::now() < deadline {
        let operation = http::request(port, "GET", &path, &[secret])?.json()?;
        match operation.get("state").and_then(|state| state.as_str()) {
            Some("running") => std::thread::sleep(Duration::from_millis(50)),
            Some("succeeded") => return Ok(operation),
            _ => bail!("the operation did not succeed: {operation}"),
        }
    }
    bail!("the operation did not end within 10 minutes")
}

/// A client that asks every 10 ms and connects anew where it was cut off.
pub(super) struct Probe {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen>>,
}

/// What the client saw.
#[derive(Default)]
pub(super) struct Seen {
    answers: u64,
    longest: Duration,
}

impl Seen {
    /// The longest time between two answers.
    pub(super) fn longest_ms(&self) -> f64 {
        super::milliseconds(self.longest)
    }
}

impl Probe {
    /// Starts asking; returns after the first answer.
    pub(super) fn start(url: &str) -> Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let (first, answered) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (url, flag) = (url.to_owned(), Arc::clone(&ended));
        let thread = std::thread::spawn(move || Ok(runtime.block_on(ask(&url, &flag, first))));
        answered.recv_timeout(Duration::from_secs(10)).context("the database does not answer")?;
        Ok(Self { ended, thread })
    }

    /// Waits for one more answer and stops.
    pub(super) fn stop(self) -> Result<Seen> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the watching client failed"))?
    }
}

async fn ask(url: &str, ended: &AtomicBool, first: std::sync::mpsc::Sender<()>) -> Seen {
    let mut seen = Seen::default();
    let mut last = None;
    loop {
        if let Ok((client, connection)) = tokio_postgres::connect(url, NoTls).await {
            let connection = tokio::spawn(connection);
            while client.query_one("SELECT count(*) FROM platform_config", &[]).await.is_ok() {
                let now = Instant::now();
                seen.answers += 1;
                seen.longest = seen.longest.max(last.map_or(Duration::ZERO, |last| now - last));
                last = Some(now);
                // Nobody listens any more after the first answer.
                let _ = first.send(());
                if ended.load(Ordering::Relaxed) {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            connection.abort();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
