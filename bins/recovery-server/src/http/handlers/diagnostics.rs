//! What is wrong: a report, and advice on it.

use actix_web::web::{Data, Json};
use recovery_core::{ErrorCode, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    app::App,
    http::{body::Body, error::ApiError},
    troubleshoot::{LONGEST_HISTORY, LONGEST_TEXT, Said, Speaker},
    view::{ChatAnswer, Diagnostics},
};

/// How things stand: the services, the last lines that each printed, the database and the checkpoints. What is away is
/// left out, and named under `unavailable`. Secrets are taken out.
#[utoipa::path(get, path = "/api/v1/recovery/diagnostics", tag = "diagnostics",
    responses((status = 200, body = Diagnostics)))]
pub(crate) async fn show(app: Data<App>) -> Result<Json<Diagnostics>, ApiError> {
    let own = app.clone();
    let diagnostics = app.on_runtime(async move { own.diagnostics().await }).await;
    Ok(Json(diagnostics.ok_or_else(ApiError::internal)?))
}

/// A question.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Question {
    /// The question, up to 16 KiB.
    #[schema(example = "Why does chat-api restart again and again?")]
    message: String,
    /// The conversation so far, oldest first, up to 100 messages.
    #[serde(default)]
    history: Vec<Message>,
}

/// Something that was said before.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Message {
    /// Who said it.
    role: Role,
    /// What was said, up to 16 KiB.
    content: String,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    User,
    Assistant,
}

/// Asks a language model what is wrong: the local Ollama first, then Anthropic, OpenAI and Groq where the `.env` has a
/// key. It is given the report of `diagnostics`, without secrets, and can do nothing. Where nobody can be asked,
/// `provider` is null and `response` says how to get one.
#[utoipa::path(post, path = "/api/v1/recovery/troubleshoot/chat", tag = "diagnostics", request_body = Question,
    responses((status = 200, body = ChatAnswer)))]
pub(crate) async fn chat(app: Data<App>, body: Body<Question>) -> Result<Json<ChatAnswer>, ApiError> {
    let said = conversation(body.0)?;
    let own = app.clone();
    let advice = app.on_runtime(async move { own.troubleshoot(said).await }).await;
    Ok(Json(advice.ok_or_else(ApiError::internal)??.into()))
}

/// The conversation with the question at its end.
fn conversation(question: Question) -> Result<Vec<Said>, Problem> {
    let wrong = |field: &str, message: String| {
        Problem::new(ErrorCode::InvalidBody, format!("The field {field} {message}.")).field(field, message)
    };
    if question.message.trim().is_empty() {
        return Err(wrong("message", "must say something".to_owned()));
    }
    if question.history.len() > LONGEST_HISTORY {
        return Err(wrong("history", format!("must not have more than {LONGEST_HISTORY} messages")));
    }
    let longest = question.history.iter().map(|message| message.content.len()).max().unwrap_or_default();
    for (field, length) in [("message", question.message.len()), ("history", longest)] {
        if length > LONGEST_TEXT {
            return Err(wrong(field, format!("must not hold a text of more than {LONGEST_TEXT} bytes")));
        }
    }
    // Interfaces refuse an empty text.
    let mut said: Vec<Said> = question
        .history
        .into_iter()
        .filter(|message| !message.content.trim().is_empty())
        .map(|message| Said { by: message.role.into(), text: message.content })
        .collect();
    said.push(Said { by: Speaker::User, text: question.message });
    Ok(said)
}

impl From<Role> for Speaker {
    fn from(role: Role) -> Self {
        match role {
            Role::User => Self::User,
            Role::Assistant => Self::Assistant,
        }
    }
}
