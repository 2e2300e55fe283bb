//! SQL as `pg_restore` writes it to a file, in pieces that a session can run.
//!
//! This is no parser of SQL. What defines objects is taken as one piece; what holds rows has few kinds of statements,
//! and in these only quotes can hide an end.

use std::io::{self, BufRead};

use recovery_core::port::Script;

/// How many bytes of rows are handed on at once.
const CHUNK: usize = 128 * 1024;
/// The preamble, which says how to read what follows, is not longer.
const PREAMBLE: usize = 60;
/// From this version on servers have `transaction_timeout`, which newer programs set and older servers refuse.
const TRANSACTION_TIMEOUT: u32 = 17;

/// Part of a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// One or more statements.
    Sql(String),
    /// A `COPY … FROM stdin`: [`Piece::Rows`] follow, and [`Piece::End`].
    Copy(String),
    /// Whole lines.
    Rows(Vec<u8>),
    /// The end of the rows.
    End,
}

/// Hands a script on piece by piece, each with the number of bytes read so far, until `take` has enough.
pub(super) fn read(
    kind: Script,
    server_major: u32,
    input: impl BufRead,
    take: impl FnMut(Piece, u64) -> bool,
) -> io::Result<()> {
    let mut reader = Reader { input, done: 0, lines: 0, restrict: None, server_major };
    match kind {
        Script::Definitions => reader.definitions(take),
        Script::Rows => reader.rows(take),
    }
}

struct Reader<R> {
    input: R,
    done: u64,
    lines: usize,
    /// What ends the mode in which `psql` takes no commands of its own.
    restrict: Option<String>,
    server_major: u32,
}

impl<R: BufRead> Reader<R> {
    /// The next line with its end; empty at the end of the file.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.done += self.input.read_until(b'\n', &mut line)? as u64;
        self.lines += 1;
        Ok(line)
    }

    /// Whether a line between statements is for `psql`, or for a server that this one is not.
    fn is_passed_over(&mut self, line: &str) -> io::Result<bool> {
        if let Some(key) = line.strip_prefix("\\restrict ").filter(|_| self.lines <= PREAMBLE) {
            self.restrict = Some(format!("\\unrestrict {key}"));
            return Ok(true);
        }
        if self.restrict.as_deref() == Some(line) {
            return Ok(true);
        }
        if self.lines > PREAMBLE {
            return Ok(false);
        }
        if let Some(encoding) = line.strip_prefix("SET client_encoding = ")
            && encoding != "'UTF8';"
        {
            return Err(invalid(format!("the text is in {}", encoding.trim_end_matches(';'))));
        }
        Ok(line == "SET transaction_timeout = 0;" && self.server_major < TRANSACTION_TIMEOUT)
    }

    fn definitions(&mut self, mut take: impl FnMut(Piece, u64) -> bool) -> io::Result<()> {
        let mut text = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if !self.is_passed_over(String::from_utf8_lossy(&line).trim_end_matches('\n'))? {
                text.extend(line);
            }
        }
        take(Piece::Sql(utf8(text)?), self.done);
        Ok(())
    }

    fn rows(&mut self, mut take: impl FnMut(Piece, u64) -> bool) -> io::Result<()> {
        let mut statement = String::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                let rest = statement.trim();
                return if rest.is_empty() {
                    Ok(())
                } else {
                    Err(invalid("the script ends within a statement".to_owned()))
                };
            }
            let line = utf8(line)?;
            if statement.is_empty() {
                let bare = line.trim_end_matches('\n');
                // Large objects come in transactions of their own, which ours takes the place of.
                let is_ours = ["", "BEGIN;", "COMMIT;"].contains(&bare) || bare.starts_with("--");
                if is_ours || self.is_passed_over(bare)? {
                    continue;
                }
            }
            statement.push_str(&line);
            if !is_complete(&statement) {
                continue;
            }
            let whole = std::mem::take(&mut statement);
            let is_copy = whole.starts_with("COPY ") && whole.trim_end().ends_with(" FROM stdin;");
            let go_on = if is_copy {
                take(Piece::Copy(whole), self.done) && self.copied(&mut take)?
            } else {
                take(Piece::Sql(whole), self.done)
            };
            if !go_on {
                return Ok(());
            }
        }
    }

    /// The rows of a `COPY`, up to the line `\.`, which nothing in a row can look like.
    fn copied(&mut self, take: &mut impl FnMut(Piece, u64) -> bool) -> io::Result<bool> {
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let start = chunk.len();
            let read = self.input.read_until(b'\n', &mut chunk)?;
            self.done += read as u64;
            if read == 0 {
                return Err(invalid("the script ends within rows".to_owned()));
            }
            let is_end = chunk.get(start..) == Some(b"\\.\n");
            if is_end {
                chunk.truncate(start);
            }
            if (is_end && !chunk.is_empty()) || chunk.len() >= CHUNK {
                let rows = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                if !take(Piece::Rows(rows), self.done) {
                    return Ok(false);
                }
            }
            if is_end {
                return Ok(take(Piece::End, self.done));
            }
        }
    }
}

