//! What a backup could not take of a directory, in words, and no more of them than a manifest has room for.

/// Collects warnings.
#[derive(Debug)]
pub(crate) struct Warnings {
    words: Vec<String>,
    room: usize,
    left_out: u64,
}

impl Warnings {
    /// How many bytes of JSON they have together at most, what is said about those left out included.
    pub(crate) const MAX_JSON: usize = 16 * 1024;
    /// What saying how many were left out takes.
    const LAST: usize = 200;

    /// Begins with these, for which there is room already.
    pub(crate) fn after(words: Vec<String>) -> Self {
        Self { words, room: Self::MAX_JSON - Self::LAST, left_out: 0 }
    }

    /// One more.
    pub(crate) fn push(&mut self, words: String) {
        tracing::warn!("{words}");
        // As pretty-printed JSON has it, with its indentation and comma.
        let takes = serde_json::to_string(&words).map_or(usize::MAX, |json| json.len() + 16);
        match self.room.checked_sub(takes).filter(|_| self.left_out == 0) {
            Some(room) => {
                self.room = room;
                self.words.push(words);
            }
            None => self.left_out += 1,
        }
    }

    /// The words.
    pub(crate) fn finish(mut self) -> Vec<String> {
        if self.left_out > 0 {
            self.words.push(format!("{} more; the log of the recovery service has them all", self.left_out));
        }
        self.words
    }
}
