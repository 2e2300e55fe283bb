//! Archives that were damaged, or made to do harm.

use std::os::unix::fs::symlink;

use sha2::{Digest, Sha256};

use super::{
    entry::{Entry, Extent, What},
    format::{head, read_head},
    *,
};
use crate::archive::{hex, padding};

#[test]
fn every_flipped_bit_is_found() {
    let world = World::new();
    world.write("a", "contents");
    world.write("long/".repeat(30).trim_end_matches('/'), "a path that needs an extended header");
    symlink("a", world.source().join("link")).unwrap();
    File::create(world.source().join("holes")).unwrap().set_len(1 << 20).unwrap();
    let (archive, _) = world.pack();
    let good = fs::read(&archive).unwrap();
    let region = good.windows(14).rposition(|window| window == b"files/sources/").unwrap();
    assert!(read(&archive, &()).is_ok());
    let places = (0..good.len()).step_by(211).chain((region.saturating_sub(8192)..region + 1024).step_by(37));
    for index in places.chain((good.len() - 1024..good.len()).step_by(61)) {
        let mut bytes = good.clone();
        bytes[index] ^= 1 << (index % 8);
        fs::write(&archive, bytes).unwrap();
        let flaw = read(&archive, &()).expect_err(&format!("byte {index} of {}", good.len()));
        assert!(matches!(flaw, Flaw::Damaged(_) | Flaw::UnknownFormat(_)), "byte {index}: {flaw}");
    }
    for length in (0..good.len()).step_by(1021) {
        fs::write(&archive, &good[..length]).unwrap();
        assert!(matches!(read(&archive, &()), Err(Flaw::Damaged(_))), "{length} of {}", good.len());
    }
}

fn entry(path: &str, what: What) -> Entry {
    Entry { path: path.into(), what, mode: 0o755, uid: 0, gid: 0, seconds: 0, nanoseconds: 0 }
}

fn directory(path: &str) -> Vec<u8> {
    head("files/sources", &entry(path, What::Directory))
}

fn link(path: &str, target: &str) -> Vec<u8> {
    head("files/sources", &entry(path, What::Link { target: target.into() }))
}

fn file(path: &str, contents: &str) -> Vec<u8> {
    let size = contents.len() as u64;
    let mut bytes = head("files/sources", &entry(path, What::File { size, data: None }));
    bytes.extend(contents.as_bytes());
    bytes.resize(bytes.len() + usize::try_from(padding(size)).unwrap(), 0);
    bytes
}

/// What is wrong with an archive whose hashes are right and whose files are these bytes.
fn flaw(region: &[u8]) -> String {
    let sink: &mut dyn Sink = &mut ();
    match read_entries("files/sources", &mut &region[..], sink) {
        Err(Flaw::Damaged(why)) => why,
        other => panic!("{other:?} is read from {} bytes, {}", region.len(), hex(Sha256::digest(region))),
    }
}

#[test]
fn nothing_is_written_through_a_link_twice_or_elsewhere() {
    let good = [directory(""), directory("a"), file("a/b", "x"), link("c", "/etc")].concat();
    assert_eq!(read_entries("files/sources", &mut &good[..], &mut ()).unwrap().entries, 4);
    for (name, bad) in [
        ("a file through a link", [directory(""), link("a", "/tmp"), file("a/evil", "x")].concat()),
        (
            "a link in place of a directory",
            [directory(""), directory("a"), link("a", "/tmp"), file("a/x", "")].concat(),
        ),
        ("a file twice", [directory(""), file("a", "1"), file("a", "2")].concat()),
        ("a directory that is not there", [directory(""), file("a/b", "x")].concat()),
        ("no directory at all", file("", "x")),
        ("nothing first", file("a", "x")),
    ] {
        assert!(flaw(&bad).contains("in a place of its own"), "{name}: {}", flaw(&bad));
    }
    for path in ["../evil", "a/../../evil", "..", ".", "a//b", "/etc/passwd", "a/./b", "a\0b"] {
        let bad = [directory(""), file(path, "x")].concat();
        assert!(flaw(&bad).contains("header of a file was altered"), "{path}: {}", flaw(&bad));
    }
}

