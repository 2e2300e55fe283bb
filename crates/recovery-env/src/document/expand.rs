//! `$NAME` and `${NAME:-default}` in values, as Compose replaces them.

use std::collections::HashMap;

use super::{ParseErrorKind, text::first_char};

/// How deep defaults may stand in defaults.
const DEEPEST: usize = 50;

/// What has been assigned so far, and how much may still come of it: a few lines that double each other would fill
/// any memory.
pub(super) struct Values {
    known: HashMap<Vec<u8>, Vec<u8>>,
    budget: usize,
}

impl Values {
    /// The most that all values together may be, in bytes.
    pub(super) const LARGEST: usize = 16 * 1024 * 1024;

    pub(super) fn new() -> Self {
        Self { known: HashMap::new(), budget: Self::LARGEST }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.known.get(key).map(Vec::as_slice)
    }

    pub(super) fn insert(&mut self, key: &[u8], value: Vec<u8>) {
        self.known.insert(key.to_vec(), value);
    }

    /// The value with everything replaced in it.
    pub(super) fn expand(&mut self, value: &[u8]) -> Result<Vec<u8>, ParseErrorKind> {
        let mut out = Vec::with_capacity(value.len());
        self.expand_into(value, 0, &mut out)?;
        Ok(out)
    }

    fn expand_into(&mut self, value: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), ParseErrorKind> {
        if depth > DEEPEST {
            return Err(ParseErrorKind::TooDeep);
        }
        let mut at = 0;
        let mut braces = Braces::default();
        while let Some(rest) = value.get(at..).filter(|rest| !rest.is_empty()) {
            let literal = rest.iter().position(|byte| *byte == b'$').unwrap_or(rest.len());
            self.emit(rest.get(..literal).unwrap_or_default(), out)?;
            at += literal;
            let Some(after) = value.get(at + 1..) else { break };
            at += match after.first() {
                Some(b'$') => {
                    self.emit(b"$", out)?;
                    2
                }
                Some(b'{') => self.expand_braced(value, at, depth, &mut braces, out)?,
                _ => match name_length(after) {
                    0 => {
                        self.emit(b"$", out)?;
                        1
                    }
                    length => {
                        self.emit_variable(after.get(..length).unwrap_or_default(), out)?;
                        1 + length
                    }
                },
            };
        }
        Ok(())
    }

    /// Replaces the `${…}` at `at`, and says how long it is.
    fn expand_braced(
        &mut self,
        value: &[u8],
        at: usize,
        depth: usize,
        braces: &mut Braces,
        out: &mut Vec<u8>,
    ) -> Result<usize, ParseErrorKind> {
        let begin = at + 2;
        let inner = value.get(begin..).unwrap_or_default();
        let length = name_length(inner);
        let name = inner.get(..length).filter(|name| !name.is_empty()).ok_or(ParseErrorKind::Substitution)?;
        let (operator, strict) = match (inner.get(length), inner.get(length + 1)) {
            (Some(b'}'), _) => {
                self.emit_variable(name, out)?;
                return Ok(2 + length + 1);
            }
            (Some(b':'), Some(operator @ (b'-' | b'+' | b'?'))) => (*operator, true),
            (Some(operator @ (b'-' | b'+' | b'?')), _) => (*operator, false),
            _ => return Err(ParseErrorKind::Substitution),
        };
        let word_begin = begin + length + 1 + usize::from(strict);
        let last = braces.last_on_line(value, word_begin).ok_or(ParseErrorKind::Substitution)?;
        let whole = value.get(at..=last).unwrap_or_default();
        let end = closing(whole).map_or(last, |closing| at + closing);
        let word = value.get(word_begin..end).unwrap_or_default();

        let known = self.get(name).filter(|value| !(strict && value.is_empty())).is_some();
        // Compose looks into the word also where it is not used.
        let mut replaced = Vec::new();
        self.expand_into(word, depth + 1, &mut replaced)?;
        match (operator, known) {
            (b'-', false) | (b'+', true) => out.append(&mut replaced),
            (b'?', false) => return Err(ParseErrorKind::Required),
            _ => self.emit_variable(name, out)?,
        }
        Ok(end + 1 - at)
    }

    fn emit_variable(&mut self, name: &[u8], out: &mut Vec<u8>) -> Result<(), ParseErrorKind> {
        let Some(value) = self.known.get(name) else { return Ok(()) };
        self.budget = self.budget.checked_sub(value.len()).ok_or(ParseErrorKind::TooLarge)?;
        out.extend_from_slice(value);
        Ok(())
    }

