//! Where things are, and building the service.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::shell;

/// The repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> Result<PathBuf> {
    Ok(metadata(false)?.target_directory.into_std_path_buf())
}

/// What cargo knows about the workspace.
pub(crate) fn metadata(with_dependencies: bool) -> Result<cargo_metadata::Metadata> {
    let mut command = cargo_metadata::MetadataCommand::new();
    command.current_dir(root());
    if !with_dependencies {
        command.no_deps();
    }
    command.exec().context("cargo metadata")
}

/// Builds `nova-recovery` and returns its path.
pub(crate) fn build_service(release: bool) -> Result<PathBuf> {
    let mut build = shell::cargo(["build", "--package", "recovery-server", "--bin", "nova-recovery"]);
    if release {
        build.arg("--release");
    }
    shell::run(&mut build)?;
    built(if release { "release" } else { "debug" }, "nova-recovery")
}

/// Builds everything, tests and examples too, in one go: one package at a time, cargo would build what they share
/// anew for every set of features. Returns the path of `nova-recovery`.
pub(crate) fn build_everything() -> Result<PathBuf> {
    shell::run(&mut shell::cargo(["build", "--workspace", "--all-targets"]))?;
    built("debug", "nova-recovery")
}

/// Builds the program for tests that dies at named moments, and returns its path. The example is built for its
/// dev-dependencies: with them the shared dependencies have the features that they have in [`build_everything`], and
/// are not built anew.
pub(crate) fn build_crash_points() -> Result<PathBuf> {
    const NAME: &str = "nova-recovery-crash-points";
    let features = ["--features", "recovery-server/crash-points"];
    let targets = ["--bin", NAME, "--example", "names"];
    shell::run(shell::cargo(["build", "--workspace"]).args(features).args(targets))?;
    built("debug", NAME)
}

/// The path of a program that was built.
pub(crate) fn built(profile: &str, name: &str) -> Result<PathBuf> {
    let path = target_directory()?.join(profile).join(name);
    if !path.exists() {
        bail!("cargo built no {}", path.display());
    }
    Ok(path)
}

/// Whether nobody listens on this port of the loopback address.
pub(crate) fn port_is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The wanted port, or another one where that is taken.
pub(crate) fn free_port(wanted: u16) -> Result<u16> {
    if wanted != 0 && port_is_free(wanted) {
        return Ok(wanted);
    }
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?.local_addr()?.port())
}
