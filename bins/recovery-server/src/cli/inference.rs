//! `inference`: which server of language models serves, and changing that, through a running service.

use clap::{Args, Subcommand};
use recovery_core::{ErrorCode, OperationKind, Problem};
use serde::Deserialize;

use super::{backend::Task, commands::Session, failure::Failure};

/// What is done about the servers of language models.
#[derive(Clone, Debug, Subcommand)]
pub enum InferenceAction {
    /// Shows which one serves, and what is being done
    Status,
    /// Lets one serve, in the place of the one that does; starts that one anew
    #[command(visible_alias = "switch")]
    Start {
        /// Its name, for example `vllm`
        backend: String,
        /// How the one before is stopped
        #[command(flatten)]
        drain: Drain,
    },
    /// Stops the one that serves, once it has finished its requests
    Stop {
        /// How it is stopped
        #[command(flatten)]
        drain: Drain,
    },
    /// Gives the one that serves another model; the one before comes back where that fails
    SwitchModel {
        /// Its name: `vllm` or `sglang`
        backend: String,
        /// The model, for example `Qwen/Qwen2.5-7B-Instruct-AWQ`
        model: String,
        /// How it is stopped
        #[command(flatten)]
        drain: Drain,
    },
}

/// How a server is stopped.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// How many seconds the server that goes is given to finish its requests
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub drain_timeout: Option<u64>,
}

/// A change of the servers of language models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InferenceOrder {
    pub(super) kind: OperationKind,
    /// Its path below `inference/backend`.
    pub(super) path: Vec<String>,
    pub(super) model: Option<String>,
    pub(super) drain: Drain,
}

/// How things stand, as the service tells it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Standing {
    backend: String,
    state: String,
    active_model: Option<String>,
    switch_progress: Option<Step>,
    error: Option<String>,
    hint: Option<String>,
}

#[derive(Deserialize)]
struct Step {
    detail: String,
}

/// What came of a change.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Changed {
    backend: Option<String>,
    model: Option<String>,
    requests_cut_off: Option<u64>,
    warnings: Vec<String>,
}

impl Session<'_> {
    /// `inference …`
    pub(super) async fn inference(&mut self, action: InferenceAction) -> Result<(), Failure> {
        let (kind, path, model, drain) = match action {
            InferenceAction::Status => {
                let status = self.backend.inference().await?;
                let standing: Standing = serde_json::from_value(status.clone()).unwrap_or_default();
                return self.output.result(&status, || standing.render());
            }
            InferenceAction::Start { backend, drain } => {
                (OperationKind::StartBackend, vec![backend, "start".to_owned()], None, drain)
            }
            InferenceAction::Stop { drain } => {
                (OperationKind::StopBackend, vec!["stop".to_owned()], None, drain)
            }
            InferenceAction::SwitchModel { backend, model, drain } => {
                let path = vec![backend, "switch-model".to_owned()];
                (OperationKind::SwitchModel, path, Some(model), drain)
            }
        };
        let result = self.follow(&Task::Inference(InferenceOrder { kind, path, model, drain })).await?;
        let changed: Changed = serde_json::from_value(result.clone()).unwrap_or_default();
        self.output.result(&result, || changed.render())
    }
}

/// The servers belong to the service that looks after them: two that start and stop them would be in each other's way.
pub(super) fn needs_a_service() -> Problem {
    let detail = "The servers of language models are looked after by a running service alone.";
    Problem::new(ErrorCode::DependencyUnavailable, detail)
        .hint("Start the service, and name it with --url. With the service down they go on as they are; `docker compose` starts and stops them, and the service takes over what it finds running.")
}

impl Standing {
    fn render(&self) -> String {
        let mut text = match &self.active_model {
            Some(model) => format!("{}: {} ({model})\n", self.backend, self.state),
            None => format!("{}: {}\n", self.backend, self.state),
        };
        let lines =
            [self.switch_progress.as_ref().map(|step| &step.detail), self.error.as_ref(), self.hint.as_ref()];
        let mut last = None;
        for line in lines.into_iter().flatten().filter(|line| !line.is_empty()) {
            if last.replace(line) != Some(line) {
                text.push_str(&format!("  {line}\n"));
            }
        }
        text
    }
}

impl Changed {
    fn render(&self) -> String {
        let mut text = match (&self.backend, &self.model) {
            (Some(backend), Some(model)) => format!("{backend} serves {model}."),
            (Some(backend), None) => format!("{backend} serves."),
            (None, _) => "No inference server serves.".to_owned(),
        };
        match self.requests_cut_off {
            Some(0) => {}
            Some(1) => text.push_str(" One request was cut off."),
            Some(requests) => text.push_str(&format!(" {requests} requests were cut off.")),
            None => text.push_str(" Nobody could tell whether requests were cut off."),
        }
        for warning in &self.warnings {
            text.push_str(&format!("\nwarning: {warning}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn how_things_stand_is_told_in_lines() {
        let check = |status: Value, expect: &str| {
            let standing: Standing = serde_json::from_value(status).unwrap();
            assert_eq!(standing.render(), expect);
        };
        check(json!({ "backend": "none", "state": "stopped" }), "none: stopped\n");
        check(
            json!({
                "backend": "vllm", "state": "ready", "active_model": "org/m",
                "switch_progress": { "step": "ready", "detail": "vLLM serves." },
            }),
            "vllm: ready (org/m)\n  vLLM serves.\n",
        );
        check(
            json!({
                "backend": "vllm", "state": "error", "error": "It ended.", "hint": "Look at its log.",
                "switch_progress": { "step": "error", "detail": "It ended." },
            }),
            "vllm: error\n  It ended.\n  Look at its log.\n",
        );
    }

    #[test]
    fn what_came_of_a_change_is_a_sentence() {
        let check = |result: Value, expect: &str| {
            let changed: Changed = serde_json::from_value(result).unwrap();
            assert_eq!(changed.render(), expect);
        };
        check(json!({ "backend": "vllm", "model": "org/m", "requests_cut_off": 0 }), "vllm serves org/m.");
        check(
            json!({ "backend": null, "model": null, "requests_cut_off": 3, "warnings": ["Mind."] }),
            "No inference server serves. 3 requests were cut off.\nwarning: Mind.",
        );
    }
}
