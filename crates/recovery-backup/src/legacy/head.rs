//! What is remembered of a statement while it is read: enough to see what it is and whether a semicolon ends it.

use super::statement::{Kind, Token, classify};

/// How many tokens are kept.
const MAX_TOKENS: usize = 48;

/// See the module.
#[derive(Default)]
pub(super) struct Head {
    tokens: Vec<Token>,
    /// There were more.
    overflow: bool,
    first_string: Option<String>,
    parentheses: u32,
    /// How deep in `BEGIN ATOMIC … END`.
    body: u32,
}

impl Head {
    /// Whether a semicolon would not end the statement.
    pub(super) fn is_open(&self) -> bool {
        self.parentheses > 0 || self.body > 0
    }

    pub(super) fn symbol(&mut self, symbol: char) {
        match symbol {
            '(' => {
                self.push(Token::Symbol('('));
                self.parentheses += 1;
            }
            ')' => {
                self.parentheses = self.parentheses.saturating_sub(1);
                self.push(Token::Symbol(')'));
            }
            other => self.push(Token::Symbol(other)),
        }
    }

    pub(super) fn word(&mut self, word: String) {
        if self.parentheses == 0 && self.defines_function() {
            match word.as_str() {
                "begin" => self.body += 1,
                "case" if self.body > 0 => self.body += 1,
                "end" => self.body = self.body.saturating_sub(1),
                _ => {}
            }
        }
        self.push(Token::Word(word));
    }

    pub(super) fn name(&mut self, name: String) {
        self.push(Token::Name(name));
    }

    /// A string; of a long one the beginning, of a dollar quote nothing.
    pub(super) fn string(&mut self, text: Option<String>) {
        if self.first_string.is_none() {
            self.first_string = text;
        }
        self.push(Token::Text);
    }

    /// Says what the statement is, or refuses it with the words for it.
    pub(super) fn classify(&self) -> Result<Kind, String> {
        classify(&self.tokens, self.overflow, self.first_string.as_deref())
    }

    /// Only what stands outside parentheses tells what a statement is.
    fn push(&mut self, token: Token) {
        if self.parentheses > 0 {
            return;
        }
        if self.tokens.len() < MAX_TOKENS { self.tokens.push(token) } else { self.overflow = true }
    }

    /// Whether the statement is one in which `BEGIN ATOMIC` can stand.
    fn defines_function(&self) -> bool {
        let mut words = self.tokens.iter().map(Token::word);
        let is = |word: Option<&str>| matches!(word, Some("function" | "procedure"));
        if words.next() != Some(Some("create")) {
            return false;
        }
        match words.next().flatten() {
            Some("or") => words.next() == Some(Some("replace")) && is(words.next().flatten()),
            other => is(other),
        }
    }
}
