use std::ffi::c_char;

/// Whether a key matches a pattern, as Redis' `KEYS` and `SCAN … MATCH` would say (`stringmatchlen` in its `util.c`):
///
/// - `*` stands for any bytes, `?` for one byte;
/// - `[abc]` for one of these bytes, `[a-z]` or `[z-a]` for one between two, `[^…]` for one that is none of them; a
///   class that is not closed ends with the pattern;
/// - `\` takes the meaning of the byte that follows, also in a class; one at the end stands for itself;
/// - everything else stands for itself.
///
/// Bytes are compared, not characters. No pattern makes it slow: the time grows at most with the product of the two
/// lengths.
#[must_use]
pub fn matches_pattern(pattern: &[u8], key: &[u8]) -> bool {
    // Redis does not even look at a key then, so that the empty one matches, too; `**` does not match it.
    if pattern == b"*" {
        return true;
    }
    let (mut rest, mut text) = (pattern, key);
    // Where to go on when what follows the last `*` does not match: that pattern, and a text one byte shorter. An
    // earlier `*` need not be tried again: all it could do is to let the last one begin later.
    let mut last_star: Option<(&[u8], &[u8])> = None;
    while let Some((&byte, shorter)) = text.split_first() {
        if let Some(after) = rest.strip_prefix(b"*") {
            let after = without_stars(after);
            if after.is_empty() {
                return true;
            }
            last_star = Some((after, shorter));
            rest = after;
        } else if let Some(after) = one(rest, byte) {
            (rest, text) = (after, shorter);
        } else {
            let Some((after, retry)) = last_star else { return false };
            last_star = retry.split_first().map(|(_, shorter)| (after, shorter));
            (rest, text) = (after, retry);
        }
    }
    !key.is_empty() && without_stars(rest).is_empty() || pattern.is_empty() && key.is_empty()
}

fn without_stars(mut pattern: &[u8]) -> &[u8] {
    while let Some(after) = pattern.strip_prefix(b"*") {
        pattern = after;
    }
    pattern
}

/// Matches one byte with what the pattern begins with, which is no `*`; the rest of the pattern where it matches.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', after @ ..] => Some(after),
        [b'[', b'^', class @ ..] => {
            let (contains, after) = class_contains(class, byte);
            (!contains).then_some(after)
        }
        [b'[', class @ ..] => {
            let (contains, after) = class_contains(class, byte);
            contains.then_some(after)
        }
        [b'\\', literal, after @ ..] | [literal, after @ ..] => (*literal == byte).then_some(after),
    }
}

/// Whether a class contains a byte, and what follows the class.
fn class_contains(mut class: &[u8], byte: u8) -> (bool, &[u8]) {
    let mut contains = false;
    loop {
        class = match class {
            [] => return (contains, class),
            [b'\\', literal, after @ ..] => {
                contains |= *literal == byte;
                after
            }
            [b']', after @ ..] => return (contains, after),
            // What ends a range is not looked at any closer: in `[a-]`, the bracket.
            [start, b'-', end, after @ ..] => {
                contains |= is_between(byte, *start, *end);
                after
            }
            [literal, after @ ..] => {
                contains |= *literal == byte;
                after
            }
        };
    }
}

/// Redis compares what C calls `char`, which has a sign on some processors and none on others: it matters for a range
/// from below 0x80 to above.
#[allow(clippy::cast_possible_wrap, clippy::unnecessary_cast, reason = "that is how C does it")]
fn is_between(byte: u8, one: u8, other: u8) -> bool {
    let [byte, one, other] = [byte, one, other].map(|byte| byte as c_char);
    (one.min(other)..=one.max(other)).contains(&byte)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_redis() {
        let check = |pattern: &str, yes: &[&str], no: &[&str]| {
            for key in yes {
                assert!(matches_pattern(pattern.as_bytes(), key.as_bytes()), "{pattern} {key}");
            }
            for key in no {
                assert!(!matches_pattern(pattern.as_bytes(), key.as_bytes()), "{pattern} {key}");
            }
        };
        check("nova:config:*", &["nova:config:", "nova:config:x:y"], &["nova:config", "xnova:config:", ""]);
        check("nova:agent:*:tasks", &["nova:agent:7:tasks", "nova:agent::tasks"], &["nova:agent:tasks"]);
        check("h?llo", &["hello", "h*llo"], &["hllo", "heello"]);
        check("h[ae]llo", &["hello", "hallo"], &["hillo", "hllo"]);
        check("h[^e]llo", &["hallo"], &["hello", "hllo"]);
        check("[c-a]", &["a", "b", "c"], &["d", "", "-"]);
        check("[a-]", &["a", "]", "^"], &["b", "-"]);
        check(r"[\]x]", &["]", "x"], &["\\"]);
        check(r"\*a", &["*a"], &["ba", r"\*a"]);
        check(r"a\", &[r"a\"], &["a"]);
        check("[ab", &["a", "b"], &["[ab", "c", "ab"]);
        check("[^", &["a", "^"], &["", "ab"]);
        check("[", &[], &["[", "", "a"]);
        check("[]a", &[], &["a", "]a", ""]);
        check("*", &["", "a"], &[]);
        check("**", &["a", "ab"], &[""]);
        check("", &[""], &["a"]);
        check("a*b*c", &["abc", "aXbXbXc"], &["acb", "ab"]);
        check("*ab", &["ab", "aab", "abab"], &["aba", "b"]);
        check("a**", &["a", "ab"], &["b"]);
        assert!(matches_pattern(b"\xff*", b"\xff\x00\n") && !matches_pattern(b"\xfe", b"\xff"));
    }

    #[test]
    fn no_pattern_makes_it_slow() {
        let begun = Instant::now();
        let key = "a".repeat(10_000);
        assert!(!matches_pattern("*a".repeat(100).as_bytes(), format!("{key}b").as_bytes()));
        assert!(!matches_pattern(format!("{}b", "*a".repeat(100)).as_bytes(), key.as_bytes()));
        assert!(!matches_pattern(b"*a*a*a*a*a*a*a*a*b*c", key.as_bytes()));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
