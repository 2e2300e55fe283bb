//! The PostgreSQL servers that the tests need, of two major versions: the one that the system has, and for the others
//! Debian's own packages of another release, unpacked beside it without being installed.
//!
//! Such packages need a newer or older C library than the system's. So their own is unpacked with them, and each
//! program is started by a small script through its own dynamic linker.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    apt::{Apt, package_of},
    axe, cluster,
    docker::Engine,
    shell, workspace,
};

/// The major versions that the tests need, and the Debian release that has each.
const VERSIONS: [(u32, &str); 2] = [(15, "bookworm"), (17, "trixie")];
/// Libraries that packages ask for and that no program of ours loads: JIT compilation, and what maintainer scripts use.
const NOT_NEEDED: [&str; 6] = ["libllvm", "libz3", "libperl", "libdb5", "libsemanage", "libsepol"];

/// The environment variables that tell the tests where the server programs of each major version lie.
pub(crate) fn variables() -> Result<Vec<(String, PathBuf)>> {
    VERSIONS
        .iter()
        .map(|(major, release)| Ok((format!("NOVA_RECOVERY_PG{major}"), programs(*major, release)?)))
        .collect()
}

/// Prints the variables as lines of a shell, those of the container engine too: `eval "$(cargo xtask servers)"`. An
/// engine that this starts goes on running; the next `cargo xtask test` ends it when it ends.
pub(crate) fn show() -> Result<()> {
    let engine = Engine::take()?;
    let axe = ("NOVA_RECOVERY_AXE".to_owned(), axe::script()?);
    for (name, path) in variables()?.into_iter().chain(engine.variables()).chain([axe]) {
        println!("export {name}='{}'", path.display());
    }
    engine.keep();
    Ok(())
}

/// The directory with the server programs of a major version, which are fetched where they are missing.
fn programs(major: u32, release: &str) -> Result<PathBuf> {
    let below = format!("usr/lib/postgresql/{major}/bin");
    let installed = Path::new("/").join(&below);
    if installed.join("postgres").exists() {
        return Ok(installed);
    }
    let root = cluster::home(&workspace::target_directory()?.join(format!("postgresql-{major}")))?;
    let programs = root.join(&below);
    if !programs.join("postgres").exists() {
        eprintln!("missing: PostgreSQL {major}; unpacking Debian {release}'s packages in {}", root.display());
        fetch(major, release, &root).with_context(|| {
            format!("PostgreSQL {major} is needed for tests; install postgresql-{major}, or let apt-get reach Debian")
        })?;
    }
    let said = shell::output(shell::command(programs.join("postgres")).arg("--version"))?;
    if !said.contains(&format!(" {major}.")) {
        bail!("{} is no PostgreSQL {major}: {said}", programs.display());
    }
    Ok(programs)
}

/// Unpacks under another name first: what was cut off half-way never has the real one.
fn fetch(major: u32, release: &str, root: &Path) -> Result<()> {
    let unfinished = root.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir_all(&unfinished)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755))?;
    let downloads = tempfile::tempdir()?;
    for package in download(major, release, downloads.path())? {
        shell::quiet(shell::command("dpkg-deb").arg("--extract").arg(package).arg(&unfinished))?;
    }
    wrap(&unfinished, major)?;
    fs::rename(&unfinished, root)?;
    Ok(())
}

/// Downloads the server's packages and the libraries that they need, and returns their files.
fn download(major: u32, release: &str, directory: &Path) -> Result<Vec<PathBuf>> {
    let apt = Apt::new(directory, release)?;
    let server = format!("postgresql-{major}");
    let planned = shell::output(&mut apt.get(&[
        "install",
        "--no-install-recommends",
        "--download-only",
        "--print-uris",
        "--yes",
        "--quiet=2",
        &server,
    ]))?;
    let wanted: Vec<&str> = planned.lines().filter_map(package_of).filter(|name| is_needed(name)).collect();
    apt.download(&wanted)
}

