use recovery_core::keys::{DumpedKey, RedisKey};

use super::*;
use crate::archive::Flaw;

const PATH: &str = "redis/db3.resp";

fn dumped(key: &[u8], payload: &[u8], expires_at_ms: Option<u64>) -> DumpedKey {
    DumpedKey { key: RedisKey(key.to_vec()), payload: payload.to_vec(), expires_at_ms }
}

fn written(keys: &[DumpedKey]) -> Vec<u8> {
    let mut out = Vec::new();
    keys.iter().for_each(|key| write_restore(&mut out, key).unwrap());
    out
}

fn keys() -> Vec<DumpedKey> {
    vec![
        dumped(b"plain", b"\x00\x03abc\x0b\x00", None),
        dumped(b"", b"", Some(1)),
        dumped(
            b"any\r\n\0\xff bytes",
            b"\r\n$7\r\nREPLACE\r\n*1\r\n$8\r\nFLUSHALL\r\n",
            Some(1_900_000_000_123),
        ),
    ]
}

#[test]
fn keys_are_read_as_they_were_written_and_an_operator_can_send_them() {
    assert_eq!(
        String::from_utf8(written(&[dumped(b"a", b"xy", Some(12))])).unwrap(),
        "*6\r\n$7\r\nRESTORE\r\n$1\r\na\r\n$2\r\n12\r\n$2\r\nxy\r\n$7\r\nREPLACE\r\n$6\r\nABSTTL\r\n"
    );
    let bytes = written(&keys());
    let mut commands = Commands::of_archive(PATH, bytes.as_slice());
    for key in keys() {
        assert_eq!(commands.next().unwrap(), Some(Command::Restore(key)));
    }
    assert_eq!(commands.next().unwrap(), None);
    check(PATH, 3, &mut bytes.as_slice()).unwrap();
}

#[test]
fn another_number_of_keys_is_found() {
    let bytes = written(&keys());
    for count in [0, 2, 4, u64::MAX] {
        assert!(
            matches!(check(PATH, count, &mut bytes.as_slice()), Err(Flaw::Damaged(why)) if why.contains("3 keys"))
        );
    }
}

#[test]
fn every_cut_but_one_between_two_commands_is_found() {
    let bytes = written(&keys());
    let ends = [1, 2, 3].map(|count| written(&keys()[..count]).len());
    for length in 1..=bytes.len() {
        let mut commands = Commands::of_archive(PATH, &bytes[..length]);
        let read = loop {
            match commands.skip() {
                Ok(true) => {}
                other => break other,
            }
        };
        assert_eq!(read.is_ok(), ends.contains(&length), "{length}");
    }
}

#[test]
fn nothing_but_commands_that_restore_keys_is_accepted() {
    let good = String::from_utf8(written(&[dumped(b"key", b"xy", Some(12))])).unwrap();
    let alterations: &[(&str, &str)] = &[
        ("RESTORE", "restore"),
        ("$7\r\nRESTORE", "$8\r\nFLUSHALL"),
        ("*6", "*5"),
        ("*6", "*06"),
        ("$3", "$03"),
        ("$3", "$+3"),
        ("$3", "$-1"),
        ("$3", "$"),
        ("$3", "$4"),
        ("$3", "$99999999999"),
        ("$3", "$536870913"),
        ("$2\r\n12", "$2\r\n-1"),
        ("$2\r\n12", "$2\r\n01"),
        ("$2\r\n12", "$2\r\n1x"),
        ("$2\r\n12", "$0\r\n"),
        ("$2\r\n12", "$19\r\n9223372036854775808"),
        ("$2\r\n12", "$20\r\n18446744073709551616"),
        ("REPLACE", "replace"),
        ("$6\r\nABSTTL\r\n", ""),
        ("$6\r\nABSTTL\r\n", "$6\r\nABSTTL\n"),
        ("*6", "\r\n*6"),
        ("*6", "FLUSHALL\r\n*6"),
        ("*6", "*1\r\n$8\r\nFLUSHALL\r\n*6"),
        ("*6", "*2\r\n$6\r\nUNLINK\r\n$1\r\na\r\n*6"),
        ("*6", "*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$3\r\ndir\r\n$4\r\n/etc\r\n*6"),
    ];
    for (from, to) in alterations {
        let altered = good.replacen(from, to, 1);
        assert_ne!(altered, good, "{from}");
        let whole = check(PATH, 1, &mut altered.as_bytes());
        assert!(
            matches!(&whole, Err(Flaw::Damaged(why)) if why.contains("something else")),
            "{altered:?}: {whole:?}"
        );
        let followed = check(PATH, 2, &mut format!("{good}{altered}").as_bytes());
        assert!(matches!(followed, Err(Flaw::Damaged(_))), "{altered:?}");
    }
}

#[test]
fn what_was_saved_may_say_that_a_key_was_not_there() {
    let mut bytes = written(&keys()[..1]);
    write_unlink(&mut bytes, &RedisKey(b"gone".to_vec())).unwrap();
    let mut commands = Commands::of_saved(PATH, bytes.as_slice());
    assert_eq!(commands.next().unwrap(), Some(Command::Restore(keys().remove(0))));
    assert_eq!(commands.next().unwrap(), Some(Command::Unlink(RedisKey(b"gone".to_vec()))));
    assert_eq!(commands.next().unwrap(), None);
}

#[test]
fn a_key_that_no_server_would_take_back_is_not_written() {
    let late = dumped(b"a", b"", Some(u64::MAX));
    assert!(write_restore(&mut Vec::new(), &late).is_err());
}
