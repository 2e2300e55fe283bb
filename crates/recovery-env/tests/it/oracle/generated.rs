//! A thousand files such as people write, and changes of them.

use std::collections::{BTreeMap, BTreeSet};

use recovery_env::{EnvDocument, EnvKey};

use super::{
    compose::{Reading, read_as_project, read_many},
    ours,
};

/// Numbers that are the same in each run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Names that are in use; the first ones are those that Compose can be asked for one by one.
const KEYS: &[&str] =
    &["A", "B", "C", "D", "E", "AB", "HF_TOKEN", "LOG_LEVEL", "VLLM_MODEL", "_X", "a", "COMPOSE_PROFILES"];

/// What values are made of.
const BITS: &[&str] = &[
    "x",
    "info",
    "0.9",
    "Qwen/Qwen3-8B",
    "http://ollama:11434",
    "a b",
    " ",
    "#",
    " #",
    "'",
    "\"",
    "\\",
    "\\n",
    "\\\\",
    "$",
    "$A",
    "${A}",
    "${",
    "}",
    "$$",
    "=",
    ":",
    "&",
    "|",
    ";",
    "`",
    "*",
    "!",
    "%",
    "\t",
    "ü",
    "漢字",
    "🦀",
    "\u{a0}",
    "{\"a\":1}",
    "export ",
    "\\'",
    "\\\"",
    "\\$",
    "-",
    "@",
    "~",
    "(",
    ")",
    "<",
    ">",
    "?",
    ",",
    "\u{85}",
    "\u{7f}",
    "\u{1}",
];

fn value(random: &mut Random, with_lines: bool) -> String {
    let mut value: String = (0..random.below(6)).map(|_| random.of(BITS)).collect();
    if with_lines && random.chance(10) {
        value.push('\n');
        value.push_str(random.of(BITS));
    }
    value
}

/// A file, in pieces.
#[derive(Clone, Default)]
struct File {
    pieces: Vec<Piece>,
    line_end: &'static str,
}

#[derive(Clone)]
enum Piece {
    Fixed(Vec<u8>),
    /// The text of the value of a variable, quotes included.
    Value(String, String),
}

impl File {
    fn generate(random: &mut Random) -> Self {
        let mut file = Self { pieces: Vec::new(), line_end: if random.chance(25) { "\r\n" } else { "\n" } };
        if random.chance(10) {
            file.fixed("\u{feff}");
        }
        for _ in 0..1 + random.below(12) {
            file.line(random);
        }
        if random.chance(80) {
            file.fixed(file.line_end);
        }
        file
    }

    fn fixed(&mut self, text: impl AsRef<[u8]>) {
        self.pieces.push(Piece::Fixed(text.as_ref().to_vec()));
    }

    fn line(&mut self, random: &mut Random) {
        if !matches!(self.pieces.as_slice(), [] | [Piece::Fixed(_)]) || self.bytes().len() > 3 {
            self.fixed(self.line_end);
        }
        let key = random.of(KEYS);
        match random.below(10) {
            0 => {}
            1 => self.fixed(format!("{}# {key}=\"${{", random.of(&["", "  ", "#"]))),
            2 => self.fixed(b"# Gr\xfc\xdfe, in an old encoding: 'x".as_slice()),
            3 if random.chance(50) => self.fixed(format!("{key}{}", self.line_end)),
            _ => self.assignment(random, key),
        }
    }

    fn assignment(&mut self, random: &mut Random, key: &str) {
        let before = random.of(&["", "", "", "export ", "  ", "\t"]);
        let separator = random.of(&["=", "=", "=", " = ", "= ", ": "]);
        let (text, after) = match random.below(6) {
            // As in Compose's own files: bare, with or without a comment.
            0 | 1 => (
                random.of(&["x", "info", "0.9", "a b", "x#y", "it's", "$$1", "${A}-${B:-d}"]).to_string(),
                "",
            ),
            2 => (random.of(&["x", "a b", "$A"]).to_string(), random.of(&[" # n", "  # it's", " #", "   "])),
            3 => {
                let inner = value(random, true).replace(['\'', '\\'], "");
                (format!("'{inner}'"), random.of(&["", " # n", "# n", " "]))
            }
            4 => {
                let inner: String = value(random, true).replace(['"', '\\', '$'], "");
                (
                    format!("\"{inner}{}\"", random.of(&["", "\\n", "\\$x", "$A", "\\\""])),
                    random.of(&["", " # n"]),
                )
            }
            _ => (String::new(), random.of(&["", "  "])),
        };
        // Nothing at all stands right after the separator.
        let separator = if text.is_empty() { separator.trim_end() } else { separator };
        self.fixed(format!("{before}{key}{separator}"));
        self.pieces.push(Piece::Value(key.to_owned(), text));
        self.fixed(after);
    }

    fn bytes(&self) -> Vec<u8> {
        bytes_of(&self.pieces)
    }

    /// Changes a variable with the document under test, and makes sure that nothing but its text has changed.
    fn change(&mut self, key: &str, value: &str) {
        let mut document = EnvDocument::parse(self.bytes()).unwrap();
        let name: EnvKey = key.parse().unwrap();
        document.set(&name, value).unwrap_or_else(|error| panic!("{value:?}: {error} in {self}"));
        let at = self.make_room(key);
        let (before, after) = (bytes_of(&self.pieces[..at]), bytes_of(&self.pieces[at + 1..]));
        let changed = document.bytes();
        let fits = changed.starts_with(&before)
            && changed.ends_with(&after)
            && changed.len() >= before.len() + after.len();
        assert!(fits, "{key}={value:?} in {self}\nbecame {:?}", String::from_utf8_lossy(changed));
        let text = String::from_utf8(changed[before.len()..changed.len() - after.len()].to_vec()).unwrap();
        self.pieces[at] = Piece::Value(key.to_owned(), text);
    }

