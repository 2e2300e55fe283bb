//! The documents that are made from the code: `docs/openapi.json` and `docs/configuration.md`.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{service, shell, workspace};

/// A document and the command of `nova-recovery` that prints it.
const DOCUMENTS: [(&str, &[&str]); 2] =
    [("docs/openapi.json", &["openapi"]), ("docs/configuration.md", &["config", "--reference"])];

/// Writes them.
pub(crate) fn write() -> Result<()> {
    let binary = workspace::build_service(false)?;
    for (path, arguments) in DOCUMENTS {
        fs::write(workspace::root().join(path), generate(&binary, arguments)?)?;
        println!("wrote {path}");
    }
    Ok(())
}

/// Fails where one of them differs from what the code says.
pub(crate) fn check(binary: &Path) -> Result<()> {
    for (path, arguments) in DOCUMENTS {
        let kept = fs::read_to_string(workspace::root().join(path)).with_context(|| path.to_owned())?;
        if kept != generate(binary, arguments)? {
            bail!("{path} is not what the code says; run `cargo xtask openapi` and commit it");
        }
    }
    Ok(())
}

fn generate(binary: &Path, arguments: &[&str]) -> Result<String> {
    let printed = shell::output(service::command(binary, &[]).args(arguments))?;
    Ok(format!("{}\n", printed.trim_end()))
}
