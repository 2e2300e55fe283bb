//! axe-core, which finds what keeps people from using a page: fetched for the tests, and no part of the program.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::{shell, workspace};

const VERSION: &str = "4.14.1";
/// Of the package, as the registry hands it out.
const SHA256: &str = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745";

/// The path of `axe.min.js`, which is fetched from the npm registry where it is missing.
pub(crate) fn script() -> Result<PathBuf> {
    let directory = workspace::target_directory()?.join(format!("axe-core-{VERSION}"));
    let script = directory.join("package/axe.min.js");
    if script.exists() {
        return Ok(script);
    }
    fs::create_dir_all(&directory)?;
    let package = directory.join("package.tgz");
    let address = format!("https://registry.npmjs.org/axe-core/-/axe-core-{VERSION}.tgz");
    eprintln!("missing: axe-core {VERSION}; fetching {address}");
    shell::quiet(
        shell::command("curl")
            .args(["--fail", "--silent", "--show-error", "--location", "--retry", "3", "--output"])
            .arg(&package)
            .arg(&address),
    )
    .with_context(|| {
        format!("axe-core is needed for the tests of the console; put its axe.min.js at {}", script.display())
    })?;
    let sum = shell::output(shell::command("sha256sum").arg(&package))?;
    if sum.split_whitespace().next() != Some(SHA256) {
        fs::remove_file(&package)?;
        bail!("{address} is not the file that it was: {sum}");
    }
    shell::quiet(
        shell::command("tar").arg("-xzf").arg(&package).arg("-C").arg(&directory).arg("package/axe.min.js"),
    )?;
    Ok(script)
}