    /// Where the value of a variable stands that counts, or has to stand.
    fn make_room(&mut self, key: &str) -> usize {
        let value = || Piece::Value(key.to_owned(), String::new());
        let assigned = |piece: &Piece| matches!(piece, Piece::Value(of, _) if of == key);
        if let Some(at) = self.pieces.iter().rposition(assigned) {
            return at;
        }
        let alone =
            |piece: &Piece| matches!(piece, Piece::Fixed(bytes) if bytes.trim_ascii() == key.as_bytes());
        if let Some(at) = self.pieces.iter().rposition(alone) {
            let line_end = bytes_of(&self.pieces[at..=at])[key.len()..].to_vec();
            let line = [Piece::Fixed(format!("{key}=").into_bytes()), value(), Piece::Fixed(line_end)];
            self.pieces.splice(at..=at, line);
            return at + 1;
        }
        let bytes = self.bytes();
        let line_end = last_line_end(&bytes);
        if !bytes.is_empty() && bytes != b"\xef\xbb\xbf" && !bytes.ends_with(b"\n") {
            self.fixed(line_end);
        }
        self.fixed(format!("{key}="));
        self.pieces.push(value());
        self.fixed(line_end);
        self.pieces.len() - 2
    }

    /// The variables whose values depend on others.
    fn dependent(&self) -> BTreeSet<String> {
        let values = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Value(key, text) if text.contains('$') => Some(key.clone()),
            _ => None,
        });
        values.collect()
    }
}

impl std::fmt::Display for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.bytes()))
    }
}

fn bytes_of(pieces: &[Piece]) -> Vec<u8> {
    let bytes = |piece: &Piece| match piece {
        Piece::Fixed(bytes) => bytes.clone(),
        Piece::Value(_, text) => text.clone().into_bytes(),
    };
    pieces.iter().flat_map(bytes).collect()
}

fn last_line_end(bytes: &[u8]) -> &'static str {
    let last = bytes.iter().rposition(|byte| *byte == b'\n');
    if last.is_some_and(|at| at > 0 && bytes[at - 1] == b'\r') { "\r\n" } else { "\n" }
}

#[test]
fn a_thousand_files_and_their_changes_are_read_as_they_are_meant() {
    let (mut before, mut after, mut meant) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..1000 {
        let mut random = Random::new(seed + 1);
        let mut file = File::generate(&mut random);
        before.push(file.clone());
        let mut changes = BTreeMap::new();
        for _ in 0..1 + random.below(4) {
            let (key, value) = (random.of(KEYS), value(&mut random, true));
            file.change(key, &value);
            changes.insert(key.to_owned(), value);
        }
        meant.push(changes);
        after.push(file);
    }
    let files: Vec<Vec<u8>> = before.iter().chain(&after).map(File::bytes).collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let theirs = read_many(&files).unwrap_or_else(|error| panic!("Compose refuses what we read: {error:?}"));
    for ((bytes, file), theirs) in files.iter().zip(before.iter().chain(&after)).zip(&theirs) {
        assert_eq!(ours(bytes).as_ref(), Some(theirs), "{file}");
    }
    let (theirs_before, theirs_after) = theirs.split_at(before.len());
    for index in 0..before.len() {
        let (was, is) = (&theirs_before[index], &theirs_after[index]);
        check(&before[index], &after[index], &meant[index], was, is);
    }
}

/// The variables that were changed have the values that were meant, and no other has changed.
fn check(before: &File, after: &File, meant: &BTreeMap<String, String>, was: &Reading, is: &Reading) {
    for (key, value) in meant {
        assert_eq!(is.get(key), Some(value), "{key} in {after}");
    }
    let may_differ = before.dependent();
    for (key, value) in was.iter().filter(|(key, _)| !meant.contains_key(*key) && !may_differ.contains(*key))
    {
        assert_eq!(is.get(key), Some(value), "{key} of {before} in {after}");
    }
    assert!(is.keys().all(|key| was.contains_key(key) || meant.contains_key(key)), "{after}");
}

/// Some of them as the `.env` of a project, which is how they are used.
#[test]
fn changed_files_are_read_as_they_are_meant_by_a_project() {
    let mut cases = Vec::new();
    for seed in 0..80 {
        let mut random = Random::new(seed + 100_001);
        let mut file = File::generate(&mut random);
        let (key, value) = (KEYS[random.below(8)], value(&mut random, false));
        file.change(key, &value);
        // Compose is given text; the bytes of old encodings stand in comments alone.
        cases.push((String::from_utf8_lossy(&file.bytes()).into_owned(), key, value));
    }
    let texts: Vec<&str> = cases.iter().map(|(text, ..)| text.as_str()).collect();
    for ((text, key, value), theirs) in cases.iter().zip(read_as_project(&texts)) {
        assert_eq!(theirs.as_ref().and_then(|theirs| theirs.get(*key)), Some(value), "{key} in {text:?}");
    }
}
