//! The console's page and files, as a browser fetches them.

use std::collections::BTreeSet;

use actix_web::http::Method;

use crate::world::{Call, World};

const YEAR: &str = "public, max-age=31536000, immutable";

/// The directory that the page names for all its files.
async fn directory(world: &World) -> String {
    let page = world.send(Call::get("/")).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let (_, rest) = page.text.split_once("src=\"/console/").unwrap();
    let (version, _) = rest.split_once('/').unwrap();
    assert!(version.len() == 32 && version.bytes().all(|byte| byte.is_ascii_hexdigit()), "{version}");
    assert!(!page.text.contains("{{"), "a placeholder is left");
    format!("/console/{version}")
}

#[actix_web::test]
async fn every_file_that_is_named_is_there_and_may_be_kept() {
    let world = World::new();
    let directory = directory(&world).await;
    let page = world.send(Call::get("/")).await.text;
    // What the page names and, from there, what the modules import.
    let mut wanted: Vec<String> = page
        .split(&format!("\"{directory}/"))
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    assert!(wanted.len() >= 4, "{wanted:?}");
    let mut seen = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let file = world.send(Call::get(&format!("{directory}/{name}"))).await;
        assert_eq!((file.status, file.header("cache-control")), (200, Some(YEAR)), "{name}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"), "{name}");
        for word in ["from \"./", "import(\"./"] {
            let imports = file.text.split(word).skip(1).map(|rest| rest.split('"').next().unwrap());
            wanted.extend(imports.map(str::to_owned));
        }
    }
    assert!(seen.contains("verdict.js"), "{seen:?}");
}

#[actix_web::test]
async fn a_file_is_sent_compressed_and_once() {
    let world = World::new();
    let path = format!("{}/main.js", directory(&world).await);
    let plain = world.send(Call::get(&path)).await;
    let packed = world.send(Call::get(&path).header("accept-encoding", "gzip, deflate, br")).await;
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), (None, Some("gzip")));
    assert!(packed.text.len() < plain.text.len());
    let tag = plain.header("etag").unwrap();
    assert_eq!(packed.header("etag"), Some(tag));
    for known in [tag, &format!("\"other\", W/{tag}"), "*"] {
        let again = world.send(Call::get(&path).header("if-none-match", known)).await;
        assert_eq!((again.status, again.text.as_str()), (304, ""), "{known}");
        assert_eq!((again.header("etag"), again.header("cache-control")), (Some(tag), Some(YEAR)));
    }
    let head = world.send(Call::new(Method::HEAD, &path)).await;
    assert_eq!((head.status, head.header("etag")), (200, Some(tag)));
}

#[actix_web::test]
async fn what_another_version_had_is_not_there() {
    let world = World::new();
    let directory = directory(&world).await;
    let other = "/console/00000000000000000000000000000000/main.js";
    for path in
        [other, &format!("{directory}/none.js"), &format!("{directory}/index.html"), "/console/main.js"]
    {
        let answer = world.send(Call::get(path)).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{path}");
        // Nobody may keep that it was not there.
        assert_ne!(answer.header("cache-control"), Some(YEAR), "{path}");
    }
    for path in ["/", &format!("{directory}/main.js")] {
        let answer = world.send(Call::post(path)).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{path}");
    }
}
