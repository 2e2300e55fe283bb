//! How long a backup and a restore take, against the bare tools and against the classic way.

use std::{fs, time::Duration};

use anyhow::Result;

use super::{Bench, gap::Probe, remove_directory, report::Report};
use crate::{service, shell};

/// Makes backups in three ways, in turn. Returns the name of our last one.
pub(super) fn create(bench: &Bench, report: &mut Report) -> Result<String> {
    let jobs = bench.jobs.to_string();
    let (mut ours, mut bare, mut classic) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=bench.runs {
        remove_directory(&bench.backups())?;
        ours.push(bench.time(&mut [back_up(bench)])?);

        remove_directory(&bench.directory.join("bare"))?;
        let mut dump = bench.tool("pg_dump", ["-Fd", "-j", &jobs, compression(bench)?, "-f", "bare"]);
        dump.arg(bench.postgres.url("nova"));
        bare.push(bench.time(&mut [dump])?);

        let mut plain =
            bench.tool("pg_dump", ["--clean", "--if-exists", "--no-owner", "--no-acl", "-f", "database.sql"]);
        plain.arg(bench.postgres.url("nova"));
        let mut pack = shell::command("tar");
        pack.args(["-czf", "classic.tar.gz", "database.sql"]).current_dir(&bench.directory);
        classic.push(bench.time(&mut [plain, pack])?);
        fs::remove_file(bench.directory.join("database.sql"))?;
        show("create", round, &ours, &bare, &classic);
    }
    let archive = bench.newest_backup()?;
    let megabytes = |path: std::path::PathBuf| -> Result<u64> { Ok(fs::metadata(path)?.len() / 1_000_000) };
    report.note("size of our archive, MB", megabytes(bench.backups().join(&archive))?);
    report.note("size of the classic archive, MB", megabytes(bench.directory.join("classic.tar.gz"))?);
    report.at_most_times("create, against bare pg_dump -Fd", &ours, &bare, 1.35);
    report.at_least_times_faster("create, against plain SQL + tar -z", &ours, &classic, 3.0);
    Ok(archive)
}

/// Restores what `create` has made, in three ways, in turn.
pub(super) fn restore(bench: &Bench, archive: &str, report: &mut Report) -> Result<()> {
    let jobs = bench.jobs.to_string();
    bench.postgres.sql("postgres", "CREATE DATABASE nova_classic TEMPLATE nova")?;
    let (mut ours, mut bare, mut classic) = (Vec::new(), Vec::new(), Vec::new());
    let mut drills = Vec::new();
    for round in 1..=bench.runs {
        let mut restore = service::command(&bench.binary, &bench.settings());
        restore.args(["restore", archive, "--yes"]);
        ours.push(bench.time(&mut [restore])?);
        bench.drop_replaced()?;

        let mut drill = service::command(&bench.binary, &bench.settings());
        drill.args(["verify", archive, "--restore"]);
        drills.push(bench.time(&mut [drill])?);

        bench.postgres.sql("postgres", "CREATE DATABASE nova_bare TEMPLATE template0")?;
        let mut load = bench.tool("pg_restore", ["-j", &jobs, "--exit-on-error", "-d"]);
        load.arg(bench.postgres.url("nova_bare")).arg("bare");
        bare.push(bench.time(&mut [load])?);
        bench.postgres.sql("postgres", "DROP DATABASE nova_bare")?;

        // The last time somebody watches how long this database is away.
        let probe = (round == bench.runs).then(|| Probe::start(&bench.postgres.url("nova_classic")));
        classic.push(classic_restore(bench)?);
        if let Some(probe) = probe.transpose()? {
            report.note("longest time without an answer, classic restore, ms", probe.stop()?.longest_ms());
        }
        show("restore", round, &ours, &bare, &classic);
    }
    bench.postgres.sql("postgres", "DROP DATABASE nova_classic WITH (FORCE)")?;
    report.at_most_times("drill, against our restore", &drills, &ours, 1.20);
    report.at_most_times("restore, against bare pg_restore", &ours, &bare, 1.30);
    report.at_least_times_faster("restore, against untar + DROP SCHEMA + psql", &ours, &classic, 1.3);
    Ok(())
}

fn classic_restore(bench: &Bench) -> Result<Duration> {
    let mut unpack = shell::command("tar");
    unpack.args(["-xzf", "classic.tar.gz"]).current_dir(&bench.directory);
    let url = bench.postgres.url("nova_classic");
    let mut drop_schema =
        bench.tool("psql", ["-X", "-q", "-c", "DROP SCHEMA public CASCADE; CREATE SCHEMA public", &url]);
    drop_schema.env("PGOPTIONS", "-c client_min_messages=warning");
    let load = bench.tool(
        "psql",
        [
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "--single-transaction",
            "-o",
            "/dev/null",
            "-f",
            "database.sql",
            &url,
        ],
    );
    let time = bench.time(&mut [unpack, drop_schema, load])?;
    fs::remove_file(bench.directory.join("database.sql"))?;
    Ok(time)
}

fn back_up(bench: &Bench) -> std::process::Command {
    let mut backup = service::command(&bench.binary, &bench.settings());
    backup.arg("backup");
    backup
}

/// What our program chooses by itself for this server's tools.
fn compression(bench: &Bench) -> Result<&'static str> {
    Ok(if bench.postgres.major()? >= 16 { "--compress=zstd:1" } else { "--compress=1" })
}

fn show(what: &str, round: u32, ours: &[Duration], bare: &[Duration], classic: &[Duration]) {
    let last = |times: &[Duration]| times.last().copied().unwrap_or_default().as_secs_f64();
    println!(
        "{what} {round}: ours {:.2} s, bare {:.2} s, classic {:.2} s",
        last(ours),
        last(bare),
        last(classic)
    );
}
