//! A cluster that `initdb` made once, and that each test's server starts from as a copy.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use std::os::unix::process::CommandExt;

use super::{random_word, watchdog::UserAndGroup};

/// Where the template lies, and the superuser's password in it.
pub(super) struct Template {
    pub(super) cluster: PathBuf,
    pub(super) password: String,
}

/// The newest server programs on this machine.
pub(super) fn newest_programs() -> PathBuf {
    let major = |path: &Path| -> Option<u32> { path.file_name()?.to_str()?.parse().ok() };
    fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.join("bin/postgres").exists())
        .max_by_key(|path| major(path))
        .expect(
            "PostgreSQL's server programs in /usr/lib/postgresql/*/bin (Debian: apt-get install postgresql)",
        )
        .join("bin")
}

/// The server programs of a major version.
pub(super) fn programs_of(major: u32) -> PathBuf {
    let variable = format!("NOVA_RECOVERY_PG{major}");
    let told = std::env::var_os(&variable).map(PathBuf::from);
    let programs = told.unwrap_or_else(|| format!("/usr/lib/postgresql/{major}/bin").into());
    assert!(
        programs.join("postgres").exists(),
        "no PostgreSQL {major} in {}; `cargo xtask test` sets {variable}, and `eval \"$(cargo xtask servers)\"` does",
        programs.display()
    );
    programs
}

/// PostgreSQL refuses to run as root: then it runs as the user `postgres`.
pub(super) fn user_to_run_as() -> Option<UserAndGroup> {
    use std::os::unix::fs::MetadataExt;
    let we_are_root = fs::metadata("/proc/self").expect("/proc").uid() == 0;
    we_are_root.then(|| {
        let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&"postgres") && fields.len() > 3)
            .map(|fields| (fields[2].parse().unwrap(), fields[3].parse().unwrap()))
            .expect("a user `postgres` to run PostgreSQL as, since it does not run as root")
    })
}

/// The template for these programs, made where it does not exist yet. Any number of tests may ask at once.
pub(super) fn template(programs: &Path, run_as: Option<UserAndGroup>) -> Template {
    let version = output(Command::new(programs.join("postgres")).arg("--version"));
    let version: String = version.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/test-postgres-template"))
        .join(version.trim_matches('-'));
    fs::create_dir_all(&directory).expect("a directory for the template cluster in target/");
    let lock = File::create(directory.join("lock")).expect("the template's lock file");
    lock.lock().expect("the template's lock");

    let (cluster, password_file) = (directory.join("cluster"), directory.join("password"));
    if !cluster.exists() {
        make(programs, run_as, &cluster, &password_file);
    }
    let password = fs::read_to_string(password_file).expect("the template's password");
    Template { cluster, password: password.trim().to_owned() }
}

fn make(programs: &Path, run_as: Option<UserAndGroup>, cluster: &Path, password_file: &Path) {
    fs::write(password_file, random_word()).expect("a new password");
    // In a directory that its user can reach, wherever this checkout lies.
    let work = new_directory(run_as);
    let (made, password) = (work.join("data"), work.join("password"));
    fs::copy(password_file, &password).expect("the password for initdb");
    own(&password, run_as);
    let mut initdb = Command::new(programs.join("initdb"));
    initdb
        .args(["--username=nova", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
        .arg(format!("--pwfile={}", password.display()))
        .arg(format!("--pgdata={}", made.display()))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/");
    if let Some((user, group)) = run_as {
        initdb.uid(user).gid(group);
    }
    output(&mut initdb);
    // Complete or not there: another test must never copy half a cluster.
    let half = cluster.with_extension("half");
    let _ = fs::remove_dir_all(&half);
    copy(&made, &half);
    fs::rename(&half, cluster).expect("the template in its place");
    let _ = fs::remove_dir_all(&work);
}

/// A new directory under `/tmp` for one server.
pub(super) fn new_directory(run_as: Option<UserAndGroup>) -> PathBuf {
    let directory = PathBuf::from(format!("/tmp/nova-test-{}", random_word()));
    fs::create_dir(&directory).expect("a directory in /tmp");
    own(&directory, run_as);
    directory
}

/// Copies a tree with owners and modes.
pub(super) fn copy(from: &Path, to: &Path) {
    output(Command::new("cp").args(["--archive", "--reflink=auto"]).arg(from).arg(to));
}

fn own(path: &Path, run_as: Option<UserAndGroup>) {
    if let Some((user, group)) = run_as {
        std::os::unix::fs::chown(path, Some(user), Some(group)).expect("chown to the server's user");
    }
}

/// Runs a program and returns what it printed; panics with its errors where it fails.
pub(super) fn output(command: &mut Command) -> String {
    let out = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(out.status.success(), "{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8 on standard output")
}
