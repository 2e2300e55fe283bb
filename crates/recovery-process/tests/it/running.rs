//! Programs that run to their end, or cannot be started.

use std::{error::Error as _, fmt::Write as _, io, time::Duration};

use recovery_core::port::{Command, CommandError, CommandOutput, CommandRunner as _, Exit};
use recovery_process::ProcessRunner;
use recovery_testkit::contract::{self, CommandCases};

fn sh(script: &str) -> Command {
    Command::new("/bin/sh")
        .arg("-c")
        .arg(script)
        .env("PATH", "/usr/bin:/bin")
        .timeout(Duration::from_secs(20))
}

#[tokio::test]
async fn it_keeps_what_the_port_promises() {
    contract::command_runner(&ProcessRunner::new(), CommandCases::shell()).await;
}

async fn check(script: &str, exit: Exit, stdout: &str, stderr: &str) {
    let output = ProcessRunner::new().run(sh(script)).await.unwrap();
    let expect = CommandOutput { exit, stdout: stdout.into(), stderr_tail: stderr.into() };
    assert_eq!(output, expect, "{script}");
}

#[tokio::test]
async fn status_and_output_come_back() {
    check("echo out; echo err >&2", Exit::Status(0), "out\n", "err\n").await;
    check("exit 3", Exit::Status(3), "", "").await;
    check("printf '\\377' >&2", Exit::Status(0), "", "\u{fffd}").await;
}

#[tokio::test]
async fn a_signal_is_no_status() {
    check("kill -9 $$", Exit::Signal(9), "", "").await;
    check("kill -TERM $$", Exit::Signal(15), "", "").await;
}

#[tokio::test]
async fn standard_input_is_empty() {
    check("cat; echo end", Exit::Status(0), "end\n", "").await;
}

#[tokio::test]
async fn the_environment_is_what_the_command_holds() {
    let command = Command::new("/usr/bin/env").env("ONE", "1").secret_env("TWO", "zwei".to_owned().into());
    let output = ProcessRunner::new().run(command).await.unwrap();
    let mut lines: Vec<&str> = std::str::from_utf8(&output.stdout).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["ONE=1", "TWO=zwei"]);
}

#[tokio::test]
async fn a_bare_name_is_looked_for_in_the_command_s_own_path() {
    let directory = tempfile::tempdir().unwrap();
    let here = Command::new("true").env("PATH", "/usr/bin:/bin");
    assert!(ProcessRunner::new().run(here).await.unwrap().exit.success());
    let elsewhere = Command::new("true").env("PATH", directory.path());
    check_start_error(elsewhere, io::ErrorKind::NotFound).await;
}

async fn check_start_error(command: Command, kind: io::ErrorKind) {
    let name = command.to_string();
    match ProcessRunner::new().run(command).await {
        Err(error @ CommandError::Start { .. }) => {
            assert_eq!(error.to_string(), format!("cannot start {name}"));
            let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
            assert_eq!(source.kind(), kind);
        }
        other => panic!("expected a program that cannot be started, got {other:?}"),
    }
}

#[tokio::test]
async fn what_cannot_be_started_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("not-executable");
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    check_start_error(Command::new("/no/such/program"), io::ErrorKind::NotFound).await;
    check_start_error(Command::new(file), io::ErrorKind::PermissionDenied).await;
    check_start_error(Command::new("/bin/sh").arg("nul\0byte"), io::ErrorKind::InvalidInput).await;
}

#[tokio::test]
async fn megabytes_of_standard_error_stay_bounded() {
    let script =
        "head -c 10485760 /dev/zero | tr '\\0' 'x' | fold -w 99 >&2; printf '\\nthe last line\\n' >&2";
    let output = ProcessRunner::new().run(sh(script)).await.unwrap();
    assert!(output.exit.success());
    assert!(output.stderr_tail.len() <= 8 * 1024, "{} bytes", output.stderr_tail.len());
    assert!(output.stderr_tail.len() >= 8 * 1024 - 100, "{} bytes", output.stderr_tail.len());
    assert!(output.stderr_tail.ends_with("x\nthe last line\n"));
    assert_eq!(output.stderr_tail.lines().next().map(str::len), Some(99), "begins with a whole line");
}

#[tokio::test]
async fn output_up_to_the_limit_is_kept_and_more_is_an_error() {
    let printing = |bytes: usize| sh(&format!("head -c {bytes} /dev/zero")).stdout_limit(100_000);
    let output = ProcessRunner::new().run(printing(100_000)).await.unwrap();
    assert_eq!(output.stdout.len(), 100_000);
    let error = ProcessRunner::new().run(printing(100_001)).await.unwrap_err();
    assert!(matches!(error, CommandError::TooMuchOutput { limit: 100_000, .. }), "{error:?}");
}

#[tokio::test]
async fn secrets_are_not_shown() {
    let secret = "correct horse battery staple";
    let command = Command::new("/no/such/program").secret_env("PGPASSWORD", secret.to_owned().into());
    let mut shown = format!("{command:?} {command}");
    let mut error: &dyn std::error::Error = &ProcessRunner::new().run(command).await.unwrap_err();
    loop {
        write!(shown, " {error} {error:?}").unwrap();
        match error.source() {
            Some(source) => error = source,
            None => break,
        }
    }
    assert!(shown.contains("PGPASSWORD") && shown.contains("cannot start"), "{shown}");
    assert!(!shown.contains("horse"), "{shown}");
}
