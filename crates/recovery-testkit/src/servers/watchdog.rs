use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// Runs as `sh -c SCRIPT watchdog DIRECTORY PROGRAM ARGUMENT…`. The server gets `/dev/null` as its input, as every
/// background command of `sh` does, so it does not hold the pipe.
const SCRIPT: &str = r#"
directory=$1; shift
pid=
while read -r command; do
    case $command in
        start) "$@" >>"$directory/log" 2>&1 & pid=$! ;;
        alive) case $(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null) in
                   ''|Z) wait "$pid" 2>/dev/null; pid= ;;
               esac ;;
        wait)  wait "$pid" 2>/dev/null; pid= ;;
        *)     kill -s "$command" "$pid" 2>/dev/null ;;
    esac
    echo "$pid"
done
[ -z "$pid" ] || { kill -s CONT "$pid"; kill -s "$LAST_SIGNAL" "$pid"; wait "$pid"; } 2>/dev/null
rm -rf "$directory"
"#;

/// The user and group that a server runs as.
pub(super) type UserAndGroup = (u32, u32);

/// A server under its watchdog.
pub(super) struct Watchdog {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Watchdog {
    /// Watches over a program that is not started yet. When this value goes, the program is ended by `last_signal` and
    /// the directory is removed.
    pub(super) fn new(
        directory: &Path,
        run_as: Option<UserAndGroup>,
        last_signal: &str,
        program: &Path,
        args: &[String],
    ) -> Self {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "watchdog"])
            .arg(directory)
            .arg(program)
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("LAST_SIGNAL", last_signal)
            .current_dir("/")
            // Its own process group: what ends the test's group (Ctrl-C, a test runner's time limit) leaves the
            // watchdog alive to clean up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some((user, group)) = run_as {
            command.uid(user).gid(group);
        }
        let mut child = command.spawn().expect("/bin/sh as watchdog of a server");
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("a piped standard output"));
        Self { child, commands, answers }
    }

    /// Starts the server and returns its process id.
    pub(super) fn start(&mut self) -> u32 {
        self.tell("start").parse().expect("the process id of a server")
    }

    /// Whether the server's process is there.
    pub(super) fn is_alive(&mut self) -> bool {
        !self.tell("alive").is_empty()
    }

    /// Sends a signal, by its name without `SIG`.
    pub(super) fn signal(&mut self, name: &str) {
        self.tell(name);
    }

    /// Waits until the server's process has ended.
    pub(super) fn wait(&mut self) {
        self.tell("wait");
    }

    fn tell(&mut self, command: &str) -> String {
        let pipe = self.commands.as_mut().expect("a watchdog's pipe is open until it is dropped");
        writeln!(pipe, "{command}").expect("a watchdog that listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("a watchdog that answers");
        answer.trim().to_owned()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}
