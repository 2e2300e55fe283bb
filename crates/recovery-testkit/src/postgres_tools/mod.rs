//! `pg_dump` and `pg_restore` of a fake server.

mod arguments;
mod dump;

use std::{path::PathBuf, str::FromStr};

use async_trait::async_trait;
use recovery_core::{
    database::{DatabaseName, PostgresVersion, ServerAddress},
    port::{Command, CommandOutput, EnvValue, Exit},
};
use secrecy::ExposeSecret as _;

use self::{
    arguments::{Arguments, Flag},
    dump::{Compression, Dump},
};
use crate::{FakeDatabase, FakeProgram, FakeRunner, Faults, exits};

/// Where the fake programs can fail or be held up. The fault is what the program leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolPoint {
    /// `pg_dump`, before it writes anything.
    Dump,
    /// `pg_dump`, when half of its files are written.
    DumpHalfway,
    /// `pg_restore` into a database, before it loads anything.
    Load,
    /// `pg_restore` into a database, when everything is loaded.
    Loaded,
}

/// The client programs of one version, which dump from and load into a [`FakeDatabase`].
///
/// They understand the real programs' options, long and short, as far as a backup needs them, and write dumps in the
/// directory format: a `toc.dat`, and a file for each table that decodes to one line for each row. Stricter than the
/// real ones: they insist on the directory format, on `--no-password`, on an open snapshot to dump from, on
/// `--exit-on-error` to load with, and on an environment that names host, port, user, password and application.
#[derive(Clone, Debug)]
pub struct FakePostgresTools {
    database: FakeDatabase,
    version: PostgresVersion,
    faults: Faults<ToolPoint, CommandOutput>,
}

impl FakePostgresTools {
    /// The programs of this version, which reach this server.
    #[must_use]
    pub fn new(database: &FakeDatabase, version: PostgresVersion) -> Self {
        Self { database: database.clone(), version, faults: Faults::default() }
    }

    /// What is to fail.
    #[must_use]
    pub fn faults(&self) -> &Faults<ToolPoint, CommandOutput> {
        &self.faults
    }

    /// Installs `pg_dump` and `pg_restore` in a directory of the runner's machine.
    pub fn install(&self, runner: &FakeRunner, directory: impl Into<PathBuf>) {
        let directory = directory.into();
        runner.install(directory.join("pg_dump"), Program { tool: Tool::Dump, tools: self.clone() });
        runner.install(directory.join("pg_restore"), Program { tool: Tool::Restore, tools: self.clone() });
    }
}

#[derive(Clone, Copy, Debug)]
enum Tool {
    Dump,
    Restore,
}

struct Program {
    tool: Tool,
    tools: FakePostgresTools,
}

/// Why a program gives up: what it leaves behind.
type GivesUp = CommandOutput;

#[async_trait]
impl FakeProgram for Program {
    async fn run(&self, command: &Command) -> CommandOutput {
        let done = match self.tool {
            Tool::Dump => self.pg_dump(command).await,
            Tool::Restore => self.pg_restore(command).await,
        };
        done.unwrap_or_else(|gives_up| gives_up)
    }
}

