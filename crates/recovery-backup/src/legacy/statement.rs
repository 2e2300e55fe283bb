//! Which statements of a script are run: those that a plain dump of one database consists of. What reaches beyond the
//! database (other databases, roles, the server's settings and files) is refused, and so is what no dump has.
//!
//! This is no sandbox: a dump may define functions, and constraints and indexes that call them. It runs with the rights
//! of the role that will own what it makes.

use std::fmt;

/// A statement of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Its text, without the semicolon.
    pub text: String,
    /// The line of the script on which it begins.
    pub line: u64,
    /// What it is.
    pub kind: Kind,
}

impl Statement {
    /// Its first keywords, for a message: `CREATE TABLE`.
    pub(crate) fn name(&self) -> String {
        let words = self.text.split_whitespace().take(2);
        let keyword = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphabetic());
        words.take_while(|word| keyword(word)).collect::<Vec<_>>().join(" ")
    }
}

/// What a statement is, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A setting of the session; one that the server does not know is left out.
    Setting,
    /// `standard_conforming_strings`, and whether backslashes escape from here on.
    Backslashes(bool),
    /// `client_encoding`, and which.
    Encoding(String),
    /// Removes something: at the beginning of a dump made with `--clean`, what is not there.
    Removes,
    /// Takes a large object away, for the same purpose.
    Unlinks,
    /// Makes a large object.
    LargeObject,
    /// Changes something, and at that beginning, too, what is not there.
    Changes,
    /// `BEGIN` and `COMMIT`, which stand around large objects.
    Begin,
    Commit,
    /// Makes an extension.
    Extension(String),
    /// Inserts a few rows.
    Insert(TableName),
    /// Rows follow.
    Copy(TableName),
    /// Names roles: a policy, a user mapping, or privileges.
    Names(Vec<String>),
    /// Anything else that is let through.
    Other,
}

/// The name of a table, without quotes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TableName {
    /// Its schema, where the script says it.
    pub schema: Option<String>,
    /// Its own name.
    pub name: String,
}

impl TableName {
    /// Reads `schema.table`, each part quoted where SQL needs it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (schema, rest) = part(text)?;
        match rest.strip_prefix('.') {
            Some(rest) => {
                let (name, rest) = part(rest)?;
                rest.is_empty().then_some(Self { schema: Some(schema), name })
            }
            None => rest.is_empty().then_some(Self { schema: None, name: schema }),
        }
    }
}

/// A name and what follows it.
fn part(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let (name, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
        return (!name.is_empty()).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A token of a statement that stands outside parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or name, in lower case.
    Word(String),
    /// A quoted name.
    Name(String),
    /// A string of any kind.
    Text,
    /// Anything else; a parenthesis stands for all that it holds.
    Symbol(char),
}

impl Token {
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }

    fn identifier(&self) -> Option<&str> {
        match self {
            Self::Word(word) | Self::Name(word) => Some(word),
            _ => None,
        }
    }
}

/// The settings that `pg_dump` puts at the beginning of a script.
const SETTINGS: [&str; 14] = [
    "check_function_bodies",
    "client_min_messages",
    "default_table_access_method",
    "default_tablespace",
    "default_toast_compression",
    "default_with_oids",
    "escape_string_warning",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "row_security",
    "search_path",
    "statement_timeout",
    "transaction_timeout",
    "xmloption",
];

/// The functions that `pg_dump` calls: sequences, large objects, and from PostgreSQL 18 on statistics.
const FUNCTIONS: [&str; 8] = [
    "lo_close",
    "lo_from_bytea",
    "lo_open",
    "lowrite",
    "pg_restore_attribute_stats",
    "pg_restore_extended_stats",
    "pg_restore_relation_stats",
    "setval",
];

/// What lies outside a database, and subscriptions, which connect to other servers.
const OUTSIDE: [&str; 8] =
    ["database", "group", "parameter", "role", "subscription", "system", "tablespace", "user"];

/// What stands for roles that always exist.
const NO_ROLES: [&str; 4] = ["current_role", "current_user", "public", "session_user"];

/// Says what a statement is, or refuses it with the words for it.
pub(super) fn classify(tokens: &[Token], overflow: bool, first_string: Option<&str>) -> Result<Kind, String> {
    let words: Vec<&str> = tokens.iter().map_while(Token::word).collect();
    let kind = match words.as_slice() {
        ["set", ..] => setting(tokens, first_string),
        ["select", ..] => call(tokens, first_string),
        ["copy", ..] if !overflow => copy(tokens),
        ["insert", "into", ..] => table(tokens.get(2..)).map(|(table, _)| Kind::Insert(table)),
        ["begin"] | ["begin", "transaction"] | ["start", "transaction"] => Some(Kind::Begin),
        ["commit"] | ["commit", "transaction"] => Some(Kind::Commit),
        ["create", "policy", ..] => Some(roles(tokens, &["to"])),
        ["create", "user", "mapping", ..] => Some(roles(tokens, &["for"])),
        ["alter", "user", "mapping", ..] => Some(Kind::Changes),
        ["drop", "user", "mapping", ..] => Some(Kind::Removes),
        ["create", "extension", rest @ ..] => extension(tokens, rest),
        ["create", what, ..] if OUTSIDE.contains(what) => None,
        // In front of a view that others need: what it stood for before is not there either.
        ["create", "or", "replace", "view", ..] => Some(Kind::Changes),
        ["create", ..] => Some(Kind::Other),
        ["alter", what, ..] if OUTSIDE.contains(what) => None,
        ["alter", ..] => Some(Kind::Changes),
        ["drop", what, ..] if OUTSIDE.contains(what) || *what == "owned" => None,
        ["drop", ..] => Some(Kind::Removes),
        ["comment", "on", what, ..] if OUTSIDE.contains(what) => None,
        ["comment", "on", ..] | ["refresh", "materialized", "view", ..] => Some(Kind::Other),
        ["security", "label", ..] => on_what(tokens).then_some(Kind::Other),
        ["grant" | "revoke", ..] => on_what(tokens).then(|| roles(tokens, &["to", "from"])),
        _ => None,
    };
    kind.ok_or_else(|| {
        let words: Vec<String> = words.iter().take(2).map(|word| word.to_ascii_uppercase()).collect();
        let what = if words.is_empty() { "something".to_owned() } else { words.join(" ") };
        format!("what no dump of one database has: {what}")
    })
}

