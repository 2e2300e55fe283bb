//! Archives over real connections, which end when they like, and drills from the command line.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use reqwest::Method;
use serde_json::Value;

use crate::service::{BASE, SECRET, Service, World, next_second, until};

/// The newest operation.
async fn newest(service: &Service) -> Value {
    service.get_json("/operations").await.assert_ok()[0].clone()
}

/// Begins to upload and says that so many bytes will follow.
fn begin_upload(service: &Service, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(service.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST {BASE}/backups/upload HTTP/1.1\r\nHost: localhost\r\nX-Admin-Secret: {SECRET}\r\n\
         Content-Type: application/x-tar\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_connection_breaks_leaves_nothing() {
    let world = World::new();
    let service = world.serve().await;
    let name = service.backup().await;
    let archive = fs::read(world.backups().join(&name)).unwrap();
    fs::remove_file(world.backups().join(&name)).unwrap();
    let (half, rest) = archive.split_at(archive.len() / 2);

    let mut stream = begin_upload(&service, archive.len());
    stream.write_all(half).unwrap();
    until("half of it to arrive", async || newest(&service).await["progress"]["done"] == half.len()).await;
    let busy = service.send(service.admin(Method::POST, "/backups/upload").body(archive.clone())).await;
    busy.assert_problem(409, "busy");
    // A backup is not in its way, nor it in that of the backup, unless it begins in the same second as the first one
    // and so takes its name.
    next_second().await;
    let other = service.backup().await;
    drop(stream);
    until("the upload to end", async || {
        let operations = service.get_json("/operations").await.assert_ok();
        operations.as_array().unwrap().iter().all(|operation| operation["state"] != "running")
    })
    .await;
    let operations = service.get_json("/operations").await.assert_ok();
    let upload =
        operations.as_array().unwrap().iter().find(|operation| operation["kind"] == "upload").unwrap();
    assert_eq!(
        (&upload["state"], &upload["error"]["code"]),
        (&"failed".into(), &"invalid_request".into()),
        "{upload}"
    );
    assert_eq!(world.files(), std::slice::from_ref(&other));

    // One that says that it is shorter than it is, is what it says.
    let mut stream = begin_upload(&service, archive.len() - 1024);
    stream.write_all(half).unwrap();
    stream.write_all(&rest[..rest.len() - 1024]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 422 ") && answer.contains("backup_damaged"), "{answer}");
    assert_eq!(world.files(), [other]);

    let whole = service.send(service.admin(Method::POST, "/backups/upload").body(archive)).await.assert_ok();
    assert_eq!((&whole["filename"], &whole["verification"]), (&name.clone().into(), &"verified".into()));
    world.postgres.psql("nova", "DELETE FROM messages");
    service.post(&format!("/backups/{name}/restore")).await.assert_ok();
    assert_eq!(world.count("messages"), 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_uploads_directly_and_through_the_service() {
    let world = World::new();
    let name = world.run_json(&["backup"])["filename"].as_str().unwrap().to_owned();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join(&name);
    fs::rename(world.backups().join(&name), &file).unwrap();
    let renamed = elsewhere.path().join("some-name.tar");
    fs::copy(&file, &renamed).unwrap();
    let service = world.serve().await;
    for (file, way) in [(&file, &[][..]), (&renamed, &["--url", &service.url][..])] {
        let args = [&["upload", file.to_str().unwrap()][..], way].concat();
        assert_eq!(world.run_json(&args)["filename"], name.as_str());
        assert_eq!(world.run(&args).status.code(), Some(1), "it is never overwritten");
        fs::remove_file(world.backups().join(&name)).unwrap();
    }
    fs::write(&renamed, "no archive").unwrap();
    assert_eq!(world.run(&["upload", renamed.to_str().unwrap()]).status.code(), Some(5));
    assert_eq!(world.run(&["upload", "/does/not/exist.tar"]).status.code(), Some(2));
    assert_eq!(world.files(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_from_the_command_line_is_shown_and_a_flipped_byte_turns_it_to_failed() {
    let world = World::new();
    let service = world.serve().await;
    let name = service.backup().await;
    for way in [&[][..], &["--url", &service.url][..]] {
        let args = [&["verify", "--restore", &name][..], way].concat();
        let report = world.run_json(&args);
        assert_eq!((&report["verification"], &report["level"]), (&"verified".into(), &"restore".into()));
    }
    let entry = service.get_json("/backups").await.assert_ok()[0].clone();
    assert_eq!(
        (&entry["verified_level"], &entry["last_drill"]["result"]),
        (&"restore".into(), &"verified".into())
    );
    assert_eq!(world.databases(), ["nova"]);

    let path = world.backups().join(&name);
    let (mut bytes, modified) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_eq!(world.run(&["verify", "--restore", &name]).status.code(), Some(5));
    let entry = service.get_json("/backups").await.assert_ok()[0].clone();
    assert_eq!(
        (&entry["verification"], &entry["last_drill"]["result"]),
        (&"failed".into(), &"failed".into())
    );
    assert_eq!(world.files(), [name]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_headers_of_a_download_come_alone_and_a_part_comes_alone() {
    let world = World::new();
    let service = world.serve().await;
    let name = service.backup().await;
    let file = fs::read(world.backups().join(&name)).unwrap();
    let path = format!("/backups/{name}/download");
    let head = service.admin(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"].to_str().unwrap(), file.len().to_string());
    assert!(head.bytes().await.unwrap().is_empty());
    let part = service.admin(Method::GET, &path).header("Range", "bytes=700-").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert!(part.bytes().await.unwrap() == file[700..]);
}
