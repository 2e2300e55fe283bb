//! Archives of the earlier service that are damaged or were made to do harm: refused with the reason, and nothing is
//! touched.

use std::{fs, io::Read};

use recovery_core::{ErrorCode, Problem, Verification, VerifyLevel, port::Unwatched};

use crate::{
    fixture::{DATABASE, Fixture},
    legacy::{dump, gzip, name, tar},
};

/// Tries to restore and to verify what is in the file; both must say why not, and nothing may change.
async fn check_refused(fixture: &Fixture, bytes: &[u8], code: ErrorCode, words: &str) {
    fs::write(fixture.path(&name()), bytes).unwrap();
    let (before, files) = (fixture.server.pg_dump_text(DATABASE), fixture.files());
    let problem = Problem::from(fixture.restore(&name()).await.unwrap_err());
    assert_eq!(problem.code, code, "{words}: {problem:?}");
    assert!(problem.detail.contains(words), "{words}: {problem:?}");
    assert!(problem.hint.is_some(), "{problem:?}");
    fixture.assert_untouched(&before, &files);
    if code == ErrorCode::BackupDamaged {
        let report = fixture.backups.verify(&name(), VerifyLevel::Contents, &Unwatched::new()).await.unwrap();
        assert_eq!(report.verification, Verification::Failed, "{words}");
        assert!(report.problems[0].contains(words), "{words}: {report:?}");
    }
}

