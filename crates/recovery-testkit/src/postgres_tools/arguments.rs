//! Arguments as `getopt_long` reads them; what is not known is refused.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

/// An option of a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    long: &'static str,
    short: Option<char>,
    takes_value: bool,
}

impl Flag {
    pub(super) const fn alone(long: &'static str, short: char) -> Self {
        Self { long, short: Some(short), takes_value: false }
    }

    pub(super) const fn with_value(long: &'static str, short: char) -> Self {
        Self { long, short: Some(short), takes_value: true }
    }

    pub(super) const fn long(long: &'static str) -> Self {
        Self { long, short: None, takes_value: false }
    }

    pub(super) const fn long_with_value(long: &'static str) -> Self {
        Self { long, short: None, takes_value: true }
    }
}

/// What a program was told: options by their long names, and the rest.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    options: BTreeMap<&'static str, OsString>,
    pub(super) operands: Vec<OsString>,
}

impl Arguments {
    /// Parses everything, or says in the program's words what it does not understand. An option that stands twice is
    /// refused: the real programs would take the last, and nobody means that.
    pub(super) fn parse(args: &[OsString], flags: &[Flag]) -> Result<Self, String> {
        let mut parsed = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let bytes = arg.as_bytes();
            let (flag, value) = if let Some(long) = bytes.strip_prefix(b"--") {
                let (name, value) = match long.iter().position(|&b| b == b'=') {
                    Some(at) => (&long[..at], Some(&long[at + 1..])),
                    None => (long, None),
                };
                (flags.iter().find(|flag| flag.long.as_bytes() == name), value)
            } else if bytes.len() > 1 && bytes[0] == b'-' {
                let flag = flags.iter().find(|flag| flag.short == Some(char::from(bytes[1])));
                (flag, Some(&bytes[2..]).filter(|value| !value.is_empty()))
            } else {
                parsed.operands.push(arg.clone());
                continue;
            };
            let flag = flag.ok_or_else(|| format!("unrecognized option '{}'", arg.to_string_lossy()))?;
            let value = match (flag.takes_value, value) {
                (true, Some(value)) => OsString::from_vec(value.to_vec()),
                (true, None) => {
                    rest.next().cloned().ok_or_else(|| format!("option '{}' needs a value", flag.long))?
                }
                (false, None) => OsString::new(),
                (false, Some(_)) => return Err(format!("option '{}' takes no value", flag.long)),
            };
            if parsed.options.insert(flag.long, value).is_some() {
                return Err(format!("option '{}' stands twice", flag.long));
            }
        }
        Ok(parsed)
    }

    /// The value of an option; the empty text for one that takes none.
    pub(super) fn get(&self, long: &str) -> Option<&str> {
        self.os(long).and_then(OsStr::to_str)
    }

    pub(super) fn os(&self, long: &str) -> Option<&OsStr> {
        self.options.get(long).map(OsString::as_os_str)
    }

    /// Refuses to work without these options.
    pub(super) fn insist(&self, options: &[&str]) -> Result<(), String> {
        match options.iter().find(|option| !self.options.contains_key(*option)) {
            None => Ok(()),
            Some(option) => Err(format!("this fake insists on --{option}")),
        }
    }
}

/// The text between the quotes of a connection string; `None` where a quote in it ends it early.
pub(super) fn unquote(quoted: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => return None,
            '\\' => text.push(chars.next()?),
            other => text.push(other),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] =
        &[Flag::alone("list", 'l'), Flag::with_value("jobs", 'j'), Flag::long_with_value("snapshot")];

    fn parse(args: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(&args.iter().map(OsString::from).collect::<Vec<_>>(), FLAGS)
    }

    #[test]
    fn long_and_short_forms_are_the_same() {
        for args in [
            &["-j", "2", "-l", "x"][..],
            &["x", "-j2", "--list"],
            &["--jobs=2", "x", "-l"],
            &["--jobs", "2", "-l", "x"],
        ] {
            let parsed = parse(args).unwrap();
            assert_eq!((parsed.get("jobs"), parsed.get("list")), (Some("2"), Some("")), "{args:?}");
            assert_eq!((parsed.options.len(), parsed.operands), (2, vec!["x".into()]), "{args:?}");
        }
        assert_eq!(parse(&["--snapshot=a=b"]).unwrap().get("snapshot"), Some("a=b"));
    }

    fn check_refused(args: &[&str], expect: &str) {
        assert_eq!(parse(args).unwrap_err(), expect, "{args:?}");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        check_refused(&["--clean"], "unrecognized option '--clean'");
        check_refused(&["-c"], "unrecognized option '-c'");
        check_refused(&["--jobs"], "option 'jobs' needs a value");
        check_refused(&["--list=1"], "option 'list' takes no value");
        check_refused(&["-j1", "--jobs=1"], "option 'jobs' stands twice");
    }

    #[test]
    fn quotes_are_taken_off() {
        assert_eq!(unquote(r"it\'s \\ odd").as_deref(), Some(r"it's \ odd"));
        assert_eq!(unquote("a' host='evil"), None);
        assert_eq!(unquote("a\\"), None);
    }
}
