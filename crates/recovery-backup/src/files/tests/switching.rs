//! What was staged takes its place, whatever happens on the way, and what was there comes back.

use std::{cell::Cell, os::unix::fs::symlink};

use super::{place::Manner, *};

const AT: time::OffsetDateTime = datetime!(2026-02-01 00:00:00 UTC);
const LATER: time::OffsetDateTime = datetime!(2026-02-01 00:00:01 UTC);
const DONE: &dyn Fn(&'static str) -> io::Result<()> = &|_| Ok(());

/// A world whose directory held something else when its archive was made.
struct Changed {
    // Unmounted before the directory is removed.
    _mounted: Option<Mounted>,
    world: World,
    archive: PathBuf,
    old: BTreeMap<Vec<u8>, String>,
    new: BTreeMap<Vec<u8>, String>,
}

fn changed(manner: Manner) -> Changed {
    let world = World::new();
    let mounted = (manner == Manner::Contents).then(|| Mounted::tmpfs(world.source()));
    for name in ["same", "changed", "directory/inner", "only in the backup", "became a directory"] {
        world.write(name, "as in the backup");
    }
    let new = tree(world.source());
    let (archive, _) = world.pack();
    for name in ["only in the backup", "became a directory"] {
        fs::remove_file(world.source().join(name)).unwrap();
    }
    for name in ["changed", "directory/inner", "only now", "became a directory/x"] {
        world.write(name, "as it is now");
    }
    let old = tree(world.source());
    let place = Place::find(&world.include, &world.path("backups")).unwrap();
    assert_eq!(place.manner, manner);
    Changed { _mounted: mounted, world, archive, old, new }
}

fn there_and_back(manner: Manner, kept: [&str; 2]) {
    let Changed { world, archive, old, new, _mounted } = changed(manner);
    let staged = world.stage(&archive);
    assert_eq!(tree(world.source()), old, "staging changes nothing");
    let switch = staged.switch(AT).unwrap();
    assert!(switch.is_untouched().unwrap());
    switch.carry_out(DONE).unwrap();
    staged.release();
    assert_eq!(tree(world.source()), new);
    assert_eq!(world.traces(), [kept[0]]);

    let back = switch.keeps().switch(LATER).unwrap();
    assert_eq!(switch.keeps().kept_as(), kept[0]);
    back.carry_out(DONE).unwrap();
    assert_eq!(tree(world.source()), old);
    assert_eq!(world.traces(), [kept[1]]);

    let again = back.keeps().switch(AT).unwrap();
    again.carry_out(DONE).unwrap();
    assert_eq!(tree(world.source()), new);
    again.keeps().remove().unwrap();
    again.keeps().remove().unwrap();
    assert_eq!(world.traces(), Vec::<String>::new());
    assert_eq!(tree(world.source()), new);
}

#[test]
fn a_directory_is_exchanged_and_comes_back() {
    there_and_back(Manner::Whole, ["sources.before-20260201_000000", "sources.before-20260201_000001"]);
}

#[test]
fn the_contents_of_a_mount_point_are_exchanged_and_come_back() {
    there_and_back(
        Manner::Contents,
        [".recovery-before-20260201_000000", ".recovery-before-20260201_000001"],
    );
}

#[test]
fn a_bind_mount_of_the_same_file_system_is_a_mount_point() {
    let world = World::new();
    let volume = world.path("volume");
    fs::create_dir(&volume).unwrap();
    let _mounted = Mounted::bind(&volume, world.source());
    let place = Place::find(&world.include, &world.path("backups")).unwrap();
    assert_eq!(place.manner, Manner::Contents);
    world.write("a", "1");
    let (archive, _) = world.pack();
    fs::remove_file(world.source().join("a")).unwrap();
    let staged = world.stage(&archive);
    staged.switch(AT).unwrap().carry_out(DONE).unwrap();
    staged.release();
    assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "1", "whoever has the volume sees it");
}

/// A gate that fails at its `nth` call, and knows whether it did.
fn failing_at(nth: usize, calls: &Cell<usize>) -> impl Fn(&'static str) -> io::Result<()> {
    move |_| {
        calls.set(calls.get() + 1);
        if calls.get() == nth { Err(io::Error::other("cut off here")) } else { Ok(()) }
    }
}

