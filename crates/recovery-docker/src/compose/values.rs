//! Takes the values of a `.env` out of what Compose says: it quotes them where they are not what a place in a Compose
//! file demands, as in `Invalid hostPort: …`.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// No `.env` is larger.
const LARGEST: u64 = 4 * 1024 * 1024;
/// Shorter values are no secrets, and would take the words apart.
const SHORTEST: usize = 4;

/// The values of a file, as far as a look at its lines tells: with and without what may be quotes or a comment.
pub(super) struct Values(Vec<String>);

impl Values {
    /// Those of this file; none where it cannot be read, since Compose could not either.
    pub(super) fn of(file: &Path) -> Self {
        let mut bytes = Vec::new();
        let read =
            File::open(file).and_then(|file| -> io::Result<_> { file.take(LARGEST).read_to_end(&mut bytes) });
        if read.is_err() {
            return Self(Vec::new());
        }
        Self::in_text(&String::from_utf8_lossy(&bytes))
    }

    fn in_text(text: &str) -> Self {
        let mut values: Vec<String> = text
            .lines()
            .filter_map(|line| line.split_once(['=', ':']))
            .flat_map(|(_, value)| {
                let whole = value.trim();
                let bare = whole.split(" #").next().unwrap_or_default().trim_end();
                [whole, bare].map(|value| value.trim_matches(['"', '\''])).map(str::to_owned)
            })
            .flat_map(|value| [value.replace("$$", "$"), value.replace('\\', ""), value])
            .filter(|value| value.len() >= SHORTEST)
            .collect();
        // The longest first: one may be part of another.
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self(values)
    }

    /// The words without the values.
    pub(super) fn hide(&self, words: String) -> String {
        self.0.iter().fold(words, |words, value| {
            if words.contains(value.as_str()) { words.replace(value.as_str(), "…") } else { words }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_left_however_it_is_written() {
        let text = "# Nova\r\nA=s3cret\r\nexport B='two words' # n\nC: \"it\\\"s $$5\"\nD=abc\nE=s3cret-and-more # n";
        let values = Values::in_text(text);
        for (words, expect) in [
            ("Invalid hostPort: s3cret", "Invalid hostPort: …"),
            ("invalid: s3cret-and-more", "invalid: …"),
            ("bad two words here", "bad … here"),
            ("no abc in it", "no abc in it"),
            ("services must be a mapping", "services must be a mapping"),
        ] {
            assert_eq!(values.hide(words.to_owned()), expect);
        }
        assert_eq!(Values::of(Path::new("/no/such/file")).hide("s3cret".to_owned()), "s3cret");
    }
}
