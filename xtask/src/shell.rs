//! Running programs: the one place in this crate that does.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};

/// The search path that services and tools get when they are not to inherit the developer's environment.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program to run.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    #[expect(clippy::disallowed_methods, reason = "a developer's tool; the product has its own runner")]
    Command::new(program)
}

/// `cargo`, in the workspace.
pub(crate) fn cargo<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let mut cargo = command("cargo");
    cargo.current_dir(crate::workspace::root()).args(arguments);
    cargo
}

/// Runs a program that speaks for itself; fails where it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// Runs a program and takes what it prints; where it fails, the end of its stderr is in the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let Output { stdout, .. } = captured(command)?;
    String::from_utf8(stdout).context("the output is not UTF-8")
}

/// Runs a program without showing what it prints, unless it fails.
pub(crate) fn quiet(command: &mut Command) -> Result<()> {
    captured(command).map(drop)
}

fn captured(command: &mut Command) -> Result<Output> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = stderr.lines().rev().take(15).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!("{shown}: {}\n{}", output.status, tail.join("\n"));
    }
    Ok(output)
}

/// A command as a person would read it: the program's name and its arguments.
fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut shown = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        shown.push(' ');
        shown.push_str(&hide_password(&argument.to_string_lossy()));
    }
    shown
}

/// A database URL without its password.
fn hide_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    match rest.split_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
        Some((user, host)) => format!("{scheme}://{user}@{host}"),
        None => text.to_owned(),
    }
}

/// Whether a program of this name can be found.
pub(crate) fn exists(program: &str) -> bool {
    find(program).is_some()
}

/// The path of a program of this name.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    PATH.split(':').map(|directory| Path::new(directory).join(program)).find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_holds_no_password() {
        let mut psql = command("/usr/bin/psql");
        psql.args(["-c", "SELECT 1", "postgresql://nova:hunter2@127.0.0.1:5432/nova"]);
        assert_eq!(show(&psql), "psql -c SELECT 1 postgresql://nova@127.0.0.1:5432/nova");
    }

    #[test]
    fn a_failure_tells_what_the_program_said() {
        let error = output(command("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("broken") && error.contains("exit status: 3"), "{error}");
    }
}
