//! Directories that programs go on changing while they are packed.

use std::{
    cell::Cell,
    io::Write,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use super::*;

/// Lets a thread end, whatever happens to the one that waits for it.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Packs while `change` goes on in another thread, until `seen` has seen enough. Each archive is read back.
fn pack_while(world: &World, change: impl Fn() + Sync, seen: impl Fn(&Manifest) -> bool) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                change();
            }
        });
        let _stop = StopOnDrop(&stop);
        let enough = (0..300).any(|_| {
            let (archive, manifest) = world.pack();
            read(&archive, &()).unwrap();
            fs::remove_file(archive).unwrap();
            seen(&manifest)
        });
        assert!(enough, "what was waited for was seen in none of the archives");
    });
}

#[test]
fn a_file_that_grows_is_cut_where_it_ended_and_named() {
    let world = World::new();
    world.write("log", &"first line\n".repeat(100_000));
    let path = world.source().join("log");
    let grow = || {
        let mut log = File::options().append(true).open(&path).unwrap();
        log.write_all(b"another line\n").unwrap();
    };
    pack_while(&world, grow, |manifest| {
        manifest.warnings.iter().any(|words| words.contains("changed while"))
    });
}

#[test]
fn a_file_that_is_emptied_again_and_again_never_spoils_the_archive() {
    let world = World::new();
    world.write("log", "");
    world.write("z", "follows it");
    let path = world.source().join("log");
    let contents = vec![b'x'; 256 << 10];
    let empty = || {
        fs::write(&path, &contents).unwrap();
        File::create(&path).unwrap();
    };
    let rounds = Cell::new(0);
    pack_while(&world, empty, |manifest| {
        rounds.set(rounds.get() + 1);
        assert_eq!(manifest.files[0].files, 2);
        rounds.get() == 50
    });
}

#[test]
fn a_file_that_is_shorter_than_it_says_is_filled_up_and_named() {
    // The kernel's own files say that they have a page.
    let path = ["/sys/kernel/mm/transparent_hugepage", "/sys/fs/ext4/features", "/sys/kernel/mm/swap"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_dir())
        .unwrap();
    let world = World::new();
    let include = IncludedDirectory { name: "sources".parse().unwrap(), path };
    let (archive, manifest) = world.pack_from(&[Source::open(include).unwrap()]);
    let words = manifest.warnings.first().unwrap();
    assert!(words.contains("shrank while it was read; its last ") && words.contains("are zeros"), "{words}");
    read(&archive, &()).unwrap();
}

#[test]
fn files_that_come_and_go_are_no_reason_to_fail() {
    let world = World::new();
    world.write("stays", "here");
    let churn = || {
        for name in 0..50 {
            world.write(&format!("d{name}/file"), "soon gone");
        }
        for name in 0..50 {
            fs::remove_dir_all(world.source().join(format!("d{name}"))).unwrap();
        }
    };
    let rounds = Cell::new(0);
    pack_while(&world, churn, |manifest| {
        rounds.set(rounds.get() + 1);
        assert!(manifest.files[0].files >= 1);
        rounds.get() == 20
    });
}

#[test]
fn a_directory_that_becomes_a_link_leads_nowhere() {
    let world = World::new();
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "not for the backup").unwrap();
    let path = world.source().join("turning");
    let turn = || {
        fs::create_dir(&path).unwrap();
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink(&outside, &path).unwrap();
        fs::remove_file(&path).unwrap();
    };
    let rounds = Cell::new(0);
    pack_while(&world, turn, |manifest| {
        assert_eq!(manifest.files[0].files, 0, "nothing but the link itself is taken");
        rounds.set(rounds.get() + 1);
        rounds.get() == 150
    });
}

#[test]
fn a_directory_that_cannot_be_read_is_said_to_be_missing() {
    let world = World::new();
    fs::remove_dir(world.source()).unwrap();
    assert!(Source::open(world.include.clone()).is_err());
    fs::write(world.source(), "a file").unwrap();
    let World { include, directory: _directory } = world;
    assert!(Source::open(include).is_err());
}

#[test]
fn warnings_never_outgrow_the_room_that_was_kept_for_them() {
    let world = World::new();
    for index in 0..300 {
        let name = format!("{index}{}", "\u{1}".repeat(200));
        assert!(run("mkfifo", &[name.as_ref()], world.source()).0);
    }
    let (archive, manifest) = world.pack();
    let last = manifest.warnings.last().unwrap();
    assert!(last.ends_with("more; the log of the recovery service has them all"), "{last}");
    read(&archive, &()).unwrap();
}
