//! Cuts a script of `pg_dump` into statements and the rows between them, in bounded memory and wherever the input is
//! broken into chunks.
//!
//! It follows PostgreSQL's own lexer as `psql` does: quotes of every kind, nested comments, parentheses, and the bodies
//! of SQL functions, in which semicolons end nothing. Should the two ever differ, the server finds a broken statement
//! and says so; that two statements pass as one is impossible, because each is sent by a message that holds one only.

use super::{
    Kind, Statement, damaged,
    head::Head,
    header::{Header, psql_command},
    rows::Rows,
};
use crate::archive::Flaw;

/// The longest statement, in bytes. Rows are none: they are passed on as they come.
const MAX_STATEMENT: usize = 64 * 1024 * 1024;
/// How much of a comment is looked at.
const MAX_COMMENT: usize = 256;
/// How long a name or keyword can be.
const MAX_WORD: usize = 256;

/// What a script consists of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A whole statement. If it is a `COPY`, its rows follow.
    Statement(Statement),
    /// Some bytes of the rows of the last `COPY`.
    Rows(&'a [u8]),
    /// The end of these rows, and how many there were.
    RowsEnd(u64),
}

/// Takes the pieces.
pub(crate) type Sink<'a> = dyn FnMut(Piece<'_>) -> Result<(), Flaw> + 'a;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between tokens.
    Plain,
    /// In a name or keyword.
    Word,
    /// After a `-` or `/` that may begin a comment.
    Dash,
    Slash,
    LineComment,
    /// How deep, and the byte before.
    BlockComment(u32, u8),
    /// In a string; whether backslashes escape in it, and whether one just has.
    Quote {
        escapes: bool,
        escaped: bool,
    },
    /// After a quote that ends a string, unless another follows.
    QuoteEnd {
        escapes: bool,
    },
    /// In a quoted name, and after a quote that may end it.
    Name,
    NameEnd,
    /// In what may be the opening of a dollar quote.
    DollarTag,
    /// In a dollar quote: how much of the closing tag was just seen.
    Dollar(usize),
    /// In a command of psql.
    Meta,
    /// Between the semicolon of a `COPY` and its rows.
    CopyHead,
    /// In rows.
    Rows,
}

