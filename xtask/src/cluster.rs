//! A PostgreSQL server of our own: its cluster in a directory of ours, on the loopback address.
//!
//! PostgreSQL refuses to run as root, so as root everything that touches the cluster runs as the user `postgres`.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{packages, shell, workspace};

/// A server that runs. Stopped when dropped.
pub(crate) struct Cluster {
    directory: PathBuf,
    programs: PathBuf,
    /// The port that it listens on.
    pub(crate) port: u16,
    password: String,
    running: bool,
}

impl Cluster {
    /// Starts the cluster in `directory`, which is made if it is not there. `settings` are given on the server's
    /// command line, `name=value`.
    pub(crate) fn start(directory: &Path, wanted_port: u16, settings: &[&str]) -> Result<Self> {
        if !directory.exists() {
            initialise(directory)?;
        }
        // A newer server, installed meanwhile, could not read the cluster.
        let version = fs::read_to_string(directory.join("PG_VERSION"))
            .with_context(|| format!("{} is there and is no PostgreSQL cluster", directory.display()))?;
        let programs = packages::programs_of(version.trim())?;
        let mut password = String::new();
        fs::File::open(directory.join("superuser-password"))
            .and_then(|mut file| file.read_to_string(&mut password))
            .with_context(|| format!("{} is no cluster of ours", directory.display()))?;
        let mut cluster =
            Self { directory: directory.to_owned(), programs, port: 0, password, running: false };
        cluster.stop_left_behind()?;
        cluster.port = workspace::free_port(wanted_port)?;
        // No socket file: its path would be too long for the kernel in a deep directory.
        let mut options =
            format!("-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories=", cluster.port);
        for setting in settings {
            options.push_str(&format!(" -c {setting}"));
        }
        let log = directory.join("server.log");
        cluster
            .pg_ctl(&["start", "-w", "-l", &log.to_string_lossy(), "-o", &options])
            .with_context(|| format!("PostgreSQL did not start; its log is {}", log.display()))?;
        cluster.running = true;
        Ok(cluster)
    }

    /// The connection string of a database of this server, with the password in it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://nova:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Runs SQL in a database.
    pub(crate) fn sql(&self, database: &str, statement: &str) -> Result<String> {
        let mut psql = shell::command(self.program("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement]);
        psql.arg(self.url(database));
        Ok(shell::output(&mut psql)?.trim().to_owned())
    }

    /// The path of one of the server's own programs, such as `pg_dump`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The server's major version.
    pub(crate) fn major(&self) -> Result<u32> {
        let number: u32 = self.sql("postgres", "SHOW server_version_num")?.parse()?;
        Ok(number / 10_000)
    }

    /// Stops the server as a shutdown of the machine would: sessions are ended, everything is written.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if std::mem::take(&mut self.running) {
            self.pg_ctl(&["stop", "-m", "fast", "-w"])?;
        }
        Ok(())
    }

    /// Stops one that an earlier run left behind; `pg_ctl` sees through a stale `postmaster.pid`.
    fn stop_left_behind(&self) -> Result<()> {
        match self.pg_ctl(&["status"]) {
            Ok(()) => self.pg_ctl(&["stop", "-m", "fast", "-w"]),
            Err(_) => Ok(()),
        }
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<()> {
        let mut pg_ctl = shell::command(self.program("pg_ctl"));
        pg_ctl.arg("-D").arg(&self.directory).args(arguments);
        // Its own group: Ctrl-C in the terminal is for this program, which stops the server in order.
        pg_ctl.process_group(0);
        // The server inherits pg_ctl's output, so a pipe would stay open for as long as it runs.
        let said = tempfile::tempfile()?;
        pg_ctl.stdin(std::process::Stdio::null()).stdout(said.try_clone()?).stderr(said.try_clone()?);
        as_postgres(&mut pg_ctl)?;
        shell::run(&mut pg_ctl)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("PostgreSQL in {} was not stopped: {error:#}", self.directory.display());
        }
    }
}

/// Stops the server of a cluster that is about to be removed, where one runs.
pub(crate) fn stop_left_behind(directory: &Path) -> Result<()> {
    let programs = packages::postgres_programs()?;
    Cluster { directory: directory.to_owned(), programs, port: 0, password: String::new(), running: false }
        .stop_left_behind()
}