/// `SET name = value`.
fn setting(tokens: &[Token], first_string: Option<&str>) -> Option<Kind> {
    let [_, Token::Word(name), assigns, value @ ..] = tokens else { return None };
    if !matches!(assigns, Token::Symbol('=')) && assigns.word() != Some("to") {
        return None;
    }
    let value = match value {
        [Token::Word(value)] => Some(value.as_str()),
        [Token::Text] => first_string,
        _ => None,
    };
    match (name.as_str(), value) {
        ("standard_conforming_strings", Some("on")) => Some(Kind::Backslashes(false)),
        ("standard_conforming_strings", Some("off")) => Some(Kind::Backslashes(true)),
        ("client_encoding", Some(encoding)) => Some(Kind::Encoding(encoding.to_ascii_uppercase())),
        (name, _) if SETTINGS.contains(&name) => Some(Kind::Setting),
        _ => None,
    }
}

/// `SELECT pg_catalog.function(…)`, and how `--clean` takes large objects away.
fn call(tokens: &[Token], first_string: Option<&str>) -> Option<Kind> {
    let [
        _,
        Token::Word(schema),
        Token::Symbol('.'),
        Token::Word(function),
        Token::Symbol('('),
        Token::Symbol(')'),
        rest @ ..,
    ] = tokens
    else {
        return None;
    };
    match (schema.as_str(), function.as_str(), rest) {
        ("pg_catalog", "set_config", []) if first_string == Some("search_path") => Some(Kind::Setting),
        ("pg_catalog", "lo_unlink", _) => Some(Kind::Unlinks),
        ("pg_catalog", "lo_create", []) => Some(Kind::LargeObject),
        ("pg_catalog", function, []) if FUNCTIONS.contains(&function) => Some(Kind::Other),
        _ => None,
    }
}

/// `COPY table (columns) FROM stdin`, and nothing else: not from a file and not from a program.
fn copy(tokens: &[Token]) -> Option<Kind> {
    let (table, rest) = table(tokens.get(1..))?;
    let rest = match rest {
        [Token::Symbol('('), Token::Symbol(')'), rest @ ..] => rest,
        rest => rest,
    };
    let words: Vec<Option<&str>> = rest.iter().map(Token::word).collect();
    (words == [Some("from"), Some("stdin")]).then_some(Kind::Copy(table))
}

/// The name of a table and what follows it.
fn table(tokens: Option<&[Token]>) -> Option<(TableName, &[Token])> {
    let name = |token: &Token| token.identifier().map(str::to_owned);
    match tokens? {
        [schema, Token::Symbol('.'), table, rest @ ..] => {
            Some((TableName { schema: Some(name(schema)?), name: name(table)? }, rest))
        }
        [table, rest @ ..] => Some((TableName { schema: None, name: name(table)? }, rest)),
        [] => None,
    }
}

fn extension(tokens: &[Token], rest: &[&str]) -> Option<Kind> {
    let place = if rest.starts_with(&["if", "not", "exists"]) { 5 } else { 2 };
    Some(Kind::Extension(tokens.get(place)?.identifier()?.to_owned()))
}

/// The roles that are listed after one of these words.
fn roles(tokens: &[Token], after: &[&str]) -> Kind {
    let rest =
        tokens.iter().skip_while(|token| token.word().is_none_or(|word| !after.contains(&word))).skip(1);
    let mut roles = Vec::new();
    let mut may_follow = true;
    for token in rest {
        match token {
            Token::Word(word) if may_follow && NO_ROLES.contains(&word.as_str()) => may_follow = false,
            Token::Word(role) | Token::Name(role) if may_follow => {
                roles.push(role.clone());
                may_follow = false;
            }
            Token::Symbol(',') => may_follow = true,
            _ => break,
        }
    }
    Kind::Names(roles)
}

/// Whether a `GRANT`, `REVOKE` or `SECURITY LABEL` is about something inside the database. A `GRANT` without `ON` gives
/// a role to a role.
fn on_what(tokens: &[Token]) -> bool {
    let place = tokens.iter().position(|token| token.word() == Some("on"));
    let what = place.and_then(|place| tokens.get(place + 1)).and_then(Token::identifier);
    what.is_some_and(|what| !OUTSIDE.contains(&what))
}
