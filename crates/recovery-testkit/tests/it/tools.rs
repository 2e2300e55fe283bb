//! The fake `pg_dump` and `pg_restore`.

use std::{fs, path::Path, time::Duration};

use recovery_core::{
    database::{DatabaseName, PostgresVersion},
    port::{Command, CommandOutput, CommandRunner, DatabaseAdmin},
};
use recovery_testkit::{FakeDatabase, FakePostgresTools, FakeRunner, ToolPoint, exits};

const BIN: &str = "/usr/lib/postgresql/15/bin";

struct Machine {
    database: FakeDatabase,
    tools: FakePostgresTools,
    runner: FakeRunner,
    directory: tempfile::TempDir,
}

/// A machine with the client programs of this version, and a server 15.18 with two tables and a large object.
fn machine(version: u32) -> Machine {
    let database = FakeDatabase::new("nova");
    database.set_rows("public.users", 3);
    database.set_rows("audit.\"Größe\"", 0);
    database.change(&database.name(), |entry| {
        entry.contents.large_objects = 1;
        entry.contents.roles.insert("app".to_owned());
    });
    database.add_role("app");
    let tools = FakePostgresTools::new(&database, PostgresVersion(version));
    let runner = FakeRunner::new();
    tools.install(&runner, BIN);
    Machine { database, tools, runner, directory: tempfile::tempdir().unwrap() }
}

fn tool(name: &str) -> Command {
    Command::new(Path::new(BIN).join(name))
        .env("PGHOST", "postgres")
        .env("PGPORT", "5432")
        .env("PGUSER", "nova")
        .env("PGAPPNAME", "test")
        .secret_env("PGPASSWORD", FakeDatabase::PASSWORD.to_owned().into())
}

impl Machine {
    async fn run(&self, command: Command) -> CommandOutput {
        self.runner.run(command).await.unwrap()
    }

    fn dump_command(&self, snapshot: &str, compress: &str) -> Command {
        tool("pg_dump")
            .env("PGDATABASE", "nova")
            .arg("--format=directory")
            .arg("--jobs=2")
            .arg(format!("--compress={compress}"))
            .arg(format!("--snapshot={snapshot}"))
            .arg("--lock-wait-timeout=60s")
            .arg("--no-password")
            .arg("--no-sync")
            .arg(format!("--file={}", self.dump().display()))
    }

    fn dump(&self) -> std::path::PathBuf {
        self.directory.path().join("dump")
    }

    async fn dump_with(&self, compress: &str) -> CommandOutput {
        let snapshot = self.database.snapshot().await.unwrap();
        self.run(self.dump_command(snapshot.id(), compress)).await
    }

    async fn restore_into(&self, name: &str) -> CommandOutput {
        let name: DatabaseName = name.parse().unwrap();
        let profile = self.database.profile(&self.database.name()).await.unwrap();
        self.database.create_database(&name, &profile).await.unwrap();
        let command = tool("pg_restore").arg("-Fd").arg("-e").arg("-j2").arg("-w");
        self.run(command.arg(format!("--dbname=dbname='{name}'")).arg(self.dump())).await
    }
}

fn check_fails(output: &CommandOutput, words: &str) {
    assert!(!output.exit.success() && output.stderr_tail.contains(words), "{output:?}");
}

#[tokio::test]
async fn what_was_dumped_is_what_is_loaded() {
    for (version, compress) in [(150_018, "1"), (150_018, "0"), (160_010, "zstd:1"), (170_006, "gzip:6")] {
        let machine = machine(version);
        let output = machine.dump_with(compress).await;
        assert!(output.exit.success(), "{output:?}");
        machine.database.set_rows("public.users", 99);
        let output = machine.restore_into("loaded").await;
        assert!(output.exit.success(), "{output:?}");
        let loaded = machine.database.entry(&"loaded".parse().unwrap()).unwrap().contents;
        assert_eq!(loaded.tables, [("audit.\"Größe\"".to_owned(), 0), ("public.users".to_owned(), 3)].into());
        assert_eq!(loaded.large_objects, 1);
        assert_eq!(machine.database.sessions(&"loaded".parse().unwrap()), 0);
    }
}

#[tokio::test]
async fn the_files_look_like_a_dump() {
    let machine = machine(150_018);
    machine.dump_with("1").await;
    let mut names: Vec<String> = fs::read_dir(machine.dump())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["3001.dat.gz", "3002.dat.gz", "blob_16001.dat.gz", "blobs.toc", "toc.dat"]);
    let list =
        machine.run(tool("pg_restore").arg("--format=directory").arg("--list").arg(machine.dump())).await;
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains("TABLE DATA public users"), "{list}");
}

