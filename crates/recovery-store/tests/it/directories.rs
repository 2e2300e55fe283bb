//! Directories on real file systems, mount points among them: these tests mount, as root.
#![allow(clippy::disallowed_methods, reason = "tests mount, and change attributes")]

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use recovery_core::port::{DataDirectories, DirectoryError, DirectorySize, Emptied};
use recovery_store::LocalDirectories;
use recovery_testkit::contract;

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn write(&self, below: &str, content: &str) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Everything that is there, the world itself apart.
    fn listing(&self) -> BTreeSet<String> {
        let paths = listing(self.0.path());
        let below = paths.iter().map(|path| path.strip_prefix(self.0.path()).unwrap().display().to_string());
        below.filter(|path| !path.is_empty()).collect()
    }
}

fn listing(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::from([path.to_owned()]);
    if fs::symlink_metadata(path).is_ok_and(|data| data.is_dir()) {
        for entry in fs::read_dir(path).unwrap() {
            found.extend(listing(&entry.unwrap().path()));
        }
    }
    found
}

impl contract::DirectoryFixture for World {
    fn directories(&self) -> &dyn DataDirectories {
        &LocalDirectories
    }

    fn place(&self) -> PathBuf {
        self.path("")
    }

    fn make_directory(&self, path: &Path) {
        fs::create_dir_all(path).unwrap();
    }

    fn make_file(&self, path: &Path, content: &str) {
        fs::write(path, content).unwrap();
    }

    fn make_link(&self, path: &Path, target: &Path) {
        symlink(target, path).unwrap();
    }

    fn listing(&self, path: &Path) -> BTreeSet<PathBuf> {
        listing(path)
    }
}

/// Something that is mounted until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(on: &Path) -> Self {
        Self::mount(&["-t", "tmpfs", "tmpfs"], on)
    }

    fn bind(from: &Path, on: &Path) -> Self {
        Self::mount(&["--bind", from.to_str().unwrap()], on)
    }

    fn mount(arguments: &[&str], on: &Path) -> Self {
        run("mount", &[arguments, &[on.to_str().unwrap()]].concat());
        Self(on.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(done.status.success(), "{program} {arguments:?}, as root: {done:?}");
}

async fn measure(path: &Path) -> Result<DirectorySize, DirectoryError> {
    LocalDirectories.measure(path).await
}

async fn empty(path: &Path) -> Emptied {
    LocalDirectories.empty(path, &|_| ()).await.unwrap()
}

fn size(files: u64, bytes: u64) -> DirectorySize {
    DirectorySize { files, bytes }
}

#[tokio::test]
async fn they_keep_the_promises_of_data_directories() {
    contract::data_directories(&World::new()).await;
}

#[tokio::test]
async fn what_is_mounted_inside_survives_with_what_it_holds() {
    let world = World::new();
    world.write("volume/kept", "kept");
    world.write("data/bind/hidden by the mount", "");
    world.write("data/deep/er/tmpfs/hidden", "");
    world.write("data/deep/file", "x");
    world.write("data/a file of its own", "");
    world.write("data/gone", "12");
    // A bind mount of the same file system has the same device number.
    let _bind = Mounted::bind(&world.path("volume"), &world.path("data/bind"));
    let _tmpfs = Mounted::tmpfs(&world.path("data/deep/er/tmpfs"));
    world.write("data/deep/er/tmpfs/on/it", "kept");
    let _file = Mounted::bind(&world.path("volume/kept"), &world.path("data/a file of its own"));

    assert_eq!(measure(&world.path("data")).await.unwrap(), size(2, 3));
    assert_eq!(empty(&world.path("data")).await, Emptied { removed: size(2, 3), left: 0, why: None });
    let left = [
        "data",
        "data/a file of its own",
        "data/bind",
        "data/bind/kept",
        "data/deep",
        "data/deep/er",
        "data/deep/er/tmpfs",
        "data/deep/er/tmpfs/on",
        "data/deep/er/tmpfs/on/it",
        "volume",
        "volume/kept",
    ];
    assert_eq!(world.listing(), left.map(str::to_owned).into());
}

#[tokio::test]
async fn a_mount_point_is_emptied_and_what_is_not_of_its_contents_stays() {
    let world = World::new();
    fs::create_dir(world.path("data")).unwrap();
    let _mounted = Mounted::tmpfs(&world.path("data"));
    for path in ["data/a/b", "data/.recovery-before-1/old", "data/lost+found/x", "data/in/.recovery-x/y"] {
        world.write(path, "x");
    }
    assert_eq!(measure(&world.path("data")).await.unwrap(), size(2, 2));
    assert_eq!(empty(&world.path("data")).await.removed, size(2, 2));
    let left = [".recovery-before-1", ".recovery-before-1/old", "lost+found", "lost+found/x"];
    let left = left.into_iter().map(|path| format!("data/{path}")).chain(["data".to_owned()]).collect();
    assert_eq!(world.listing(), left);

    world.write("plain/lost+found/x", "");
    assert_eq!(empty(&world.path("plain")).await.removed, size(1, 0), "it means nothing elsewhere");
}

#[tokio::test]
async fn what_cannot_be_removed_is_foreseen() {
    let world = World::new();
    world.write("data/in/file", "x");
    let refused = async |path: &str, expect: &str| {
        let error = measure(&world.path(path)).await.unwrap_err();
        assert!(
            matches!(&error, DirectoryError::ReadOnly { why, .. } if why.contains(expect)),
            "{path}: {error:?}"
        );
    };
    for attribute in ["i", "a"] {
        for path in ["data/in/file", "data/in", "data"] {
            run("chattr", &[&format!("+{attribute}"), world.path(path).to_str().unwrap()]);
            refused("data", "protected").await;
            let emptied = empty(&world.path("data")).await;
            assert!(emptied.left > 0 && emptied.why.is_some(), "{emptied:?}");
            run("chattr", &[&format!("-{attribute}"), world.path(path).to_str().unwrap()]);
            world.write("data/in/file", "x");
        }
    }

    let mounted = Mounted::bind(&world.path("data"), &world.path("data"));
    run("mount", &["-o", "remount,ro,bind", world.path("data").to_str().unwrap()]);
    refused("data", "read-only").await;
    let emptied = empty(&world.path("data")).await;
    assert_eq!((emptied.removed, emptied.left), (size(0, 0), 1));
    assert!(emptied.why.unwrap().contains("Read-only"));
    drop(mounted);
    assert_eq!(empty(&world.path("data")).await.removed, size(1, 1));
}

/// Runs on a thread of its own, which belongs to another user than root and has no privileges.
fn as_another_user<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(12_345)).unwrap();
            // The threads that block are made by this one, and are of the same user.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(work())
        });
        run.join().unwrap()
    })
}