/// See the module.
pub(crate) struct Scanner {
    state: State,
    line: u64,
    /// The statement so far; empty between statements.
    text: Vec<u8>,
    began_at: u64,
    head: Head,
    /// The name, keyword, tag, comment or command that is being read.
    word: Vec<u8>,
    /// Whether the last string escaped, while only white space has followed, and whether a line has ended since: then
    /// a quote continues it.
    last_string: Option<bool>,
    line_ended: bool,
    /// `standard_conforming_strings = off`: backslashes escape in ordinary strings, too.
    backslashes: bool,
    in_transaction: bool,
    rows: Rows,
    table: String,
    header: Header,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Plain,
            line: 1,
            text: Vec::new(),
            began_at: 1,
            head: Head::default(),
            word: Vec::new(),
            last_string: None,
            line_ended: false,
            backslashes: false,
            in_transaction: false,
            rows: Rows::new(),
            table: String::new(),
            header: Header::default(),
        }
    }

    /// Reads on.
    pub(crate) fn push(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Flaw> {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            if self.state == State::Rows {
                rest = self.rows.read(rest, &mut self.line, sink)?.map_or(&[][..], |after| {
                    self.state = State::Plain;
                    after
                });
                continue;
            }
            // Some states end with a byte that belongs to what follows them.
            while !self.step(*byte, sink)? {}
            if *byte == b'\n' {
                self.line += 1;
                self.line_ended = true;
            }
            rest = after;
        }
        Ok(())
    }

    /// The script has ended. Fails where it ends in the middle of something or was not written to its end.
    pub(crate) fn finish(mut self) -> Result<Header, Flaw> {
        // Ends a last word or comment.
        self.push(b"\n", &mut |_| Ok(()))?;
        match self.state {
            State::Rows | State::CopyHead => {
                return damaged(format!("its script is cut off in the rows of {}", self.table));
            }
            State::Plain if self.text.is_empty() => {}
            _ => return damaged(format!("its script is cut off in the statement at line {}", self.began_at)),
        }
        if !self.header.begun {
            return damaged("its script is none that pg_dump has written");
        }
        if !self.header.complete {
            return damaged("its script is cut off: the line with which pg_dump ends is missing");
        }
        if self.in_transaction {
            return damaged("its script ends within a transaction");
        }
        Ok(self.header)
    }

    /// Takes one byte; false where it has to be looked at again.
    fn step(&mut self, byte: u8, sink: &mut Sink<'_>) -> Result<bool, Flaw> {
        match self.state {
            State::Plain => return self.plain(byte, sink),
            State::Word if is_word(byte) => self.keep_in_word(byte)?,
            State::Word => {
                self.head.word(String::from_utf8_lossy(&self.word).to_ascii_lowercase());
                self.state = State::Plain;
                let prefix = self.word.as_slice();
                if byte == b'\'' && prefix.eq_ignore_ascii_case(b"e") {
                    self.begin_string(true)?;
                    return Ok(true);
                }
                return Ok(false);
            }
            State::Dash if byte == b'-' => {
                self.state = State::LineComment;
                self.word.clear();
                if !self.text.is_empty() {
                    self.keep(b"--")?;
                }
            }
            State::Slash if byte == b'*' => {
                self.state = State::BlockComment(1, 0);
                if !self.text.is_empty() {
                    self.keep(b"/*")?;
                }
            }
            State::Dash | State::Slash => {
                let symbol = if self.state == State::Dash { b'-' } else { b'/' };
                self.state = State::Plain;
                self.symbol(symbol)?;
                return Ok(false);
            }
            State::LineComment if byte == b'\n' => {
                self.state = State::Plain;
                if self.text.is_empty() {
                    self.header.comment(&self.word)?;
                } else {
                    self.keep(b"\n")?;
                }
            }
            State::LineComment if self.text.is_empty() => {
                if self.word.len() < MAX_COMMENT {
                    self.word.push(byte);
                }
            }
            State::LineComment => self.keep(&[byte])?,
            State::BlockComment(depth, previous) => self.block_comment(depth, previous, byte)?,
            State::Quote { escapes, escaped } => {
                self.keep(&[byte])?;
                self.state = match byte {
                    _ if escaped => State::Quote { escapes, escaped: false },
                    b'\\' if escapes => State::Quote { escapes, escaped: true },
                    b'\'' => State::QuoteEnd { escapes },
                    _ => self.state,
                };
                if self.word.len() < MAX_WORD && byte != b'\'' {
                    self.word.push(byte);
                }
            }
            State::QuoteEnd { escapes } if byte == b'\'' => {
                self.keep(&[byte])?;
                self.state = State::Quote { escapes, escaped: false };
            }
            State::QuoteEnd { escapes } => {
                self.end_string(escapes);
                return Ok(false);
            }
            State::Name if byte == b'"' => {
                self.keep(&[byte])?;
                self.state = State::NameEnd;
            }
            State::Name => self.keep_in_word(byte)?,
            State::NameEnd if byte == b'"' => {
                self.keep_in_word(byte)?;
                self.state = State::Name;
            }
            State::NameEnd => {
                self.state = State::Plain;
                self.head.name(String::from_utf8_lossy(&self.word).into_owned());
                return Ok(false);
            }
            State::DollarTag => return self.dollar_tag(byte),
            State::Dollar(seen) => self.dollar(seen, byte)?,
            State::Meta if byte == b'\n' => {
                self.state = State::Plain;
                psql_command(&self.word, self.line, self.text.is_empty())?;
            }
            State::Meta => {
                if self.word.len() < MAX_COMMENT {
                    self.word.push(byte);
                }
            }
            State::CopyHead => match byte {
                b'\n' => self.state = State::Rows,
                b' ' | b'\t' | b'\r' => {}
                _ => return damaged(format!("no rows follow the COPY at line {}", self.began_at)),
            },
            // Handled in `push`.
            State::Rows => {}
        }
        Ok(true)
    }

    fn plain(&mut self, byte: u8, sink: &mut Sink<'_>) -> Result<bool, Flaw> {
        if byte.is_ascii_whitespace() || byte == 0x0b {
            if !self.text.is_empty() {
                self.keep(&[byte])?;
            }
            return Ok(true);
        }
        let last_string = match byte {
            // A comment is white space.
            b'-' | b'/' => self.last_string,
            _ => self.last_string.take(),
        };
        match byte {
            b'-' => self.state = State::Dash,
            b'/' => self.state = State::Slash,
            b'\'' => {
                let continued = last_string.filter(|_| self.line_ended);
                self.begin_string(continued.unwrap_or(self.backslashes))?;
            }
            b'"' => {
                self.keep(b"\"")?;
                self.word.clear();
                self.state = State::Name;
            }
            b'$' => {
                self.keep(b"$")?;
                self.word.clear();
                self.word.push(b'$');
                self.state = State::DollarTag;
            }
            b'\\' => {
                self.word.clear();
                self.state = State::Meta;
            }
            b';' if !self.head.is_open() => self.end_statement(sink)?,
            _ if is_word(byte) && !byte.is_ascii_digit() => {
                self.word.clear();
                self.keep_in_word(byte)?;
                self.state = State::Word;
            }
            _ => self.symbol(byte)?,
        }
        Ok(true)
    }

    fn symbol(&mut self, byte: u8) -> Result<(), Flaw> {
        self.keep(&[byte])?;
        self.head.symbol(char::from(byte));
        Ok(())
    }

    fn begin_string(&mut self, escapes: bool) -> Result<(), Flaw> {
        self.word.clear();
        self.state = State::Quote { escapes, escaped: false };
        self.keep(b"'")
    }

    fn end_string(&mut self, escapes: bool) {
        self.head.string(Some(String::from_utf8_lossy(&self.word).into_owned()));
        (self.last_string, self.line_ended) = (Some(escapes), false);
        self.state = State::Plain;
    }

    fn block_comment(&mut self, depth: u32, previous: u8, byte: u8) -> Result<(), Flaw> {
        if !self.text.is_empty() {
            self.keep(&[byte])?;
        }
        self.state = match (previous, byte) {
            (b'/', b'*') => State::BlockComment(depth + 1, 0),
            (b'*', b'/') if depth == 1 => State::Plain,
            (b'*', b'/') => State::BlockComment(depth - 1, 0),
            _ => State::BlockComment(depth, byte),
        };
        Ok(())
    }

    fn dollar_tag(&mut self, byte: u8) -> Result<bool, Flaw> {
        let may_follow = is_word(byte) && byte != b'$' && !(self.word.len() == 1 && byte.is_ascii_digit());
        if byte == b'$' {
            self.keep(b"$")?;
            self.word.push(byte);
            self.state = State::Dollar(0);
        } else if may_follow && self.word.len() < MAX_WORD {
            self.keep(&[byte])?;
            self.word.push(byte);
        } else {
            // A parameter such as $1, or nonsense: nothing is quoted.
            self.head.symbol('$');
            self.state = State::Plain;
            return Ok(false);
        }
        Ok(true)
    }

    fn dollar(&mut self, seen: usize, byte: u8) -> Result<(), Flaw> {
        self.keep(&[byte])?;
        let seen = match self.word.get(seen) {
            Some(next) if *next == byte => seen + 1,
            // The tag holds no dollar sign inside, so one begins it anew.
            _ => usize::from(byte == b'$'),
        };
        if seen == self.word.len() {
            self.state = State::Plain;
            self.head.string(None);
        } else {
            self.state = State::Dollar(seen);
        }
        Ok(())
    }

    fn keep_in_word(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.word.len() < MAX_WORD {
            self.word.push(byte);
        }
        self.keep(&[byte])
    }

    /// Adds to the statement, which begins with its first byte that is neither white space nor a comment.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        if self.text.is_empty() {
            self.began_at = self.line;
            if self.header.complete {
                return damaged(format!("its script goes on after its end, at line {}", self.line));
            }
        }
        if self.text.len() + bytes.len() > MAX_STATEMENT {
            return damaged(format!("the statement at line {} of its script is endless", self.began_at));
        }
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    fn end_statement(&mut self, sink: &mut Sink<'_>) -> Result<(), Flaw> {
        let text = std::mem::take(&mut self.text);
        let head = std::mem::take(&mut self.head);
        (self.last_string, self.line_ended) = (None, false);
        let line = self.began_at;
        if text.is_empty() {
            return Ok(());
        }
        if !self.header.begun {
            return damaged("its script is none that pg_dump has written");
        }
        let kind = match head.classify() {
            Ok(kind) => kind,
            Err(why) => return damaged(format!("line {line} of its script holds {why}")),
        };
        let text = String::from_utf8(text).ok().filter(|text| !text.contains('\0'));
        let Some(text) = text else {
            return damaged(format!("the statement at line {line} of its script is no text in UTF-8"));
        };
        match &kind {
            Kind::Copy(table) => {
                self.table = table.to_string();
                self.rows = Rows::new();
                self.state = State::CopyHead;
            }
            Kind::Backslashes(escape) => self.backslashes = *escape,
            Kind::Begin => self.in_transaction = true,
            Kind::Commit => self.in_transaction = false,
            _ => {}
        }
        sink(Piece::Statement(Statement { text, line, kind }))
    }
}

/// What a name or keyword consists of. A name does not begin with a digit, but a number may be taken for none.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}
