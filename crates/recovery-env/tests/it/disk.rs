//! The file on a disk: what every `.env` file promises, and what only a disk can show.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
};

use recovery_core::port::{EnvFile as _, EnvFileError};
use recovery_env::DiskEnvFile;
use recovery_testkit::contract;
use tempfile::TempDir;

struct Project {
    directory: TempDir,
}

impl Project {
    fn with(content: &[u8]) -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap() };
        fs::write(project.path(), content).unwrap();
        project
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(".env")
    }

    fn file(&self) -> DiskEnvFile {
        DiskEnvFile::new(self.path())
    }

    fn names(&self) -> Vec<String> {
        names(self.directory.path())
    }
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Reads the file and replaces it.
pub(crate) async fn replace(file: &DiskEnvFile, bytes: &[u8]) -> Result<(), EnvFileError> {
    let version = file.read().await?.version;
    file.replace(bytes, &version).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    let project = Project::with(b"");
    let path = project.path();
    contract::env_file(&project.file(), |bytes| fs::write(&path, bytes).unwrap()).await;
    let version = project.file().read().await.unwrap().version;
    fs::remove_file(&path).unwrap();
    contract::env_file_missing(&project.file(), &version).await;
    assert_eq!(project.names(), [".env.previous"]);
}

#[tokio::test]
async fn the_previous_content_is_kept_and_nothing_else_is_left() {
    let project = Project::with(b"A=1\n");
    // Left by a process that was killed.
    fs::write(project.directory.path().join(".env.recovery-new"), "A=half").unwrap();
    replace(&project.file(), b"A=2\n").await.unwrap();
    assert_eq!(project.names(), [".env", ".env.previous"]);
    let previous = project.directory.path().join(".env.previous");
    assert_eq!(fs::read(&previous).unwrap(), b"A=1\n");
    replace(&project.file(), b"A=3\n").await.unwrap();
    assert_eq!(fs::read(&previous).unwrap(), b"A=2\n");
}

#[tokio::test]
async fn mode_and_owner_stay() {
    let project = Project::with(b"A=1\n");
    fs::set_permissions(project.path(), Permissions::from_mode(0o640)).unwrap();
    chown(project.path(), Some(4711), Some(4712)).unwrap();
    replace(&project.file(), b"A=2\n").await.unwrap();
    for name in [".env", ".env.previous"] {
        let file = fs::metadata(project.directory.path().join(name)).unwrap();
        assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (0o640, 4711, 4712), "{name}");
    }
}

#[tokio::test]
async fn a_reader_who_has_it_open_sees_the_old_content_whole() {
    let project = Project::with(b"A=1\n");
    let mut open = File::open(project.path()).unwrap();
    replace(&project.file(), b"A=2\n").await.unwrap();
    assert_eq!(std::io::read_to_string(&mut open).unwrap(), "A=1\n");
}

#[tokio::test]
async fn a_symbolic_link_is_followed_and_stays() {
    let project = Project::with(b"A=1\n");
    let link = project.directory.path().join("link");
    symlink(".env", &link).unwrap();
    replace(&DiskEnvFile::new(&link), b"A=2\n").await.unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(project.path()).unwrap(), b"A=2\n");
    assert_eq!(project.names(), [".env", ".env.previous", "link"]);
}

#[tokio::test]
async fn what_is_no_file_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(".env");
    fs::create_dir(&path).unwrap();
    let read = DiskEnvFile::new(&path).read().await;
    assert!(matches!(read, Err(EnvFileError::NotAFile)), "{read:?}");

    fs::remove_dir(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from(0o600)).unwrap();
    assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
    let read = DiskEnvFile::new(&path).read().await;
    assert!(matches!(read, Err(EnvFileError::NotAFile)), "nobody is waited for: {read:?}");

    let nowhere = DiskEnvFile::new(directory.path().join("no/such/.env")).read().await;
    assert!(matches!(nowhere, Err(EnvFileError::Missing)), "{nowhere:?}");
}

#[tokio::test]
async fn a_file_that_says_it_is_read_only_is_left_alone() {
    let project = Project::with(b"A=1\n");
    fs::set_permissions(project.path(), Permissions::from_mode(0o444)).unwrap();
    let replaced = replace(&project.file(), b"A=2\n").await;
    assert!(matches!(replaced, Err(EnvFileError::ReadOnly)), "{replaced:?}");
    assert_eq!(project.names(), [".env"]);
    assert_eq!(fs::read(project.path()).unwrap(), b"A=1\n");
}

#[tokio::test]
async fn what_is_too_large_is_neither_read_nor_written() {
    let project = Project::with(&vec![b'x'; DiskEnvFile::LARGEST]);
    let version = project.file().read().await.unwrap().version;
    let large = vec![b'y'; DiskEnvFile::LARGEST + 1];
    let replaced = project.file().replace(&large, &version).await;
    assert!(matches!(replaced, Err(EnvFileError::TooLarge { .. })), "{replaced:?}");
    fs::write(project.path(), large).unwrap();
    let read = project.file().read().await;
    assert!(matches!(read, Err(EnvFileError::TooLarge { .. })), "{read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_lose_no_change() {
    const WRITERS: usize = 8;
    const EACH: usize = 5;
    let project = Project::with(b"");
    let writers = (0..WRITERS).map(|writer| {
        // Each as if in a process of its own; versions are those of one place.
        let (file, path) = (project.file(), project.path());
        tokio::spawn(async move {
            let mut written = 0;
            while written < EACH {
                let content = file.read().await.unwrap();
                let mut bytes = content.bytes;
                bytes.extend_from_slice(format!("W{writer}_{written}=1\n").as_bytes());
                match file.replace(&bytes, &content.version).await {
                    Ok(_) => written += 1,
                    Err(EnvFileError::Changed) => {}
                    Err(error) => panic!("{error:?} at {}", path.display()),
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let text = fs::read_to_string(project.path()).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), WRITERS * EACH, "{text}");
    assert_eq!(project.names(), [".env", ".env.previous"]);
}

#[tokio::test]
async fn a_version_tells_nothing_to_another_process() {
    let project = Project::with(b"POSTGRES_PASSWORD=hunter2\n");
    let (here, elsewhere) = (project.file(), project.file());
    assert_ne!(here.read().await.unwrap().version, elsewhere.read().await.unwrap().version);
}
