//! Images from a registry: pulled with progress, not there, not to be reached.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use recovery_core::{
    Progress, Unit,
    port::{Compose, ComposeError, ImageTrouble},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::compose_fixture::{Fixture, names, start};

const LAYER_SIZE: usize = 3_000_000;

/// A registry with one image, `tool:1`, of one layer. The engine takes one on this machine without TLS.
struct Registry {
    port: u16,
    closed: Arc<AtomicBool>,
    /// While it is set, layers do not come to their end.
    slow: Arc<AtomicBool>,
}

impl Registry {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (closed, slow) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (end, hold, image) = (Arc::clone(&closed), Arc::clone(&slow), Arc::new(Image::new()));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if end.load(Relaxed) {
                    return;
                }
                let (image, hold) = (Arc::clone(&image), Arc::clone(&hold));
                std::thread::spawn(move || image.answer(stream, &hold));
            }
        });
        Self { port, closed, slow }
    }

    fn services(&self) -> String {
        let port = self.port;
        format!(
            "services:\n  tool: {{image: '127.0.0.1:{port}/acme/tool:1', command: [/nothing], profiles: [a]}}\n  \
             newer: {{image: '127.0.0.1:{port}/acme/tool:2', command: [/nothing], profiles: [a]}}\n"
        )
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.closed.store(true, Relaxed);
        self.slow.store(false, Relaxed);
        // The listener sees that it is over when somebody comes.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

struct Image {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

impl Image {
    fn new() -> Self {
        // Random, so that no other layer of the engine is the same.
        let mut bytes = vec![0; LAYER_SIZE];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut bytes).unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, "file", bytes.as_slice()).unwrap();
        let layer = archive.into_inner().unwrap();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] }
        });
        let config = config.to_string().into_bytes();
        let part = |kind: &str, bytes: &[u8]| -> Value {
            json!({ "mediaType": kind, "size": bytes.len(), "digest": digest(bytes) })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": part("application/vnd.docker.container.image.v1+json", &config),
            "layers": [part("application/vnd.docker.image.rootfs.diff.tar", &layer)],
        });
        Self { manifest: manifest.to_string().into_bytes(), config, layer }
    }

    /// Answers the requests of one connection.
    fn answer(&self, mut stream: TcpStream, slow: &AtomicBool) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        while let Some(Ok(request)) = lines.next() {
            let mut words = request.split(' ');
            let (method, path) = (words.next()?.to_owned(), words.next().unwrap_or_default().to_owned());
            while lines.next()?.ok().is_some_and(|header| !header.is_empty()) {}
            let wanted = path.rsplit('/').next().unwrap_or_default();
            let (status, kind, body): (&str, &str, &[u8]) = if path == "/v2/" {
                ("200 OK", "application/json", b"{}")
            } else if path.ends_with("/manifests/1") || wanted == digest(&self.manifest) {
                ("200 OK", MANIFEST, &self.manifest)
            } else if wanted == digest(&self.config) {
                ("200 OK", "application/octet-stream", &self.config)
            } else if wanted == digest(&self.layer) {
                ("200 OK", "application/octet-stream", &self.layer)
            } else {
                (
                    "404 Not Found",
                    "application/json",
                    br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
                )
            };
            let digest = digest(body);
            let length = body.len();
            write!(stream, "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nDocker-Content-Digest: {digest}\r\nDocker-Distribution-Api-Version: registry/2.0\r\n\r\n").ok()?;
            if method != "HEAD" {
                for chunk in body.chunks(LAYER_SIZE / 10) {
                    stream.write_all(chunk).ok()?;
                    if length > LAYER_SIZE {
                        // Long enough for the engine to say how far it is.
                        std::thread::sleep(Duration::from_millis(60));
                        while slow.load(Relaxed) {
                            std::thread::sleep(Duration::from_millis(10));
                        }
                    }
                }
            }
        }
        Some(())
    }
}

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Removes the image again.
struct Pulled<'a>(&'a Fixture, String);

impl Pulled<'_> {
    fn is_there(&self) -> bool {
        self.0.engine.try_docker(&["image", "inspect", &self.1]).is_ok()
    }
}

impl Drop for Pulled<'_> {
    fn drop(&mut self) {
        let _ = self.0.engine.try_docker(&["image", "rm", "--force", &self.1]);
    }
}

#[tokio::test]
async fn an_image_is_pulled_with_progress() {
    let registry = Registry::start();
    let fixture = Fixture::new(&registry.services());
    let image = Pulled(&fixture, format!("127.0.0.1:{}/acme/tool:1", registry.port));
    let seen: Mutex<Vec<Progress>> = Mutex::default();
    let compose = fixture.cli();
    compose.pull(&names(&["tool"]), &|progress| seen.lock().unwrap().push(progress)).await.unwrap();
    assert!(image.is_there());
    let seen = seen.into_inner().unwrap();
    assert!(seen.iter().all(|progress| progress.phase == "pulling"), "{seen:?}");
    let bytes: Vec<&Progress> = seen.iter().filter(|progress| progress.unit == Unit::Bytes).collect();
    let total = bytes.iter().rev().find_map(|progress| progress.total).unwrap();
    assert!((LAYER_SIZE as u64..LAYER_SIZE as u64 + 100_000).contains(&total), "{seen:?}");
    assert!(bytes.iter().any(|progress| progress.done > 0 && progress.done < total), "{seen:?}");
    assert_eq!(bytes.last().unwrap().done, total, "{seen:?}");
    // One that is not there is pulled on the way to a start, too; this one has no program to run.
    fixture.engine.docker(&["image", "rm", &image.1]);
    let error = start(&compose, &["tool"]).await.unwrap_err();
    assert!(
        matches!(&error, ComposeError::Failed { what: Some(what), .. } if !what.contains("Pulling")),
        "{error:?}"
    );
    assert!(image.is_there());
    assert_eq!(fixture.inspect("tool"), None);
}

#[tokio::test]
async fn an_image_that_the_registry_does_not_have_is_told_from_a_registry_that_is_away() {
    let registry = Registry::start();
    let fixture = Fixture::new(&registry.services());
    let compose = fixture.cli();
    let image = format!("127.0.0.1:{}/acme/tool:2", registry.port);
    let trouble = async || match start(&compose, &["newer"]).await.unwrap_err() {
        ComposeError::ImageMissing { image: Some(found), trouble } => {
            assert_eq!(found, image);
            trouble
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(trouble().await, ImageTrouble::NotFound);
    drop(registry);
    assert_eq!(trouble().await, ImageTrouble::RegistryAway);
    assert_eq!(fixture.inspect("newer"), None);
}

#[tokio::test]
async fn a_pull_ends_where_nobody_waits_for_it_any_more() {
    let registry = Registry::start();
    registry.slow.store(true, Relaxed);
    let fixture = Fixture::new(&registry.services());
    let image = Pulled(&fixture, format!("127.0.0.1:{}/acme/tool:1", registry.port));
    let compose = fixture.cli();
    let (begun, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let pulling = async {
        let tool = names(&["tool"]);
        compose
            .start(&tool, &move |progress| {
                let _ = begun.send(progress.done);
            })
            .await
    };
    let begins = async { while heard.recv().await.unwrap() == 0 {} };
    tokio::select! {
        result = pulling => panic!("it ended by itself: {result:?}"),
        () = begins => {}
    }
    registry.slow.store(false, Relaxed);
    assert_eq!(fixture.inspect("tool"), None);
    assert!(!image.is_there());
    // The next one is not in the way of what is left of this one.
    compose.pull(&names(&["tool"]), &|_| {}).await.unwrap();
    assert!(image.is_there());
}