#[test]
fn a_stage_writes_nothing_outside_of_itself_whatever_it_is_told() {
    let world = World::new();
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    let place = Place::find(&world.include, &world.path("backups")).unwrap();
    let mut stage = Stage::begin(place, OperationId::new()).unwrap();
    let mut put = |path: &str, what: What| {
        let size = if let What::File { size, .. } = &what { *size } else { 0 };
        stage.entry(&entry(path, what), &mut io::repeat(b'x').take(size))
    };
    let a_file = || What::File { size: 4, data: None };
    put("", What::Directory).unwrap();
    put("link", What::Link { target: outside.to_str().unwrap().into() }).unwrap();
    put("file", a_file()).unwrap();
    put("link/through", a_file()).unwrap_err();
    put("link", a_file()).unwrap_err();
    put("link", What::Directory).unwrap_err();
    put("file/below", a_file()).unwrap_err();
    put("file", a_file()).unwrap_err();
    for path in ["../outside/evil", "..", "a/../b", "/etc/evil", ".recovery-before-20260101_000000/x"] {
        put(path, a_file()).unwrap_err();
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    drop(stage);
    assert_eq!(world.traces(), Vec::<String>::new(), "what is not finished is removed");
}

#[test]
fn a_header_in_any_other_form_is_refused() {
    let plain = file("a", "x");
    let change = |change: &dyn Fn(&mut tar::Header)| {
        let mut bytes = plain.clone();
        let mut header = tar::Header::from_byte_slice(&bytes[..512]).clone();
        change(&mut header);
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        flaw(&[directory(""), bytes].concat())
    };
    for kind in [
        tar::EntryType::Link,
        tar::EntryType::Char,
        tar::EntryType::Block,
        tar::EntryType::Fifo,
        tar::EntryType::GNULongName,
        tar::EntryType::GNUSparse,
        tar::EntryType::XGlobalHeader,
    ] {
        assert!(change(&|header| header.set_entry_type(kind)).contains("altered"), "{kind:?}");
    }
    assert!(change(&|header| header.set_mode(0o100_644)).contains("altered"));
    assert!(change(&|header| header.set_size(1 << 30)).contains("in the middle"));
    assert!(change(&|header| header.set_username("root").unwrap()).contains("altered"));
    assert!(change(&|header| header.as_ustar_mut().unwrap().prefix[0] = b'x').contains("altered"));
}

#[test]
fn maps_of_holes_that_make_no_sense_are_refused() {
    let extent = |offset, length| Extent { offset, length };
    let round_trip = |size: u64, extents: Vec<Extent>| {
        let what = entry("holes", What::File { size, data: Some(extents) });
        let bytes = head("files/sources", &what);
        read_head("files/sources", &mut &bytes[..]).map(|read| read == what)
    };
    for (size, extents) in [
        (10, vec![]),
        (10, vec![extent(0, 5)]),
        (10, vec![extent(5, 5)]),
        (u64::MAX, vec![extent(1 << 40, 512), extent(1 << 50, 1)]),
    ] {
        assert!(round_trip(size, extents.clone()).unwrap(), "{size} {extents:?}");
    }
    for (size, extents) in [
        (10, vec![extent(0, 10)]),
        (0, vec![]),
        (10, vec![extent(5, 2), extent(1, 2)]),
        (10, vec![extent(1, 5), extent(3, 4)]),
        (10, vec![extent(1, 2), extent(3, 2)]),
        (10, vec![extent(5, 6)]),
        (10, vec![extent(1, 0), extent(3, 2)]),
    ] {
        assert!(matches!(round_trip(size, extents.clone()), Err(Flaw::Damaged(_))), "{size} {extents:?}");
    }
}

#[test]
fn a_manifest_that_does_not_fit_its_files_is_refused() {
    let world = World::new();
    world.write("a", "contents");
    let (archive, manifest) = world.pack();
    let check = |change: &dyn Fn(&mut Manifest), expect: &str| {
        let mut changed = manifest.clone();
        change(&mut changed);
        let good = fs::read(&archive).unwrap();
        let size = usize::try_from(tar::Header::from_byte_slice(&good[..512]).entry_size().unwrap()).unwrap();
        let mut json = serde_json::to_vec_pretty(&changed).unwrap();
        json.resize(size, b' ');
        let mut bytes = good;
        bytes[512..512 + size].copy_from_slice(&json);
        let path = world.path("backups/changed.tar");
        fs::write(&path, bytes).unwrap();
        let flaw = read(&path, &()).unwrap_err().to_string();
        assert!(flaw.contains(expect), "{flaw}");
    };
    check(&|manifest| manifest.format_version = Manifest::PLAIN, "not of the version");
    check(&|manifest| manifest.files.clear(), "not of the version");
    check(&|manifest| manifest.files.push(manifest.files[0].clone()), "in a way that cannot be");
    check(&|manifest| manifest.files[0].sums.path = "files/../x".into(), "in a way that cannot be");
    check(&|manifest| manifest.files[0].size += 1, "in a way that cannot be");
    check(&|manifest| manifest.files[0].size = u64::MAX - 511, "impossible sizes");
    check(&|manifest| manifest.files[0].files += 1, "does not hold what the manifest says");
    check(&|manifest| manifest.files[0].sha256 = "0".repeat(64), "has been altered");
    check(&|manifest| manifest.files[0].name = "other".parse().unwrap(), "in a way that cannot be");
}
