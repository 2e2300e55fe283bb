//! Files that nobody would write.

use super::{
    compose::{read_as_project, read_many},
    generated::Random,
    ours,
};

/// What they are made of.
const PIECES: &[&str] = &[
    "A", "B", "C", "A=", "B=", "C=", "A=", "B=", "=", ":", " ", " ", "\n", "\n", "\n", "\r\n", "#", " #",
    "'", "'", "\"", "\"", "\\", "$", "$$", "$A", "${A}", "${B:-", "${C-", "${A:+", "${B?", "}", "}", "{",
    "export ", "x", "y z", "\t", "\u{a0}", "\u{85}", "\u{3000}", "\u{17f}", "\\n", "\\0123", "\\\"", "\\'",
    "\\$", "[", ".", "-", "+", "1", "ü", "\u{feff}",
];

#[test]
fn what_nobody_would_write_is_read_alike() {
    let mut random = Random::new(0x5eed);
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    while accepted.len() < 2000 || refused.len() < 60 {
        let text: String = (0..random.below(16)).map(|_| random.of(PIECES)).collect();
        if ours(text.as_bytes()).is_some() { accepted.push(text) } else { refused.push(text) }
    }
    let files: Vec<&[u8]> = accepted.iter().map(|text| text.as_bytes()).collect();
    let theirs = read_many(&files).unwrap_or_else(|error| panic!("Compose refuses what we read: {error:?}"));
    for (text, theirs) in accepted.iter().zip(theirs) {
        assert_eq!(ours(text.as_bytes()), Some(theirs), "{text:?}");
    }
    let refused: Vec<&str> = refused.iter().take(60).map(String::as_str).collect();
    for (text, theirs) in refused.iter().zip(read_as_project(&refused)) {
        assert_eq!(theirs, None, "Compose reads what we refuse: {text:?}");
    }
}
