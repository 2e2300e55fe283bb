//! `cargo xtask images`: the images that `docker/compose.yml` and `docker/compose.sample.yml` name.
//!
//! The service's own is built around a program that cargo built here, so that no image of a toolchain is needed.
//! Others' images are pulled; where that cannot be, stand-ins for them are made of Debian's packages, under the same
//! names, with a label that says so.

use std::{fs, path::Path, process::Stdio};

use anyhow::{Context, Result};

use super::Engine;
use crate::{shell, workspace};

/// The stand-in for Nova's services.
pub(crate) const SAMPLE_SERVICE: &str = "nova-sample-service";
/// The service's own image, as `docker/compose.yml` names it.
const SERVICE: &str = "nova-recovery";
/// What is ours besides: the name, and the Dockerfile under `docker/images`.
const OURS: [(&str, &str); 2] = [("nova-socket-proxy", "socket-proxy"), (SAMPLE_SERVICE, "sample-service")];
/// What others make: the name, and the Dockerfile of what takes its place where it cannot be pulled.
const OTHERS: [(&str, &str); 2] = [("pgvector/pgvector:pg17", "postgres"), ("redis:8", "redis")];

/// Options of `cargo xtask images`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build the service without optimisations: quicker, for trying out
    #[arg(long)]
    debug: bool,
    /// Name the service's image otherwise, for example nova-recovery:1.2
    #[arg(long, default_value = SERVICE)]
    tag: String,
    /// Major versions of PostgreSQL client programs besides 17, for example "15 16 18"
    #[arg(long, default_value = "")]
    postgres_majors: String,
}

/// Builds or pulls them all, and says how large the service's is.
pub(crate) fn run(options: &Options) -> Result<()> {
    let binary = workspace::build_service(!options.debug)?;
    let engine = Engine::take()?;
    service(&engine, &binary, &options.tag, &options.postgres_majors)?;
    rest(&engine)?;
    let size = |image: &str| -> Result<f64> {
        let bytes =
            shell::output(&mut engine.command(&["image", "inspect", "--format", "{{.Size}}", image]))?;
        Ok(bytes.trim().parse::<f64>()? / 1e6)
    };
    let (all, base) = (size(&options.tag)?, size(super::base::BASE_IMAGE)?);
    println!("{}: {all:.0} MB, {:.0} MB of it on top of its base", options.tag, all - base);
    println!("the engine that has them: {}", engine.host);
    // With the engine of a command that ends, they could not be used.
    engine.keep();
    Ok(())
}

/// The service's own image, around this program.
pub(crate) fn service(engine: &Engine, binary: &Path, tag: &str, majors: &str) -> Result<()> {
    println!("image {tag}");
    let context = tempfile::tempdir()?;
    // Symbols are of no use in there, and a debug build has plenty.
    let mut strip = shell::command("strip");
    strip.arg("-o").arg(context.path().join("nova-recovery")).arg(binary);
    if shell::quiet(&mut strip).is_err() {
        fs::copy(binary, context.path().join("nova-recovery"))?;
    }
    let file = workspace::root().join("docker/Dockerfile");
    let majors = format!("POSTGRES_MAJORS={majors}");
    build(engine, &file, tag, context.path(), &["--target", "prebuilt", "--build-arg", &majors])
}

/// All the others.
pub(crate) fn rest(engine: &Engine) -> Result<()> {
    for (name, file) in OURS {
        ours(engine, name, file)?;
    }
    for (name, file) in OTHERS {
        if engine.has_image(name) {
            continue;
        }
        println!("image {name}");
        if shell::quiet(&mut engine.command(&["pull", "--quiet", name])).is_err() {
            println!("   it cannot be pulled: made of Debian's packages instead");
            ours(engine, name, file)?;
        }
    }
    Ok(())
}

/// The stand-in for Nova's services alone; it needs no packages.
pub(crate) fn sample_service(engine: &Engine) -> Result<()> {
    ours(engine, SAMPLE_SERVICE, "sample-service")
}

fn ours(engine: &Engine, name: &str, file: &str) -> Result<()> {
    println!("image {name}");
    let directory = workspace::root().join("docker/images");
    build(engine, &directory.join(format!("{file}.Dockerfile")), name, &directory, &[])
}

/// What was built before is taken from the engine's cache.
fn build(engine: &Engine, file: &Path, tag: &str, context: &Path, options: &[&str]) -> Result<()> {
    let mut build = engine.command(&["build", "--tag", tag, "--file"]);
    build.arg(file).args(options).arg(context);
    let said = tempfile::NamedTempFile::new()?;
    build.stdin(Stdio::null()).stdout(said.reopen()?).stderr(said.as_file().try_clone()?);
    shell::run(&mut build).with_context(|| {
        let text = fs::read_to_string(said.path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    })
}
