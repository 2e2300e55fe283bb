//! What goes into an archive comes out of it as it was.

use std::{
    ffi::OsStr,
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, chown, symlink},
    time::{Duration, SystemTime},
};

use super::*;

/// Names and things that have broken other programs.
fn odd(world: &World) {
    let root = world.source();
    let name = |bytes: &[u8]| root.join(OsStr::from_bytes(bytes));
    for odd in [
        &b"a\nline"[..],
        b"-rf",
        b"..foo",
        b"...",
        b" blank ",
        b"back\\slash",
        b"not \xff\xfe UTF-8",
        b"carriage\rreturn",
        b"quote'\"`$(x)",
        "größe 😀".as_bytes(),
        &[b'n'; 255],
    ] {
        fs::write(name(odd), odd).unwrap();
    }
    fs::create_dir(name(b"empty")).unwrap();
    fs::create_dir(name(b"Z")).unwrap();
    fs::write(name(b"Z.txt"), b"sorts between Z and what is in it").unwrap();
    fs::write(name(b"Z/inside"), b"").unwrap();
    let deep = root.join("deep").join("d".repeat(90)).join("e".repeat(200)).join("f".repeat(250));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "deep").unwrap();
    symlink("/etc/passwd", name(b"out")).unwrap();
    symlink("nowhere", name(b"dangling")).unwrap();
    symlink("l".repeat(300), name(b"long link")).unwrap();
    symlink(OsStr::from_bytes(b"\xff\n"), name(b"odd link")).unwrap();
    symlink("..", name(b"up")).unwrap();
    fs::write(name(b"twice"), b"one file, two names").unwrap();
    fs::hard_link(name(b"twice"), name(b"twice again")).unwrap();
    fs::write(name(b"set"), b"").unwrap();
    chown(name(b"set"), Some(4_000_000_000), Some(3_000_000)).unwrap();
    fs::set_permissions(name(b"set"), fs::Permissions::from_mode(0o6751)).unwrap();
    chown(name(b"empty"), Some(1234), Some(1235)).unwrap();
    fs::set_permissions(name(b"empty"), fs::Permissions::from_mode(0o1555)).unwrap();
    std::os::unix::fs::lchown(name(b"dangling"), Some(1234), Some(1235)).unwrap();
    let old = File::create(name(b"before 1970")).unwrap();
    old.set_modified(SystemTime::UNIX_EPOCH - Duration::new(1, 250_000_000)).unwrap();
    let new = File::create(name(b"after 2300")).unwrap();
    new.set_modified(SystemTime::UNIX_EPOCH + Duration::new(10_500_000_000, 7)).unwrap();
}

#[test]
fn odd_names_links_owners_and_times_come_back() {
    let world = World::new();
    odd(&world);
    let before = tree(world.source());
    let (archive, manifest) = world.pack();
    assert_eq!(manifest.warnings, Vec::<String>::new());
    assert_eq!(manifest.format_version, Manifest::WITH_FILES);
    assert_eq!(manifest.files[0].entries, before.len() as u64);

    for path in [world.source().join("set"), world.source().join("empty")] {
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
    }
    world.write("new", "was not in the backup");
    let staged = world.stage(&archive);
    let switch = staged.switch(datetime!(2026-02-01 00:00:00 UTC)).unwrap();
    switch.carry_out(&|_| Ok(())).unwrap();
    staged.release();
    assert_eq!(tree(world.source()), before);
    let hard_link = fs::metadata(world.source().join("twice")).unwrap();
    assert_eq!(hard_link.nlink(), 1, "several names are several files");
    assert_eq!(world.traces(), ["sources.before-20260201_000000"]);
    assert!(world.path("sources.before-20260201_000000/new").exists());
}

#[test]
fn tar_and_sha256sum_are_enough_for_an_operator() {
    let world = World::new();
    odd(&world);
    let sparse = File::create(world.source().join("sparse")).unwrap();
    sparse.write_all_at(b"data", 8 << 20).unwrap();
    sparse.set_len(16 << 20).unwrap();
    let before = tree(world.source());
    let (archive, _) = world.pack();
    let out = world.path("out");
    fs::create_dir(&out).unwrap();
    let arguments =
        ["--warning=no-timestamp".as_ref(), "--numeric-owner".as_ref(), "-xpf".as_ref(), archive.as_os_str()];
    assert_eq!(run("tar", &arguments, &out), (true, String::new()));
    assert_eq!(tree(&out.join("files/sources")), before);
    let unpacked = fs::metadata(out.join("files/sources/sparse")).unwrap();
    assert!(unpacked.blocks() * 512 < 4 << 20, "tar has kept the holes");
    let check = |list: &str| {
        let (good, said) = run("sha256sum", &["--check".as_ref(), "--quiet".as_ref(), list.as_ref()], &out);
        assert!(good && said.is_empty(), "{said}");
    };
    check("SHA256SUMS");
    check("files/sources.sha256");
    let files = before.values().filter(|what| !what.contains("->") && !what.contains("directory")).count();
    let listed = fs::read(out.join("files/sources.sha256")).unwrap();
    assert_eq!(listed.split(|byte| *byte == b'\n').count() - 1, files - 1, "all but the one with holes");
}

