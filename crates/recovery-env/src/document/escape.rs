//! Quoted values: where they end, and what they say.

use std::borrow::Cow;

/// What stands between quotes, taken apart as Compose does it.
pub(super) struct Quoted {
    /// The text, with the escaped quotes taken as quotes and everything else as it stands.
    pub(super) text: Vec<u8>,
    /// How long it is, both quotes included.
    pub(super) length: usize,
}

/// Reads the quoted value at the beginning; `None` where the closing quote is missing.
pub(super) fn quoted(bytes: &[u8]) -> Option<Quoted> {
    let (quote, rest) = bytes.split_first()?;
    let mut text = Vec::new();
    let mut escaped = false;
    for (at, byte) in rest.iter().enumerate() {
        if byte == quote {
            if !escaped {
                return Some(Quoted { text, length: at + 2 });
            }
            escaped = false;
        } else if *byte == b'\\' && !escaped {
            escaped = true;
            continue;
        } else if escaped {
            escaped = false;
            text.push(b'\\');
        }
        text.push(*byte);
    }
    None
}

/// Replaces the escapes of a value in double quotes. `\$` becomes `$$`, which the replacing of variables that follows
/// makes a `$`.
pub(super) fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let next = text.get(at + 1).filter(|_| *byte == b'\\');
        let simple = match next {
            None => {
                out.push(*byte);
                at += 1;
                continue;
            }
            Some(b'0') => {
                at += octal(text.get(at + 2..).unwrap_or_default(), &mut out) + 2;
                continue;
            }
            Some(b'$') => {
                out.push(b'$');
                b'$'
            }
            Some(b'a') => 0x07,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 0x0b,
            Some(b'"') => b'"',
            Some(b'\\') => b'\\',
            Some(other) => {
                out.push(b'\\');
                *other
            }
        };
        out.push(simple);
        at += 2;
    }
    Cow::Owned(out)
}

/// An octal number after `\0`, of three digits; says how many digits it took. What is no such number loses its zero
/// only.
fn octal(digits: &[u8], out: &mut Vec<u8>) -> usize {
    let length = digits.iter().take(3).take_while(|digit| digit.is_ascii_digit()).count();
    let digits = digits.get(..length).unwrap_or_default();
    let number = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 3);
    match number.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
        Some(code) => {
            let mut buffer = [0; 4];
            out.extend_from_slice(char::from(code).encode_utf8(&mut buffer).as_bytes());
        }
        None => {
            out.push(b'\\');
            out.extend_from_slice(digits);
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_end_where_compose_ends_them() {
        for (bytes, text, length) in [
            (r"'a' b", "a", 3),
            (r"'it\'s'", "it's", 7),
            (r"'a\nb'", r"a\nb", 6),
            (r"'a\\'", r"a\\", 5),
            (r#""a'b""#, "a'b", 5),
            (r#""a\"b""#, "a\"b", 6),
            (r#""a\\""#, r"a\\", 5),
            ("''", "", 2),
        ] {
            let quoted = quoted(bytes.as_bytes()).unwrap();
            assert_eq!((quoted.text.as_slice(), quoted.length), (text.as_bytes(), length), "{bytes}");
        }
        for open in ["'", "'a", r"'a\'", r#""a\\\""#] {
            assert!(quoted(open.as_bytes()).is_none(), "{open}");
        }
    }

    #[test]
    fn escapes_are_those_of_compose() {
        for (text, expect) in [
            ("a", "a"),
            (r"a\nb", "a\nb"),
            (r"\a\b\f\r\t\v", "\u{7}\u{8}\u{c}\r\t\u{b}"),
            (r"\\n", r"\n"),
            (r"\$A", "$$A"),
            (r"\'\q\c\x41", r"\'\q\c\x41"),
            (r"\0123", "S"),
            (r"\0377", "\u{ff}"),
            (r"\0777", r"\777"),
            (r"\0", r"\"),
            (r"\012x", r"\12x"),
            ("\\", "\\"),
        ] {
            assert_eq!(unescape(text.as_bytes()).as_ref(), expect.as_bytes(), "{text}");
        }
    }
}
