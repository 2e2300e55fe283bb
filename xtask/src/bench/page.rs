//! The console: how soon the verdict stands there in a browser that has nothing of it yet, and how much that takes.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::{Bench, report, report::Report};
use crate::browser::Browser;

/// What the files of the page weigh, before they are compressed and as they were sent, in bytes.
const WEIGHT: &str =
    "const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .filter(({ name }) => !name.includes('/api/'));
    const sum = (of) => all.reduce((sum, entry) => sum + entry[of], 0);
    return [sum('decodedBodySize'), sum('transferSize')]";

/// Loads the page again and again.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let (mut service, port) = bench.serve("page")?;
    let browser = Browser::start()?;
    let (mut paints, mut verdicts) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs.max(5) {
        browser.protocol("Network.clearBrowserCache", &json!({}))?;
        browser.open(&format!("http://localhost:{port}/"))?;
        let stands = "return performance.getEntriesByName('verdict').length > 0
            && performance.getEntriesByName('first-contentful-paint').length > 0";
        browser.until("the verdict", stands, &json!([]))?;
        let at = |name: &str| {
            let script = "return performance.getEntriesByName(arguments[0])[0].startTime";
            let taken = browser.run(script, json!([name]))?;
            taken.as_f64().map(|taken| Duration::from_secs_f64(taken / 1000.0)).context("a time is a number")
        };
        paints.push(at("first-contentful-paint")?);
        verdicts.push(at("verdict")?);
    }
    let milliseconds = |times: &[Duration]| super::milliseconds(report::median(times));
    report.at_most("console: first paint, nothing cached", "ms", milliseconds(&paints), 300.0);
    report.at_most("console: the verdict stands there", "ms", milliseconds(&verdicts), 300.0);
    let weight = browser.run(WEIGHT, json!([]))?;
    let kib = |index: usize| {
        let bytes = weight.get(index).and_then(serde_json::Value::as_f64);
        bytes.map(|bytes| bytes / 1024.0).context("a weight is a number")
    };
    report.at_most("console: all its files, before compression", "KiB", kib(0)?, 150.0);
    report.note("console: sent for it, KiB", kib(1)?);
    service.stop()
}