#[tokio::test]
async fn versions_are_told_and_enforced() {
    let old = machine(140_012);
    let output = old.run(tool("pg_dump").arg("--version")).await;
    assert_eq!(output.stdout, b"pg_dump (PostgreSQL) 14.12\n");
    check_fails(&old.dump_with("1").await, "server version mismatch");

    let new = machine(170_006);
    assert!(new.dump_with("1").await.exit.success());
    FakePostgresTools::new(&new.database, PostgresVersion(150_018)).install(&new.runner, BIN);
    check_fails(&new.restore_into("loaded").await, "unsupported version");
}

#[tokio::test]
async fn arguments_that_they_do_not_know_or_miss_are_refused() {
    let machine = machine(150_018);
    let snapshot = machine.database.snapshot().await.unwrap();
    let dump = |id: &str| machine.dump_command(id, "1");
    check_fails(&machine.run(dump(snapshot.id()).arg("--clean")).await, "unrecognized option '--clean'");
    check_fails(&machine.run(dump("00000001-00000001-1")).await, "invalid snapshot identifier");
    check_fails(&machine.run(machine.dump_command(snapshot.id(), "zstd:1")).await, "invalid value");
    check_fails(&machine.run(dump(snapshot.id()).arg("nova")).await, "name the database once");
    let mut nobody = dump(snapshot.id());
    nobody.env.retain(|(name, _)| name != "PGPASSWORD");
    check_fails(&machine.run(nobody).await, "password authentication failed");
    check_fails(&machine.run(tool("pg_dump").arg("-Fc")).await, "directory format");
    assert!(!machine.dump().exists(), "nothing was written");

    assert!(machine.run(dump(snapshot.id())).await.exit.success());
    check_fails(&machine.run(dump(snapshot.id())).await, "File exists");
    let load = tool("pg_restore").arg("-Fd").arg("-w").arg("-d").arg("nova").arg(machine.dump());
    check_fails(&machine.run(load.clone()).await, "--exit-on-error");
    check_fails(&machine.run(load.arg("-e")).await, "already exists");
}

#[tokio::test]
async fn damage_is_noticed() {
    let machine = machine(150_018);
    assert!(machine.dump_with("1").await.exit.success());
    let data = machine.dump().join("3002.dat.gz");
    let mut bytes = fs::read(&data).unwrap();
    bytes.truncate(bytes.len() - 4);
    fs::write(&data, bytes).unwrap();
    check_fails(&machine.restore_into("cut").await, "could not read input file");
    fs::remove_file(&data).unwrap();
    check_fails(&machine.restore_into("lost").await, "could not read input file");
    fs::write(machine.dump().join("toc.dat"), "PGDUMP").unwrap();
    check_fails(&machine.restore_into("strange").await, "magic string");
    fs::remove_file(machine.dump().join("toc.dat")).unwrap();
    check_fails(&machine.restore_into("none").await, "valid archive");
}

#[tokio::test]
async fn what_the_server_lacks_stops_a_load() {
    let machine = machine(150_018);
    machine.database.change(&machine.database.name(), |entry| {
        entry.contents.extensions.insert("vector".to_owned(), "0.8.0".to_owned());
        entry.contents.roles.insert("gone".to_owned());
    });
    assert!(machine.dump_with("1").await.exit.success());
    check_fails(&machine.restore_into("one").await, "role \"gone\" does not exist");
    machine.database.add_role("gone");
    check_fails(&machine.restore_into("two").await, "extension \"vector\" is not available");
    machine.database.offer_extension("vector", "0.8.1");
    assert!(machine.restore_into("three").await.exit.success());
}

#[tokio::test]
async fn they_fail_where_they_are_told_to() {
    let machine = machine(150_018);
    machine.tools.faults().fail_next(ToolPoint::DumpHalfway, || exits(1, "pg_dump: error: disk full\n"));
    check_fails(&machine.dump_with("1").await, "disk full");
    assert!(machine.dump().join("3001.dat.gz").exists() && !machine.dump().join("toc.dat").exists());
    machine.tools.faults().assert_spent();
}

#[tokio::test]
async fn their_sessions_can_be_ended() {
    let machine = machine(150_018);
    let snapshot = machine.database.snapshot().await.unwrap();
    let mut hold = machine.tools.faults().hold_next(ToolPoint::Dump);
    let command = machine.dump_command(snapshot.id(), "1").timeout(Duration::from_secs(60));
    let runner = machine.runner.clone();
    let dump = tokio::spawn(async move { runner.run(command).await.unwrap() });
    hold.reached().await;
    assert_eq!(machine.database.terminate_application("test").await.unwrap(), 1);
    check_fails(&dump.await.unwrap(), "terminating connection due to administrator command");
}