/// A directory for a cluster: the preferred one where the server's user can get to it (a home directory is often
/// closed to others), else one under `/var/lib/postgresql`.
pub(crate) fn home(preferred: &Path) -> Result<PathBuf> {
    let parent = preferred.parent().context("no parent directory")?;
    fs::create_dir_all(parent)?;
    let mut probe = shell::command("test");
    probe.arg("-x").arg(parent);
    as_postgres(&mut probe)?;
    if shell::quiet(&mut probe).is_ok() {
        return Ok(preferred.to_owned());
    }
    let mut hasher = DefaultHasher::new();
    preferred.hash(&mut hasher);
    Ok(PathBuf::from(format!("/var/lib/postgresql/nova-recovery-{:016x}", hasher.finish())))
}

/// Makes a cluster under another name first: one that was cut off half-way never has the real name.
fn initialise(directory: &Path) -> Result<()> {
    let unfinished = directory.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir_all(&unfinished)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o700))?;
    let mut secret = tempfile::NamedTempFile::new()?;
    let password = random_hex(16)?;
    secret.write_all(password.as_bytes())?;
    if let Some((uid, gid)) = postgres_user()? {
        std::os::unix::fs::chown(&unfinished, Some(uid), Some(gid))?;
        std::os::unix::fs::chown(secret.path(), Some(uid), Some(gid))?;
    }
    let mut initdb = shell::command(packages::postgres_programs()?.join("initdb"));
    initdb.arg("-D").arg(&unfinished).arg("--pwfile").arg(secret.path());
    initdb.args(["-U", "nova", "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C.UTF-8"]);
    as_postgres(&mut initdb)?;
    shell::quiet(&mut initdb)?;
    let kept = unfinished.join("superuser-password");
    fs::write(&kept, &password)?;
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o600))?;
    fs::rename(&unfinished, directory)?;
    Ok(())
}

/// Random bytes in hexadecimal.
pub(crate) fn random_hex(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Makes a command run as the server's user where we are root.
fn as_postgres(command: &mut Command) -> Result<()> {
    command.current_dir("/");
    if let Some((uid, gid)) = postgres_user()? {
        command.uid(uid).gid(gid);
    }
    Ok(())
}

/// The user and group `postgres`, where we are root and have to become them.
fn postgres_user() -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let fields: Vec<&str> = users
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .context("there is no user postgres; install the package postgresql")?
        .split(':')
        .collect();
    match fields.as_slice() {
        [_, _, uid, gid, ..] => Ok(Some((uid.parse()?, gid.parse()?))),
        _ => bail!("/etc/passwd has a line that makes no sense"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_starts_answers_and_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let home = directory.path().join("it's a cluster");
        let mut first = Cluster::start(&home, 0, &["fsync=off"]).unwrap();
        first.sql("postgres", "CREATE DATABASE kept").unwrap();
        assert_eq!(first.sql("kept", "SHOW fsync").unwrap(), "off");
        let (port, url) = (first.port, first.url("kept"));
        first.stop().unwrap();
        assert!(workspace::port_is_free(port));

        // As after `kill -9` of this program: the server runs on, and the next one takes its cluster over.
        let mut second = Cluster::start(&home, port, &["fsync=off"]).unwrap();
        assert_eq!(second.url("kept"), url);
        second.running = false;
        drop(second);
        let third = Cluster::start(&home, port, &["fsync=off"]).unwrap();
        assert_eq!(third.sql("kept", "SELECT 1").unwrap(), "1");
    }

    #[test]
    fn what_is_no_cluster_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("precious"), "").unwrap();
        let error = Cluster::start(directory.path(), 0, &[]).err().unwrap().to_string();
        assert!(error.contains("no PostgreSQL cluster"), "{error}");
        assert!(directory.path().join("precious").exists());
    }

    #[test]
    fn a_cluster_goes_where_its_user_may_go() {
        let directory = tempfile::tempdir().unwrap();
        let preferred = directory.path().join("postgres");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(home(&preferred).unwrap(), preferred);
        if rustix::process::geteuid().is_root() {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
            assert!(home(&preferred).unwrap().starts_with("/var/lib/postgresql"));
        }
    }
}
