//! What `CommandRunner` promises, as far as a runner without processes can keep it. That the processes themselves end
//! is for the tests of the runner that has some.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use recovery_core::port::{Command, CommandError, CommandRunner, Exit};

/// Commands that behave in known ways.
#[derive(Clone, Debug)]
pub struct CommandCases {
    /// Prints `out` and a newline, says `err` and a newline on standard error, ends with status 0.
    pub succeeds: Command,
    /// Says `failed: it broke` and a newline on standard error, ends with status 3.
    pub fails: Command,
    /// Ends by signal 9.
    pub killed: Command,
    /// Prints exactly 1000 bytes.
    pub prints: Command,
    /// Does not end by itself.
    pub endless: Command,
    /// Is not installed.
    pub missing: Command,
}

impl CommandCases {
    /// The cases as scripts of the machine's own shell.
    #[must_use]
    pub fn shell() -> Self {
        let sh = |script: &str| {
            Command::new("/bin/sh").arg("-c").arg(script).env("PATH", "/usr/bin:/bin").timeout(super::SOON)
        };
        Self {
            succeeds: sh("echo out; echo err >&2"),
            fails: sh("echo failed: it broke >&2; exit 3"),
            killed: sh("kill -9 $$"),
            prints: sh("head -c 1000 /dev/zero"),
            endless: sh("exec sleep 1000"),
            missing: Command::new("/no/such/directory/no-such-program"),
        }
    }
}

/// What `CommandRunner` promises.
pub async fn command_runner(runner: &dyn CommandRunner, cases: CommandCases) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (writer, command) = (Arc::clone(&heard), cases.succeeds.clone());
    let command = command.on_stderr_line(move |line| crate::lock(&writer).push(line.to_owned()));
    let output = runner.run(command).await.unwrap();
    assert_eq!(*crate::lock(&heard), ["err"], "what it says on standard error is heard, line by line");
    assert_eq!(output.stderr_tail, "err\n", "and kept");

    let output = runner.run(cases.succeeds).await.unwrap();
    assert_eq!(output.exit, Exit::Status(0));
    assert_eq!((output.stdout.as_slice(), output.stderr_tail.as_str()), (b"out\n".as_slice(), "err\n"));

    let output = runner.run(cases.fails).await.expect("that a program fails is no error");
    assert_eq!((output.exit, output.stderr_tail.as_str()), (Exit::Status(3), "failed: it broke\n"));

    let output = runner.run(cases.killed).await.expect("that a program is killed is no error");
    assert_eq!(output.exit, Exit::Signal(9));

    let output = runner.run(cases.prints.clone().stdout_limit(1000)).await.unwrap();
    assert_eq!(output.stdout.len(), 1000, "as much as it may print");
    let error = runner.run(cases.prints.stdout_limit(999)).await.expect_err("more than it may print");
    assert!(matches!(error, CommandError::TooMuchOutput { limit: 999, .. }), "{error:?}");

    let short = Duration::from_millis(50);
    let error = runner.run(cases.endless.timeout(short)).await.expect_err("it does not end by itself");
    match error {
        CommandError::TimedOut { timeout, .. } => assert_eq!(timeout, short),
        other => panic!("expected a timeout, got {other:?}"),
    }

    let name = cases.missing.to_string();
    match runner.run(cases.missing).await.expect_err("it is not installed") {
        CommandError::Start { program, source } => {
            assert_eq!((program, source.kind()), (name, std::io::ErrorKind::NotFound));
        }
        other => panic!("expected a program that cannot be started, got {other:?}"),
    }
}
