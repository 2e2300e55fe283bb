//! How a value is written so that Compose reads it back.

/// What may follow on the line of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Nothing but white space: a value can end with the line.
    Alone,
    /// A comment after a space: it ends a value, but not one that is empty.
    Comment,
    /// Anything else: a value must show by itself where it ends.
    Shared,
}

/// The value as it is to stand in the file: bare where that is enough, else in single quotes, in which everything
/// stands for itself, else in double quotes.
pub(super) fn encode(value: &str, room: Room) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:@%+,=-".contains(&byte);
    let may_be_bare = match room {
        Room::Alone => true,
        Room::Comment => !value.is_empty(),
        Room::Shared => false,
    };
    if may_be_bare && value.bytes().all(bare) {
        return value.to_owned();
    }
    if !value.contains(['\'', '\n']) && !value.ends_with('\\') {
        return format!("'{value}'");
    }
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\\' | '"' | '$' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_no_more_than_they_need() {
        for (value, alone, shared) in [
            ("", "", "''"),
            ("debug", "debug", "'debug'"),
            ("http://ollama:11434", "http://ollama:11434", "'http://ollama:11434'"),
            ("two words", "'two words'", "'two words'"),
            ("a#b", "'a#b'", "'a#b'"),
            ("pa$w", "'pa$w'", "'pa$w'"),
            (r"a\b", r"'a\b'", r"'a\b'"),
            (r"a\", r#""a\\""#, r#""a\\""#),
            ("it's $5", r#""it's \$5""#, r#""it's \$5""#),
            ("a\nb", r#""a\nb""#, r#""a\nb""#),
            ("grün", "'grün'", "'grün'"),
        ] {
            assert_eq!(encode(value, Room::Alone), alone, "{value:?}");
            assert_eq!(encode(value, Room::Shared), shared, "{value:?}");
        }
        assert_eq!(
            (encode("", Room::Comment), encode("x", Room::Comment)),
            ("''".to_owned(), "x".to_owned())
        );
    }
}
