//! What containers print, as the engine sends it: in frames that say which stream a piece belongs to, or as it is where
//! there is a terminal.

use std::collections::VecDeque;

use recovery_core::port::{LogLine, LogTail, OutputStream};

/// What came is not output in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what came is not output as the engine frames it")]
pub(super) struct NoFrame;

/// Takes frames apart: a number for the stream, three zeros, the length in four bytes, the bytes.
#[derive(Default)]
pub(super) struct Frames {
    header: Vec<u8>,
    left: usize,
}

impl Frames {
    const HEADER: usize = 8;

    /// Takes the next bytes and hands on the pieces in them, as far as they came. A frame's length is believed for
    /// nothing but where the next one begins.
    pub(super) fn take(
        &mut self,
        mut bytes: &[u8],
        mut piece: impl FnMut(OutputStream, &[u8]),
    ) -> Result<(), NoFrame> {
        while !bytes.is_empty() {
            if self.left == 0 {
                let (start, rest) = split(bytes, Self::HEADER - self.header.len());
                self.header.extend_from_slice(start);
                bytes = rest;
                if self.header.len() < Self::HEADER {
                    return Ok(());
                }
                self.left = self.length()?;
                if self.left == 0 {
                    self.header.clear();
                }
                continue;
            }
            let (now, rest) = split(bytes, self.left);
            piece(self.stream(), now);
            self.left -= now.len();
            bytes = rest;
            if self.left == 0 {
                self.header.clear();
            }
        }
        Ok(())
    }

    fn length(&self) -> Result<usize, NoFrame> {
        match *self.header.as_slice() {
            // 3 is what the engine itself has to say.
            [0..=3, 0, 0, 0, a, b, c, d] => Ok(u32::from_be_bytes([a, b, c, d]) as usize),
            _ => Err(NoFrame),
        }
    }

    fn stream(&self) -> OutputStream {
        match self.header.first() {
            Some(2 | 3) => OutputStream::Stderr,
            _ => OutputStream::Stdout,
        }
    }
}

fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

/// Gathers the last lines of both streams, within bounds.
pub(super) struct Lines {
    most: usize,
    lines: VecDeque<LogLine>,
    bytes: usize,
    truncated: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Lines {
    /// For so many lines at most.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            lines: VecDeque::new(),
            bytes: 0,
            truncated: false,
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    /// Takes the next piece of a stream.
    pub(super) fn take(&mut self, stream: OutputStream, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let line = self.begun(stream);
            let room = LogTail::MAX_LINE.saturating_sub(line.len());
            line.extend_from_slice(split(part.strip_suffix(b"\n").unwrap_or(part), room).0);
            if part.ends_with(b"\n") {
                let line = std::mem::take(line);
                self.add(stream, &line);
            }
        }
    }

    /// What was gathered, with lines that had not ended.
    pub(super) fn end(mut self) -> LogTail {
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            let line = std::mem::take(self.begun(stream));
            if !line.is_empty() {
                self.add(stream, &line);
            }
        }
        LogTail { lines: self.lines.into(), truncated: self.truncated }
    }

    fn begun(&mut self, stream: OutputStream) -> &mut Vec<u8> {
        match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        }
    }

    fn add(&mut self, stream: OutputStream, line: &[u8]) {
        let text = plain(&String::from_utf8_lossy(line));
        self.bytes += text.len() + 1;
        self.lines.push_back(LogLine { stream, text });
        while self.lines.len() > self.most || self.bytes > LogTail::MAX_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len() + 1;
            self.truncated |= self.lines.len() < self.most;
        }
    }
}

/// Text without the sequences that colour a terminal and without control characters, which could forge lines.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                if chars.as_str().starts_with('[') {
                    // Up to its last character, a letter; nothing else stands between.
                    chars.by_ref().skip(1).find(|c| ('@'..='~').contains(c));
                }
            }
            '\t' => plain.push('\t'),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &[u8]) -> Vec<u8> {
        let mut frame = vec![stream, 0, 0, 0];
        frame.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(text);
        frame
    }

    /// The lines of frames that arrive in pieces of this size.
    fn lines(bytes: &[u8], size: usize, most: usize) -> LogTail {
        let (mut frames, mut lines) = (Frames::default(), Lines::new(most));
        for piece in bytes.chunks(size) {
            frames.take(piece, |stream, piece| lines.take(stream, piece)).unwrap();
        }
        lines.end()
    }

    fn texts(tail: &LogTail) -> Vec<String> {
        let mark = |line: &LogLine| if line.stream == OutputStream::Stderr { "2:" } else { "1:" };
        tail.lines.iter().map(|line| format!("{}{}", mark(line), line.text)).collect()
    }

    #[test]
    fn frames_are_taken_apart_wherever_they_are_cut() {
        let mut bytes = frame(1, b"one\ntw");
        bytes.extend(frame(2, b"oops\n"));
        bytes.extend(frame(1, b""));
        bytes.extend(frame(1, b"o\nthree"));
        for size in 1..bytes.len() + 1 {
            let tail = lines(&bytes, size, 100);
            assert_eq!(texts(&tail), ["1:one", "2:oops", "1:two", "1:three"], "in pieces of {size}");
            assert!(!tail.truncated);
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_and_no_length_is_believed() {
        let mut frames = Frames::default();
        assert_eq!(frames.take(b"plain text of a terminal\r\n", |_, _| {}), Err(NoFrame));
        // Four gigabytes are announced, and a few bytes come.
        let mut got = Vec::new();
        let mut bytes = vec![1, 0, 0, 0, 255, 255, 255, 255];
        bytes.extend_from_slice(b"little");
        Frames::default().take(&bytes, |_, piece| got.extend_from_slice(piece)).unwrap();
        assert_eq!(got, b"little");
    }

    #[test]
    fn the_newest_lines_stay_within_bounds() {
        let mut text = Vec::new();
        for number in 0..10 {
            text.extend_from_slice(format!("{number}\n").as_bytes());
        }
        let tail = lines(&frame(1, &text), 64, 3);
        assert_eq!((texts(&tail), tail.truncated), (vec!["1:7".into(), "1:8".into(), "1:9".into()], false));

        let long = "x".repeat(LogTail::MAX_LINE + 5);
        let tail = lines(&frame(1, format!("{long}\nnext\n").as_bytes()), 4096, 10);
        assert_eq!((tail.lines[0].text.len(), tail.lines[1].text.as_str()), (LogTail::MAX_LINE, "next"));

        let many = format!("{}\n", "y".repeat(LogTail::MAX_LINE)).repeat(100);
        let tail = lines(&frame(1, many.as_bytes()), 65536, 1000);
        let bytes: usize = tail.lines.iter().map(|line| line.text.len() + 1).sum();
        assert!(bytes <= LogTail::MAX_BYTES && tail.truncated && tail.lines.len() > 50, "{bytes}");
    }

    #[test]
    fn colours_and_control_characters_are_taken_out() {
        for (text, expect) in [
            ("\u{1b}[31;1mred\u{1b}[0m and plain", "red and plain"),
            ("tab\tstays\r", "tab\tstays"),
            ("a\u{1b}[", "a"),
            ("a\u{1b}b\u{7}\u{9b}c", "abc"),
            ("größer 🦀", "größer 🦀"),
        ] {
            assert_eq!(plain(text), expect, "{text:?}");
        }
        let tail = lines(&frame(1, b"\xff\xfe bytes\n"), 100, 1);
        assert_eq!(tail.lines[0].text, "\u{fffd}\u{fffd} bytes");
    }
}
