//! An engine of our own, as a process: started without systemd, stopped by its process id.

use std::{
    fs,
    io::ErrorKind,
    os::unix::process::CommandExt,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{Places, answers, command_for, program};
use crate::{shell, signal};

/// How long it may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts it where it does not run yet, and waits until it answers.
pub(super) fn start(places: &Places) -> Result<()> {
    let docker = program()?;
    if running(places).is_some() && answers(&docker, &places.host()) {
        return Ok(());
    }
    // One that was left half dead by a killed command.
    stop(places)?;
    forget(places)?;
    fs::create_dir_all(&places.run)?;
    let log = places.directory.join("dockerd.log");
    eprintln!("starting a container engine of our own (its log is {})", log.display());
    let output = fs::File::create(&log)?;
    // What it mounts is its own, so that nothing of it stays mounted.
    let mut dockerd = shell::command("unshare");
    dockerd.env_clear().env("PATH", shell::PATH);
    dockerd.args(["--mount", "dockerd", "--host"]).arg(places.host());
    for (option, path) in [
        ("--data-root", places.directory.join("data")),
        ("--exec-root", places.run.join("exec")),
        ("--pidfile", places.run.join("docker.pid")),
        // The settings of the system's engine are not ours.
        ("--config-file", places.directory.join("daemon.json")),
    ] {
        dockerd.arg(option).arg(path);
    }
    fs::write(places.directory.join("daemon.json"), "{}\n")?;
    // Its own group: Ctrl-C in the terminal is for this program, which stops the engine in order.
    dockerd.process_group(0).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let mut child = dockerd.spawn().context("cannot start dockerd")?;
    let deadline = Instant::now() + PATIENCE;
    while !answers(&docker, &places.host()) {
        if let Some(status) = child.try_wait()? {
            bail!("the container engine ended: {status}\n{}", tail(&fs::read_to_string(&log)?));
        }
        if Instant::now() > deadline {
            bail!("the container engine does not answer; its log is {}", log.display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    clear(&docker, places)
}

/// Removes what killed tests have left in it.
fn clear(docker: &Path, places: &Places) -> Result<()> {
    for kind in ["container", "network", "volume"] {
        shell::quiet(&mut command_for(docker, &places.host(), &[kind, "prune", "--force"]))?;
    }
    Ok(())
}

/// Stops it, and every container with it.
pub(super) fn stop(places: &Places) -> Result<()> {
    let Some(pid) = running(places) else { return Ok(()) };
    signal::terminate(pid)?;
    let deadline = Instant::now() + PATIENCE;
    while running(places) == Some(pid) {
        if Instant::now() > deadline {
            bail!("the container engine (process {pid}) does not end");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Removes the notes of an engine that was killed: a new one would take processes to be alive that nobody has waited
/// for.
fn forget(places: &Places) -> Result<()> {
    for name in ["docker.pid", "exec/containerd/containerd.pid"] {
        match fs::remove_file(places.run.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Its process id. A number in the file may by now belong to somebody else's process.
fn running(places: &Places) -> Option<u32> {
    let pid: u32 = fs::read_to_string(places.run.join("docker.pid")).ok()?.trim().parse().ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // A child that has ended and that nobody has waited for runs no more.
    let (name, rest) = status.split_once('(')?.1.rsplit_once(") ")?;
    (name == "dockerd" && !rest.starts_with('Z')).then_some(pid)
}

/// The end of its log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
}
