use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use recovery_core::database::{ConnectionTarget, ServerAddress};
use secrecy::SecretString;

use super::{
    free_port,
    template::{copy, new_directory, newest_programs, programs_of, template, user_to_run_as},
    wait_until,
    watchdog::Watchdog,
};

/// A PostgreSQL server of one test: superuser `nova` with a password, on 127.0.0.1 and on a socket, without fsync.
pub struct PostgresServer {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
    password: String,
    watchdog: Watchdog,
}

impl PostgresServer {
    /// The superuser.
    pub const USER: &str = "nova";

    /// Starts a server of the newest version that is installed.
    ///
    /// # Panics
    /// Panics where PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&newest_programs(), &[])
    }

    /// Starts a server of a major version: the one that `NOVA_RECOVERY_PG<major>` leads to, or that is installed.
    ///
    /// # Panics
    /// Panics where there is none, or it does not start.
    #[must_use]
    pub fn start_version(major: u32) -> Self {
        Self::start_with(&Self::programs_of(major), &[])
    }

    /// The directory of the programs of a major version.
    ///
    /// # Panics
    /// Panics where they are not to be found.
    #[must_use]
    pub fn programs_of(major: u32) -> PathBuf {
        programs_of(major)
    }

    /// Starts a server with the programs of this directory and with further settings such as `max_connections=5`.
    ///
    /// # Panics
    /// Panics where it does not start.
    #[must_use]
    pub fn start_with(programs: &Path, settings: &[&str]) -> Self {
        let run_as = user_to_run_as();
        let template = template(programs, run_as);
        // Another process may take the port between our look and the server's start.
        for _ in 0..5 {
            let (directory, port) = (new_directory(run_as), free_port());
            copy(&template.cluster, &directory.join("data"));
            let args = arguments(&directory, port, settings);
            let watchdog = Watchdog::new(&directory, run_as, "QUIT", &programs.join("postgres"), &args);
            let mut server = Self {
                programs: programs.to_owned(),
                directory,
                port,
                password: template.password.clone(),
                watchdog,
            };
            if server.try_start() {
                return server;
            }
            let log = server.log();
            assert!(log.contains("Address already in use"), "PostgreSQL does not start:\n{log}");
        }
        panic!("no port of 127.0.0.1 stays free")
    }

    /// How to reach a database of the server over TCP.
    ///
    /// # Panics
    /// Panics where the name is none.
    #[must_use]
    pub fn target(&self, database: &str) -> ConnectionTarget {
        ConnectionTarget {
            address: ServerAddress::Host("127.0.0.1".to_owned()),
            port: self.port,
            user: Self::USER.to_owned(),
            password: Some(SecretString::from(self.password.clone())),
            database: database.parse().expect("the name of a database"),
        }
    }

    /// The URL of a database of the server; the name stands in it as it is, so it must need no percent-encoding.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{}:{}@127.0.0.1:{}/{database}", Self::USER, self.password, self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The directory of its Unix-domain socket.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of `psql`, `pg_dump` and the server itself.
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Runs SQL (any number of statements) in `psql`, stops at the first error, and returns what it printed: a line
    /// per row, columns separated by `|`.
    ///
    /// # Panics
    /// Panics with PostgreSQL's message where a statement fails.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).unwrap_or_else(|error| panic!("psql in {database}: {error}\n{sql}"))
    }

    /// As [`PostgresServer::psql`]; the error is what `psql` said.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = self.client("psql", database);
        command.args([
            "--no-psqlrc",
            "--quiet",
            "--no-align",
            "--tuples-only",
            "--set=ON_ERROR_STOP=1",
            "--file=-",
        ]);
        run(&mut command, sql)
    }

    /// Everything that `pg_dump` says of a database, as SQL, less what differs from one run to the next.
    ///
    /// # Panics
    /// Panics where `pg_dump` fails.
    #[must_use]
    pub fn pg_dump_text(&self, database: &str) -> String {
        self.pg_dump(database, &[])
    }

    /// As [`PostgresServer::pg_dump_text`], with further arguments such as `--create`.
    ///
    /// # Panics
    /// Panics where `pg_dump` fails.
    #[must_use]
    pub fn pg_dump(&self, database: &str, args: &[&str]) -> String {
        let mut command = self.client("pg_dump", database);
        command.args(args);
        let text = run(&mut command, "").unwrap_or_else(|error| panic!("pg_dump of {database}: {error}"));
        let stable = |line: &&str| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ");
        text.lines().filter(stable).map(|line| format!("{line}\n")).collect()
    }

    /// A client program of the server's version, told how to sign in by its environment.
    #[must_use]
    pub fn client(&self, program: &str, database: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", Self::USER)
            .env("PGPASSWORD", &self.password)
            .env("PGDATABASE", database)
            .env("PGCONNECT_TIMEOUT", "10");
        command
    }

    /// Ends the server as a crash would: sessions are cut, no checkpoint is made.
    pub fn stop_immediately(&mut self) {
        self.watchdog.signal("QUIT");
        self.watchdog.wait();
    }

    /// Ends the server as an administrator would: sessions are ended, everything is written.
    pub fn stop(&mut self) {
        self.watchdog.signal("INT");
        self.watchdog.wait();
    }

    /// Kills the server's main process; its children notice and end.
    pub fn kill_hard(&mut self) {
        self.watchdog.signal("KILL");
        self.watchdog.wait();
    }

    /// Starts the server again on the same port, after it was stopped; stops it first where it runs.
    ///
    /// # Panics
    /// Panics where it does not start.
    pub fn restart(&mut self) {
        if self.watchdog.is_alive() {
            self.stop();
        }
        // After a hard kill the last children may still hold the cluster for a moment.
        let started = wait_until(Duration::from_secs(10), || self.try_start());
        assert!(started, "PostgreSQL does not start again:\n{}", self.log());
    }

    /// Stops the main process in its tracks: connections are taken by the kernel, and nobody answers them.
    pub fn freeze(&mut self) {
        self.watchdog.signal("STOP");
    }

    /// Undoes [`PostgresServer::freeze`].
    pub fn thaw(&mut self) {
        self.watchdog.signal("CONT");
    }

    /// What the server has written to its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Starts the server and waits until it takes connections; false where it ended instead.
    fn try_start(&mut self) -> bool {
        let pid = self.watchdog.start().to_string();
        let state = self.directory.join("data/postmaster.pid");
        let mut ended = false;
        let ready = wait_until(Duration::from_secs(30), || {
            let lines = fs::read_to_string(&state).unwrap_or_default();
            let lines: Vec<&str> = lines.lines().map(str::trim).collect();
            let ready = lines.first() == Some(&pid.as_str()) && lines.get(7) == Some(&"ready");
            ended = !ready && !self.watchdog.is_alive();
            ready || ended
        });
        ready && !ended
    }
}

fn arguments(directory: &Path, port: u16, settings: &[&str]) -> Vec<String> {
    let mut args = vec!["-D".to_owned(), directory.join("data").display().to_string()];
    let ours = [
        format!("port={port}"),
        format!("unix_socket_directories={}", directory.display()),
        "listen_addresses=127.0.0.1".to_owned(),
        "fsync=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "shared_buffers=64MB".to_owned(),
        "max_connections=100".to_owned(),
        "max_prepared_transactions=5".to_owned(),
        "log_min_messages=warning".to_owned(),
    ];
    for setting in ours.iter().map(String::as_str).chain(settings.iter().copied()) {
        args.extend(["-c".to_owned(), setting.to_owned()]);
    }
    args
}

fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut pipe = child.stdin.take().expect("a piped standard input");
    std::thread::scope(|scope| {
        // A program that ends early closes the pipe: its exit status says why.
        scope.spawn(move || drop(pipe.write_all(input.as_bytes())));
        let out = child.wait_with_output().map_err(|error| error.to_string())?;
        if out.status.success() {
            Ok(String::from_utf8(out.stdout).expect("UTF-8 on standard output").trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&out.stderr).into_owned())
        }
    })
}