impl Program {
    fn name(&self) -> &'static str {
        match self.tool {
            Tool::Dump => "pg_dump",
            Tool::Restore => "pg_restore",
        }
    }

    fn error(&self, words: impl AsRef<str>) -> GivesUp {
        exits(1, format!("{}: error: {}\n", self.name(), words.as_ref()))
    }

    fn says(text: String) -> CommandOutput {
        CommandOutput { exit: Exit::Status(0), stdout: text.into_bytes(), stderr_tail: String::new() }
    }

    fn version(&self) -> CommandOutput {
        Self::says(format!("{} (PostgreSQL) {}\n", self.name(), self.tools.version))
    }

    fn parse(&self, command: &Command, flags: &[Flag]) -> Result<Arguments, GivesUp> {
        let arguments = Arguments::parse(&command.args, flags).map_err(|words| self.error(words))?;
        if arguments.get("version").is_none()
            && arguments.get("format").is_none_or(|f| !"directory".starts_with(f))
        {
            return Err(self.error("this fake knows the directory format only"));
        }
        Ok(arguments)
    }

    /// A count of jobs, which both programs limit.
    fn jobs(&self, arguments: &Arguments) -> Result<(), GivesUp> {
        match arguments.get("jobs").map(u32::from_str) {
            None | Some(Ok(1..)) => Ok(()),
            Some(_) => Err(self.error("-j/--jobs must be at least 1")),
        }
    }

    /// Signs in with what the environment says, and begins a session under its application name.
    fn sign_in(&self, command: &Command, database: &DatabaseName) -> Result<crate::FakeSession, GivesUp> {
        let value = |name: &str| {
            let (_, value) = command.env.iter().find(|(key, _)| key == name)?;
            Some(match value {
                EnvValue::Plain(text) => (text.to_string_lossy().into_owned(), false),
                EnvValue::Secret(secret) => (secret.expose_secret().to_owned(), true),
            })
        };
        let target = self.tools.database.configured_target().ok_or_else(|| self.error("no server"))?;
        let host = match &target.address {
            ServerAddress::Host(host) => host.clone(),
            ServerAddress::SocketDirectory(path) => path.display().to_string(),
        };
        for (name, expected) in
            [("PGHOST", host), ("PGPORT", target.port.to_string()), ("PGUSER", target.user.clone())]
        {
            if value(name) != Some((expected, false)) {
                return Err(
                    self.error(format!("connection to server failed: {name} is not that of the target"))
                );
            }
        }
        let expected = target.password.as_ref().map(|password| (password.expose_secret().to_owned(), true));
        if value("PGPASSWORD") != expected {
            let words = "connection to server failed: FATAL:  password authentication failed";
            return Err(self.error(words));
        }
        let application = value("PGAPPNAME").map(|(text, _)| text).filter(|text| !text.is_empty());
        let application = application.ok_or_else(|| self.error("this fake insists on PGAPPNAME"))?;
        let source = |error: recovery_core::port::DatabaseError| {
            self.error(format!("connection to server failed: FATAL:  {error}"))
        };
        self.tools.database.connect(database, &application).map_err(source)
    }

    /// Passes a point unless the session is ended before.
    async fn pass(&self, point: ToolPoint, session: &crate::FakeSession) -> Result<(), GivesUp> {
        let cut_off =
            || self.error("query failed: FATAL:  terminating connection due to administrator command");
        tokio::select! {
            biased;
            () = session.ended() => Err(cut_off()),
            passed = self.tools.faults.pass(point) => {
                passed?;
                if session.is_alive() { Ok(()) } else { Err(cut_off()) }
            }
        }
    }

    async fn pg_dump(&self, command: &Command) -> Result<CommandOutput, GivesUp> {
        let arguments = self.parse(command, DUMP_FLAGS)?;
        if arguments.get("version").is_some() {
            return Ok(self.version());
        }
        self.jobs(&arguments)?;
        let compression = Compression::parse(arguments.get("compress"), self.tools.version)
            .map_err(|words| self.error(words))?;
        arguments.insist(&["no-password", "snapshot", "file"]).map_err(|words| self.error(words))?;
        let environment = command.env.iter().find_map(|(name, value)| match value {
            EnvValue::Plain(value) if name == "PGDATABASE" => value.to_str(),
            _ => None,
        });
        let database = match (arguments.operands.as_slice(), arguments.get("dbname").or(environment)) {
            ([], Some(name)) => self.database_name(name, arguments.get("dbname").is_some())?,
            ([name], None) => self.database_name(&name.to_string_lossy(), true)?,
            _ => return Err(self.error("name the database once")),
        };
        let session = self.sign_in(command, &database)?;
        let (server, snapshot) = {
            let state = self.tools.database.locked();
            (state.facts.version, arguments.get("snapshot").and_then(|id| state.snapshots.get(id).cloned()))
        };
        if server.major() > self.tools.version.major() {
            return Err(self.error("aborting because of server version mismatch"));
        }
        let Some(contents) = snapshot else {
            return Err(self.error("query failed: ERROR:  invalid snapshot identifier"));
        };
        self.pass(ToolPoint::Dump, &session).await?;
        let path = PathBuf::from(arguments.os("file").unwrap_or_default());
        let dump = Dump { version: self.tools.version, database, contents };
        let files = dump.files(compression);
        dump::prepare(&path).map_err(|words| self.error(words))?;
        for (index, (name, bytes)) in files.iter().enumerate() {
            if index == files.len() / 2 {
                self.pass(ToolPoint::DumpHalfway, &session).await?;
            }
            std::fs::write(path.join(name), bytes)
                .map_err(|error| self.error(format!("could not write to file: {error}")))?;
        }
        Ok(exits(0, ""))
    }

    async fn pg_restore(&self, command: &Command) -> Result<CommandOutput, GivesUp> {
        let arguments = self.parse(command, RESTORE_FLAGS)?;
        if arguments.get("version").is_some() {
            return Ok(self.version());
        }
        self.jobs(&arguments)?;
        let [directory] = arguments.operands.as_slice() else {
            return Err(self.error("name one directory"));
        };
        let dump = Dump::read_contents(directory.as_ref()).map_err(|words| self.error(words))?;
        if dump.version.major() > self.tools.version.major() {
            return Err(self.error("unsupported version (1.16) in file header"));
        }
        if arguments.get("list").is_some() {
            return Ok(Self::says(dump.list()));
        }
        if arguments.get("dbname").is_none() {
            return self.write_script(&arguments, &dump, directory.as_ref());
        }
        arguments.insist(&["no-password", "exit-on-error", "dbname"]).map_err(|words| self.error(words))?;
        let database = self.database_name(arguments.get("dbname").unwrap_or_default(), true)?;
        let session = self.sign_in(command, &database)?;
        self.pass(ToolPoint::Load, &session).await?;
        let contents = dump.read_rows(directory.as_ref()).map_err(|words| self.error(words))?;
        self.tools.database.locked().load(&database, contents).map_err(|words| self.error(words))?;
        self.pass(ToolPoint::Loaded, &session).await?;
        Ok(exits(0, ""))
    }

    /// Writes one section to a file: of the rows, what a transaction of the fake server loads.
    fn write_script(
        &self,
        arguments: &Arguments,
        dump: &Dump,
        directory: &std::path::Path,
    ) -> Result<CommandOutput, GivesUp> {
        arguments.insist(&["file", "section"]).map_err(|words| self.error(words))?;
        let text = match arguments.get("section") {
            Some("data") => {
                let contents = dump.read_rows(directory).map_err(|words| self.error(words))?;
                serde_json::to_vec(&contents).expect("contents are plain data")
            }
            Some("pre-data" | "post-data") => Vec::new(),
            _ => return Err(self.error("unrecognized section name")),
        };
        let file = PathBuf::from(arguments.os("file").unwrap_or_default());
        std::fs::write(file, text).map_err(|error| self.error(format!("could not write file: {error}")))?;
        Ok(exits(0, ""))
    }

    /// As libpq reads it: what has a `=` is a connection string, of which this fake knows `dbname='…'` alone.
    fn database_name(&self, text: &str, may_be_string: bool) -> Result<DatabaseName, GivesUp> {
        let name = if may_be_string && (text.contains('=') || text.contains("://")) {
            let quoted = text.strip_prefix("dbname='").and_then(|rest| rest.strip_suffix('\''));
            let quoted =
                quoted.ok_or_else(|| self.error("this fake knows connection strings of dbname='…' only"))?;
            arguments::unquote(quoted)
                .ok_or_else(|| self.error("unterminated quoted string in connection info"))?
        } else {
            text.to_owned()
        };
        name.parse().map_err(|_| self.error(format!("database \"{name}\" does not exist")))
    }
}

const DUMP_FLAGS: &[Flag] = &[
    Flag::alone("version", 'V'),
    Flag::with_value("format", 'F'),
    Flag::with_value("file", 'f'),
    Flag::with_value("jobs", 'j'),
    Flag::with_value("compress", 'Z'),
    Flag::with_value("dbname", 'd'),
    Flag::alone("no-password", 'w'),
    Flag::alone("blobs", 'b'),
    Flag::long_with_value("lock-wait-timeout"),
    Flag::long_with_value("snapshot"),
    Flag::long("no-sync"),
];

const RESTORE_FLAGS: &[Flag] = &[
    Flag::alone("version", 'V'),
    Flag::with_value("format", 'F'),
    Flag::with_value("file", 'f'),
    Flag::with_value("jobs", 'j'),
    Flag::with_value("dbname", 'd'),
    Flag::alone("no-password", 'w'),
    Flag::alone("list", 'l'),
    Flag::alone("exit-on-error", 'e'),
    Flag::alone("no-owner", 'O'),
    Flag::with_value("use-list", 'L'),
    Flag::long_with_value("section"),
];