fn cut_off_everywhere(manner: Manner) {
    let mut points = 0;
    for nth in 1.. {
        let Changed { world, archive, old, new, _mounted } = changed(manner);
        let staged = world.stage(&archive);
        let switch = staged.switch(AT).unwrap();
        // From here on the operation has announced the switch, and a crash removes nothing.
        staged.release();
        let calls = Cell::new(0);
        if switch.carry_out(&failing_at(nth, &calls)).is_ok() {
            break;
        }
        points = nth;
        // A second crash on the way back up.
        let _ = switch.carry_out(&failing_at(1, &Cell::new(0)));
        let written = serde_json::to_vec(&switch).unwrap();
        let switch: Switch = serde_json::from_slice(&written).unwrap();
        switch.carry_out(DONE).unwrap();
        assert_eq!(tree(world.source()), new, "cut off at point {nth}");
        assert_eq!(world.traces().len(), 1, "only what is kept: {:?}", world.traces());
        switch.carry_out(DONE).unwrap();
        assert_eq!(tree(world.source()), new, "carrying it out again changes nothing");
        switch.keeps().switch(LATER).unwrap().carry_out(DONE).unwrap();
        assert_eq!(tree(world.source()), old, "cut off at point {nth}");
    }
    assert!(points >= 2, "{points}");
}

#[test]
fn an_exchange_that_is_cut_off_anywhere_is_carried_on() {
    cut_off_everywhere(Manner::Whole);
}

#[test]
fn an_exchange_of_contents_that_is_cut_off_anywhere_is_carried_on() {
    cut_off_everywhere(Manner::Contents);
}

#[test]
fn contents_that_cannot_all_be_moved_away_are_moved_back() {
    for nth in 1..5 {
        let Changed { world, archive, old, _mounted, .. } = changed(Manner::Contents);
        let staged = world.stage(&archive);
        let switch = staged.switch(AT).unwrap();
        switch.carry_out(&failing_at(nth, &Cell::new(0))).unwrap_err();
        assert!(switch.take_back().unwrap(), "nothing has come in yet");
        assert_eq!(tree(world.source()), old);
        drop(staged);
        assert_eq!(world.traces(), Vec::<String>::new());
    }
}

#[test]
fn once_something_has_come_in_it_is_too_late_to_take_back() {
    for manner in [Manner::Whole, Manner::Contents] {
        let Changed { world, archive, new, _mounted, .. } = changed(manner);
        let staged = world.stage(&archive);
        let switch = staged.switch(AT).unwrap();
        let last = if manner == Manner::Whole { "retire" } else { "tidy" };
        let gate = |step| if step == last { Err(io::Error::other("cut off")) } else { Ok(()) };
        switch.carry_out(&gate).unwrap_err();
        assert!(!switch.take_back().unwrap());
        assert_eq!(tree(world.source()), new);
        staged.release();
    }
}

#[test]
fn the_first_of_two_renames_alone_is_finished() {
    // Where a file system cannot exchange, there are two renames.
    let Changed { world, archive, new, _mounted, .. } = changed(Manner::Whole);
    let staged = world.stage(&archive);
    let switch = staged.switch(AT).unwrap();
    staged.release();
    fs::rename(world.source(), world.path(&switch.keeps().kept_as())).unwrap();
    switch.carry_out(DONE).unwrap();
    assert_eq!(tree(world.source()), new);
    assert_eq!(world.traces(), ["sources.before-20260201_000000"]);
}

#[test]
fn what_programs_make_meanwhile_is_not_written_over() {
    let Changed { world, archive, new, _mounted, .. } = changed(Manner::Contents);
    let staged = world.stage(&archive);
    let switch = staged.switch(AT).unwrap();
    let made = Cell::new(false);
    let gate = |step| {
        if step == "move in" && !made.replace(true) {
            world.write("same", "made by a program just now");
        }
        Ok(())
    };
    switch.carry_out(&gate).unwrap();
    staged.release();
    assert_eq!(tree(world.source()), new);
    let kept = world.source().join(".recovery-before-20260201_000000");
    assert_eq!(fs::read_to_string(kept.join("same")).unwrap(), "as in the backup");
    assert_eq!(fs::read_to_string(kept.join("same.2")).unwrap(), "made by a program just now");
}

#[test]
fn a_directory_that_does_not_exist_is_made_and_an_empty_one_comes_back() {
    let world = World::new();
    world.write("a", "1");
    let new = tree(world.source());
    let (archive, _) = world.pack();
    fs::remove_dir_all(world.source()).unwrap();
    let staged = world.stage(&archive);
    let switch = staged.switch(AT).unwrap();
    switch.carry_out(DONE).unwrap();
    staged.release();
    assert_eq!(tree(world.source()), new);
    switch.keeps().switch(LATER).unwrap().carry_out(DONE).unwrap();
    assert_eq!(tree(world.source()).len(), 1);
}

