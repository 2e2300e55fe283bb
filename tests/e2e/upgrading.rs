//! From the earlier service's archives to ours and back, as `docs/upgrading.md` says.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::stack::Stack;

/// The name that stands in the document.
const EXAMPLE: &str = "nova-backup-2026-01-31_23-59-59.tar";

/// The commands by which the document makes an archive that the earlier service reads.
fn commands(name: &str) -> String {
    let document = include_str!("../../docs/upgrading.md");
    let (_, rest) = document.split_once("<!-- A test runs this").unwrap();
    let block = rest.split("```").nth(1).unwrap().strip_prefix("sh\n").unwrap();
    assert!(block.contains(EXAMPLE), "{block}");
    block.replace(EXAMPLE, name)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn tar(args: &[&str], archive: &Path, directory: &Path, members: &[&str]) {
    run(Command::new("tar").args(args).arg(archive).arg("-C").arg(directory).args(members));
}

#[tokio::test]
async fn archives_of_the_earlier_service_come_over_and_ours_go_back() {
    let stack = Stack::start("BACKUP_INCLUDE=sources=${PWD}/docker/sources\n");
    stack.until_healthy("postgres").await;
    let sources = stack.path("docker/sources");
    fs::create_dir(&sources).unwrap();
    fs::write(sources.join("page.txt"), "read in 2025").unwrap();
    stack.psql("CREATE TABLE notes (id int PRIMARY KEY, body text)");
    stack.psql("INSERT INTO notes SELECT i, E'\\\\restrict ' || i FROM generate_series(1, 500) i");

    // What the earlier service has left.
    let dump = ["pg_dump", "--no-owner", "--no-acl", "-U", "nova", "nova"];
    let postgres = stack.project.container("postgres");
    let sql = stack.engine.docker(&[&["exec", postgres.as_str()], &dump[..]].concat());
    stack.project.write("docker/database.sql", &sql);
    let old = "nova-backup-2025-12-31_00-00-00.tar.gz";
    tar(&["-czf"], &stack.path("backups").join(old), &stack.path("docker"), &["database.sql", "sources"]);

    // It is listed, proven and restored.
    let listed: Value = serde_json::from_str(&stack.recovery(&["backups", "--json"])).unwrap();
    assert_eq!((&listed[0]["filename"], &listed[0]["kind"]), (&old.into(), &"legacy".into()), "{listed}");
    stack.recovery(&["verify", "--restore", old]);
    stack.psql("DELETE FROM notes");
    fs::write(sources.join("page.txt"), "lost").unwrap();
    stack.recovery(&["restore", old, "--yes"]);
    assert_eq!(stack.psql("SELECT count(*) FROM notes"), "500");
    assert_eq!(fs::read_to_string(sources.join("page.txt")).unwrap(), "read in 2025");

    // A backup of ours becomes an archive for the earlier service.
    stack.psql("INSERT INTO notes VALUES (501, 'written since')");
    let made: Value = serde_json::from_str(&stack.recovery(&["backup", "--json"])).unwrap();
    let name = made["filename"].as_str().unwrap();
    let docker = std::env::var("NOVA_RECOVERY_DOCKER").unwrap();
    let path = format!("{}:/usr/bin:/bin", Path::new(&docker).parent().unwrap().display());
    let mut shell = Command::new("sh");
    shell.args(["-euc", &commands(name)]).current_dir(stack.path("docker"));
    run(shell.env_clear().env("PATH", path).env("DOCKER_HOST", stack.engine.host()));

    // The earlier service unpacks it and runs psql over what is there.
    let back = tempfile::tempdir().unwrap();
    let converted = name.replace(".tar", ".tar.gz");
    tar(&["-xzf"], &stack.path("backups").join(&converted), back.path(), &[]);
    let sql = fs::read_to_string(back.path().join("database.sql")).unwrap();
    assert!(!sql.lines().any(|line| line.starts_with("\\restrict") || line.contains("transaction_timeout")));
    assert!(!sql.lines().any(|line| line.starts_with("\\unrestrict")));
    assert_eq!(fs::read_to_string(back.path().join("sources/page.txt")).unwrap(), "read in 2025");
    stack.psql("DELETE FROM notes WHERE id > 10");
    stack.engine.docker(&[
        "cp",
        &back.path().join("database.sql").to_string_lossy(),
        &format!("{postgres}:/tmp/"),
    ]);
    let psql = ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-U", "nova", "-f", "/tmp/database.sql"];
    stack.engine.docker(&[&["exec", postgres.as_str()], &psql[..]].concat());
    assert_eq!(stack.psql("SELECT count(*), max(body) FROM notes"), "501|written since");

    // And this one knows it again, should nobody go back after all.
    stack.recovery(&["verify", "--restore", &converted]);
    assert!(fs::read_dir(stack.path("backups")).unwrap().all(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        !name.starts_with(".back-")
    }));
}