fn is_needed(package: &str) -> bool {
    let is_library = package.starts_with("lib") && !package.ends_with("-perl");
    let is_server = package.starts_with("postgresql-") && !package.contains("common");
    (is_library || is_server) && !NOT_NEEDED.iter().any(|prefix| package.starts_with(prefix))
}

/// Puts a script in the place of each program, which starts it through the linker that was unpacked with it. The
/// scripts find their way from where they lie, so that the directory can be moved.
fn wrap(root: &Path, major: u32) -> Result<()> {
    let home = root.join(format!("usr/lib/postgresql/{major}"));
    let (programs, real) = (home.join("bin"), home.join("real"));
    fs::rename(&programs, &real)?;
    fs::create_dir(&programs)?;
    // It would load a compiler that was left out.
    fs::remove_file(home.join("lib/llvmjit.so")).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let linker = linker(root)?;
    let libraries = linker.parent().context("the linker lies nowhere")?;
    let name = libraries.file_name().context("the linker lies nowhere")?.to_string_lossy().into_owned();
    for entry in fs::read_dir(&real)? {
        let program = entry?.file_name().to_string_lossy().into_owned();
        let script = programs.join(&program);
        fs::write(
            &script,
            format!(
                "#!/bin/sh\n\
                 root=${{0%/usr/lib/postgresql/{major}/bin/*}}\n\
                 export LOCPATH=\"$root/usr/lib/locale\"\n\
                 exec \"$root/{linker}\" --library-path \"$root/lib/{name}:$root/usr/lib/{name}\" --argv0 \"$0\" \\\n    \
                 \"$root/usr/lib/postgresql/{major}/real/{program}\" \"$@\"\n",
                linker = linker.display()
            ),
        )?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// The dynamic linker among the unpacked files, as a path below them: `usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2`.
fn linker(root: &Path) -> Result<PathBuf> {
    for parent in ["usr/lib", "lib"] {
        for directory in fs::read_dir(root.join(parent)).into_iter().flatten() {
            let directory = directory?.path();
            for entry in fs::read_dir(&directory).into_iter().flatten() {
                let path = entry?.path();
                let is_linker =
                    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux"));
                if is_linker && directory.to_string_lossy().ends_with("-linux-gnu") {
                    return Ok(path.strip_prefix(root)?.to_owned());
                }
            }
        }
    }
    bail!("the packages have no dynamic linker")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_that_are_needed_are_picked_out() {
        let name = |line| package_of(line).filter(|name| is_needed(name));
        for (line, expect) in [
            (
                "'http://x/libstdc%2b%2b6_14.2.0-19_amd64.deb' libstdc++6_14.2.0-19_amd64.deb 713628 SHA256:1",
                Some("libstdc++6"),
            ),
            (
                "'http://x/postgresql-17_17.12_amd64.deb' postgresql-17_17.12_amd64.deb 1 SHA256:1",
                Some("postgresql-17"),
            ),
            (
                "'http://x/postgresql-client-17_1_amd64.deb' postgresql-client-17_1_amd64.deb 1 SHA256:1",
                Some("postgresql-client-17"),
            ),
            ("'http://x/libc-bin_2.41_amd64.deb' libc-bin_2.41_amd64.deb 1 SHA256:1", Some("libc-bin")),
            ("'http://x/libllvm19_19_amd64.deb' libllvm19_19_amd64.deb 1 SHA256:1", None),
            ("'http://x/libjson-perl_4_all.deb' libjson-perl_4_all.deb 1 SHA256:1", None),
            ("'http://x/postgresql-common_1_all.deb' postgresql-common_1_all.deb 1 SHA256:1", None),
            ("'http://x/tzdata_1_all.deb' tzdata_1_all.deb 1 SHA256:1", None),
            ("Reading package lists...", None),
            ("", None),
        ] {
            assert_eq!(name(line), expect, "{line}");
        }
    }
}
