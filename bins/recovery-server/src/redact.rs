//! Takes secrets out of texts that others wrote, such as logs, before they leave: values that are known to be secret,
//! and what looks like one. A text can lose more than it must; it must not keep a secret that can be told.

use recovery_env::{EnvDocument, Visibility, sounds_secret, visibility};
use secrecy::{ExposeSecret as _, SecretString};

/// What stands in the place of a secret.
const GONE: &str = "[removed]";
/// Shorter values are words rather than secrets: to take them out would take texts apart.
const SHORTEST: usize = 5;

/// Words in a name that say that its value is a secret, in lower case.
const MARKS: [&str; 10] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "authorization",
    "credential",
];

/// How tokens of well-known makers begin, and how long one is at least.
const PREFIXES: [(&str, usize); 10] = [
    ("sk-", 20),
    ("hf_", 20),
    ("gsk_", 20),
    ("ghp_", 20),
    ("github_pat_", 30),
    ("xoxb-", 20),
    ("xapp-", 20),
    ("tskey-", 20),
    ("AKIA", 20),
    ("eyJ", 40),
];

/// Knows what is to be taken out.
pub(crate) struct Redactor {
    /// The longest first: one may be part of another.
    values: Vec<String>,
}

impl Redactor {
    /// Takes out every value of the `.env` that may not be seen, and these secrets of the service itself.
    pub(crate) fn of(environment: Option<&EnvDocument>, own: &[SecretString]) -> Self {
        let secrets = environment.into_iter().flat_map(|document| {
            let secret = document
                .keys()
                .filter(|key| visibility(key) == Some(Visibility::Masked) || sounds_secret(key))
                .filter_map(|key| document.get(key));
            secret.collect::<Vec<_>>()
        });
        let own = own.iter().map(|secret| secret.expose_secret().to_owned());
        Self::new(secrets.chain(own))
    }

    /// Takes these values out, besides what looks like a secret.
    pub(crate) fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.into_iter().filter(|value| value.len() >= SHORTEST).collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values }
    }

    /// The text without the values that are known.
    pub(crate) fn known(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, value| {
            if text.contains(value.as_str()) { text.replace(value.as_str(), GONE) } else { text }
        })
    }

    /// The text without the values that are known, and without what looks like a secret.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for line in self.known(text).split_inclusive('\n') {
            out.push_str(&tokens(&assignments(&addresses(line))));
        }
        out
    }
}

/// Takes the password out of `scheme://user:password@host`.
fn addresses(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || "\"'<>`/?#".contains(c)).unwrap_or(after.len());
        // A password may hold the characters that end an address, where nobody has encoded them.
        let end = after.get(end..).and_then(stray_at).map_or(end, |more| end + more);
        let (authority, tail) = after.split_at_checked(end).unwrap_or((after, ""));
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                let name = user.split(':').next().filter(|_| user.contains(':')).unwrap_or_default();
                out.push_str(name);
                out.push_str(if name.is_empty() { "" } else { ":" });
                out.push_str(GONE);
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// How far an `@` is that still belongs to the same word, if it stands in it, with it and the host after it.
fn stray_at(more: &str) -> Option<usize> {
    let word_end = more.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c)).unwrap_or(more.len());
    let word = more.get(..word_end)?;
    let at = word.rfind('@')?;
    // What follows a path may be an address of another kind: `https://host/@scope/package`.
    if more.starts_with('/') {
        return None;
    }
    let host_end = word.get(at..)?.find(['/', '?', '#']).unwrap_or(word.len() - at);
    Some(at + host_end)
}

