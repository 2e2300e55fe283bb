//! PostgreSQL's own programs: which of them fits the server, how they are called, and what they say when they fail.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use recovery_core::{
    database::{ConnectionTarget, DatabaseName, PostgresVersion, ServerAddress},
    port::{Command, CommandOutput, CommandRunner, DatabaseError},
};

use crate::{BackupError, BackupSettings, Compression, complaint};

/// A dump or load may take long; it is watched for progress instead, and this only bounds what nobody watches.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// The major version from which on there is `transaction_timeout`: its programs set it, and servers before it refuse.
const TRANSACTION_TIMEOUT: u32 = 17;
/// How long `pg_dump` waits for a table that somebody is altering.
const LOCK_WAIT: &str = "60s";

/// The client programs of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tools {
    directory: PathBuf,
    /// Their version.
    pub version: PostgresVersion,
}

impl Tools {
    /// The programs of the server's own major version or, failing that, the oldest newer ones: those make archives that
    /// the server's own `pg_restore` does not read. Older ones cannot dump a newer server.
    pub(crate) async fn for_server(
        settings: &BackupSettings,
        runner: &dyn CommandRunner,
        server: PostgresVersion,
    ) -> Result<Self, BackupError> {
        let found = Self::installed(settings, runner, "pg_dump").await;
        Self::oldest_from(&found, server).ok_or_else(|| BackupError::ToolUnavailable {
            tool: "pg_dump",
            needed: server.major().to_string(),
            found: describe(&found),
        })
    }

    /// The programs to load an archive with: of the server's own major version where they can read it, else the oldest
    /// newer ones.
    pub(crate) async fn for_loading(
        settings: &BackupSettings,
        runner: &dyn CommandRunner,
        server: PostgresVersion,
        archive: PostgresVersion,
    ) -> Result<Self, BackupError> {
        let found = Self::installed(settings, runner, "pg_restore").await;
        match Self::oldest_from(&found, server.max(archive)) {
            Some(tools) => Ok(tools),
            // These cannot read it, and whoever asked has better words for that.
            None => Self::for_server(settings, runner, server).await,
        }
    }

    fn oldest_from(found: &[Self], version: PostgresVersion) -> Option<Self> {
        let able = found.iter().filter(|tools| tools.version.major() >= version.major());
        able.min_by_key(|tools| tools.version.major()).cloned()
    }

    /// Whether `pg_restore` would begin by setting what a server of this version does not know, and give up.
    pub(crate) fn cannot_load_into(&self, server: PostgresVersion) -> bool {
        self.version.major() >= TRANSACTION_TIMEOUT && server.major() < TRANSACTION_TIMEOUT
    }

    /// Programs that can read an archive made by this version: of its major version or, failing that, a newer one.
    pub(crate) async fn able_to_read(
        settings: &BackupSettings,
        runner: &dyn CommandRunner,
        archive: PostgresVersion,
    ) -> Result<Self, BackupError> {
        let mut found = Self::installed(settings, runner, "pg_restore").await;
        found.sort_by_key(|tools| tools.version);
        found.iter().find(|tools| tools.version.major() >= archive.major()).cloned().ok_or_else(|| {
            BackupError::ToolUnavailable {
                tool: "pg_restore",
                needed: format!("{} or newer", archive.major()),
                found: describe(&found),
            }
        })
    }