#[test]
fn a_user_without_rights_is_told_before_anything_is_removed() {
    let world = World::new();
    let chmod = |path: &str, mode: u32| {
        fs::set_permissions(world.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    let give = |path: &str| std::os::unix::fs::chown(world.path(path), Some(12_345), None).unwrap();
    world.write("data/theirs/file", "x");
    world.write("data/ours/locked/file", "x");
    fs::set_permissions(world.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for path in ["data", "data/ours", "data/ours/locked"] {
        give(path);
    }
    // Their owner may allow it, and does.
    chmod("data/ours/locked", 0o555);
    chmod("data/ours", 0o555);

    let data = world.path("data");
    let refused = as_another_user(async || measure(&data).await.unwrap_err());
    assert!(matches!(refused, DirectoryError::ReadOnly { why, .. } if why.contains("another user")));
    let emptied = as_another_user(async || empty(&data).await);
    assert_eq!((emptied.removed, emptied.left), (size(1, 1), 1));
    assert!(emptied.why.unwrap().contains("ermission denied"));
    assert!(world.path("data/theirs/file").exists() && !world.path("data/ours").exists());

    // In a directory like /tmp only the owner of something may remove it.
    chmod("data/theirs", 0o1777);
    let refused = as_another_user(async || measure(&data).await.unwrap_err());
    assert!(matches!(refused, DirectoryError::ReadOnly { .. }), "{refused:?}");
    give("data/theirs/file");
    assert_eq!(as_another_user(async || measure(&data).await.unwrap()), size(1, 1));
    chmod("data", 0o500);
    assert_eq!(as_another_user(async || empty(&data).await).removed, size(1, 1));
    assert_eq!(fs::metadata(&data).unwrap().mode() & 0o7777, 0o500, "it stays as it was");
    assert_eq!(world.listing(), BTreeSet::from(["data".to_owned()]));

    world.write("data/hidden/file", "x");
    chmod("data/hidden", 0o700);
    let refused = as_another_user(async || measure(&data).await.unwrap_err());
    assert!(matches!(refused, DirectoryError::ReadOnly { .. }), "what cannot be looked into: {refused:?}");
}

#[tokio::test]
async fn deep_trees_strange_names_and_many_files_are_no_matter() {
    let world = World::new();
    let data = world.path("data");
    fs::create_dir(&data).unwrap();
    // In memory: what is measured is not the disk, which may be busy.
    let _mounted = Mounted::mount(&["-t", "tmpfs", "-o", "nr_inodes=200k", "tmpfs"], &data);
    // Deeper than a path can be long, and than files can be open.
    let mut inner = world.path("data/inner");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("bottom"), "x").unwrap();
    for level in 0..3_000 {
        let outer = world.path(&format!("data/outer-{level}"));
        fs::create_dir(&outer).unwrap();
        fs::write(outer.join("beside"), "").unwrap();
        fs::rename(&inner, outer.join("a directory with a name")).unwrap();
        inner = outer;
    }
    fs::rename(&inner, data.join("deep")).unwrap();
    for name in [&b"\xff\xfe"[..], b"line\nbreak", b" ", b"-rf", b"*"] {
        fs::write(data.join(OsStr::from_bytes(name)), "x").unwrap();
    }
    run("mkfifo", &[data.join("pipe").to_str().unwrap()]);
    fs::hard_link(data.join("*"), data.join("another name")).unwrap();
    fs::create_dir(data.join("setuid")).unwrap();
    fs::set_permissions(data.join("setuid"), fs::Permissions::from_mode(0o6755)).unwrap();
    let many = 100_000;
    for number in 0..many {
        if number % 1_000 == 0 {
            fs::create_dir(data.join(format!("many-{}", number / 1_000))).unwrap();
        }
        fs::write(data.join(format!("many-{}/{number}", number / 1_000)), "x").unwrap();
    }
    let begun = Instant::now();
    let all = size(3_000 + 1 + 5 + 1 + 1 + many, 1 + 5 + 1 + many);
    assert_eq!(measure(&data).await.unwrap(), all);
    assert_eq!(empty(&data).await, Emptied { removed: all, left: 0, why: None });
    assert_eq!(world.listing(), BTreeSet::from(["data".to_owned()]));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_directory_that_is_exchanged_for_a_link_leads_nowhere() {
    let world = World::new();
    let (data, outside) = (world.path("data"), world.path("outside"));
    for number in 0..500 {
        world.write(&format!("outside/in/{number}"), "stays");
    }
    let before = listing(&outside);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Somebody who exchanges a directory and a link to another one as fast as it goes.
        scope.spawn(|| {
            let (victim, aside) = (data.join("victim"), world.path("aside"));
            symlink(&outside, &aside).unwrap();
            while !ended.load(Relaxed) {
                let _ = fs::create_dir_all(victim.join("in"));
                let _ = rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    &victim,
                    rustix::fs::CWD,
                    &aside,
                    rustix::fs::RenameFlags::EXCHANGE,
                );
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(1) {
                let _ = LocalDirectories.empty(&data, &|_| ()).await;
                let _ = LocalDirectories.measure(&data).await;
            }
        });
        ended.store(true, Relaxed);
    });
    assert_eq!(listing(&outside), before);
}

#[tokio::test]
async fn only_a_plain_absolute_path_is_worked_on() {
    let world = World::new();
    world.write("data/file", "");
    for path in [Path::new("data"), Path::new("/"), Path::new(""), &world.path("data/../data")] {
        let error = measure(path).await.unwrap_err();
        assert!(matches!(error, DirectoryError::Unreadable { .. }), "{}: {error:?}", path.display());
        assert!(LocalDirectories.empty(path, &|_| ()).await.is_err());
    }
    // What is above may be a link.
    symlink(world.0.path(), world.path("again")).unwrap();
    assert_eq!(empty(&world.path("again/data/")).await.removed, size(1, 0));
}