/// Whether every quote is closed and the last line ends the statement.
fn is_complete(statement: &str) -> bool {
    let mut open = None;
    for c in statement.chars().filter(|c| ['\'', '"'].contains(c)) {
        match open {
            None => open = Some(c),
            Some(quote) if quote == c => open = None,
            Some(_) => {}
        }
    }
    open.is_none() && statement.trim_end().ends_with(';')
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| invalid("the script is not in UTF-8".to_owned()))
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(kind: Script, server_major: u32, text: &str) -> io::Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        read(kind, server_major, text.as_bytes(), |piece, _| {
            pieces.push(piece);
            true
        })
        .map(|()| pieces)
    }

    fn sql(text: &str) -> Piece {
        Piece::Sql(text.to_owned())
    }

    const PREAMBLE_OF_17: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict aBc\n\nSET statement_timeout = 0;\n\
                                  SET transaction_timeout = 0;\nSET client_encoding = 'UTF8';\n";

    #[test]
    fn definitions_stay_as_they_are_but_for_what_only_psql_or_a_newer_server_knows() {
        let body = "CREATE FUNCTION f() AS $$\n\\unrestrict other\nCOPY x FROM stdin;\nSET transaction_timeout = 1;\n$$;\n";
        let text = format!("{PREAMBLE_OF_17}{body}\\unrestrict aBc\n");
        let head = "--\n-- PostgreSQL database dump\n--\n\n\nSET statement_timeout = 0;\n";
        let (new, encoding) = ("SET transaction_timeout = 0;\n", "SET client_encoding = 'UTF8';\n");
        assert_eq!(
            pieces(Script::Definitions, 16, &text).unwrap(),
            [sql(&format!("{head}{encoding}{body}"))]
        );
        assert_eq!(
            pieces(Script::Definitions, 17, &text).unwrap(),
            [sql(&format!("{head}{new}{encoding}{body}"))]
        );
    }

    #[test]
    fn rows_come_in_pieces() {
        let text = format!(
            "{PREAMBLE_OF_17}\n--\n-- Data for Name: t; Type: TABLE DATA\n--\n\nCOPY public.\"a;\nb\" (\"it's\") FROM stdin;\n\
             1\tit's\n--\t;\n\\\\.\tx\n\\.\n\n\nCOPY e FROM stdin;\n\\.\n\n\
             SELECT pg_catalog.setval('public.\"x'';\ny\"', 7, true);\nBEGIN;\n\nSELECT lowrite(0, '\\x00');\nCOMMIT;\n\
             \\unrestrict aBc\n"
        );
        assert_eq!(
            pieces(Script::Rows, 15, &text).unwrap(),
            [
                sql("SET statement_timeout = 0;\n"),
                sql("SET client_encoding = 'UTF8';\n"),
                Piece::Copy("COPY public.\"a;\nb\" (\"it's\") FROM stdin;\n".to_owned()),
                Piece::Rows(b"1\tit's\n--\t;\n\\\\.\tx\n".to_vec()),
                Piece::End,
                Piece::Copy("COPY e FROM stdin;\n".to_owned()),
                Piece::End,
                sql("SELECT pg_catalog.setval('public.\"x'';\ny\"', 7, true);\n"),
                sql("SELECT lowrite(0, '\\x00');\n"),
            ]
        );
    }

    #[test]
    fn what_is_cut_off_or_in_another_encoding_is_an_error() {
        for (kind, text) in [
            (Script::Rows, "COPY t FROM stdin;\n1\n"),
            (Script::Rows, "SELECT 'a;\n"),
            (Script::Rows, "SET client_encoding = 'LATIN1';\n"),
            (Script::Definitions, "SET client_encoding = 'SQL_ASCII';\n"),
        ] {
            assert_eq!(pieces(kind, 15, text).unwrap_err().kind(), io::ErrorKind::InvalidData, "{text}");
        }
        let latin = read(Script::Definitions, 15, &b"COMMENT 'f\xfcr';\n"[..], |_, _| true);
        assert!(latin.is_err());
    }
}
