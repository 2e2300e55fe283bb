//! Names and values as SQL wants them. The sessions of this crate run with `standard_conforming_strings = on`, so a
//! backslash in a literal is just a backslash.

use std::fmt;

/// An identifier: always quoted, so that no list of keywords is needed.
pub(super) struct Ident<'a>(pub(super) &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A text value.
pub(super) struct Literal<'a>(pub(super) &'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.replace('\'', "''"))
    }
}

/// The settings whose value is a list of names that are quoted one by one (`GUC_LIST_QUOTE`). Their catalogue form is
/// no string literal but such a list, and must be written back as one literal per name, as `pg_dump` does.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// What stands after `SET name TO` so that the catalogue holds `value` again.
pub(super) fn setting_value(name: &str, value: &str) -> String {
    let names = if LISTS.contains(&name.to_ascii_lowercase().as_str()) { split_list(value) } else { None };
    match names {
        Some(names) if !names.is_empty() => {
            let quoted: Vec<String> = names.iter().map(|name| Literal(name).to_string()).collect();
            quoted.join(", ")
        }
        _ => Literal(value).to_string(),
    }
}

/// Splits `a, "B c", "d""e"` into its names; `None` where it is no such list.
fn split_list(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text.trim_start();
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_name(quoted)?,
            None => {
                let end = rest.find(|c: char| c == ',' || c.is_ascii_whitespace()).unwrap_or(rest.len());
                let (name, after) = rest.split_at_checked(end)?;
                if name.is_empty() {
                    return None;
                }
                (name.to_owned(), after)
            }
        };
        names.push(name);
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(names);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

/// The name up to the closing quote, and what follows it.
fn quoted_name(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_quoted() {
        assert_eq!(Ident("a\"b ü").to_string(), "\"a\"\"b ü\"");
        assert_eq!(Literal("it's \\ so").to_string(), "'it''s \\ so'");
    }

    #[test]
    fn lists_of_names_are_written_name_by_name() {
        let check = |name: &str, value: &str, expect: &str| assert_eq!(setting_value(name, value), expect);
        check("search_path", "app, public", "'app', 'public'");
        check("search_path", r#""$user", public"#, "'$user', 'public'");
        check("search_path", r#""Größe, ""x""", 'it''s"#, r#"'Größe, "x"', '''it''''s'"#);
        check("Search_Path", r#""""#, "''");
        check("search_path", "", "''");
        check("search_path", "a,,b", "'a,,b'");
        check("search_path", r#""open"#, r#"'"open'"#);
        check("work_mem", "64MB, 3", "'64MB, 3'");
    }
}
