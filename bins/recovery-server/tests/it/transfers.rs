//! Archives over the wire, in both directions.

use std::fs;

use actix_web::http::Method;

use crate::world::{Answer, Call, World};

/// Makes a backup, and gives its name and its bytes.
async fn archive(world: &World) -> (String, Vec<u8>) {
    let name = world.backup().await;
    let bytes = fs::read(world.directory.path().join("backups").join(&name)).unwrap();
    (name, bytes)
}

fn partials(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.directory.path().join("backups")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".partial")).collect()
}

async fn upload(world: &World, query: &str, bytes: &[u8]) -> Answer {
    let call =
        Call::post(&format!("backups/upload{query}")).admin().header("content-type", "application/x-tar");
    world.send(call.bytes(bytes)).await
}

#[actix_web::test]
async fn what_was_downloaded_can_be_uploaded_again() {
    let world = World::new();
    let (name, bytes) = archive(&world).await;
    let taken = upload(&world, "", &bytes).await;
    assert_eq!((taken.status, taken.code()), (409, "conflict"));
    world.send(Call::delete(&format!("backups/{name}")).admin()).await;

    let uploaded = upload(&world, &format!("?filename={name}"), &bytes).await;
    assert_eq!(
        (uploaded.status, &uploaded.json["filename"]),
        (200, &name.clone().into()),
        "{}",
        uploaded.text
    );
    assert_eq!(uploaded.json["size_bytes"], bytes.len());
    assert_eq!(
        (&uploaded.json["verification"], &uploaded.json["uploaded"]),
        (&"verified".into(), &true.into())
    );
    let operation = world.send(Call::get("operations").admin()).await.json[0].clone();
    assert_eq!((&operation["kind"], &operation["target"]), (&"upload".into(), &name.clone().into()));

    world.send(Call::delete(&format!("backups/{name}")).admin()).await;
    let call = Call::post("backups/upload").admin();
    let call = call.header("content-disposition", &format!("attachment; filename=\"{name}\""));
    let uploaded = world.send(call.header("prefer", "respond-async").bytes(&bytes)).await;
    assert_eq!((uploaded.status, &uploaded.json["filename"]), (202, &name.into()), "{}", uploaded.text);
    assert!(world.ended(&uploaded.json["id"]).await.error.is_none());
}

#[actix_web::test]
async fn what_is_no_backup_is_refused_with_the_reason_and_leaves_nothing() {
    let world = World::new();
    let (name, bytes) = archive(&world).await;
    world.send(Call::delete(&format!("backups/{name}")).admin()).await;
    for (query, bytes, expect) in [
        ("", &b"hello"[..], (422, "backup_damaged")),
        ("", &bytes[..bytes.len() - 512], (422, "backup_damaged")),
        ("?filename=nova-backup-2031-01-01_00-00-00.tar", &bytes, (422, "backup_incompatible")),
        ("?filename=..%2Fevil.tar", &bytes, (400, "invalid_name")),
        ("?filename=nova-backup-2031-01-01_00-00-00.tar&filename=x", &bytes, (400, "invalid_name")),
    ] {
        let answer = upload(&world, query, bytes).await;
        assert_eq!((answer.status, answer.code()), expect, "{query}: {}", answer.text);
        assert!(answer.json["hint"].is_string(), "{}", answer.text);
    }
    for content_type in
        ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/json"]
    {
        let call = Call::post("backups/upload").admin().header("content-type", content_type);
        let answer = world.send(call.bytes(&bytes)).await;
        assert_eq!((answer.status, answer.code()), (415, "unsupported_media_type"), "{content_type}");
    }
    assert_eq!(partials(&world), Vec::<String>::new());
    assert!(world.send(Call::get("backups")).await.json.as_array().unwrap().is_empty());
}

#[actix_web::test]
async fn a_trusted_network_alone_uploads_nothing() {
    let world = World::new();
    let (_, bytes) = archive(&world).await;
    let answer = world
        .send(Call::post("backups/upload").from("10.1.2.3").header("host", "localhost").bytes(&bytes))
        .await;
    assert_eq!((answer.status, answer.code()), (401, "credentials_required"));
}

#[actix_web::test]
async fn a_part_of_an_archive_can_be_asked_for() {
    let world = World::new();
    let (name, bytes) = archive(&world).await;
    let (path, size) = (format!("backups/{name}/download"), bytes.len());
    let get = async |range: &str| world.open(Call::get(&path).admin().header("range", range)).await;
    for (range, first, last) in [
        ("bytes=0-99".to_owned(), 0, 99),
        ("bytes=1000-".to_owned(), 1000, size - 1),
        ("bytes=-7".to_owned(), size - 7, size - 1),
    ] {
        let response = get(&range).await;
        assert_eq!(response.status(), 206, "{range}");
        let shown = response.headers().get("content-range").unwrap().to_str().unwrap().to_owned();
        assert_eq!(shown, format!("bytes {first}-{last}/{size}"));
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        assert!(body == bytes[first..=last], "{range}");
    }
    let beyond = world.send(Call::get(&path).admin().header("range", &format!("bytes={size}-"))).await;
    assert_eq!((beyond.status, beyond.code()), (416, "range_not_satisfiable"));
    assert_eq!(beyond.header("content-range"), Some(format!("bytes */{size}").as_str()));

    let whole = world.open(Call::get(&path).admin()).await;
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.headers().get("accept-ranges").unwrap(), "bytes");
    let etag = whole.headers().get("etag").unwrap().to_str().unwrap().to_owned();
    // A deleted backup can be read to its end, but not taken up again under its name.
    world.send(Call::delete(&format!("backups/{name}")).admin()).await;
    assert!(actix_web::body::to_bytes(whole.into_body()).await.unwrap() == bytes);

    fs::write(world.directory.path().join("backups").join(&name), "another file of that name").unwrap();
    let call = Call::get(&path).admin().header("range", "bytes=5-").header("if-range", &etag);
    let other = world.open(call).await;
    assert_eq!(other.status(), 200);
    assert_eq!(actix_web::body::to_bytes(other.into_body()).await.unwrap(), "another file of that name");
}

#[actix_web::test]
async fn the_headers_of_a_download_can_be_had_alone() {
    let world = World::new();
    let (name, bytes) = archive(&world).await;
    let response = world.open(Call::new(Method::HEAD, &format!("backups/{name}/download")).admin()).await;
    assert_eq!(response.status(), 200);
    let size = actix_web::body::MessageBody::size(response.response().body());
    assert_eq!(size, actix_web::body::BodySize::Sized(bytes.len() as u64));
}
