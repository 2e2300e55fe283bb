//! What `GpuEngine` promises.

use std::time::Duration;

use recovery_core::port::{EngineError, GpuEngine, GpuRequest, Probe};

/// What holds for an engine that has an image with a shell under this name and no GPU. `left` says how many containers
/// of probes there are; `leave` leaves one, of a crash or of somebody who still looks after it. One is left at the end.
pub async fn gpu_engine(
    engine: &dyn GpuEngine,
    image: &str,
    left: impl AsyncFn() -> usize,
    leave: impl AsyncFn(bool),
) {
    let info: serde_json::Value = serde_json::from_str(&engine.info().await.unwrap()).unwrap();
    assert!(info.is_object(), "{info}");

    let probe = |script: &str| Probe {
        image: image.to_owned(),
        command: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
        gpus: GpuRequest::None,
        timeout: Duration::from_secs(30),
        max_output: 10,
    };
    let ran = engine.probe(probe("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!(
        (ran.exit_code, &*ran.stdout, &*ran.stderr, ran.truncated),
        (3, &b"out\n"[..], &b"err\n"[..], false)
    );
    assert_eq!(left().await, 0, "it is removed when the answer is there");
    let ran = engine.probe(probe("seq 1000")).await.unwrap();
    assert_eq!((&*ran.stdout, ran.truncated), (&b"1\n2\n3\n4\n5\n"[..], true));

    let slow = Probe { timeout: Duration::from_secs(2), ..probe("sleep 1000") };
    let answer = engine.probe(slow).await;
    assert!(matches!(answer, Err(EngineError::TimedOut { .. })), "{answer:?}");
    assert_eq!(left().await, 0, "one that took too long is removed");

    let nothing = Probe { command: vec!["/does/not/exist".to_owned()], ..probe("") };
    assert!(engine.probe(nothing).await.is_err());
    assert_eq!(left().await, 0, "one that cannot start is removed");

    for gpus in [GpuRequest::Runtime, GpuRequest::Cdi] {
        let answer = engine.probe(Probe { gpus, ..probe("true") }).await;
        assert!(answer.is_err(), "there is no GPU: {answer:?}");
        assert_eq!(left().await, 0, "one without its GPU is removed");
    }

    let answer = engine.probe(Probe { image: "nova-test-no-such-image:none".to_owned(), ..probe("") }).await;
    assert!(answer.is_err(), "nothing is pulled: {answer:?}");

    leave(true).await;
    assert_eq!(left().await, 1);
    engine.remove_left_probes().await.unwrap();
    assert_eq!(left().await, 0, "what a crash left is removed");
    leave(true).await;
    engine.probe(probe("true")).await.unwrap();
    assert_eq!(left().await, 0, "a look removes it too");
    leave(false).await;
    engine.remove_left_probes().await.unwrap();
    engine.probe(probe("true")).await.unwrap();
    assert_eq!(left().await, 1, "another service may be looking just now");
}
