//! What `EnvFile` promises.

use recovery_core::port::{EnvFile, EnvFileError};

/// What holds for a file that is there. `write` replaces it behind the port's back, as an editor does.
pub async fn env_file(file: &dyn EnvFile, write: impl Fn(&[u8])) {
    write(b"A=1\n");
    let first = file.read().await.unwrap();
    assert_eq!(first.bytes, b"A=1\n");
    assert_eq!(file.read().await.unwrap().version, first.version, "the version is that of the content");

    let second = file.replace(b"A=2\xff\n", &first.version).await.unwrap();
    let read = file.read().await.unwrap();
    assert_eq!(read.bytes, b"A=2\xff\n", "bytes are bytes");
    assert_eq!(read.version, second, "the version that was returned is that of what is read");
    assert_ne!(first.version, second);

    let stale = file.replace(b"A=3\n", &first.version).await;
    assert!(matches!(stale, Err(EnvFileError::Changed)), "{stale:?}");
    assert_eq!(file.read().await.unwrap().bytes, b"A=2\xff\n", "a refusal changes nothing");

    write(b"A=4\n");
    let overtaken = file.replace(b"A=5\n", &second).await;
    assert!(matches!(overtaken, Err(EnvFileError::Changed)), "{overtaken:?}");
    let now = file.read().await.unwrap();
    assert_eq!(now.bytes, b"A=4\n", "what somebody else wrote stays");

    write(b"A=1\n");
    assert_eq!(file.read().await.unwrap().version, first.version, "the same content is the same version");
    let shorter = file.replace(b"", &first.version).await.unwrap();
    assert_eq!(file.read().await.unwrap().bytes, b"");
    let long = vec![b'x'; 1024 * 1024];
    file.replace(&long, &shorter).await.unwrap();
    assert_eq!(file.read().await.unwrap().bytes, long);

    // Two who have read the same: one of them is too late.
    let base = file.read().await.unwrap().version;
    let both = tokio::join!(file.replace(b"A=left\n", &base), file.replace(b"A=right\n", &base));
    let winner: &[u8] = match both {
        (Ok(_), Err(EnvFileError::Changed)) => b"A=left\n",
        (Err(EnvFileError::Changed), Ok(_)) => b"A=right\n",
        other => panic!("one of two is too late: {other:?}"),
    };
    assert_eq!(file.read().await.unwrap().bytes, winner);
}

/// What holds where there is no file: none is made.
pub async fn env_file_missing(file: &dyn EnvFile, version_of_another: &recovery_core::port::EnvVersion) {
    let read = file.read().await;
    assert!(matches!(read, Err(EnvFileError::Missing)), "{read:?}");
    let replaced = file.replace(b"A=1\n", version_of_another).await;
    assert!(matches!(replaced, Err(EnvFileError::Missing)), "{replaced:?}");
    assert!(matches!(file.read().await, Err(EnvFileError::Missing)));
}
