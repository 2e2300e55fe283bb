//! The command line: exit statuses, questions, and what it refuses.

use std::{io::Write, process::Stdio};

use crate::service::World;

#[tokio::test(flavor = "multi_thread")]
async fn exit_statuses_tell_what_happened() {
    let mut world = World::new();
    let check = |world: &World, args: &[&str], status: i32| {
        let output = world.run(args);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!error.contains("panicked") && !error.contains(world.postgres.password()), "{error}");
        error
    };
    check(&world, &["--help"], 0);
    check(&world, &["no-such-command"], 2);
    check(&world, &["restore"], 2);
    for command in [&["backups"][..], &["status"], &["verify", "nova-backup-2026-01-01_00-00-00.tar"]] {
        let error = check(&world, command, 6);
        assert!(error.contains(world.backups().to_str().unwrap()), "{error}");
    }
    assert!(!world.backups().exists(), "only a backup creates it");
    std::fs::create_dir(world.backups()).unwrap();
    check(&world, &["backups"], 0);
    check(&world, &["verify", "nova-backup-2026-01-01_00-00-00.tar"], 3);
    check(&world, &["verify", "../../etc/passwd"], 2);
    check(&world, &["rollback", "--yes"], 3);
    check(&world, &["backup"], 0);
    let error = check(&world, &["backups", "--url", "https://127.0.0.1:1"], 2);
    assert!(error.contains("https"), "{error}");
    check(&world, &["backups", "--url", "http://127.0.0.1:1"], 6);
    world.postgres.stop_immediately();
    let error = check(&world, &["backup"], 6);
    assert!(error.contains("hint:"), "{error}");
    check(&world, &["backups"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_is_not_begun_without_a_yes() {
    let world = World::new();
    let name = world.run_json(&["backup"])["filename"].as_str().unwrap().to_owned();
    world.postgres.psql("nova", "DELETE FROM messages");
    for typed in ["", "y\n", "NOVA\n"] {
        let mut command = world.binary();
        command.args(["restore", &name]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success(), "{typed:?}: {output:?}");
    }
    assert_eq!(world.count("messages"), 0);
    assert_eq!(world.databases(), ["nova"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_settings_are_refused_together_and_by_name() {
    for (name, value) in [
        ("ADMIN_SECRET", "changeme"),
        ("ADMIN_SECRET", "short"),
        ("ADMIN_SECRET", "nova-admin-secret-change-me"),
        ("PORT", "eighty"),
        ("CORS_ALLOWED_ORIGINS", "*"),
        ("TRUSTED_NETWORK_CIDRS", "everybody"),
    ] {
        let world = World::new().with(name, value);
        let output = world.run(&["serve"]);
        assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(name), "{name}: {error}");
    }
    let world = World::new().with("PORT", "eighty").with("BACKUP_JOBS", "none");
    let error = String::from_utf8(world.run(&["serve"]).stderr).unwrap();
    assert!(error.contains("PORT") && error.contains("BACKUP_JOBS"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_are_shown_without_secrets() {
    let world = World::new();
    for args in [&["config"][..], &["config", "--json"]] {
        let output = world.run(args);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            !text.contains(world.postgres.password()) && !text.contains(crate::service::SECRET),
            "{text}"
        );
        assert!(text.contains("BACKUP_DIR"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_nobody_set_is_made_once_and_kept_to_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new().with("ADMIN_SECRET", "");
    let service = world.serve().await;
    let state = world.backups().join(".state");
    let file = std::fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.ends_with("admin-secret"));
    let file = file.unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!(secret.len() >= 32);
    assert!(!service.log().contains(&secret) && service.log().contains("admin-secret"), "{}", service.log());
    let path = format!("{}/operations", crate::service::BASE);
    let request = service.request(reqwest::Method::GET, &path).header("X-Admin-Secret", &secret);
    assert_eq!(service.send(request).await.status, 200);
    drop(service);
    world.serve().await;
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), secret);
}
