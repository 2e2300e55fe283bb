//! Fetching a model with Ollama: a stream of lines of JSON, each of which says how far it is. Its status is 200 before
//! anything was fetched, so that it says nothing: an error is a line among the others, and only a line `success` is
//! success.

use std::{collections::BTreeMap, time::Duration};

use recovery_core::{
    Progress,
    port::{OnProgress, PullError, ServerError},
};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::http::{Client, read_json, trouble};

/// The longest line, in bytes: they have some hundred.
const LONGEST_LINE: usize = 64 * 1024;
/// The most that is kept of what it says of an error, in characters.
const LONGEST_WORDS: usize = 300;
/// The most layers that are counted: a model has some ten.
const MOST_LAYERS: usize = 1_000;

pub(super) async fn pull(client: &Client, model: &str, progress: OnProgress<'_>) -> Result<(), PullError> {
    // Old versions know the one, new ones the other.
    let body = json!({ "model": model, "name": model, "stream": true });
    let answer = client.stream("/api/pull", body).await?;
    let status = answer.status();
    let mut lines = Lines { answer, rest: Vec::new() };
    let within = client.limits.pull;
    if status != StatusCode::OK {
        let line = lines.next(Instant::now() + within, within).await.ok().flatten();
        let said = line.and_then(|line| read_json::<Line>(&line).ok()?.error);
        return Err(match said {
            Some(said) => refused(&said),
            None => ServerError::Status { status: status.as_u16() }.into(),
        });
    }
    let mut sign = Instant::now();
    let (mut far, mut done) = (Far::default(), false);
    while let Some(line) = lines.next(sign + within, within).await? {
        if line.is_empty() {
            continue;
        }
        let line: Line = read_json(&line)?;
        if let Some(said) = line.error {
            return Err(refused(&said));
        }
        done = line.status == "success";
        // The same line again and again is no sign that anything comes.
        if far.hear(line) {
            sign = Instant::now();
            progress(far.progress());
        }
    }
    if done {
        Ok(())
    } else {
        Err(ServerError::Broken { source: "it ended without saying that it is done".into() }.into())
    }
}

fn refused(said: &str) -> PullError {
    let said: String =
        said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_WORDS).collect();
    PullError::Refused { said }
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    total: Option<u64>,
    #[serde(default)]
    completed: Option<u64>,
}

/// How far it is, over all layers that it has told of.
#[derive(Default)]
struct Far {
    status: String,
    /// Bytes that are there, and bytes in all.
    layers: BTreeMap<String, (u64, u64)>,
}

impl Far {
    /// Takes a line; whether it says anything new.
    fn hear(&mut self, line: Line) -> bool {
        let mut news = self.status != line.status;
        self.status = line.status;
        if let (Some(digest), Some(total)) = (line.digest, line.total)
            && (self.layers.len() < MOST_LAYERS || self.layers.contains_key(&digest))
        {
            let now = (line.completed.unwrap_or(0).min(total), total);
            news |= self.layers.insert(digest, now) != Some(now);
        }
        news
    }

    fn progress(&self) -> Progress {
        if !self.status.starts_with("pull") {
            return Progress::phase("verifying");
        }
        let sum = |of: fn(&(u64, u64)) -> u64| self.layers.values().map(of).fold(0, u64::saturating_add);
        let total = (!self.layers.is_empty()).then(|| sum(|layer| layer.1));
        Progress::bytes("pulling", sum(|layer| layer.0), total)
    }
}

/// An answer, line by line.
struct Lines {
    answer: Response,
    rest: Vec<u8>,
}

impl Lines {
    /// The next line without its end; the last one may have none. `None` at the end of the answer.
    async fn next(&mut self, until: Instant, within: Duration) -> Result<Option<Vec<u8>>, PullError> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let after = self.rest.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.rest, after);
                line.pop();
                return Ok(Some(line));
            }
            if self.rest.len() > LONGEST_LINE {
                return Err(ServerError::Unreadable { what: "a line of it is too long" }.into());
            }
            let chunk = timeout_at(until, self.answer.chunk());
            match chunk.await.map_err(|_| PullError::Stalled { within })?.map_err(trouble)? {
                Some(chunk) => self.rest.extend_from_slice(&chunk),
                None if self.rest.is_empty() => return Ok(None),
                None => return Ok(Some(std::mem::take(&mut self.rest))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_summed_and_a_line_that_says_nothing_new_is_no_sign() {
        let mut far = Far::default();
        let mut hear = |line: serde_json::Value| {
            let news = far.hear(serde_json::from_value(line).unwrap());
            let Progress { phase, done, total, .. } = far.progress();
            (news, phase, done, total)
        };
        let pulling = |news, done, total| (news, "pulling".to_owned(), done, total);
        assert_eq!(hear(json!({ "status": "pulling manifest" })), pulling(true, 0, None));
        let first = json!({ "status": "pulling a", "digest": "sha256:a", "total": 100, "completed": 40 });
        assert_eq!(hear(first.clone()), pulling(true, 40, Some(100)));
        assert_eq!(hear(first), pulling(false, 40, Some(100)));
        let second = json!({ "status": "pulling b", "digest": "sha256:b", "total": 10 });
        assert_eq!(hear(second), pulling(true, 40, Some(110)));
        let more = json!({ "status": "pulling b", "digest": "sha256:b", "total": 10, "completed": 99 });
        assert_eq!(hear(more), pulling(true, 50, Some(110)), "never more than there is");
        let verifying = json!({ "status": "verifying sha256 digest" });
        assert_eq!(hear(verifying), (true, "verifying".to_owned(), 0, None));
    }

    #[test]
    fn its_words_are_one_short_line() {
        let PullError::Refused { said } = refused(&format!("a\nb\u{1b}[31m{}", "x".repeat(1_000))) else {
            panic!()
        };
        assert!(said.starts_with("a b [31mxx") && said.chars().count() == LONGEST_WORDS, "{said}");
    }
}
