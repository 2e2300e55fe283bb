//! Docker Compose, version 2: the system's, or where it has none, Debian's own program of a later release, put where
//! the Docker command line looks for its plugins.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{apt::Apt, shell};

/// The release of Debian whose package has Compose 2; it is one program that needs nothing but a C library.
const RELEASE: &str = "trixie";
const BY_HAND: &str =
    "install Docker Compose 2 (Debian 13: apt-get install docker-compose), then run this again";
/// Where the Docker command line looks for its plugins; ours goes to the first.
const PLUGINS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The path of the program. It is installed where the system has none.
pub(super) fn program() -> Result<PathBuf> {
    let plugins = PLUGINS.map(|directory| Path::new(directory).join("docker-compose"));
    let mut candidates = plugins.iter().cloned().chain(shell::find("docker-compose"));
    if let Some(program) = candidates.find(|program| is_version_2(program)) {
        return Ok(program);
    }
    let [program, ..] = plugins;
    if program.exists() {
        bail!("{} is no Docker Compose 2; {BY_HAND}", program.display());
    }
    if !rustix::process::geteuid().is_root() || !shell::exists("apt-get") {
        bail!("Docker Compose 2 is missing; {BY_HAND}");
    }
    eprintln!("missing: Docker Compose 2; installing Debian {RELEASE}'s program as {}", program.display());
    fetch(&program).context(BY_HAND)?;
    if !is_version_2(&program) {
        bail!("{} does not run here; {BY_HAND}", program.display());
    }
    Ok(program)
}

fn is_version_2(program: &Path) -> bool {
    let said = shell::output(shell::command(program).args(["version", "--short"]));
    let major = |version: &str| version.trim().trim_start_matches('v').split('.').next()?.parse::<u32>().ok();
    said.is_ok_and(|version| major(&version).is_some_and(|major| major >= 2))
}

/// Puts the program at a path, complete or not at all.
fn fetch(program: &Path) -> Result<()> {
    let work = tempfile::tempdir()?;
    let apt = Apt::new(work.path(), RELEASE)?;
    for package in apt.download(&["docker-compose"])? {
        shell::quiet(
            shell::command("dpkg-deb").arg("--extract").arg(package).arg(work.path().join("files")),
        )?;
    }
    fs::create_dir_all(program.parent().context("a program lies in a directory")?)?;
    let unfinished = program.with_extension("unfinished");
    fs::copy(work.path().join("files/usr/libexec/docker/cli-plugins/docker-compose"), &unfinished)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755))?;
    fs::rename(unfinished, program)?;
    Ok(())
}
