//! The rows after a `COPY`: lines up to one that is `\.`, whatever else they hold.

use super::{Piece, script::Sink};
use crate::archive::Flaw;

/// Where in a line of rows the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At its beginning, with so many bytes of `\.` held back.
    Beginning(u8),
    /// Anywhere after.
    Line,
}

/// Passes rows on and counts them.
pub(super) struct Rows {
    at: At,
    count: u64,
}

impl Rows {
    pub(super) fn new() -> Self {
        Self { at: At::Beginning(0), count: 0 }
    }

    /// Passes rows on; what follows the line that ends them is returned, where it is among these bytes. Adds the lines
    /// to `lines`.
    pub(super) fn read<'a>(
        &mut self,
        bytes: &'a [u8],
        lines: &mut u64,
        sink: &mut Sink<'_>,
    ) -> Result<Option<&'a [u8]>, Flaw> {
        // Everything before `from` was passed on or held back, everything before `at` was looked at.
        let (mut from, mut at) = (0, 0);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match (self.at, rest.first()) {
                (At::Beginning(0), Some(b'\\')) => {
                    // It may be the end.
                    pass(bytes.get(from..at), sink)?;
                    at += 1;
                    from = at;
                    self.at = At::Beginning(1);
                }
                (At::Beginning(1), Some(b'.')) => {
                    at += 1;
                    from = at;
                    self.at = At::Beginning(2);
                }
                (At::Beginning(2), Some(b'\n')) => {
                    *lines += 1;
                    sink(Piece::RowsEnd(self.count))?;
                    return Ok(rest.get(1..));
                }
                (At::Beginning(held), _) => {
                    pass(b"\\.".get(..usize::from(held)), sink)?;
                    self.at = At::Line;
                }
                (At::Line, _) => match rest.iter().position(|byte| *byte == b'\n') {
                    Some(end) => {
                        at += end + 1;
                        self.count += 1;
                        *lines += 1;
                        self.at = At::Beginning(0);
                    }
                    None => at = bytes.len(),
                },
            }
        }
        pass(bytes.get(from..), sink)?;
        Ok(None)
    }
}

fn pass(bytes: Option<&[u8]>, sink: &mut Sink<'_>) -> Result<(), Flaw> {
    match bytes {
        Some(bytes) if !bytes.is_empty() => sink(Piece::Rows(bytes)),
        _ => Ok(()),
    }
}
