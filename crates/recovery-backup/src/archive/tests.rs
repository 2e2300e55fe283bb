//! Archives as they are written, read back, and found out when they are altered.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use recovery_core::{
    BackupKind, BackupName,
    database::{DatabaseProfile, LocaleProvider, PostgresVersion, RowCounts},
};
use time::macros::datetime;

use super::*;
use crate::work::Meter;

const FILES: [(&str, &[u8]); 4] = [
    ("toc.dat", b"PGDMP and a table of contents"),
    ("3101.dat.gz", b""),
    ("3102.dat.gz", b""),
    ("blobs.toc", b""),
];

fn manifest() -> Manifest {
    let created_at = datetime!(2026-01-31 23:59:59 UTC);
    Manifest {
        format_version: Manifest::PLAIN,
        filename: BackupName::new(BackupKind::Manual, created_at, 1),
        kind: BackupKind::Manual,
        created_at,
        dumped_at: created_at,
        recovery_version: "0.1.0".into(),
        server_version: PostgresVersion(150_018),
        client_version: PostgresVersion(150_018),
        database: "nova".parse().unwrap(),
        profile: DatabaseProfile {
            owner: "nova".into(),
            encoding: "UTF8".into(),
            locale_provider: LocaleProvider::Libc,
            collate: "C".into(),
            ctype: "C".into(),
            locale: None,
            icu_rules: None,
            connection_limit: -1,
            tablespace: "pg_default".into(),
            comment: None,
            settings: Vec::new(),
            privileges: None,
        },
        extensions: [("plpgsql".to_owned(), "1.0".to_owned())].into(),
        roles: vec!["nova".into()],
        schema_version: None,
        database_size_bytes: 8_000_000,
        rows: RowCounts::default(),
        members: Vec::new(),
        files: Vec::new(),
        redis: Vec::new(),
        warnings: Vec::new(),
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A directory with an archive of a plausible dump in it.
fn archive() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join(DATABASE)).unwrap();
    let mut manifest = manifest();
    for (name, contents) in FILES {
        let contents =
            if name.ends_with(".gz") { gzip(&name.repeat(3000).into_bytes()) } else { contents.to_vec() };
        let path = format!("{DATABASE}/{name}");
        fs::write(directory.path().join(&path), &contents).unwrap();
        manifest.members.push(Member { path, size: contents.len() as u64, sha256: String::new() });
    }
    let target = directory.path().join("archive.tar");
    write_archive(&target, directory.path(), directory.path(), &mut manifest, &[], &Meter::default())
        .unwrap();
    (directory, target)
}

fn read(path: &Path, visitor: &Extract) -> Result<Manifest, Flaw> {
    ArchiveReader::open(fs::File::open(path)?)?.read_to_end(visitor, &Meter::default())
}

fn check(path: &Path) -> Result<Manifest, Flaw> {
    read(path, &Extract { into: PathBuf::new(), only: |_| false, decode: true, inflate: None })
}

/// Reads an archive that was changed, and says how it was found out.
fn flaw_after(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let (_directory, path) = archive();
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    check(&path).unwrap_err().to_string()
}

#[test]
fn what_was_packed_is_what_is_unpacked() {
    let (_directory, path) = archive();
    let into = tempfile::tempdir().unwrap();
    let manifest =
        read(&path, &Extract { into: into.path().into(), only: |_| true, decode: true, inflate: None })
            .unwrap();
    assert_eq!(manifest.members.len(), FILES.len());
    for (name, contents) in FILES {
        let mut unpacked = fs::read(into.path().join(DATABASE).join(name)).unwrap();
        if name.ends_with(".gz") {
            let compressed = std::mem::take(&mut unpacked);
            flate2::read::GzDecoder::new(&*compressed).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, name.repeat(3000).into_bytes());
        } else {
            assert_eq!(unpacked, contents);
        }
    }
}

