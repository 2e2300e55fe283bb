//! The image that ours stand on, and that tests make containers of.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use super::Engine;
use crate::{apt, shell};

/// As `docker/Dockerfile` names it.
pub(super) const BASE_IMAGE: &str = "debian:trixie-slim";
const RELEASE: &str = "trixie";
/// What the slim variant of Debian's image leaves out, too.
const LEFT_OUT: [&str; 5] =
    ["var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"];

/// Sees to it that the engine has the image, and that it lies as a file for other engines: pulled where a registry
/// answers, else made of Debian's packages.
pub(super) fn ensure(engine: &Engine) -> Result<()> {
    let file = &engine.base;
    if !engine.has_image(BASE_IMAGE) {
        if !file.exists() && pull(engine).is_err() {
            make(file)?;
        }
        if file.exists() {
            import(engine, file)?;
        }
    }
    if !file.exists() {
        export(engine, file)?;
    }
    Ok(())
}

fn pull(engine: &Engine) -> Result<()> {
    shell::quiet(&mut engine.command(&["pull", "--quiet", BASE_IMAGE]))
}

fn import(engine: &Engine, file: &Path) -> Result<()> {
    let mut import = engine.command(&["import", "--change", "CMD [\"bash\"]"]);
    shell::quiet(import.arg(file).arg(BASE_IMAGE))
}

/// The files of the image, as [`make`] would write them.
fn export(engine: &Engine, file: &Path) -> Result<()> {
    let container = shell::output(&mut engine.command(&["create", BASE_IMAGE]))?;
    let unfinished = file.with_extension("unfinished");
    let exported =
        shell::quiet(engine.command(&["export", "--output"]).arg(&unfinished).arg(container.trim()));
    shell::quiet(&mut engine.command(&["rm", "--force", container.trim()]))?;
    exported?;
    fs::rename(unfinished, file)?;
    Ok(())
}

/// Installs a minimal Debian in a directory, and packs it.
fn make(file: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() || !shell::exists("debootstrap") {
        bail!(
            "no registry offers {BASE_IMAGE}, and only root can make it (Debian: apt-get install debootstrap)"
        );
    }
    eprintln!("making the image {BASE_IMAGE} of Debian's packages; half a minute, once");
    let parent = file.parent().context("a file lies in a directory")?;
    let work = tempfile::tempdir_in(parent)?;
    let root = work.path().join("root");
    let mut debootstrap = shell::command("debootstrap");
    debootstrap.args(["--variant=minbase", RELEASE]).arg(&root).arg(apt::mirror());
    shell::quiet(&mut debootstrap)?;
    for directory in LEFT_OUT {
        let path = root.join(directory);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
    }
    fs::create_dir_all(root.join("var/cache/apt/archives/partial"))?;
    let unfinished = file.with_extension("unfinished");
    let mut tar = shell::command("tar");
    tar.args(["--create", "--numeric-owner", "--file"])
        .arg(&unfinished)
        .arg("--directory")
        .arg(&root)
        .arg(".");
    shell::quiet(&mut tar)?;
    fs::rename(unfinished, file)?;
    Ok(())
}
