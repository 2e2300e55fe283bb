//! What is kept of a program's output: all of standard output up to a limit, the end of standard error.
//!
//! Both are read to their end, so that a program never blocks on a full pipe, and neither takes more memory than its
//! limit allows.

use std::io;

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

/// Reads everything and keeps the end.
pub(crate) async fn read_tail(
    pipe: &mut (impl AsyncRead + Unpin),
    tail: &mut Tail,
) -> Result<(), CaptureError> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = pipe.read(&mut chunk).await.map_err(CaptureError::Io)?;
        match chunk.get(..read) {
            None | Some([]) => return Ok(()),
            Some(bytes) => tail.push(bytes),
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
}
