//! Restores by a user who may not do everything.

use std::os::unix::fs::PermissionsExt;

use super::{place::Manner, *};

const AT: time::OffsetDateTime = datetime!(2026-02-01 00:00:00 UTC);
const LATER: time::OffsetDateTime = datetime!(2026-02-01 00:00:01 UTC);
const DONE: &dyn Fn(&'static str) -> io::Result<()> = &|_| Ok(());

/// Runs on a thread of its own, which belongs to another user than root and has no privileges.
fn as_another_user(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(12_345)).unwrap();
            test();
        });
        run.join().unwrap();
    });
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn directories_that_may_not_be_written_come_back_and_go_again() {
    as_another_user(|| {
        let world = World::new();
        let locked = world.source().join("locked");
        world.write("locked/inner/file", "as in the backup");
        chmod(&locked.join("inner"), 0o555);
        chmod(&locked, 0o555);
        let new = tree(world.source());
        let (archive, _) = world.pack();
        chmod(&locked, 0o755);
        world.write("locked/only now", "");
        chmod(&locked, 0o500);
        let old = tree(world.source());
        // Where the directory around it may not be written, what is in it is replaced.
        chmod(world.directory.path(), 0o555);
        let place = Place::find(&world.include, &world.path("backups")).unwrap();
        assert_eq!(place.manner, Manner::Contents);

        let staged = world.stage(&archive);
        let switch = staged.switch(AT).unwrap();
        staged.release();
        switch.carry_out(DONE).unwrap();
        assert_eq!(tree(world.source()), new);
        let back = switch.keeps().switch(LATER).unwrap();
        back.carry_out(DONE).unwrap();
        assert_eq!(tree(world.source()), old);
        back.keeps().remove().unwrap();
        assert_eq!(world.traces(), Vec::<String>::new(), "and what was kept can be removed");

        // Neither is what was only staged left.
        drop(world.stage(&archive));
        assert_eq!(world.traces(), Vec::<String>::new());
        chmod(world.directory.path(), 0o755);
        crate::files::rights::unlock_all(world.source()).unwrap();
    });
}