    fn emit(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ParseErrorKind> {
        self.budget = self.budget.checked_sub(bytes.len()).ok_or(ParseErrorKind::TooLarge)?;
        out.extend_from_slice(bytes);
        Ok(())
    }
}

/// How long the name at the beginning is. Compose's names know no case, and two letters beyond ASCII are, without
/// their case, an `s` and a `k`.
fn name_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some((c, length)) = bytes.get(at..).and_then(first_char) {
        let letter = c.is_ascii_alphabetic() || matches!(c, '_' | '\u{17f}' | '\u{212a}');
        if !(letter || (at > 0 && c.is_ascii_digit())) {
            break;
        }
        at += length;
    }
    at
}

/// Where the last closing brace of a line is. It is remembered, since a line of a thousand expressions has one.
#[derive(Default)]
struct Braces {
    line_end: usize,
    last: Option<usize>,
}

impl Braces {
    /// The last one at `from` or after it.
    fn last_on_line(&mut self, value: &[u8], from: usize) -> Option<usize> {
        if from >= self.line_end {
            let line = value.get(from..).unwrap_or_default();
            let length = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
            self.line_end = from + length;
            let line = line.get(..length).unwrap_or_default();
            self.last = line.iter().rposition(|byte| *byte == b'}').map(|at| from + at);
        }
        self.last.filter(|last| *last >= from)
    }
}

/// Where the brace is that closes the first one. Compose does not look at the byte after an opening brace.
fn closing(bytes: &[u8]) -> Option<usize> {
    let mut open = 0_i64;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'}' => {
                open -= 1;
                if open == 0 {
                    return Some(at);
                }
            }
            b'{' => {
                open += 1;
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(value: &str) -> Result<String, ParseErrorKind> {
        let mut values = Values::new();
        values.insert(b"A", b"a".to_vec());
        values.insert(b"EMPTY", Vec::new());
        values.expand(value.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn what_is_replaced() {
        for (value, expect) in [
            ("x", "x"),
            ("$", "$"),
            ("a$", "a$"),
            ("$$", "$"),
            ("$$A", "$A"),
            ("$1", "$1"),
            ("$A$A", "aa"),
            ("$Ab", ""),
            ("$A-b", "a-b"),
            ("${A}", "a"),
            ("${B}", ""),
            ("${B-x}", "x"),
            ("${EMPTY-x}", ""),
            ("${EMPTY:-x}", "x"),
            ("${A:-x}", "a"),
            ("${A+x}", "x"),
            ("${EMPTY:+x}", ""),
            ("${B+x}", ""),
            ("${A?x}", "a"),
            ("${B:-${A}}", "a"),
            ("${B:-${C:-$A}}z", "az"),
            ("${B:-x}-${B:-y}", "x-y"),
            ("${A:-x}}", "a}"),
            ("${B:-{}}", "{}"),
        ] {
            assert_eq!(expand(value), Ok(expect.to_owned()), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_replaced() {
        for (value, expect) in [
            ("${}", ParseErrorKind::Substitution),
            ("${A", ParseErrorKind::Substitution),
            ("${A:}", ParseErrorKind::Substitution),
            ("${A:-x", ParseErrorKind::Substitution),
            ("${A:-x\n}", ParseErrorKind::Substitution),
            ("${1}", ParseErrorKind::Substitution),
            ("${A:-${}}", ParseErrorKind::Substitution),
            ("${B?}", ParseErrorKind::Required),
            ("${EMPTY:?x}", ParseErrorKind::Required),
        ] {
            assert_eq!(expand(value), Err(expect), "{value}");
        }
    }

    #[test]
    fn a_hostile_value_costs_neither_stack_nor_memory_nor_time() {
        let deep = format!("{}x{}", "${B:-".repeat(100_000), "}".repeat(100_000));
        assert_eq!(expand(&deep), Err(ParseErrorKind::TooDeep));

        let mut values = Values::new();
        values.insert(b"A", vec![b'x'; 1024]);
        let grown = (0..64).try_for_each(|_| {
            let doubled = values.expand(b"$A$A")?;
            values.insert(b"A", doubled);
            Ok(())
        });
        assert_eq!(grown, Err(ParseErrorKind::TooLarge));

        let began = std::time::Instant::now();
        assert_eq!(expand(&"${B:-y}".repeat(140_000)), Ok("y".repeat(140_000)));
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