fn entry(kind: tar::EntryType, path: &[u8], link: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path);
    header.set_entry_type(kind);
    if !link.is_empty() {
        header.set_link_name_literal(link).unwrap();
    }
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_old_archives_are_refused() {
    use tar::EntryType as T;
    let fixture = Fixture::small();
    let script = dump(&fixture.server, &[]);
    let good = tar(&[("database.sql", &script)]);
    let content = &good[..good.len().div_ceil(512) * 512];
    // The members end where the zeros begin.
    let end = content.len() - content.iter().rev().take_while(|byte| **byte == 0).count();
    let members = &content[..end.next_multiple_of(512)];
    let with = |header: &tar::Header| {
        let bytes = [members, header.as_bytes(), &[0; 1024]].concat();
        gzip(&bytes)
    };
    let damaged = ErrorCode::BackupDamaged;
    for (header, words) in [
        (entry(T::Regular, b"../evil", "", 0), "leads elsewhere"),
        (entry(T::Regular, b"/etc/evil", "", 0), "leads elsewhere"),
        (entry(T::Regular, b"sources/../../evil", "", 0), "leads elsewhere"),
        (entry(T::Regular, b"./database.sql", "", 0), "holds database.sql twice"),
        (entry(T::GNUSparse, b"sources/sparse", "", 0), "something that is no file"),
        (entry(T::Regular, b"sources/large", "", 1 << 40), "impossible size"),
        (entry(T::XHeader, b"x", "", 1 << 33), "impossible size"),
        (entry(T::GNULongName, b"x", "", 1 << 33), "impossible size"),
        (entry(T::Directory, b"sources", "", 512), "claims contents"),
    ] {
        check_refused(&fixture, &with(&header), damaged, words).await;
    }
    let mut header = entry(T::Regular, b"sources/x", "", 0);
    header.as_mut_bytes()[0] = b'S';
    check_refused(&fixture, &with(&header), damaged, "no tar archive").await;

    let symlink = entry(T::Symlink, b"database.sql", "sources/x", 0);
    let linked = gzip(&[symlink.as_bytes().as_slice(), &[0; 1024]].concat());
    check_refused(&fixture, &linked, damaged, "database.sql is no plain file").await;
    check_refused(&fixture, &gzip(&tar(&[("other.sql", b"x")])), damaged, "no database.sql").await;
    check_refused(&fixture, &gzip(&[members, &[0; 512]].concat()), damaged, "the end of the tar").await;
    check_refused(&fixture, &gzip(members), damaged, "where a header should stand").await;
    let after = [&good, b"more".as_slice()].concat();
    check_refused(&fixture, &gzip(&after), damaged, "follows the end of its tar").await;

    let packed = gzip(&good);
    check_refused(&fixture, b"", damaged, "not compressed with gzip").await;
    check_refused(&fixture, b"not even gzip", damaged, "not compressed with gzip").await;
    check_refused(&fixture, &packed[..packed.len() - 1], damaged, "cut off").await;
    check_refused(&fixture, &packed[..packed.len() / 2], damaged, "cut off").await;
    check_refused(&fixture, &[&packed, b"x".as_slice()].concat(), damaged, "follows its gzip stream").await;
    check_refused(&fixture, &[packed.clone(), packed.clone()].concat(), damaged, "follows its gzip stream")
        .await;
    let mut flipped = packed.clone();
    let checksum = flipped.len() - 6;
    flipped[checksum] ^= 1;
    check_refused(&fixture, &flipped, damaged, "its checksum are wrong").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_in_an_old_archive_is_found() {
    let fixture = Fixture::small();
    let tar = tar(&[("database.sql", &dump(&fixture.server, &[]))]);
    let (packed, mut found) = (gzip(&tar), 0);
    for place in (10..packed.len()).step_by(packed.len() / 60) {
        let mut flipped = packed.clone();
        flipped[place] ^= 0x10;
        fs::write(fixture.path(&name()), &flipped).unwrap();
        let report = fixture.backups.verify(&name(), VerifyLevel::Hashes, &Unwatched::new()).await.unwrap();
        // A bit of a code that stands for nothing changes nothing.
        let mut unpacked = Vec::new();
        let read = flate2::read::GzDecoder::new(&*flipped).read_to_end(&mut unpacked);
        let is_same = read.is_ok() && unpacked == tar;
        let expect = if is_same { Verification::Verified } else { Verification::Failed };
        assert_eq!(report.verification, expect, "at {place}");
        found += usize::from(!is_same);
    }
    assert!(found > 50, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_and_broken_scripts_are_refused() {
    let fixture = Fixture::small();
    let script = String::from_utf8(dump(&fixture.server, &[])).unwrap();
    let evidence = fixture.directory.path().join("evidence");
    let evil = |line: &str| script.replacen("SET xmloption", &format!("{line}\nSET xmloption"), 1);
    let (damaged, incompatible) = (ErrorCode::BackupDamaged, ErrorCode::BackupIncompatible);
    let touch = format!("\\! touch {}", evidence.display());
    for (script, code, words) in [
        (evil(&touch), damaged, "holds a command of psql"),
        (evil("DROP DATABASE nova;"), damaged, "no dump of one database has: DROP DATABASE"),
        (evil("COPY t FROM PROGRAM 'id';"), damaged, "no dump of one database has: COPY T"),
        (evil("\\connect postgres"), damaged, "pg_dump --create"),
        (
            evil("CREATE TABLE public.t (j nonsense);"),
            incompatible,
            "(CREATE TABLE): type \"nonsense\" does not exist",
        ),
        (
            evil("DROP TABLE nonsense;")
                .replace("SET check_function_bodies = false;", "CREATE TABLE public.x ();"),
            incompatible,
            "(DROP TABLE): table \"nonsense\" does not exist",
        ),
        (
            evil("CREATE EXTENSION IF NOT EXISTS pgvectr;"),
            incompatible,
            "the server lacks the extension(s) pgvectr",
        ),
        (evil("SET client_encoding = 'LATIN1';"), incompatible, "the encoding LATIN1"),
        (evil("SET default_tablespace = nowhere;"), incompatible, "(SET): invalid value for parameter"),
        (evil("BEGIN;"), damaged, "within a transaction"),
        (
            script.replace("\n100\tuser 100\n", "\na secret\tuser 100\n"),
            incompatible,
            "(COPY): invalid input syntax for type integer: \"…\"",
        ),
        (
            script.replace("\n100\tuser 100\n", "\n100\tuser 100\n100\tuser 101\n"),
            incompatible,
            "could not create unique index",
        ),
        (script.replace("\n-- PostgreSQL database dump complete\n", "\n"), damaged, "cut off"),
        (script[..script.len() / 2].to_owned(), damaged, "cut off in the rows of public.messages"),
        (String::new(), damaged, "none that pg_dump has written"),
    ] {
        check_refused(&fixture, &gzip(&tar(&[("database.sql", script.as_bytes())])), code, words).await;
    }
    assert!(!evidence.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_cannot_reach_another_database_by_two_statements_in_one() {
    let fixture = Fixture::small();
    // To PostgreSQL a backslash ends nothing here, to a reader that believes the first line it would.
    let script = String::from_utf8(dump(&fixture.server, &[])).unwrap();
    let evil = "SET standard_conforming_strings = off;\nSET standard_conforming_strings = on;\n\
                COMMENT ON SCHEMA public IS 'x'; DROP DATABASE postgres;";
    let script = script.replacen("SET xmloption", &format!("{evil}\nSET xmloption"), 1);
    let bytes = gzip(&tar(&[("database.sql", script.as_bytes())]));
    check_refused(&fixture, &bytes, ErrorCode::BackupDamaged, "DROP DATABASE").await;
}