#[test]
fn compressed_files_are_inflated_where_there_is_room() {
    let (_directory, path) = archive();
    let into = tempfile::tempdir().unwrap();
    let size = FILES
        .iter()
        .filter(|(name, _)| name.ends_with(".gz"))
        .map(|(name, _)| name.len() * 3000)
        .sum::<usize>();
    let inflate = |into: &Path, room: usize| {
        let room = Room::new(room as u64);
        let extract =
            Extract { into: into.into(), only: |_| true, decode: false, inflate: Some(Arc::clone(&room)) };
        (read(&path, &extract).map(drop), room)
    };
    let (inflated, room) = inflate(into.path(), size);
    inflated.unwrap();
    assert!(!room.is_exceeded());
    for (name, contents) in FILES {
        let expected = match name.strip_suffix(".gz") {
            Some(_) => name.repeat(3000).into_bytes(),
            None => contents.to_vec(),
        };
        let name = name.strip_suffix(".gz").unwrap_or(name);
        assert!(fs::read(into.path().join(DATABASE).join(name)).unwrap() == expected, "{name}");
    }

    let into = tempfile::tempdir().unwrap();
    let (refused, room) = inflate(into.path(), size - 1);
    assert!(matches!(refused, Err(Flaw::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull));
    assert!(room.is_exceeded());
}

#[test]
fn what_is_inflated_is_proven_as_well() {
    let (_directory, path) = archive();
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(37) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        let into = tempfile::tempdir().unwrap();
        let room = Some(Room::new(u64::MAX));
        let extract = Extract { into: into.path().into(), only: |_| true, decode: false, inflate: room };
        let found = read(&path, &extract);
        assert!(matches!(found, Err(Flaw::Damaged(_) | Flaw::UnknownFormat(_))), "{at}: {found:?}");
    }
}

#[test]
fn packing_takes_the_dump_s_files_away() {
    let (directory, _path) = archive();
    assert_eq!(fs::read_dir(directory.path().join(DATABASE)).unwrap().count(), 0);
}

#[test]
fn an_operator_can_use_an_archive_with_tar_and_sha256sum() {
    let (_directory, path) = archive();
    let names: Vec<String> = tar::Archive::new(fs::File::open(&path).unwrap())
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(names.first().unwrap(), Manifest::MEMBER);
    assert_eq!(names.last().unwrap(), SUMS);
    let into = tempfile::tempdir().unwrap();
    tar::Archive::new(fs::File::open(&path).unwrap()).unpack(into.path()).unwrap();
    for line in fs::read_to_string(into.path().join(SUMS)).unwrap().lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        use sha2::Digest;
        assert_eq!(hex(sha2::Sha256::digest(fs::read(into.path().join(name)).unwrap())), sum, "{name}");
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let (_directory, path) = archive();
    let good = fs::read(&path).unwrap();
    assert!(check(&path).is_ok());
    // Every byte of an archive means something, the headers, the padding and the end included.
    for index in (0..good.len()).step_by(7).chain(good.len() - 1024..good.len()) {
        let mut bytes = good.clone();
        bytes[index] ^= 1 << (index % 8);
        fs::write(&path, bytes).unwrap();
        let flaw = check(&path).expect_err(&format!("byte {index} of {}", good.len()));
        assert!(matches!(flaw, Flaw::Damaged(_) | Flaw::UnknownFormat(_)), "byte {index}: {flaw}");
    }
}

#[test]
fn every_truncation_is_found() {
    let (_directory, path) = archive();
    let good = fs::read(&path).unwrap();
    for length in (0..good.len()).step_by(97).chain([good.len() - 1, good.len() - 512, good.len() - 1024]) {
        fs::write(&path, &good[..length]).unwrap();
        assert!(matches!(check(&path), Err(Flaw::Damaged(_))), "{length} of {}", good.len());
    }
}

#[test]
fn what_follows_the_end_is_found() {
    assert!(flaw_after(|bytes| bytes.push(0)).contains("its manifest accounts for"));
}

#[test]
fn an_archive_without_a_manifest_is_told() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(2);
    builder.append_data(&mut header, "database/toc.dat", &b"{}"[..]).unwrap();
    let other = builder.into_inner().unwrap();
    assert_eq!(flaw_after(|bytes| *bytes = other), "it does not begin with a manifest");
    assert_eq!(
        flaw_after(|bytes| *bytes = b"not a tar at all".repeat(64)),
        "it does not begin with a manifest"
    );
    assert_eq!(flaw_after(Vec::clear), "it ends in the middle of its first block");
}

