//! Numbers as tools print them: with units, with the separators of other countries, or in brackets where there are
//! none.

/// The number in a text such as `24576`, `24576 MiB`, `1 024,5 W` or `"45.0"`. `None` for everything that a tool puts
/// in place of a number it does not have: `[N/A]`, `N/A`, nothing at all, words.
///
/// Both a point and a comma are there: the last of them is the decimal one. A single comma stands for thousands where
/// exactly three digits follow it, and for the decimal point otherwise.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_separator = |c: char| matches!(c, '.' | ',' | ' ' | '\u{a0}' | '\u{202f}' | '\'');
    let end = text
        .char_indices()
        .find(|&(at, c)| !(c.is_ascii_digit() || is_separator(c) || (at == 0 && c == '-')))
        .map_or(text.len(), |(at, _)| at);
    let (digits, unit) = text.split_at_checked(end)?;
    if unit.chars().count() > 8 || !unit.chars().all(|c| c.is_alphabetic() || matches!(c, '%' | '°' | '/')) {
        return None;
    }
    let digits: String = digits.trim().chars().filter(|c| matches!(c, '0'..='9' | '.' | ',' | '-')).collect();
    if !digits.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let plain = match (digits.rfind('.'), digits.rfind(',')) {
        (Some(point), Some(comma)) if point < comma => digits.replace('.', "").replace(',', "."),
        (Some(_), Some(_)) => digits.replace(',', ""),
        (Some(_), None) if digits.matches('.').count() > 1 => digits.replace('.', ""),
        (None, Some(comma)) => {
            let thousands =
                digits.matches(',').count() > 1 || digits.len() - comma == 4 && !digits.starts_with("0,");
            digits.replace(',', if thousands { "" } else { "." })
        }
        _ => digits,
    };
    plain.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A number that is neither negative nor absurd, as a whole one.
pub(crate) fn whole(number: f64) -> Option<u64> {
    // 2^53: beyond it a floating-point number does not count in ones.
    const MOST: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within bounds")]
    (0.0..=MOST).contains(&number).then(|| number.round() as u64)
}

/// How many MiB a text says. Without a unit it says what `unit` says.
pub(crate) fn mebibytes(text: &str, unit: Unit) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let unit = [
        ("gib", Unit::Gibibytes),
        ("gb", Unit::Gibibytes),
        ("mib", Unit::Mebibytes),
        ("mb", Unit::Mebibytes),
        ("kib", Unit::Kibibytes),
        ("kb", Unit::Kibibytes),
    ]
    .into_iter()
    .find(|(suffix, _)| lower.ends_with(suffix))
    .map_or(unit, |(_, unit)| unit);
    unit.mebibytes(number(text)?)
}

/// What a size is counted in. Tools that say `MB` and `GB` of a GPU's memory mean these, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Kibibytes,
    Mebibytes,
    Gibibytes,
}

impl Unit {
    pub(crate) fn mebibytes(self, number: f64) -> Option<u64> {
        whole(match self {
            Self::Bytes => number / (1024.0 * 1024.0),
            Self::Kibibytes => number / 1024.0,
            Self::Mebibytes => number,
            Self::Gibibytes => number * 1024.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_country() {
        for (text, expect) in [
            ("24576", 24576.0),
            (" 24576 MiB ", 24576.0),
            ("45.0", 45.0),
            ("61.63 W", 61.63),
            ("61,63 W", 61.63),
            ("24,576", 24576.0),
            ("0,125", 0.125),
            ("24 576 MiB", 24576.0),
            ("24\u{202f}576,5", 24576.5),
            ("1.024.000", 1_024_000.0),
            ("1.024,5", 1024.5),
            ("1,024.5", 1024.5),
            ("1'024", 1024.0),
            ("97 %", 97.0),
            ("97%", 97.0),
            ("-5 °C", -5.0),
        ] {
            assert_eq!(number(text), Some(expect), "{text}");
        }
    }

    #[test]
    fn what_stands_in_place_of_a_number_is_none() {
        for text in [
            "",
            " ",
            "-",
            "N/A",
            "[N/A]",
            "[Not Supported]",
            "[Insufficient Permissions]",
            "[Unknown Error]",
            "None",
            "nan",
            "inf",
            "1e999",
            "12 monkeys in a tree",
            "1-2",
            "..",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!((whole(-1.0), whole(1e300), whole(f64::NAN)), (None, None, None));
    }

    #[test]
    fn sizes_in_every_unit() {
        for (text, unit, expect) in [
            ("24576", Unit::Mebibytes, 24576),
            ("24", Unit::Gibibytes, 24576),
            ("25753026560", Unit::Bytes, 24560),
            ("24 GB", Unit::Mebibytes, 24576),
            ("24560 MB", Unit::Bytes, 24560),
            ("2097152 kB", Unit::Bytes, 2048),
            ("23,5 GiB", Unit::Bytes, 24064),
        ] {
            assert_eq!(mebibytes(text, unit), Some(expect), "{text}");
        }
        assert_eq!(mebibytes("[N/A]", Unit::Mebibytes), None);
    }
}
