//! Docker Compose, version 2: the system's, or Debian's own program of a later release, unpacked under `target`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{apt::Apt, shell};

/// The release of Debian whose package has Compose 2; it is one program that needs nothing but a C library.
const RELEASE: &str = "trixie";
/// Where the Docker command line looks for its plugins.
const PLUGINS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The path of the program. It is fetched where the system has none.
pub(super) fn program(docker: &Path, directory: &Path) -> Result<PathBuf> {
    let plugins = PLUGINS.iter().map(|directory| Path::new(directory).join("docker-compose"));
    let unpacked = directory.join("cli/cli-plugins/docker-compose");
    let mut candidates = plugins.chain(shell::find("docker-compose")).chain([unpacked.clone()]);
    if let Some(program) = candidates.find(|program| is_version_2(program)) {
        return Ok(program);
    }
    eprintln!(
        "missing: Docker Compose 2; unpacking Debian {RELEASE}'s package under {}",
        directory.display()
    );
    fetch(&unpacked).context(
        "Docker Compose 2 is needed; install it (Debian 13: apt-get install docker-compose), or let apt-get reach Debian",
    )?;
    if !is_version_2(&unpacked) {
        bail!("{} is no Docker Compose 2 (beside {})", unpacked.display(), docker.display());
    }
    Ok(unpacked)
}

fn is_version_2(program: &Path) -> bool {
    let said = shell::output(shell::command(program).args(["version", "--short"]));
    said.is_ok_and(|version| version.trim().trim_start_matches('v').starts_with("2."))
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
    let parent = program.parent().context("a program lies in a directory")?;
    fs::create_dir_all(parent)?;
    let unfinished = program.with_extension("unfinished");
    fs::copy(work.path().join("files/usr/libexec/docker/cli-plugins/docker-compose"), &unfinished)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755))?;
    fs::rename(unfinished, program)?;
    Ok(())
}
