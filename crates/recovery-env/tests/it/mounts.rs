//! The file alone mounted, as into a container, and disks that are full or can only be read. The mounts are real, so
//! these tests need root and fail where they cannot have it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use recovery_core::port::{EnvFile as _, EnvFileError};
use recovery_env::DiskEnvFile;
use tempfile::TempDir;

use crate::disk::{names, replace};

/// Something that is mounted until it is dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(on: &Path, arguments: &[&OsStr]) -> Self {
        let status = Command::new("mount").args(arguments).arg(on).status();
        assert!(status.unwrap().success(), "these tests mount, as root");
        Self(on.to_owned())
    }

    fn file(source: &Path, on: &Path) -> Self {
        Self::new(on, &["--bind".as_ref(), source.as_os_str()])
    }

    fn disk(on: &Path, options: &str) -> Self {
        Self::new(on, &["-t", "tmpfs", "-o", options, "tmpfs"].map(OsStr::new))
    }

    fn remount_read_only(&self) {
        let done = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A host with a file of its own, and a place in a container where that file alone is mounted.
struct Container {
    host: TempDir,
    inside: TempDir,
    _file: Mount,
}

impl Container {
    fn with(content: &[u8]) -> Self {
        let host = tempfile::tempdir().unwrap();
        Self::of(host, tempfile::tempdir().unwrap(), content)
    }

    fn of(host: TempDir, inside: TempDir, content: &[u8]) -> Self {
        let (outer, inner) = (host.path().join("host.env"), inside.path().join(".env"));
        fs::write(&outer, content).unwrap();
        fs::write(&inner, "").unwrap();
        let file = Mount::file(&outer, &inner);
        Self { host, inside, _file: file }
    }

    fn on_host(&self) -> Vec<u8> {
        fs::read(self.host.path().join("host.env")).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.inside.path().join(".env")
    }

    fn file(&self) -> DiskEnvFile {
        DiskEnvFile::new(self.path())
    }
}

#[tokio::test]
async fn a_file_that_is_mounted_alone_is_written_in_place() {
    let container = Container::with(b"A=a long value\nB=2\n");
    let inode = fs::metadata(container.path()).unwrap().ino();
    replace(&container.file(), b"A=1\n").await.unwrap();
    assert_eq!(container.on_host(), b"A=1\n", "the host sees it");
    assert_eq!(fs::metadata(container.path()).unwrap().ino(), inode);
    assert_eq!(names(container.inside.path()), [".env", ".env.previous"]);
    let previous = container.inside.path().join(".env.previous");
    assert_eq!(fs::read(previous).unwrap(), b"A=a long value\nB=2\n");
    replace(&container.file(), b"A=longer than before\n").await.unwrap();
    assert_eq!(container.on_host(), b"A=longer than before\n");
}

#[tokio::test]
async fn nothing_is_written_in_place_whose_content_cannot_be_kept() {
    let inside = tempfile::tempdir().unwrap();
    let disk = Mount::disk(inside.path(), "size=1m");
    let container = Container::of(tempfile::tempdir().unwrap(), inside, b"A=1\n");
    disk.remount_read_only();
    let replaced = replace(&container.file(), b"A=2\n").await;
    assert!(matches!(replaced, Err(EnvFileError::Keep(_))), "{replaced:?}");
    assert_eq!(container.on_host(), b"A=1\n");

    let spare = tempfile::tempdir().unwrap();
    replace(&container.file().keeping_in(spare.path()), b"A=2\n").await.unwrap();
    assert_eq!(container.on_host(), b"A=2\n");
    assert_eq!(names(spare.path()), ["env.previous"]);
    assert_eq!(fs::read(spare.path().join("env.previous")).unwrap(), b"A=1\n");
}

#[tokio::test]
async fn readers_wait_for_a_write_in_place() {
    let container = Container::with(b"A=1\n");
    let mut writer = File::options().write(true).open(container.path()).unwrap();
    writer.lock().unwrap();
    writer.set_len(0).unwrap();
    writer.write_all(b"A=").unwrap();
    let file = container.file();
    let mut reading = Box::pin(file.read());
    let early = tokio::time::timeout(Duration::from_millis(300), &mut reading).await;
    assert!(early.is_err(), "a half is read: {early:?}");
    writer.write_all(b"2\n").unwrap();
    drop(writer);
    assert_eq!(reading.await.unwrap().bytes, b"A=2\n");
}

#[tokio::test]
async fn a_write_in_place_that_fails_is_taken_back() {
    let host = tempfile::tempdir().unwrap();
    let _disk = Mount::disk(host.path(), "size=64k");
    let content = vec![b'a'; 20_000];
    let container = Container::of(host, tempfile::tempdir().unwrap(), &content);
    fill(container.host.path());
    let replaced = replace(&container.file(), &vec![b'b'; 40_000]).await;
    let Err(EnvFileError::Write(error)) = replaced else { panic!("{replaced:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(container.on_host() == content, "the old content is put back");
    assert_eq!(names(container.inside.path()), [".env", ".env.previous"]);
}

#[tokio::test]
async fn a_full_disk_leaves_the_file_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let _disk = Mount::disk(directory.path(), "size=64k");
    let path = directory.path().join(".env");
    fs::write(&path, b"A=1\n").unwrap();
    let file = DiskEnvFile::new(&path);
    // Room for what is kept, not for what is new.
    let replaced = replace(&file, &vec![b'b'; 100_000]).await;
    let Err(EnvFileError::Write(error)) = replaced else { panic!("{replaced:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(names(directory.path()), [".env", ".env.previous"]);
    assert_eq!(fs::read(&path).unwrap(), b"A=1\n");

    fill(directory.path());
    let replaced = replace(&file, b"A=2\n").await;
    assert!(matches!(replaced, Err(EnvFileError::Keep(_))), "{replaced:?}");
    assert_eq!(fs::read(&path).unwrap(), b"A=1\n");
    assert_eq!(names(directory.path()), [".env", ".env.previous", "filler"]);
}

#[tokio::test]
async fn a_disk_that_can_only_be_read_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Mount::disk(directory.path(), "size=1m");
    let path = directory.path().join(".env");
    fs::write(&path, b"A=1\n").unwrap();
    disk.remount_read_only();
    let file = DiskEnvFile::new(&path);
    assert_eq!(file.read().await.unwrap().bytes, b"A=1\n");
    let replaced = replace(&file, b"A=2\n").await;
    assert!(matches!(replaced, Err(EnvFileError::ReadOnly)), "{replaced:?}");
}

/// Takes the last byte of a disk.
fn fill(directory: &Path) {
    let mut filler = File::create(directory.join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
}