/// Replaces the first member by a manifest that was changed in JSON, with a right header.
fn with_manifest(change: impl FnOnce(&mut Manifest)) -> String {
    flaw_after(|bytes| {
        let size = tar::Header::from_byte_slice(&bytes[..512]).entry_size().unwrap();
        let end = usize::try_from(512 + size).unwrap();
        let mut manifest: Manifest = serde_json::from_slice(&bytes[512..end]).unwrap();
        change(&mut manifest);
        let json = serde_json::to_vec_pretty(&manifest).unwrap();
        let mut new = header(Manifest::MEMBER, json.len() as u64, manifest.created_at).unwrap().to_vec();
        new.extend(&json);
        new.resize(new.len().next_multiple_of(512), 0);
        new.extend(&bytes[end.next_multiple_of(512)..]);
        *bytes = new;
    })
}

#[test]
fn members_that_lead_elsewhere_are_refused() {
    for path in [
        "../evil",
        "/etc/passwd",
        "database/../../evil",
        "database/a/b",
        "database",
        "database/",
        "other/x",
        "",
    ] {
        let flaw = with_manifest(|manifest| manifest.members[0].path = path.to_owned());
        assert!(flaw.contains("names a member that may not be there"), "{path}: {flaw}");
    }
}

#[test]
fn members_that_would_be_unpacked_over_each_other_are_refused() {
    for again in ["", ".gz"] {
        let flaw = with_manifest(|manifest| {
            let member = manifest.members[0].clone();
            manifest.members.push(Member { path: format!("{}{again}", member.path), ..member });
        });
        assert!(flaw.contains("names a member twice"), "{again}: {flaw}");
    }
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_read() {
    for size in [u64::MAX, u64::MAX / 2, 1 << 62, 1 << 40] {
        let flaw = with_manifest(|manifest| manifest.members[1].size = size);
        assert!(flaw.contains("impossible sizes") || flaw.contains("accounts for"), "{size}: {flaw}");
    }
    let flaw = flaw_after(|bytes| {
        let mut header = tar::Header::from_byte_slice(&bytes[..512]).clone();
        header.set_size(1 << 50);
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
    });
    assert_eq!(flaw, "its manifest claims an impossible size");
}

#[test]
fn a_link_in_place_of_a_member_is_refused() {
    for kind in
        [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Directory, tar::EntryType::Char]
    {
        let flaw = flaw_after(|bytes| {
            let at = bytes.windows(16).position(|window| window == b"database/toc.dat").unwrap();
            // The first hit is in the manifest's JSON; headers begin at multiples of a block.
            let at = (at..bytes.len() - 16)
                .find(|i| i % 512 == 0 && bytes[*i..].starts_with(b"database/toc.dat"))
                .unwrap();
            let mut header = tar::Header::from_byte_slice(&bytes[at..at + 512]).clone();
            header.set_entry_type(kind);
            header.set_cksum();
            bytes[at..at + 512].copy_from_slice(header.as_bytes());
        });
        assert!(flaw.contains("is not where the manifest says"), "{kind:?}: {flaw}");
    }
}

#[test]
fn a_manifest_of_a_newer_format_is_told_from_a_damaged_one() {
    assert!(with_manifest(|manifest| manifest.format_version = 4).contains("format version is 4"));
}

#[test]
fn a_changed_manifest_is_found_by_its_own_checksum() {
    let flaw = with_manifest(|manifest| manifest.database_size_bytes = 9_000_000);
    assert!(flaw.contains("do not agree"), "{flaw}");
}

#[test]
fn a_dump_file_that_does_not_decode_is_found_even_with_a_right_hash() {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in
        [("1.dat.gz", &gzip(b"cut off")[..12]), ("2.dat.zst", b"not zstd at all"), ("toc.dat", b"PGNO")]
    {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        let decoded = decode_to_end(
            &format!("{DATABASE}/{name}"),
            &mut fs::File::open(&path).unwrap(),
            &mut std::io::sink(),
        );
        assert!(matches!(decoded, Err(Flaw::Damaged(_))), "{name}");
    }
}

#[test]
fn a_dump_file_that_changes_while_it_is_packed_is_found() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join(DATABASE)).unwrap();
    fs::write(directory.path().join("database/toc.dat"), b"longer than it was").unwrap();
    let mut manifest = manifest();
    manifest.members.push(Member { path: "database/toc.dat".into(), size: 5, sha256: String::new() });
    let target = directory.path().join("archive.tar");
    let written =
        write_archive(&target, directory.path(), directory.path(), &mut manifest, &[], &Meter::default());
    assert!(matches!(written, Err(WriteError::Changed(path)) if path == "database/toc.dat"));
}
