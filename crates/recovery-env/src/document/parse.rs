//! From bytes to statements, as the reader of Compose goes through them.

use std::ops::Range;

use super::{
    ParseError, ParseErrorKind,
    escape::{quoted, unescape},
    expand::Values,
    text::{find, first_char, is_inner_space, leading, trim_end},
    write::Room,
};

/// The mark that some editors put before a text in UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One statement of a file.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    /// The name, as Compose reads it.
    pub(super) key: Range<usize>,
    /// Where its value stands; `None` for a name alone, which takes its value from the environment of Compose.
    pub(super) place: Option<Place>,
}

/// Where a value stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The value with its quotes. Empty, right after the separator, where there is none.
    pub(super) range: Range<usize>,
    /// What follows on its line.
    pub(super) room: Room,
}

/// Everything that a file says.
pub(super) struct Parsed {
    pub(super) statements: Vec<Statement>,
    pub(super) values: Values,
}

/// Reads a file.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ParseError> {
    let begin = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let mut parser = Parser { bytes, at: begin, values: Values::new() };
    let mut statements = Vec::new();
    while parser.skip_to_statement() {
        let begun = parser.at;
        let statement =
            parser.statement().map_err(|kind| ParseError { kind, line: line_of(bytes, begun) })?;
        statements.push(statement);
    }
    Ok(Parsed { statements, values: parser.values })
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Values,
}

impl Parser<'_> {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Goes over white space and comments; whether something is left.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            self.at += leading(self.rest(), char::is_whitespace);
            match self.rest().first() {
                None => return false,
                Some(b'#') => self.at += line_length(self.rest()),
                Some(_) => return true,
            }
        }
    }

    fn statement(&mut self) -> Result<Statement, ParseErrorKind> {
        self.skip_export();
        let begin = self.at;
        // A name at the very end, with no line end after it, is to Compose a value without a name.
        let (length, separator) = name(self.rest())?.ok_or(ParseErrorKind::NoName)?;
        let key = trimmed(self.bytes, begin..begin + length);
        if self.bytes.get(key.clone()).unwrap_or_default().contains(&b' ') {
            return Err(ParseErrorKind::Name);
        }
        let after = begin + length + 1;
        self.at = after + leading(self.bytes.get(after..).unwrap_or_default(), is_inner_space);
        if separator == b'\n' {
            return Ok(Statement { key, place: None });
        }
        if key.is_empty() {
            return Err(ParseErrorKind::NoName);
        }
        let place = self.value(&key, after)?;
        Ok(Statement { key, place: Some(place) })
    }

    /// Takes the word `export` away, with the spaces after it.
    fn skip_export(&mut self) {
        const EXPORT: &[u8] = b"export";
        let Some(after) = self.rest().strip_prefix(EXPORT) else { return };
        if after.first().is_some_and(|byte| matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')) {
            self.at += EXPORT.len() + leading(after, is_inner_space);
        }
    }

    /// Reads the value that begins here, and keeps it.
    fn value(&mut self, key: &Range<usize>, after_separator: usize) -> Result<Place, ParseErrorKind> {
        let begin = self.at;
        let (value, range) = match self.rest().first() {
            Some(quote @ (b'"' | b'\'')) => {
                let quoted = quoted(self.rest()).ok_or(ParseErrorKind::Quote)?;
                let value =
                    if *quote == b'"' { self.values.expand(&unescape(&quoted.text))? } else { quoted.text };
                self.at = begin + quoted.length;
                (value, begin..self.at)
            }
            _ => {
                let length = line_length(self.rest());
                let line = self.rest().get(..length).unwrap_or_default();
                let line = line.get(..find(line, b" #").unwrap_or(length)).unwrap_or_default();
                let (text, at) = (trim_end(line).to_vec(), begin + length);
                let range = begin..begin + text.len();
                let value = self.values.expand(&text)?;
                self.at = at;
                // White space before the end of the line counts for nothing, a carriage return included.
                (value, if range.is_empty() { after_separator..after_separator } else { range })
            }
        };
        if value.contains(&0) {
            return Err(ParseErrorKind::Nul);
        }
        let key = self.bytes.get(key.clone()).unwrap_or_default();
        self.values.insert(key, value);
        let behind = self.bytes.get(range.end..).unwrap_or_default();
        let behind = behind.get(..line_length(behind)).unwrap_or_default();
        Ok(Place { range, room: room(behind) })
    }
}

/// How long the name at the beginning is, and the byte that ends it; `None` where nothing does.
fn name(bytes: &[u8]) -> Result<Option<(usize, u8)>, ParseErrorKind> {
    let mut at = 0;
    while let Some((c, length)) = bytes.get(at..).and_then(first_char) {
        match c {
            '=' => return Ok(Some((at, b'='))),
            ':' => return Ok(Some((at, b':'))),
            '\n' => return Ok(Some((at, b'\n'))),
            '_' | '.' | '-' | '[' | ']' => {}
            c if is_inner_space(c) || c.is_alphabetic() || c.is_numeric() => {}
            _ => return Err(ParseErrorKind::Name),
        }
        at += length;
    }
    Ok(None)
}

/// What the rest of a line leaves to the value before it.
fn room(behind: &[u8]) -> Room {
    let behind = trim_end(behind);
    let spaces = leading(behind, is_inner_space);
    match behind.get(spaces..) {
        None | Some([]) => Room::Alone,
        Some([b'#', ..]) if behind.get(..spaces).unwrap_or_default().ends_with(b" ") => Room::Comment,
        Some(_) => Room::Shared,
    }
}

/// How many bytes stand before the end of the line.
fn line_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())
}

/// The range without the white space at its end.
fn trimmed(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let length = trim_end(bytes.get(range.clone()).unwrap_or_default()).len();
    range.start..range.start + length
}

/// The number of the line that a byte is on, from 1.
fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + bytes.get(..at).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count()
}
