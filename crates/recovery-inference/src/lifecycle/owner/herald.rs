//! Telling others of what the owner begins by itself, so that it is seen like what somebody asks for.

use std::sync::Arc;

use async_trait::async_trait;
use recovery_core::{
    Problem,
    port::{OperationContext, Unwatched},
};
use tokio::sync::oneshot;

use super::wish::{Done, Wish};

/// How many of the last lines of a log an error quotes, and how much of each, in characters.
const QUOTED: (usize, usize) = (5, 200);

/// Tells others of what the owner does.
#[async_trait]
pub trait Herald: Send + Sync {
    /// The owner begins this change by itself, `why` in half a sentence. Returns what is told how far it is; its end
    /// is heard at `end`.
    async fn announce(
        &self,
        wish: &Wish,
        why: &str,
        end: oneshot::Receiver<Result<Done, Problem>>,
    ) -> Arc<dyn OperationContext>;

    /// Lines that a server printed, without what must not be told.
    async fn presentable(&self, lines: Vec<String>) -> Vec<String>;
}

/// Tells nobody, and lets nothing out that a server printed.
pub(super) struct Silence;

#[async_trait]
impl Herald for Silence {
    async fn announce(
        &self,
        _wish: &Wish,
        _why: &str,
        _end: oneshot::Receiver<Result<Done, Problem>>,
    ) -> Arc<dyn OperationContext> {
        Arc::new(Unwatched::new())
    }

    async fn presentable(&self, _lines: Vec<String>) -> Vec<String> {
        Vec::new()
    }
}

/// The problem with the last of these lines in its words.
pub(super) fn with_last_words(mut problem: Problem, lines: &[String]) -> Problem {
    let (most, longest) = QUOTED;
    let lines: Vec<String> = lines
        .iter()
        .map(|line| line.chars().filter(|c| !c.is_control()).take(longest).collect::<String>())
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = lines.get(lines.len().saturating_sub(most)..).unwrap_or_default();
    if !last.is_empty() {
        problem.detail = format!("{} The last lines of its log: {}", problem.detail, last.join(" | "));
    }
    problem
}
