//! Taking in archives from elsewhere: only whole ones, never over another, and nothing is left of the others.

use std::fs;

use recovery_backup::BackupError;
use recovery_core::{BackupInfo, BackupName, ErrorCode, Problem, Verification, VerifyLevel, port::Unwatched};
use recovery_testkit::RecordingContext;
use tokio::io::{AsyncRead, AsyncWriteExt as _};

use crate::{
    bad_input::replace_in_manifest,
    disks::SmallDisk,
    fixture::{DATABASE, Fixture},
};

/// A fixture, and an archive that was made there and is gone again.
async fn fixture_and_archive() -> (Fixture, BackupName, Vec<u8>) {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let bytes = fs::read(fixture.path(&name)).unwrap();
    fs::remove_file(fixture.path(&name)).unwrap();
    (fixture, name, bytes)
}

async fn upload(
    fixture: &Fixture,
    name: Option<&BackupName>,
    source: &mut (dyn AsyncRead + Send + Unpin),
) -> Result<BackupInfo, BackupError> {
    fixture.backups.upload(name, None, source, &Unwatched::new()).await
}

fn code<T: std::fmt::Debug>(result: Result<T, BackupError>) -> (ErrorCode, String) {
    let problem = Problem::from(result.unwrap_err());
    assert!(problem.hint.is_some(), "{problem:?}");
    (problem.code, problem.detail)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_archive_is_proven_listed_and_can_be_restored() {
    let (fixture, name, bytes) = fixture_and_archive().await;
    let info = upload(&fixture, None, &mut &*bytes).await.unwrap();
    assert_eq!((&info.filename, info.uploaded), (&name, true));
    assert_eq!(
        (info.verification, info.verified_level),
        (Verification::Verified, Some(VerifyLevel::Contents))
    );
    assert!(fs::read(fixture.path(&name)).unwrap() == bytes);
    assert_eq!(fixture.files(), [name.as_str()]);
    fixture.sql("DELETE FROM messages");
    fixture.restore(&name).await.unwrap();
    assert_eq!(fixture.count("messages"), 5000);
    fixture.backups.verify(&name, VerifyLevel::Hashes, &Unwatched::new()).await.unwrap();
    assert!(fixture.backups.find(&name).await.unwrap().uploaded, "a check does not make it one of ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_there_is_never_overwritten() {
    let (fixture, name, bytes) = fixture_and_archive().await;
    fs::write(fixture.path(&name), "something else").unwrap();
    for given in [None, Some(&name)] {
        let (code, detail) = code(upload(&fixture, given, &mut &*bytes).await);
        assert_eq!(code, ErrorCode::Conflict, "{detail}");
    }
    assert_eq!(fs::read(fixture.path(&name)).unwrap(), b"something else");

    // Nor is one that comes while the upload is being checked: the name is taken in the same moment as it is looked at.
    fs::remove_file(fixture.path(&name)).unwrap();
    let context = RecordingContext::new();
    let mut hold = context.faults().hold_next("received".to_owned());
    let mut source = &*bytes;
    let (uploaded, ()) = tokio::join!(fixture.backups.upload(None, None, &mut source, &context), async {
        hold.reached().await;
        fs::write(fixture.path(&name), "something else").unwrap();
        hold.release();
    });
    assert_eq!(code(uploaded).0, ErrorCode::Conflict);
    assert_eq!(fs::read(fixture.path(&name)).unwrap(), b"something else");
    assert_eq!(fixture.files(), [name.as_str()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_archive_is_refused_and_nothing_is_left() {
    let (fixture, name, bytes) = fixture_and_archive().await;
    let dump = fixture.server.pg_dump_text(DATABASE);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        bytes
    };
    for (what, bytes, expect) in [
        ("nothing", Vec::new(), ErrorCode::BackupDamaged),
        ("garbage", b"PK\x03\x04".repeat(5000), ErrorCode::BackupDamaged),
        ("a truncated one", changed(&|bytes| bytes.truncate(bytes.len() - 600)), ErrorCode::BackupDamaged),
        ("one with more behind", changed(&|bytes| bytes.extend([0; 512])), ErrorCode::BackupDamaged),
        (
            "one flipped bit",
            changed(&|bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }),
            ErrorCode::BackupDamaged,
        ),
        (
            "a member that leads elsewhere",
            changed(&|bytes| replace_in_manifest(bytes, "database/toc.dat", "../../../evil.dat")),
            ErrorCode::BackupDamaged,
        ),
        (
            "a size that cannot be",
            changed(&|bytes| replace_in_manifest(bytes, "\"size\": ", "\"size\": 99999999999")),
            ErrorCode::BackupDamaged,
        ),
        (
            "a later format",
            changed(&|bytes| replace_in_manifest(bytes, "\"format_version\": 1", "\"format_version\": 9")),
            ErrorCode::BackupDamaged,
        ),
    ] {
        for given in [None, Some(&name)] {
            let (code, detail) = code(upload(&fixture, given, &mut &*bytes).await);
            assert_eq!(code, expect, "{what}: {detail}");
            fixture.assert_untouched(&dump, &[]);
        }
    }
    let other: BackupName = "nova-backup-2031-01-01_00-00-00.tar".parse().unwrap();
    let (code, detail) = code(upload(&fixture, Some(&other), &mut &*bytes).await);
    assert_eq!(code, ErrorCode::BackupIncompatible);
    assert!(detail.contains(name.as_str()), "{detail}");
    fixture.assert_untouched(&dump, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_arrive_to_its_end_is_not_kept() {
    let (fixture, _, bytes) = fixture_and_archive().await;
    // Complete as an archive, but not what was announced.
    let announced = Some(bytes.len() as u64 + 1);
    let short = fixture.backups.upload(None, announced, &mut &*bytes, &Unwatched::new()).await;
    assert_eq!(code(short).0, ErrorCode::InvalidRequest);

    let mut breaking = breaking_off(&bytes[..2000]);
    let (code, detail) = code(upload(&fixture, None, &mut breaking).await);
    assert_eq!(
        (code, detail.as_str()),
        (ErrorCode::InvalidRequest, "The upload broke off after 2000 bytes.")
    );
    assert_eq!(fixture.files(), Vec::<String>::new());
}

/// Gives these bytes and then an error.
fn breaking_off(bytes: &[u8]) -> impl AsyncRead + Send + Unpin {
    struct Breaking(Vec<u8>);
    impl AsyncRead for Breaking {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            if self.0.is_empty() {
                return std::task::Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
            }
            buffer.put_slice(&std::mem::take(&mut self.0));
            std::task::Poll::Ready(Ok(()))
        }
    }
    Breaking(bytes.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_and_a_backup_do_not_disturb_each_other() {
    let (fixture, name, bytes) = fixture_and_archive().await;
    // In the same second the backup would get the name that is free.
    while time::OffsetDateTime::now_utc() < name.created_at() + time::Duration::SECOND {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (mut sender, mut receiver) = tokio::io::duplex(1024);
    let context = RecordingContext::new();
    let uploading = fixture.backups.upload(Some(&name), None, &mut receiver, &context);
    let (uploaded, made) = tokio::join!(uploading, async {
        let (first, rest) = bytes.split_at(5000);
        sender.write_all(first).await.unwrap();
        // This one sweeps what crashes have left, under the lock of the directory.
        let left_over = fixture.directory.path().join(".partial-000000000000");
        fs::create_dir(&left_over).unwrap();
        let made = fixture.create().await;
        assert!(!left_over.exists());
        sender.write_all(rest).await.unwrap();
        drop(sender);
        made
    });
    assert_eq!(uploaded.unwrap().filename, name);
    let mut expect = [name.to_string(), made.filename.to_string()];
    expect.sort();
    assert_eq!(fixture.files(), expect);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_upload_leaves_nothing() {
    let (fixture, _, bytes) = fixture_and_archive().await;
    let (mut sender, mut receiver) = tokio::io::duplex(1024);
    let context = RecordingContext::new();
    let uploading = fixture.backups.upload(None, None, &mut receiver, &context);
    let (uploaded, ()) = tokio::join!(uploading, async {
        sender.write_all(&bytes[..5000]).await.unwrap();
        assert!(context.cancel());
    });
    assert!(matches!(uploaded, Err(BackupError::Cancelled(_))), "{uploaded:?}");
    assert_eq!(fixture.files(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_ends_before_the_disk_is_full() {
    let disk = SmallDisk::mount("size=24m");
    let fixture = Fixture::small();
    let backups = fixture.another(|settings| settings.directory = disk.path().to_owned());
    let announced = backups.upload(None, Some(1 << 40), &mut tokio::io::empty(), &Unwatched::new()).await;
    let (code_of_announced, detail) = code(announced);
    assert_eq!(code_of_announced, ErrorCode::InsufficientStorage);
    assert!(detail.contains("are free"), "{detail}");

    let without_end = &mut tokio::io::repeat(b'x');
    let error = backups.upload(None, None, without_end, &Unwatched::new()).await.unwrap_err();
    assert!(matches!(error, BackupError::SpaceRunsOut { available } if available > 1024 * 1024), "{error:?}");
    assert_eq!(code::<()>(Err(error)).0, ErrorCode::InsufficientStorage);
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
}
