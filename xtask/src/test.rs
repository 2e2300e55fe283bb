//! `cargo xtask test`: everything that must hold, one step after the other, up to the first failure.

mod examples;
mod summary;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    axe,
    docker::{Engine, images},
    openapi, packages, servers, shell, tidy, workspace,
};
use summary::Counts;

/// The name of the service's image for tests: the one that a developer has keeps its own.
const TEST_IMAGE: &str = "nova-recovery:test";

/// Runs every step. The last line says how many checks passed and failed: tests, documentation tests, examples, and
/// the step that failed where it is not one of these.
pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    let mut counts = Counts::default();
    let result = steps(&mut counts);
    println!("\nall steps: {}", seconds(started.elapsed()));
    if result.is_err() && counts.failed == 0 {
        counts.failed = 1;
    }
    if let Err(error) = &result {
        println!("failed: {error:#}");
    }
    println!("{counts}");
    if result.is_err() {
        std::process::exit(1);
    }
    Ok(())
}

fn steps(counts: &mut Counts) -> Result<()> {
    let mut variables = Vec::new();
    step("packages", || {
        packages::ensure()?;
        packages::ensure_browser()?;
        variables = servers::variables()?;
        variables.push(("NOVA_RECOVERY_AXE".to_owned(), axe::script()?));
        Ok(())
    })?;
    let mut engine = None;
    step("container engine", || {
        let taken = Engine::take()?;
        variables.extend(taken.variables());
        println!("   {}", taken.host);
        engine = Some(taken);
        Ok(())
    })?;
    step("format", || shell::run(&mut shell::cargo(["fmt", "--all", "--check"])))?;
    step("tidy", tidy::run)?;
    step("clippy", || {
        shell::run(&mut shell::cargo([
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    let mut binary = None;
    step("build", || {
        binary = Some(workspace::build_everything()?);
        Ok(())
    })?;
    let mut crash_points = None;
    step("build with crash points", || {
        crash_points = Some(workspace::build_crash_points()?);
        Ok(())
    })?;
    let (Some(binary), Some(crash_points)) = (binary, crash_points) else {
        bail!("nova-recovery was not built")
    };
    step("generated documents", || openapi::check(&binary))?;
    step("images", || {
        let engine = engine.as_ref().context("there is no container engine")?;
        images::service(engine, &binary, TEST_IMAGE, "")?;
        images::rest(engine)?;
        variables.push(("NOVA_RECOVERY_IMAGE".to_owned(), PathBuf::from(TEST_IMAGE)));
        Ok(())
    })?;
    step("tests", || tests(&binary, &crash_points, &variables, counts))?;
    step("documentation tests", || {
        let mut doc = shell::cargo(["test", "--workspace", "--doc", "--quiet"]);
        counts.add(summary::run_showing(&mut doc, summary::libtest)?)
    })?;
    step("examples", || {
        let engine = engine.as_ref().context("there is no container engine")?;
        counts.add(examples::run_all(&engine.host)?)
    })?;
    step("documentation", || {
        let mut doc = shell::cargo(["doc", "--workspace", "--no-deps", "--quiet"]);
        shell::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })
}

fn tests(
    binary: &Path,
    crash_points: &Path,
    servers: &[(String, PathBuf)],
    counts: &mut Counts,
) -> Result<()> {
    let (mut command, parse): (_, fn(&str) -> Option<Counts>) =
        if shell::quiet(&mut shell::cargo(["nextest", "--version"])).is_ok() {
            (
                shell::cargo(["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "slow"]),
                summary::nextest,
            )
        } else {
            println!("cargo-nextest is not installed: `cargo test` runs the tests instead, more slowly");
            (
                shell::cargo([
                    "test",
                    "--workspace",
                    "--lib",
                    "--bins",
                    "--tests",
                    "--no-fail-fast",
                    "--quiet",
                ]),
                summary::libtest,
            )
        };
    command.env("NOVA_RECOVERY_BIN", binary).env("NOVA_RECOVERY_CRASH_BIN", crash_points);
    command.envs(servers.iter().map(|(name, path)| (name, path)));
    counts.add(summary::run_showing(&mut command, parse)?)
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n== {name}");
    let started = Instant::now();
    work().map_err(|error| error.context(name.to_owned()))?;
    println!("   {name}: {}", seconds(started.elapsed()));
    Ok(())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