/// Takes the value out of `NAME=value`, `name: value` and `"name": "value"` where the name says that it is secret.
fn assignments(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, after) = rest.split_at_checked(at + 1).unwrap_or((rest, ""));
        out.push_str(before);
        rest = after;
        let name = before.get(..at).unwrap_or_default().trim_end_matches(['"', '\'', '\\', ' ']);
        let name_begin =
            name.rfind(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).map_or(0, |at| at + 1);
        let name = name.get(name_begin..).unwrap_or_default().to_ascii_lowercase();
        // The second half of `://` is no value.
        if rest.starts_with("//") || !MARKS.iter().any(|mark| name.contains(mark)) {
            continue;
        }
        let lead = rest.len() - rest.trim_start_matches([' ', '\t', '"', '\'', '\\']).len();
        let (lead, value) = rest.split_at_checked(lead).unwrap_or(("", rest));
        out.push_str(lead);
        let (scheme, value) = value
            .split_once(' ')
            .filter(|(scheme, _)| {
                ["bearer", "basic", "token"].contains(&scheme.to_ascii_lowercase().as_str())
            })
            .unwrap_or(("", value));
        let end = value.find(|c: char| c.is_whitespace() || "\"',;&})]\\".contains(c)).unwrap_or(value.len());
        if end > 0 {
            out.push_str(scheme);
            out.push_str(if scheme.is_empty() { "" } else { " " });
            out.push_str(GONE);
        }
        rest = value.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Takes out what looks like a token of a well-known maker.
fn tokens(line: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while !rest.is_empty() {
        let begin = rest.find(is_part).unwrap_or(rest.len());
        let (before, word) = rest.split_at_checked(begin).unwrap_or((rest, ""));
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        let (word, after) = word.split_at_checked(end).unwrap_or((word, ""));
        let secret =
            PREFIXES.iter().any(|(prefix, shortest)| word.starts_with(prefix) && word.len() >= *shortest);
        out.push_str(before);
        out.push_str(if secret { GONE } else { word });
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let redactor = Redactor::new(["hunter2hunter2".to_owned(), "hunter2".to_owned(), "abc".to_owned()]);
        assert_eq!(redactor.redact(text), expect);
    }

    #[test]
    fn known_values_are_taken_out_wherever_they_stand() {
        check("it is hunter2hunter2, or hunter2.", "it is [removed], or [removed].");
        check("abc is too short to be one", "abc is too short to be one");
    }

    #[test]
    fn passwords_in_addresses_are_taken_out() {
        check("postgres://nova:s3cret@db:5432/nova", "postgres://nova:[removed]@db:5432/nova");
        check("redis://:s3cret@redis/7 and redis://redis/7", "redis://[removed]@redis/7 and redis://redis/7");
        check("http://t0ken@host/x", "http://[removed]@host/x");
        check("postgres://nova:s3?cr#et@db/nova", "postgres://nova:[removed]@db/nova");
        check("GET https://registry/@scope/package", "GET https://registry/@scope/package");
        check("see https://nova.example.org/docs", "see https://nova.example.org/docs");
    }

    #[test]
    fn values_of_secret_names_are_taken_out() {
        check("POSTGRES_PASSWORD=s3cret done", "POSTGRES_PASSWORD=[removed] done");
        check(r#"{"api_key": "s3cret", "model": "x"}"#, r#"{"api_key": "[removed]", "model": "x"}"#);
        check("Authorization: Bearer s3cret.x", "Authorization: Bearer [removed]");
        check("x-admin-secret: s3cret", "x-admin-secret: [removed]");
        check("?token=s3cret&page=2", "?token=[removed]&page=2");
        check("password='s3cret' user='nova'", "password='[removed]' user='nova'");
        check(r#"{\"password\":\"s3cret\"}"#, r#"{\"password\":\"[removed]\"}"#);
        check("level=info msg=started", "level=info msg=started");
        check(
            "password authentication failed for user \"nova\"",
            "password authentication failed for user \"nova\"",
        );
        check("token=\n", "token=\n");
    }

    #[test]
    fn tokens_are_taken_out_wherever_they_stand() {
        check("using sk-proj-abcdefghijklmnopqrst now", "using [removed] now");
        check("(hf_abcdefghijklmnopqrstuv)", "([removed])");
        check("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc", "[removed]");
        check("sk-short, task-list and eyJ", "sk-short, task-list and eyJ");
    }

    #[test]
    fn a_long_text_takes_no_time() {
        let text = "a=b://c:d@e ".repeat(20_000);
        let began = std::time::Instant::now();
        let redacted = Redactor::new(["hunter2".to_owned()]).redact(&text);
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(!redacted.contains("c:d@"));
    }
}
