//! The programs under `examples/` of our crates, run for real.
//!
//! Each says in its module documentation how it is called, `cargo run -p CRATE --example NAME -- ARGUMENTS`. Here the
//! arguments get values by what they look like: a `postgresql://…` or `redis://…` becomes the address of a throw-away
//! server, a `unix://…` that of the container engine, a plain word stays, anything else becomes a path in a throw-away
//! directory.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use cargo_metadata::TargetKind;

use super::summary::Counts;
use crate::{
    cluster::{self, Cluster},
    redis::Redis,
    sample, shell, workspace,
};

/// What the arguments are filled in with.
struct Values<'a> {
    postgres: &'a str,
    redis: &'a str,
    engine: &'a str,
    scratch: &'a Path,
}

/// Runs every example; they must have been built. `engine` is the address of the container engine.
pub(super) fn run_all(engine: &str) -> Result<Counts> {
    let scratch = tempfile::tempdir()?;
    let postgres = Cluster::start(&cluster::home(&shared(&scratch)?.join("postgres"))?, 0, &["fsync=off"])?;
    let redis = Redis::start(&scratch.path().join("redis"), 0)?;
    sample::load(&postgres, "nova", sample::Rows::Small.scale())?;
    let (postgres_url, redis_url) = (postgres.url("nova"), redis.url());
    let values = Values { postgres: &postgres_url, redis: &redis_url, engine, scratch: scratch.path() };
    let mut counts = Counts::default();
    for package in workspace::metadata(false)?.workspace_packages() {
        for target in package.targets.iter().filter(|target| target.kind.contains(&TargetKind::Example)) {
            let usage = usage(&fs::read_to_string(&target.src_path)?, &target.name)
                .with_context(|| format!("{} does not say how it is called", target.src_path))?;
            let arguments: Vec<String> = usage.iter().map(|word| argument(word, &values)).collect();
            println!("-- {} {}", package.name, target.name);
            let mut example = shell::command(workspace::built("debug/examples", &target.name)?);
            match shell::run(example.args(&arguments)) {
                Ok(()) => counts.passed += 1,
                Err(error) => {
                    println!("{error:#}");
                    counts.failed += 1;
                }
            }
        }
    }
    Ok(counts)
}

/// A temporary directory that the server's own user may enter.
fn shared(directory: &tempfile::TempDir) -> Result<&Path> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    Ok(directory.path())
}

/// The arguments in the line of the module documentation that says how to call the program.
fn usage(source: &str, name: &str) -> Option<Vec<String>> {
    let call = format!("--example {name}");
    let line = source.lines().filter(|line| line.starts_with("//!")).find(|line| line.contains(&call))?;
    let rest = line.split_once(&call)?.1.split('`').next()?;
    let arguments = rest.split_once("-- ").map_or("", |(_, arguments)| arguments);
    Some(arguments.split_whitespace().map(str::to_owned).collect())
}

fn argument(word: &str, values: &Values<'_>) -> String {
    match word {
        _ if word.starts_with("postgres") => values.postgres.to_owned(),
        _ if word.starts_with("redis") => values.redis.to_owned(),
        _ if word.starts_with("unix:") => values.engine.to_owned(),
        _ if word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') => word.to_owned(),
        _ => {
            let name: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
            values.scratch.join(name).to_string_lossy().into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_of_an_example_says_how_to_call_it() {
        let check = |source: &str, expect: Option<&[&str]>| {
            let expect = expect.map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
            assert_eq!(usage(source, "back_up"), expect, "{source}");
        };
        check("//! Backs up: `cargo run -p a --example back_up`.\n", Some(&[]));
        check(
            "//!     cargo run -p a --example back_up -- postgresql://… ./backups\n",
            Some(&["postgresql://…", "./backups"]),
        );
        check("//! Backs up.\n", None);
        check("// cargo run --example back_up\n", None);
    }

    #[test]
    fn arguments_get_values_that_work() {
        let values = Values { postgres: "P", redis: "R", engine: "E", scratch: Path::new("/tmp/x") };
        let value = |word| argument(word, &values);
        assert_eq!(value("postgresql://nova@localhost/nova"), "P");
        assert_eq!(value("redis://localhost"), "R");
        assert_eq!(value("unix:///var/run/docker.sock"), "E");
        assert_eq!(value("nova"), "nova");
        assert_eq!(value("api_keys"), "api_keys");
        assert_eq!(value("./backups"), "/tmp/x/backups");
    }
}
