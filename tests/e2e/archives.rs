//! Archives and names that are not what they should be, over HTTP.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use reqwest::Method;

use crate::service::{BASE, SECRET, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_archive_is_refused_and_reported() {
    let world = World::new();
    let service = world.serve().await;
    let name = service.backup().await;
    let path = world.backups().join(&name);
    let good = fs::read(&path).unwrap();
    for damage in [
        |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 700),
        |bytes: &mut Vec<u8>| {
            let middle = bytes.len() * 3 / 4;
            bytes[middle] ^= 1;
        },
        |bytes: &mut Vec<u8>| drop(bytes.drain(..512)),
    ] {
        let mut bytes = good.clone();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let answer = service.post(&format!("/backups/{name}/restore")).await;
        answer.assert_problem(422, "backup_damaged");
        assert!(answer.body["hint"].is_string(), "{answer:?}");
        let report = service.post(&format!("/backups/{name}/verify")).await.assert_ok();
        assert_eq!(report["verification"], "failed");
        assert_eq!(report["problems"].as_array().unwrap().len(), 1, "{report}");
    }
    assert_eq!(world.databases(), ["nova"]);
    assert_eq!(world.files(), std::slice::from_ref(&name));
    assert_eq!(world.run(&["verify", &name]).status.code(), Some(5));
    assert_eq!(world.run(&["restore", &name, "--yes"]).status.code(), Some(5));

    fs::write(&path, good).unwrap();
    service.post(&format!("/backups/{name}/restore")).await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_archive_is_refused_with_the_name_that_it_was_made_with() {
    let world = World::new();
    let service = world.serve().await;
    let name = service.backup().await;
    let other = "nova-backup-2031-01-01_00-00-00.tar";
    fs::rename(world.backups().join(&name), world.backups().join(other)).unwrap();
    let answer = service.post(&format!("/backups/{other}/restore")).await;
    answer.assert_problem(422, "backup_damaged");
    assert!(answer.body["detail"].as_str().unwrap().contains(&name), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_no_names_are_refused() {
    let world = World::new();
    let service = world.serve().await;
    let secret = world.directory.path().join("secret.txt");
    fs::write(&secret, "do not show").unwrap();
    let long = "x".repeat(300);
    let long = format!("nova-backup-{long}.tar");
    for name in [
        "..%2f..%2fsecret.txt",
        "..%2F..%2Fsecret.txt",
        "%2e%2e%2fsecret.txt",
        "a/b",
        "a%2fb",
        "nova-backup-2026-01-01_00-00-00.tar%00",
        "%00",
        "%ff%fe",
        "%",
        "nova-backup-2026-01-01_00-00-00.tar%2f..%2f..%2fsecret.txt",
        "%252e%252e%252fsecret.txt",
        "..",
        &long,
    ] {
        for (method, tail) in [
            (Method::GET, ""),
            (Method::GET, "/download"),
            (Method::DELETE, ""),
            (Method::POST, "/restore"),
            (Method::POST, "/verify"),
        ] {
            let (status, text) = raw(&service.url, &method, &format!("{BASE}/backups/{name}{tail}"));
            assert!([400, 404, 405].contains(&status), "{method} {name}{tail}: {text}");
            assert!(text.contains("application/problem+json"), "{method} {name}{tail}: {text}");
            assert!(!text.contains("do not show"), "{method} {name}{tail}: {text}");
        }
    }
}

/// Sends a path as it stands: an HTTP client would tidy it up first.
fn raw(url: &str, method: &Method, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Admin-Secret: {SECRET}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap_or_else(|| panic!("{path}: {text:?}")).parse().unwrap();
    (status, text.to_lowercase())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_the_archive() {
    let world = World::new();
    let service = world.serve().await;
    let name = service.backup().await;
    let response = service.admin(Method::GET, &format!("/backups/{name}/download")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let disposition = response.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(disposition.contains(&name), "{disposition}");
    let file = fs::read(world.backups().join(&name)).unwrap();
    assert!(response.bytes().await.unwrap() == file);
    let manifest = service.get_json(&format!("/backups/{name}")).await.assert_ok();
    assert_eq!(manifest["rows"]["tables"]["public.messages"], 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_the_earlier_service_is_like_every_other() {
    let world = World::new();
    let service = world.serve().await;
    let name = "nova-backup-2025-01-31_23-59-59.tar.gz";
    let sample =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/recovery-backup/tests/samples/python-tarfile.tar.gz");
    fs::create_dir_all(world.backups()).unwrap();
    fs::copy(sample, world.backups().join(name)).unwrap();
    let listed = service.get_json("/backups").await.assert_ok();
    assert_eq!((&listed[0]["filename"], &listed[0]["kind"]), (&name.into(), &"legacy".into()));

    let report = service.post(&format!("/backups/{name}/verify")).await.assert_ok();
    assert_eq!(report["verification"], "verified");
    assert!(report["notes"][0].as_str().unwrap().contains("holds no hashes"), "{report}");
    let restored = service.post(&format!("/backups/{name}/restore")).await.assert_ok();
    assert_eq!((&restored["restored"], &restored["rows"]), (&true.into(), &3.into()));
    assert_eq!(world.count("memories"), 3);
    let id = restored["id"].as_str().unwrap();
    service.post(&format!("/restores/{id}/rollback")).await.assert_ok();
    assert_eq!(world.count("messages"), 5000);

    let shown = world.run(&["verify", name]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("holds no hashes"), "{shown:?}");
    assert!(world.run(&["restore", name, "--yes"]).status.success());
    assert_eq!(world.count("memories"), 3);
    assert!(world.run(&["delete", name, "--yes"]).status.success());
    assert!(!world.files().contains(&name.to_owned()));
}
