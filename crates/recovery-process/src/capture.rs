//! What is kept of a program's output: all of standard output up to a limit, the end of standard error.
//!
//! Both are read to their end, so that a program never blocks on a full pipe, and neither takes more memory than its
//! limit allows.

use std::io;

use recovery_core::port::LineListener;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much of standard error is kept: enough for the last words of any tool, too little to matter.
pub(crate) const STDERR_TAIL: usize = 8 * 1024;

/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// Why reading stopped early.
#[derive(Debug)]
pub(crate) enum CaptureError {
    /// More came than may be kept.
    TooMuch,
    /// The pipe could not be read.
    Io(io::Error),
}

/// Reads everything into `kept`, which grows to `limit` bytes at most.
pub(crate) async fn read_limited(
    pipe: &mut (impl AsyncRead + Unpin),
    kept: &mut Vec<u8>,
    limit: usize,
) -> Result<(), CaptureError> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = pipe.read(&mut chunk).await.map_err(CaptureError::Io)?;
        let bytes = chunk.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        if kept.len() + bytes.len() > limit {
            return Err(CaptureError::TooMuch);
        }
        kept.extend_from_slice(bytes);
    }
}

/// Reads everything, tells it to the listener, and keeps the end.
pub(crate) async fn read_tail(
    pipe: &mut (impl AsyncRead + Unpin),
    tail: &mut Tail,
    listener: Option<&LineListener>,
) -> Result<(), CaptureError> {
    let mut chunk = vec![0; CHUNK];
    let mut lines = listener.map(Lines::new);
    loop {
        let read = pipe.read(&mut chunk).await.map_err(CaptureError::Io)?;
        match chunk.get(..read) {
            None | Some([]) => {
                lines.iter_mut().for_each(Lines::end);
                return Ok(());
            }
            Some(bytes) => {
                tail.push(bytes);
                lines.iter_mut().for_each(|lines| lines.push(bytes));
            }
        }
    }
}

/// Cuts a stream into lines for a listener.
struct Lines<'a> {
    listener: &'a LineListener,
    begun: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(listener: &'a LineListener) -> Self {
        Self { listener, begun: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.begun.extend_from_slice(piece);
            // A line without an end is told in pieces, so that it takes no more memory than one of them.
            if piece.ends_with(b"\n") || self.begun.len() >= STDERR_TAIL {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        if !self.begun.is_empty() {
            let line = String::from_utf8_lossy(&self.begun);
            self.listener.hear(line.trim_end_matches(['\r', '\n']));
            self.begun.clear();
        }
    }
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let excess = self.bytes.len().saturating_sub(STDERR_TAIL);
        if excess > 0 {
            self.cut = true;
            self.bytes.drain(..excess);
        }
    }

    /// The kept bytes as text. Where the beginning is missing, the text begins with the first whole line, or, in the
    /// middle of one endless line, with the first whole character.
    pub(crate) fn into_text(self) -> String {
        let mut bytes = self.bytes.as_slice();
        if self.cut {
            let start = match bytes.iter().position(|&byte| byte == b'\n') {
                Some(newline) if newline + 1 < bytes.len() => newline + 1,
                _ => bytes.iter().position(|&byte| !is_continuation(byte)).unwrap_or(0),
            };
            bytes = bytes.get(start..).unwrap_or_default();
        }
        String::from_utf8_lossy(bytes).into_owned()
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn check_tail(pushed: &[&[u8]], expect: &str) {
        let mut tail = Tail::default();
        for bytes in pushed {
            tail.push(bytes);
        }
        assert_eq!(tail.into_text(), expect);
    }

    #[test]
    fn a_short_text_is_kept_whole() {
        check_tail(&[], "");
        check_tail(&[b"one\n", b"two"], "one\ntwo");
        check_tail(&[b"bad \xff byte"], "bad \u{fffd} byte");
    }

    #[test]
    fn a_long_text_begins_with_a_whole_line() {
        let line = [b'x'; STDERR_TAIL];
        check_tail(&[&line, b"\nlast line\n"], "last line\n");
        check_tail(&[b"first\n", &line], &"x".repeat(STDERR_TAIL));
    }

    #[test]
    fn an_endless_line_begins_with_a_whole_character() {
        let text = "é".repeat(STDERR_TAIL);
        check_tail(&[text.as_bytes(), b"!"], &format!("{}!", "é".repeat(STDERR_TAIL / 2 - 1)));
    }

    fn check_lines(pushed: &[&[u8]], expect: &[&str]) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&heard);
        let command = recovery_core::port::Command::new("x")
            .on_stderr_line(move |line| writer.lock().unwrap().push(line.to_owned()));
        let listener = command.listener.unwrap();
        let mut lines = Lines::new(&listener);
        pushed.iter().for_each(|bytes| lines.push(bytes));
        lines.end();
        assert_eq!(*heard.lock().unwrap(), expect);
    }

    #[test]
    fn lines_are_heard_whole_whatever_pieces_they_come_in() {
        check_lines(&[], &[]);
        check_lines(&[b"one\ntw", b"o", b"\r\nthree"], &["one", "two", "three"]);
        check_lines(&[b"one\n\ntwo\n"], &["one", "", "two"]);
        check_lines(&[b"bad \xff byte\n"], &["bad \u{fffd} byte"]);
    }

    #[test]
    fn a_line_without_an_end_is_heard_in_pieces() {
        let piece = [b'x'; STDERR_TAIL];
        let text = "x".repeat(STDERR_TAIL);
        check_lines(&[&piece, &piece, b"y"], &[&text, &text, "y"]);
    }
}
