//! Archives that are not what they should be: refused with the reason, and nothing is touched.

use std::{fs, os::unix::fs::symlink};

use recovery_core::{BackupName, ErrorCode, Problem, Verification, VerifyLevel, port::Unwatched};

use crate::fixture::{DATABASE, Fixture};

/// Changes a good archive, tries to restore and to verify it, and checks that both say why not.
async fn check(change: impl FnOnce(&mut Vec<u8>), code: ErrorCode, words: &str) {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let mut bytes = fs::read(fixture.path(&name)).unwrap();
    change(&mut bytes);
    fs::write(fixture.path(&name), bytes).unwrap();
    refused(&fixture, &name, code, words).await;
    let report = fixture.backups.verify(&name, VerifyLevel::Contents, &Unwatched::new()).await;
    if code == ErrorCode::BackupDamaged {
        let report = report.unwrap();
        assert_eq!(report.verification, Verification::Failed);
        assert!(report.problems[0].contains(words), "{report:?}");
        assert_eq!(fixture.backups.find(&name).await.unwrap().verification, Verification::Failed);
    } else {
        assert_eq!(Problem::from(report.unwrap_err()).code, code);
    }
}

pub(crate) async fn refused(fixture: &Fixture, name: &BackupName, code: ErrorCode, words: &str) {
    let (dump, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    let problem = Problem::from(fixture.restore(name).await.unwrap_err());
    assert_eq!(problem.code, code, "{problem:?}");
    assert!(problem.detail.contains(words), "{problem:?}");
    assert!(problem.hint.is_some(), "{problem:?}");
    fixture.assert_untouched(&dump, &files);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_archive_is_refused() {
    check(|bytes| bytes.truncate(bytes.len() / 2), ErrorCode::BackupDamaged, "its manifest accounts for")
        .await;
    check(|bytes| bytes.truncate(700), ErrorCode::BackupDamaged, "its manifest claims an impossible size")
        .await;
    check(Vec::clear, ErrorCode::BackupDamaged, "ends in the middle of its first block").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_bit_in_any_member_is_refused() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let good = fs::read(fixture.path(&name)).unwrap();
    let (dump, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    let mut archive = tar::Archive::new(&*good);
    let members: Vec<(String, usize)> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let middle = entry.raw_file_position() + entry.size() / 2;
            (entry.path().unwrap().display().to_string(), usize::try_from(middle).unwrap())
        })
        .collect();
    assert!(members.len() > 4, "{members:?}");
    for (member, middle) in members {
        let mut bytes = good.clone();
        bytes[middle] ^= 0x10;
        fs::write(fixture.path(&name), bytes).unwrap();
        let problem = Problem::from(fixture.restore(&name).await.unwrap_err());
        assert_eq!(problem.code, ErrorCode::BackupDamaged, "{member}: {problem:?}");
    }
    fixture.assert_untouched(&dump, &files);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_without_a_manifest_is_refused() {
    let without = |bytes: &mut Vec<u8>| {
        let end = tar::Archive::new(bytes.as_slice())
            .entries()
            .unwrap()
            .nth(1)
            .unwrap()
            .unwrap()
            .raw_header_position();
        bytes.drain(..usize::try_from(end).unwrap());
    };
    check(without, ErrorCode::BackupDamaged, "does not begin with a manifest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_lead_elsewhere_are_refused() {
    for path in ["../../evil.dat.gz", "/tmp/evil.dat.gz"] {
        let change = |bytes: &mut Vec<u8>| replace_in_manifest(bytes, "database/toc.dat", path);
        check(change, ErrorCode::BackupDamaged, "names a member that may not be there").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_sizes_are_refused() {
    let change = |bytes: &mut Vec<u8>| {
        let header = tar::Header::from_byte_slice(&bytes[..512]);
        let json = &bytes[512..512 + usize::try_from(header.entry_size().unwrap()).unwrap()];
        let text = String::from_utf8(json.to_vec()).unwrap();
        let size = text.split("\"size\": ").nth(1).unwrap().split(',').next().unwrap().to_owned();
        replace_in_manifest(bytes, &format!("\"size\": {size}"), &format!("\"size\": {}", u64::MAX));
    };
    check(change, ErrorCode::BackupDamaged, "impossible sizes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_format_is_refused_as_such() {
    let change =
        |bytes: &mut Vec<u8>| replace_in_manifest(bytes, "\"format_version\": 1", "\"format_version\": 9");
    check(change, ErrorCode::BackupIncompatible, "format version is 9").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_archive_is_refused_with_its_own_name() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let other: BackupName = "nova-checkpoint-2031-01-01_00-00-00.tar".parse().unwrap();
    fs::rename(fixture.path(&name), fixture.path(&other)).unwrap();
    refused(&fixture, &other, ErrorCode::BackupDamaged, name.as_str()).await;
    let listed = fixture.backups.list().await.unwrap();
    assert_eq!(listed[0].verification, Verification::Failed);
    assert!(listed[0].problems[0].contains(name.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plain_file_is_no_backup() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let link: BackupName = "nova-backup-2031-01-01_00-00-00.tar".parse().unwrap();
    symlink(fixture.path(&name), fixture.path(&link)).unwrap();
    let directory: BackupName = "nova-backup-2032-01-01_00-00-00.tar".parse().unwrap();
    fs::create_dir(fixture.path(&directory)).unwrap();
    let absent: BackupName = "nova-backup-2033-01-01_00-00-00.tar".parse().unwrap();
    for other in [&link, &directory, &absent] {
        refused(&fixture, other, ErrorCode::NotFound, other.as_str()).await;
    }
    assert_eq!(fixture.backups.list().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_whose_rows_are_fewer_than_it_says_does_not_go_live() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let mut bytes = fs::read(fixture.path(&name)).unwrap();
    replace_in_manifest(&mut bytes, "\"public.users\": 100", "\"public.users\": 101");
    fix_checksum(&mut bytes);
    fs::write(fixture.path(&name), bytes).unwrap();
    refused(&fixture, &name, ErrorCode::BackupDamaged, "public.users has 100 rows instead of 101").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_the_server_lacks_is_told_before_anything_is_touched() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let mut bytes = fs::read(fixture.path(&name)).unwrap();
    replace_in_manifest(&mut bytes, "\"plpgsql\": \"1.0\"", "\"pgvectr\": \"1.0\"");
    fix_checksum(&mut bytes);
    fs::write(fixture.path(&name), bytes).unwrap();
    refused(&fixture, &name, ErrorCode::BackupIncompatible, "lacks the extension(s) pgvectr").await;
}

/// Replaces a text in the manifest and gives the member a right header; its checksum is then wrong.
pub(crate) fn replace_in_manifest(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let mut header = tar::Header::from_byte_slice(&bytes[..512]).clone();
    let size = usize::try_from(header.entry_size().unwrap()).unwrap();
    let text = String::from_utf8(bytes[512..512 + size].to_vec()).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    let text = text.replacen(from, to, 1);
    header.set_size(text.len() as u64);
    header.set_cksum();
    let mut changed = header.as_bytes().to_vec();
    changed.extend(text.as_bytes());
    changed.resize(changed.len().next_multiple_of(512), 0);
    changed.extend(&bytes[(512 + size).next_multiple_of(512)..]);
    *bytes = changed;
}

/// Puts the checksum of a changed manifest of the same length into `SHA256SUMS`, as somebody would who means it.
pub(crate) fn fix_checksum(bytes: &mut [u8]) {
    use sha2::{Digest, Sha256};
    let size = tar::Header::from_byte_slice(&bytes[..512]).entry_size().unwrap();
    let digest = Sha256::digest(&bytes[512..512 + usize::try_from(size).unwrap()]);
    let sum: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = b"  manifest.json\n";
    let at = bytes.windows(line.len()).rposition(|window| window == line).unwrap();
    bytes[at - 64..at].copy_from_slice(sum.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_claims_absurd_sizes_does_not_stop_backups() {
    let fixture = Fixture::small();
    let name = fixture.create().await.filename;
    let mut bytes = fs::read(fixture.path(&name)).unwrap();
    let header = tar::Header::from_byte_slice(&bytes[..512]);
    let size = usize::try_from(header.entry_size().unwrap()).unwrap();
    let text = String::from_utf8(bytes[512..512 + size].to_vec()).unwrap();
    let database_size =
        text.split("\"database_size_bytes\": ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    replace_in_manifest(
        &mut bytes,
        &format!("\"database_size_bytes\": {database_size}"),
        "\"database_size_bytes\": 1",
    );
    fix_checksum(&mut bytes);
    fs::write(fixture.path(&name), bytes).unwrap();
    // Only of a backup that was found good is the size of the next one guessed.
    let report = fixture.backups.verify(&name, VerifyLevel::Hashes, &Unwatched::new()).await.unwrap();
    assert_eq!(report.verification, Verification::Verified, "{report:?}");
    assert!(fixture.create().await.size_bytes > 0);
}
