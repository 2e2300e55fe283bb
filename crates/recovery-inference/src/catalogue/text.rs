//! Texts of strangers, made fit to be shown, and texts of ours, made fit for an address.

use std::fmt::Write as _;

/// A text as a part of a query in an address.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// In one line, without control characters, of bounded length.
pub(super) fn line(text: &str, longest: usize) -> String {
    let words =
        text.split_whitespace().map(|word| word.chars().filter(|c| !c.is_control()).collect::<String>());
    words.collect::<Vec<_>>().join(" ").chars().take(longest).collect()
}

/// The parameters that a name speaks of, such as `8b`, `1.5B`, `500m`, `8x7b`.
pub(super) fn parameters(name: &str) -> Option<u64> {
    name.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).find_map(|part| {
        let part = part.to_ascii_lowercase();
        let (number, unit) = match (part.strip_suffix('b'), part.strip_suffix('m')) {
            (Some(number), _) => (number, 1e9),
            (_, Some(number)) => (number, 1e6),
            _ => return None,
        };
        let count = match number.split_once('x') {
            // Experts share what is not theirs: 8x7B has 46.7 billion.
            Some((experts, each)) => experts.parse::<f64>().ok()? * each.parse::<f64>().ok()? * 0.83,
            None => number.parse::<f64>().ok()?,
        };
        crate::hardware::number::whole(count * unit)
            .filter(|count| (1_000_000..=10_000_000_000_000).contains(count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_names() {
        for (name, expect) in [
            ("Qwen2.5-7B-Instruct-AWQ", Some(7_000_000_000)),
            ("llama3.2:1b", Some(1_000_000_000)),
            ("qwen2.5-coder:1.5b", Some(1_500_000_000)),
            ("SmolLM-135M", Some(135_000_000)),
            ("Mixtral-8x7B-v0.1", Some(46_480_000_000)),
            ("gpt2", None),
            ("bge-m3", None),
            ("b", None),
            ("99999999999999999999b", None),
            ("nanb-infb--1b", Some(1_000_000_000)),
        ] {
            assert_eq!(parameters(name), expect, "{name}");
        }
    }

    #[test]
    fn texts_are_made_fit() {
        assert_eq!(encoded("a b&c=ü/?"), "a%20b%26c%3D%C3%BC%2F%3F");
        assert_eq!(line(" a\n\tb\u{1b}[0m  c ", 100), "a b[0m c");
        assert_eq!(line(&"ü".repeat(50), 10).chars().count(), 10);
    }
}