#[test]
fn a_file_of_holes_takes_no_room_anywhere() {
    let world = World::new();
    let path = world.source().join("sparse");
    let file = File::create(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    file.write_all_at(b"in the middle", 500 << 20).unwrap();
    File::create(world.source().join("hole")).unwrap().set_len(1 << 30).unwrap();
    let at_the_end = File::create(world.source().join("tail")).unwrap();
    at_the_end.write_all_at(b"end", 100 << 20).unwrap();
    let (archive, manifest) = world.pack();
    assert!(fs::metadata(&archive).unwrap().len() < 1 << 20, "holes are not stored");
    assert!(manifest.files[0].bytes < 1 << 20);

    let staged = world.stage(&archive);
    let switch = staged.switch(datetime!(2026-02-01 00:00:00 UTC)).unwrap();
    switch.carry_out(&|_| Ok(())).unwrap();
    staged.release();
    for (name, size, at, expected) in [
        ("sparse", 1 << 30, 500 << 20, &b"in the middle"[..]),
        ("hole", 1 << 30, 7, &[0; 3]),
        ("tail", (100 << 20) + 3, 100 << 20, b"end"),
    ] {
        let file = File::open(world.source().join(name)).unwrap();
        let data = file.metadata().unwrap();
        assert_eq!(data.len(), size, "{name}");
        assert!(data.blocks() * 512 < 1 << 20, "{name} is restored with its holes");
        let mut found = vec![0; expected.len()];
        file.read_exact_at(&mut found, at).unwrap();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn what_is_no_file_is_left_out_and_named() {
    let world = World::new();
    world.write("file", "stays");
    let _socket = std::os::unix::net::UnixListener::bind(world.source().join("socket")).unwrap();
    assert!(run("mkfifo", &["pipe".as_ref()], world.source()).0);
    let (_, manifest) = world.pack();
    assert_eq!(
        manifest.warnings,
        [
            "sources: \"pipe\" is a named pipe, and is left out",
            "sources: \"socket\" is a socket, and is left out"
        ]
    );
    assert_eq!((manifest.files[0].files, manifest.files[0].entries), (1, 2));
}

#[test]
fn what_is_mounted_inside_is_left_out_and_named() {
    let world = World::new();
    world.write("inner/hidden by the mount", "");
    let _mounted = Mounted::tmpfs(&world.source().join("inner"));
    world.write("inner/on the mount", "");
    let (_, manifest) = world.pack();
    assert_eq!(manifest.warnings.len(), 1);
    assert!(manifest.warnings[0].contains("\"inner\" is a mount point"), "{:?}", manifest.warnings);
    assert_eq!(manifest.files[0].entries, 2, "the directory and the mount point, empty");
}

#[test]
fn a_link_to_the_directory_is_followed_once_and_others_never() {
    let world = World::new();
    world.write("a", "1");
    let link = world.path("link");
    symlink(world.source(), &link).unwrap();
    symlink("/", world.source().join("root")).unwrap();
    let include = IncludedDirectory { name: "sources".parse().unwrap(), path: link };
    let (_, manifest) = world.pack_from(&[Source::open(include.clone()).unwrap()]);
    assert_eq!((manifest.files[0].files, manifest.files[0].entries), (1, 3));
    let place = Place::find(&include, &world.path("backups")).unwrap();
    assert_eq!(place.target, world.source());
}

#[test]
fn what_restores_have_left_at_the_top_is_no_part_of_a_backup() {
    let world = World::new();
    world.write(".recovery-before-20260101_000000/old", "");
    world.write(".recovery-stage-0123456789ab/new", "");
    world.write("in/.recovery-before-20260101_000000/mine", "");
    let (_, manifest) = world.pack();
    assert_eq!(manifest.files[0].entries, 4);
}

#[test]
fn many_files_do_not_make_the_manifest_grow() {
    let world = World::new();
    for directory in 0..20 {
        let path = world.source().join(directory.to_string());
        fs::create_dir(&path).unwrap();
        for file in 0..150 {
            fs::OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(path.join(file.to_string()))
                .unwrap();
        }
    }
    let (archive, manifest) = world.pack();
    assert_eq!(manifest.files[0].files, 3000);
    assert!(serde_json::to_vec(&manifest).unwrap().len() < 10_000, "a manifest does not grow with files");
    read(&archive, &()).unwrap();
}
