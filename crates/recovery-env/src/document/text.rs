//! Bytes as characters, without the demand that they are UTF-8: a comment in another encoding must not make a file
//! unreadable that Compose reads.

/// The character at the beginning, and how many bytes it takes. A byte that begins none is U+FFFD, of length 1.
pub(super) fn first_char(bytes: &[u8]) -> Option<(char, usize)> {
    let first = bytes.first()?;
    if first.is_ascii() {
        return Some((char::from(*first), 1));
    }
    let longest = bytes.get(..4).unwrap_or(bytes);
    let valid = longest.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Some(valid.chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8())))
}

/// The character at the end, and how many bytes it takes.
fn last_char(bytes: &[u8]) -> Option<(char, usize)> {
    let last = bytes.last()?;
    if last.is_ascii() {
        return Some((char::from(*last), 1));
    }
    let found = (2..=4).find_map(|length| {
        let tail = bytes.get(bytes.len().checked_sub(length)?..)?;
        let mut chars = std::str::from_utf8(tail).ok()?.chars();
        chars.next().filter(|_| chars.next().is_none()).map(|c| (c, length))
    });
    Some(found.unwrap_or((char::REPLACEMENT_CHARACTER, 1)))
}

/// What Compose takes for a space inside a line: no line feed, and of the spaces beyond ASCII only two.
pub(super) fn is_inner_space(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

/// How many bytes at the beginning are characters of this kind.
pub(super) fn leading(bytes: &[u8], is: impl Fn(char) -> bool) -> usize {
    let mut at = 0;
    while let Some((c, length)) = bytes.get(at..).and_then(first_char) {
        if !is(c) {
            break;
        }
        at += length;
    }
    at
}

/// The bytes without the white space at their end.
pub(super) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let Some((c, length)) = last_char(bytes) {
        if !c.is_whitespace() {
            break;
        }
        bytes = bytes.get(..bytes.len() - length).unwrap_or_default();
    }
    bytes
}

/// Where a sequence of bytes first stands.
pub(super) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_at_both_ends() {
        for (bytes, first, last) in [
            (&b"ab"[..], ('a', 1), ('b', 1)),
            ("äö".as_bytes(), ('ä', 2), ('ö', 2)),
            ("🦀€".as_bytes(), ('🦀', 4), ('€', 3)),
            (b"\xff\xfe", ('\u{fffd}', 1), ('\u{fffd}', 1)),
            (b"\xe2\x82", ('\u{fffd}', 1), ('\u{fffd}', 1)),
        ] {
            assert_eq!(first_char(bytes), Some(first), "{bytes:?}");
            assert_eq!(last_char(bytes), Some(last), "{bytes:?}");
        }
        assert_eq!((first_char(b""), last_char(b"")), (None, None));
    }

    #[test]
    fn the_end_is_trimmed_of_every_space() {
        assert_eq!(trim_end("a b \t\r\n\u{a0}\u{3000}".as_bytes()), b"a b");
        assert_eq!(trim_end(b" \n"), b"");
        assert_eq!(trim_end(b"a\xa0"), b"a\xa0");
    }
}