    async fn installed(settings: &BackupSettings, runner: &dyn CommandRunner, tool: &str) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for directory in &settings.tool_directories {
            let command = base(&directory.join(tool)).arg("--version").timeout(Duration::from_secs(10));
            if let Ok(output) = runner.run(command).await
                && output.exit.success()
                && let Some(version) = parse_version(&String::from_utf8_lossy(&output.stdout))
            {
                found.push(Self { directory: directory.clone(), version });
            }
        }
        found
    }

    /// Dumps the target's database into a directory, as a snapshot shows it.
    pub(crate) fn dump(&self, request: &DumpRequest<'_>) -> Command {
        // The data is on disk once it is packed; syncing each dump file as well would do the work twice.
        connection(base(&self.directory.join("pg_dump")), request.target, request.application_name)
            .env("PGDATABASE", request.target.database.as_str())
            .arg("--format=directory")
            .arg(format!("--jobs={}", request.jobs))
            .arg(compression_argument(request.compression, self.version))
            .arg(format!("--lock-wait-timeout={LOCK_WAIT}"))
            .arg(format!("--snapshot={}", request.snapshot))
            .arg("--no-password")
            .arg("--no-sync")
            .arg(argument("--file=", request.directory))
            .timeout(LONGEST)
    }

    /// Loads a dump into a database, stopping at the first error.
    pub(crate) fn load(&self, request: &LoadRequest<'_>) -> Command {
        let mut options = vec![
            // Nothing is lost if the server dies: the database is only used once the swap, which is synchronous and
            // comes later in the same log, has been written.
            "synchronous_commit=off".to_owned(),
            format!("maintenance_work_mem={}MB", (512 / request.jobs.max(1)).clamp(64, 256)),
            // Compiling a query costs more than the checks of foreign keys gain by it.
            "jit=off".to_owned(),
            "statement_timeout=0".to_owned(),
            "lock_timeout=0".to_owned(),
            "idle_in_transaction_session_timeout=0".to_owned(),
            "default_transaction_read_only=off".to_owned(),
        ];
        if self.version.major() >= 14 {
            // A worker waits while another builds a long index.
            options.push("idle_session_timeout=0".to_owned());
        }
        let options: Vec<String> = options.iter().map(|option| format!("-c {option}")).collect();
        connection(base(&self.directory.join("pg_restore")), request.target, request.application_name)
            .env("PGOPTIONS", options.join(" "))
            .arg("--format=directory")
            .arg("--exit-on-error")
            .arg(format!("--jobs={}", request.jobs))
            .arg("--no-password")
            .arg(format!("--dbname={}", connection_string(request.database)))
            .arg(request.directory)
            .timeout(LONGEST)
    }

    /// Writes one section of a dump as SQL to a file.
    pub(crate) fn script(&self, request: &ScriptRequest<'_>) -> Command {
        let mut command = base(&self.directory.join("pg_restore"))
            .arg("--format=directory")
            .arg(format!("--section={}", request.section))
            .arg(argument("--file=", request.into));
        if let Some(list) = request.entries {
            command = command.arg(argument("--use-list=", list));
        }
        if request.without_owners {
            command = command.arg("--no-owner");
        }
        command.arg(request.directory).timeout(LONGEST)
    }

    /// Lists a dump's table of contents into a file, which reads all of it.
    pub(crate) fn list(&self, directory: &Path, into: &Path) -> Command {
        base(&self.directory.join("pg_restore"))
            .arg("--format=directory")
            .arg("--list")
            .arg(argument("--file=", into))
            .arg(directory)
            .timeout(Duration::from_secs(300))
    }
}

/// What `pg_dump` is to do.
pub(crate) struct DumpRequest<'a> {
    pub target: &'a ConnectionTarget,
    pub application_name: &'a str,
    pub snapshot: &'a str,
    pub directory: &'a Path,
    pub jobs: usize,
    pub compression: Compression,
}

/// What `pg_restore` is to do.
pub(crate) struct LoadRequest<'a> {
    pub target: &'a ConnectionTarget,
    pub application_name: &'a str,
    pub database: &'a DatabaseName,
    pub directory: &'a Path,
    pub jobs: usize,
}

/// What `pg_restore` is to write as SQL.
pub(crate) struct ScriptRequest<'a> {
    pub directory: &'a Path,
    /// `pre-data`, `data` or `post-data`.
    pub section: &'static str,
    /// A table of contents in which what is not wanted is commented out.
    pub entries: Option<&'a Path>,
    pub without_owners: bool,
    pub into: &'a Path,
}

/// What a failed program left, as an error.
pub(crate) fn failure(tool: &'static str, output: &CommandOutput) -> BackupError {
    if let Some(line) = output.stderr_tail.lines().find(|line| tells_of_full_server(line)) {
        let doing = format!("{tool} was at work");
        return DatabaseError::DiskFull { doing, source: line.to_owned().into() }.into();
    }
    BackupError::ToolFailed {
        tool: tool.to_owned(),
        exit: output.exit.to_string(),
        said: complaint::told(tool, &output.stderr_tail),
        circumstances: complaint::blames_circumstances(tool, output),
        stderr_tail: output.stderr_tail.clone(),
    }
}

/// Whether a line is the server's word that its disk is full: the exit status is the same as for every other error, and
/// the programs do not print the SQLSTATE. In a server that speaks another language it is told in another way.
fn tells_of_full_server(line: &str) -> bool {
    line.contains("ERROR:  ") && line.ends_with(": No space left on device")
}

/// The environment of a child is empty but for this: messages in English, and the C library's encoding.
fn base(program: &Path) -> Command {
    Command::new(program).env("LC_ALL", "C.UTF-8").env("PATH", "/usr/local/bin:/usr/bin:/bin")
}