#[test]
fn places_that_could_not_be_switched_are_refused_before_anything_is_done() {
    let world = World::new();
    let refused = |path: &Path, expect: &str| {
        let include = IncludedDirectory { name: "sources".parse().unwrap(), path: path.to_owned() };
        let error = Place::find(&include, &world.path("backups")).unwrap_err();
        let chain = format!("{error}: {:?}", std::error::Error::source(&error));
        assert!(chain.contains(expect), "{chain}");
        let problem = recovery_core::Problem::from(error);
        assert!(problem.hint.is_some(), "{problem:?}");
    };
    refused(&world.path("no/such/directory"), "neither does the directory");
    symlink("nowhere", world.path("dangling")).unwrap();
    refused(&world.path("dangling"), "NotFound");
    fs::write(world.path("file"), "").unwrap();
    refused(&world.path("file"), "NotADirectory");
    refused(&world.path("backups"), "inside the backup directory");
    refused(&world.path("backups/inner"), "inside the backup directory");
    symlink(world.directory.path(), world.path("around")).unwrap();
    refused(&world.path("around"), "inside the backup directory");
    fs::create_dir(world.source().join("inner")).unwrap();
    let _mounted = Mounted::tmpfs(&world.source().join("inner"));
    refused(world.source(), "mounted inside it");
}

#[test]
fn kept_files_in_which_something_is_mounted_are_not_removed() {
    let Changed { world, archive, _mounted, .. } = changed(Manner::Whole);
    let staged = world.stage(&archive);
    let switch = staged.switch(AT).unwrap();
    switch.carry_out(DONE).unwrap();
    staged.release();
    let inner = world.path("sources.before-20260201_000000/directory");
    let _mounted = Mounted::tmpfs(&inner);
    fs::write(inner.join("precious"), "").unwrap();
    assert!(switch.keeps().remove().is_err());
    assert!(inner.join("precious").exists());
    assert!(world.path("sources.before-20260201_000000/only now").exists());
}

#[test]
fn a_sweep_removes_what_was_staged_and_nothing_else() {
    let world = World::new();
    for name in [
        "sources.recovery-0123456789ab",
        "sources.recovery-notes",
        "sources.before-20260201_000000",
        "other.recovery-0123456789ab",
    ] {
        fs::create_dir(world.path(name)).unwrap();
        fs::write(world.path(name).join("file"), "").unwrap();
    }
    for name in [".recovery-stage-0123456789ab", ".recovery-stage-mine", ".recovery-before-20260201_000000"] {
        world.write(&format!("{name}/file"), "");
    }
    let mut swept = sweep(std::slice::from_ref(&world.include), &[]);
    swept.sort();
    assert_eq!(swept, [".recovery-stage-0123456789ab", "sources.recovery-0123456789ab"]);
    assert!(world.path("other.recovery-0123456789ab/file").exists());
    assert_eq!(
        world.traces(),
        [
            ".recovery-before-20260201_000000",
            ".recovery-stage-mine",
            "sources.before-20260201_000000",
            "sources.recovery-notes"
        ]
    );
}

#[test]
fn a_sweep_leaves_what_an_unfinished_switch_needs() {
    for manner in [Manner::Whole, Manner::Contents] {
        let Changed { world, archive, old, new, _mounted } = changed(manner);
        let staged = world.stage(&archive);
        let switch = staged.switch(AT).unwrap();
        staged.release();
        let last = if manner == Manner::Whole { "retire" } else { "move in" };
        let before_last = |step| if step == last { Err(io::Error::other("cut off here")) } else { Ok(()) };
        switch.carry_out(&before_last).unwrap_err();
        let include = std::slice::from_ref(&world.include);
        assert_eq!(sweep(include, std::slice::from_ref(&switch)), Vec::<String>::new());
        switch.carry_out(DONE).unwrap();
        assert_eq!(tree(world.source()), new);
        switch.keeps().switch(LATER).unwrap().carry_out(DONE).unwrap();
        assert_eq!(tree(world.source()), old, "{manner:?}");
    }
}

#[test]
fn an_archive_that_cannot_be_staged_leaves_nothing() {
    let Changed { world, archive, old, _mounted, .. } = changed(Manner::Contents);
    let full = world.source().join("filler");
    fs::write(&full, vec![0; 15 << 20]).unwrap();
    world.write("more", "");
    let place = Place::find(&world.include, &world.path("backups")).unwrap();
    let mut stage = Stage::begin(place, OperationId::new()).unwrap();
    let entry = super::entry::Entry {
        path: b"large".to_vec(),
        what: super::entry::What::File { size: 8 << 20, data: None },
        mode: 0o644,
        uid: 0,
        gid: 0,
        seconds: 0,
        nanoseconds: 0,
    };
    stage.entry(&entry, &mut io::repeat(b'x').take(8 << 20)).unwrap_err();
    let problem = recovery_core::Problem::from(stage.failure().unwrap());
    assert_eq!(problem.code, recovery_core::ErrorCode::InsufficientStorage, "{problem:?}");
    drop(stage);
    assert_eq!(world.traces(), Vec::<String>::new());
    for name in ["filler", "more"] {
        fs::remove_file(world.source().join(name)).unwrap();
    }
    assert_eq!(tree(world.source()), old);
    assert!(archive.exists());
}
