//! Compose itself says what stands in a `.env`: what our own reading must agree with, byte for byte.

mod compose;
mod generated;
mod soup;

use std::fmt::Write as _;

use recovery_env::{EnvDocument, EnvKey};

use self::compose::{Reading, read_as_project, read_many};

/// What our own reading says of a file.
fn ours(bytes: &[u8]) -> Option<Reading> {
    let document = EnvDocument::parse(bytes.to_vec()).ok()?;
    let keys: Vec<EnvKey> = document.keys().cloned().collect();
    Some(keys.iter().map(|key| (key.to_string(), document.get(key).unwrap())).collect())
}

/// Each line of what is known of Compose's reader, each as the `.env` of a project.
#[test]
fn the_env_of_a_project_is_read_alike() {
    let cases: &[&str] = &[
        "A=x # n",
        "A=x#n",
        "A= # n",
        "A=pa$word",
        "A=pa$$w",
        "A='pa$w'",
        "A=bcrypt$2b$12$abc",
        "A=${}",
        "A=\"open\nB=1",
        "A='open",
        r"A='it\'s'",
        "A=it's",
        r#"A="a\nb""#,
        r"A=a\nb",
        "export A=1",
        "export\tA=1",
        "exportA=1\nexport =2\nexport=3",
        "A: 1",
        "A=1\r\nB=2\r\n",
        "\u{feff}A=1",
        "A=1\nA=2",
        "A",
        "A\nB=1",
        "B=1\nA",
        "A=${B}\nB=2",
        "B=2\nA=${B}",
        "A=\r\nB=x",
        "A B=1",
        "A\tB=1",
        "A # n",
        "A='x'B=1",
        "A='x' B='y'#c\nA=z",
        "A=\"x\r\ny\"",
        "A=\u{a0}x\u{a0}\u{85}",
        "A=\u{3000}x\u{3000}",
        "=x\nA=1",
        "export A",
        "A=x\0y",
        "# x\0\nA=1",
        ":x\nA=1",
        "A=${B:-d}",
        "A=${B:?d}",
        "A=${B?}",
        "B=\nA=${B?d}${B:+x}${B+y}${B-z}${B:-z}",
        "A=${B:-${C:-$D}e}f}g",
        "A=${B:-x\n}",
        "A=\"${B:-x\ny}\"",
        "A=$\nB=$1\nC=a$",
        "A=1\nB=$A$A-$Ab-${A}b",
        "A=1\nB=\\$A\nC=\"\\$A\"\nD='\\$A'\nE=\"\\\\$A\"",
        "\u{17f}=1\nA=$\u{17f}",
        r#"A="\a\b\c\f\t\v\q\'\"\\n""#,
        r#"A="\0123\0377\0777\0\012\08""#,
        "A.B=1\nC-D=2\nE[0]=3",
        "ä=1\nA=$ä",
        "1A=1\nA=2",
        "A+B=1",
        "# A=1\n#\n  # A=2\nB=3 #",
        "A==x\nB=:y",
        "A=x \t\nB=\ty",
        "A=1;B=2",
        "A=${A}x\nA=${A}y",
    ];
    let mut wrong = String::new();
    for (case, theirs) in cases.iter().zip(read_as_project(cases)) {
        let ours = ours(case.as_bytes());
        if ours != theirs {
            let _ = writeln!(wrong, "{case:?}\n  Compose: {theirs:?}\n  ours:    {ours:?}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Both ways in which the tests ask Compose are one.
#[test]
fn a_file_of_a_service_is_read_as_that_of_the_project() {
    let cases = ["A=x # n\nB=\"${A}\\n\"\nC='pa$w'\nD=$$\nE\n", "\u{feff}export A: 1\r\nA=2 #\r\n"];
    let many = read_many(&cases.map(str::as_bytes)).unwrap();
    let one_by_one: Vec<Reading> = read_as_project(&cases).into_iter().flatten().collect();
    assert_eq!(many, one_by_one);
}