fn connection(command: Command, target: &ConnectionTarget, application_name: &str) -> Command {
    let host = match &target.address {
        ServerAddress::Host(host) => OsString::from(host),
        ServerAddress::SocketDirectory(path) => path.as_os_str().to_owned(),
    };
    let command = command
        .env("PGHOST", host)
        .env("PGPORT", target.port.to_string())
        .env("PGUSER", &target.user)
        .env("PGAPPNAME", application_name)
        .env("PGCONNECT_TIMEOUT", "10");
    match &target.password {
        Some(password) => command.secret_env("PGPASSWORD", password.clone()),
        None => command,
    }
}

/// A database name such as `a=b` or `postgresql://x` would be taken for a connection string; inside one it is a name.
fn connection_string(database: &DatabaseName) -> String {
    format!("dbname='{}'", database.as_str().replace('\\', "\\\\").replace('\'', "\\'"))
}

fn argument(name: &str, value: &Path) -> OsString {
    let mut argument = OsString::from(name);
    argument.push(value);
    argument
}

fn compression_argument(compression: Compression, client: PostgresVersion) -> String {
    let knows_methods = client.major() >= 16;
    match compression {
        Compression::None => "--compress=0".to_owned(),
        Compression::Gzip(level) => format!("--compress={level}"),
        Compression::Zstd(level) if knows_methods => format!("--compress=zstd:{level}"),
        Compression::Auto if knows_methods => "--compress=zstd:1".to_owned(),
        Compression::Zstd(_) | Compression::Auto => "--compress=1".to_owned(),
    }
}

/// `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` → 15.18.
fn parse_version(output: &str) -> Option<PostgresVersion> {
    let text = output.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    let major: u32 = digits(text).parse().ok()?;
    let minor: u32 = text.split_once('.').map_or(Some(0), |(_, rest)| digits(rest).parse().ok())?;
    major.checked_mul(10_000)?.checked_add(minor).map(PostgresVersion)
}

fn describe(found: &[Tools]) -> String {
    if found.is_empty() {
        return "no PostgreSQL client was found".to_owned();
    }
    let versions: Vec<String> = found.iter().map(|tools| tools.version.to_string()).collect();
    format!("found {}", versions.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_kind_are_understood() {
        for (text, version) in [
            ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(150_018)),
            ("pg_restore (PostgreSQL) 17.2\n", Some(170_002)),
            ("pg_dump (PostgreSQL) 18beta1\n", Some(180_000)),
            ("pg_dump (PostgreSQL) 19devel\n", Some(190_000)),
            ("pg_dump (PostgreSQL) 16rc1 (Homebrew)\n", Some(160_000)),
            ("pg_dump (PostgreSQL) 99999999.1\n", None),
            ("pg_dump (PostgreSQL)\n", None),
            ("command not found", None),
            ("", None),
        ] {
            assert_eq!(parse_version(text), version.map(PostgresVersion), "{text}");
        }
    }

    #[test]
    fn the_programs_of_the_server_come_first_then_the_oldest_newer_ones() {
        let found: Vec<Tools> = [170_002, 150_018, 180_001, 160_003]
            .map(|version| Tools { directory: PathBuf::new(), version: PostgresVersion(version) })
            .into();
        let chosen = |found: &[Tools], server| {
            Tools::oldest_from(found, PostgresVersion(server)).map(|tools| tools.version.0)
        };
        for (server, expect) in
            [(150_001, Some(150_018)), (170_009, Some(170_002)), (140_001, Some(150_018)), (190_000, None)]
        {
            assert_eq!(chosen(&found, server), expect);
        }
        assert_eq!(chosen(&found[..1], 150_018), Some(170_002));
        let refused = |client, server| {
            Tools { directory: PathBuf::new(), version: PostgresVersion(client) }
                .cannot_load_into(PostgresVersion(server))
        };
        assert!(refused(170_002, 160_009) && refused(180_001, 150_001));
        assert!(!refused(160_003, 150_018) && !refused(180_001, 170_002));
    }

    #[test]
    fn a_database_name_is_never_a_connection_string() {
        for (name, expected) in [
            ("nova", "dbname='nova'"),
            ("host=evil", "dbname='host=evil'"),
            ("postgresql://evil/", "dbname='postgresql://evil/'"),
            (r"it's \ odd", r"dbname='it\'s \\ odd'"),
        ] {
            assert_eq!(connection_string(&name.parse().unwrap()), expected);
        }
    }

    #[test]
    fn compression_follows_the_client() {
        let argument = |compression: &str, version| {
            compression_argument(compression.parse().unwrap(), PostgresVersion(version))
        };
        assert_eq!(argument("auto", 150_018), "--compress=1");
        assert_eq!(argument("auto", 160_001), "--compress=zstd:1");
        assert_eq!(argument("zstd:3", 170_001), "--compress=zstd:3");
        assert_eq!(argument("none", 150_018), "--compress=0");
        assert_eq!(argument("gzip:6", 170_001), "--compress=6");
    }
}
