use super::*;

fn parse(text: &str) -> EnvDocument {
    EnvDocument::parse(text.as_bytes().to_vec()).unwrap()
}

fn key(name: &str) -> EnvKey {
    name.parse().unwrap()
}

#[track_caller]
fn check_read(text: &str, value: Option<&str>) {
    assert_eq!(parse(text).get(&key("A")).as_deref(), value, "{text:?}");
}

#[test]
fn values_are_those_that_compose_reads() {
    for (text, value) in [
        ("A=x # n", "x"),
        ("A=x#n", "x#n"),
        ("A= # n", "# n"),
        ("A=pa$word", "pa"),
        ("A=pa$$w", "pa$w"),
        ("A='pa$w'", "pa$w"),
        ("A=bcrypt$2b$12$abc", "bcrypt$2b$12"),
        (r"A='it\'s'", "it's"),
        ("A=it's", "it's"),
        (r#"A="a\nb""#, "a\nb"),
        (r"A=a\nb", r"a\nb"),
        ("export A=1", "1"),
        ("A: 1", "1"),
        ("A=1\r\nB=2\r\n", "1"),
        ("\u{feff}A=1", "1"),
        ("A=1\nA=2", "2"),
        ("B=b\nA=${B}-${C}\nC=c", "b-"),
        ("A='x'B=1", "x"),
        ("A=\n", ""),
        ("  A  =  x  \n", "x"),
        ("A=\"two\nlines\"", "two\nlines"),
        ("# A=0\nA=1 # A=2", "1"),
    ] {
        check_read(text, Some(value));
    }
    for text in ["", "\u{feff}", "A\n", "# A=1", "export B=1", "B='A=1'"] {
        check_read(text, None);
    }
}

#[test]
fn what_compose_refuses_is_refused_with_its_line() {
    for (text, kind, line) in [
        ("\nA=${}", ParseErrorKind::Substitution, 2),
        ("A=1\nB=2\nC=\"x\nD=4", ParseErrorKind::Quote, 3),
        ("A='x", ParseErrorKind::Quote, 1),
        ("A B=1", ParseErrorKind::Name, 1),
        ("B=1\nA", ParseErrorKind::NoName, 2),
        ("B=1\n =x", ParseErrorKind::NoName, 2),
        ("A=x\0", ParseErrorKind::Nul, 1),
        ("A # n\n", ParseErrorKind::Name, 1),
        ("\"A\"=1", ParseErrorKind::Name, 1),
        ("A=${B:?no}", ParseErrorKind::Required, 1),
        ("A=1\r\n\r\n>=", ParseErrorKind::Name, 3),
    ] {
        let expect = ParseError { kind, line };
        assert_eq!(EnvDocument::parse(text.as_bytes().to_vec()).unwrap_err(), expect, "{text:?}");
    }
}

#[track_caller]
fn check_set(text: &str, value: &str, expect: &str) {
    let mut document = parse(text);
    document.set(&key("A"), value).unwrap();
    assert_eq!(String::from_utf8_lossy(document.bytes()), expect, "{text:?}");
    assert_eq!(document.get(&key("A")).as_deref(), Some(value), "{text:?}");
}

#[test]
fn a_change_leaves_everything_else_as_it_was() {
    for (text, value, expect) in [
        ("A=1", "2", "A=2"),
        ("A=1\n", "two words", "A='two words'\n"),
        ("A=1 # one\n", "2", "A=2 # one\n"),
        ("A=1 # one\n", "", "A='' # one\n"),
        ("A=1\t # one\n", "2", "A=2\t # one\n"),
        ("A='1'# one\n", "2", "A='2'# one\n"),
        ("A='1' B=3\n", "2", "A='2' B=3\n"),
        ("A='1'\t# one\n", "2", "A='2'\t# one\n"),
        ("A=\"1\nx\"\nB=3", "2", "A=2\nB=3"),
        ("A=1\r\nB=2\r\n", "", "A=\r\nB=2\r\n"),
        ("A=\r\nB=2\r\n", "1", "A=1\r\nB=2\r\n"),
        ("A=  \nB=2\n", "1", "A=1  \nB=2\n"),
        ("A: 1\n", "2", "A: 2\n"),
        ("  export A = 1 \n", "2", "  export A = 2 \n"),
        ("A=1\nA=2\n# A=3\n", "9", "A=1\nA=9\n# A=3\n"),
        ("A=${B}\n", "$B", "A='$B'\n"),
        ("A=1\nB=2\nA\n", "9", "A=9\nB=2\nA\n"),
        ("A\nB=2\n", "1", "A=1\nB=2\n"),
        ("", "1", "A=1\n"),
        ("\u{feff}", "1", "\u{feff}A=1\n"),
        ("\u{feff}A=0\r\n", "1", "\u{feff}A=1\r\n"),
        ("B=2", "1", "B=2\nA=1\n"),
        ("B=2\r\nC=3", "1", "B=2\r\nC=3\r\nA=1\r\n"),
        ("# end", "1", "# end\nA=1\n"),
        ("AA=1\nA_=2\n", "3", "AA=1\nA_=2\nA=3\n"),
    ] {
        check_set(text, value, expect);
    }
}

#[test]
fn a_value_that_is_there_already_changes_nothing() {
    for (text, value) in [("A=${B}x\n", "x"), ("A=\"1\" # n\n", "1"), ("A=0\nA='1'\n", "1")] {
        check_set(text, value, text);
    }
}

#[test]
fn bytes_that_are_no_text_stay_as_they_are() {
    let mut document = EnvDocument::parse(b"# gr\xfcn\nB=\xff\xfe\nA=1\n".to_vec()).unwrap();
    document.set(&key("A"), "2").unwrap();
    assert_eq!(document.bytes(), b"# gr\xfcn\nB=\xff\xfe\nA=2\n");
    assert_eq!(document.get(&key("B")).as_deref(), Some("\u{fffd}\u{fffd}"));
    assert!(EnvDocument::parse(b"B\xff=1\n".to_vec()).is_err());
}

#[test]
fn a_change_that_others_could_not_bear_is_refused() {
    let text = "A=1\nB=${A:?must be set}\n";
    let mut document = parse(text);
    let error = document.set(&key("A"), "").unwrap_err();
    assert_eq!(error, SetError::Unreadable(ParseError { kind: ParseErrorKind::Required, line: 2 }));
    assert_eq!(document.bytes(), text.as_bytes());
}

#[test]
fn a_large_file_is_read_and_changed_in_a_moment() {
    let mut text = "B='x y' # n\r\nC=${B}\r\n".repeat(40_000);
    text.push_str(&format!("D={}\r\nA=1", "y".repeat(1024 * 1024)));
    let began = std::time::Instant::now();
    let mut document = parse(&text);
    document.set(&key("A"), "2").unwrap();
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(document.bytes().len(), text.len());
    assert_eq!(document.get(&key("D")).map(|value| value.len()), Some(1024 * 1024));
}

#[test]
fn nothing_but_names_shows() {
    let debug = format!("{:?}", parse("HF_TOKEN=hunter2\nB=x"));
    assert_eq!(debug, r#"EnvDocument { keys: [EnvKey("HF_TOKEN"), EnvKey("B")], .. }"#);
}
