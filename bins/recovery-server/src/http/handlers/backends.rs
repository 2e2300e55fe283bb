//! The servers of language models: which there are, which one serves, starting, stopping, another model.

use std::time::Duration;

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse,
    web::{Data, Json},
};
use recovery_core::{OperationId, Problem};
use recovery_inference::{
    lifecycle::{InvalidModelName, ModelName, Refusal, Wish},
    server::BackendSpec,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Caller,
    inference::{invalid, parameter},
};
use crate::{
    app::App,
    backends::{Answer, Change, to_result},
    http::{
        BASE,
        body::{Body, Nothing, OptionalBody},
        error::ApiError,
        guard::Target,
        path,
    },
    view::{BackendAccepted, BackendEntry, BackendStatus, Operation},
};

/// The longest time that requests are given to end, in seconds.
const LONGEST_DRAIN: u64 = 86_400;

/// Which server of language models serves, and what is being done about it.
#[utoipa::path(get, path = "/api/v1/recovery/inference/backend", tag = "inference",
    responses((status = 200, body = BackendStatus)))]
pub(crate) async fn status(app: Data<App>) -> Json<BackendStatus> {
    Json(app.backend_status())
}

/// The servers of language models that can be started.
#[utoipa::path(get, path = "/api/v1/recovery/inference/backends", tag = "inference",
    responses((status = 200, body = Vec<BackendEntry>)))]
pub(crate) async fn list(app: Data<App>) -> Json<Vec<BackendEntry>> {
    let (snapshot, status) = (app.services.snapshot(), app.backends.lifecycle.status());
    let entry = |spec: &BackendSpec| {
        let running = snapshot.service(spec.service()).is_running();
        BackendEntry::new(spec, running, status.backend.as_ref() == Some(spec.name()))
    };
    Json(app.backends.in_order().into_iter().map(entry).collect())
}

/// Lets a server of language models serve, in the place of the one that does.
///
/// Answers at once; the operation and `GET …/inference/backend` show how far it is. Where memory holds both, the new one
/// is started beside the old one, and no request is dropped or led to the fallback. The one that serves already is
/// drained and started anew with the present `.env`.
#[utoipa::path(post, path = "/api/v1/recovery/inference/backend/{name}/start", tag = "inference",
    params(("name" = String, Path, description = "`ollama`, `vllm`, `sglang`, or one that was added"),
        ("drain_timeout" = Option<u64>, Query,
            description = "How many seconds the server before is given to finish its requests")),
    responses((status = 202, body = BackendAccepted)))]
pub(crate) async fn start(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    name: path::Text,
    _: OptionalBody<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let backend = app.backend(&name.0)?.name().clone();
    let drain = drain_timeout(&request)?;
    let wish = Wish::Start { backend: backend.clone() };
    let change = Change { actor: caller.actor(), wish, drain };
    let answer = app.change_backend(change, result).await?;
    Ok(accepted(answer, backend.to_string(), None))
}

/// Stops the server of language models that serves, once it has finished its requests.
///
/// Answers at once; it is drained and stopped after that.
#[utoipa::path(post, path = "/api/v1/recovery/inference/backend/stop", tag = "inference",
    params(("drain_timeout" = Option<u64>, Query,
        description = "How many seconds the server is given to finish its requests")),
    responses((status = 200, body = BackendStatus)))]
pub(crate) async fn stop(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    _: OptionalBody<Nothing>,
) -> Result<HttpResponse, ApiError> {
    let drain = drain_timeout(&request)?;
    if let Some(backend) = app.backends.lifecycle.status().backend {
        request.extensions_mut().insert(Target::new(backend.to_string()));
    }
    let change = Change { actor: caller.actor(), wish: Wish::Stop, drain };
    let answer = app.change_backend(change, result).await?;
    let mut response = HttpResponse::Ok();
    let id = began(&answer);
    if let Some(id) = id {
        response.insert_header(("location", location(id)));
    }
    let mut response = response.json(app.backend_status());
    if let Some(id) = id {
        response.extensions_mut().insert(id);
    }
    Ok(response)
}

/// The model that a server is to have.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ModelSwitch {
    /// Its name, at most 200 characters.
    #[schema(example = "Qwen/Qwen2.5-7B-Instruct-AWQ")]
    model: String,
}

/// Gives the server that serves another model: drains it, stops it, changes its variable in the `.env` and starts it.
///
/// Answers at once. Where it does not come up with the new model, it is started with the one before.
#[utoipa::path(post, path = "/api/v1/recovery/inference/backend/{name}/switch-model", tag = "inference",
    params(("name" = String, Path, description = "`vllm` or `sglang`"),
        ("drain_timeout" = Option<u64>, Query,
            description = "How many seconds the server is given to finish its requests")),
    request_body = ModelSwitch,
    responses((status = 202, body = BackendAccepted)))]
pub(crate) async fn switch_model(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    name: path::Text,
    body: Body<ModelSwitch>,
) -> Result<HttpResponse, ApiError> {
    let spec = app.backend(&name.0)?;
    let backend = spec.name().clone();
    if spec.model_variable().is_none() {
        return Err(Problem::from(Refusal::NoModelVariable { backend: spec.label().to_owned() }).into());
    }
    let model = model_name(
        &body.0.model,
        "Models are named as Hugging Face names them, for example Qwen/Qwen2.5-7B-Instruct-AWQ.",
    )?;
    request.extensions_mut().insert(Target::new(format!("{backend} {model}")));
    let drain = drain_timeout(&request)?;
    let wish = Wish::SwitchModel { backend: backend.clone(), model: model.clone() };
    let change = Change { actor: caller.actor(), wish, drain };
    let answer = app.change_backend(change, result).await?;
    Ok(accepted(answer, backend.to_string(), Some(model.to_string())))
}

/// A model that is to be fetched.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ModelPull {
    /// Its name, at most 200 characters.
    #[schema(example = "llama3.2:3b")]
    model: String,
}

/// Lets the Ollama that serves fetch a model.
///
/// Answers at once with the operation, which shows how much has come and can be cancelled; what has come so far need not
/// be fetched again. Other servers have the model that they were started with.
#[utoipa::path(post, path = "/api/v1/recovery/inference/models/pull", tag = "inference", request_body = ModelPull,
    responses((status = 202, body = Operation)))]
pub(crate) async fn pull(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    body: Body<ModelPull>,
) -> Result<HttpResponse, ApiError> {
    let model = model_name(&body.0.model, "Models are named as Ollama names them, for example llama3.2:3b.")?;
    request.extensions_mut().insert(Target::new(model.to_string()));
    let operation = app.pull_model(caller.actor(), model).await?;
    let id = operation.id;
    let mut response = HttpResponse::Accepted();
    response.insert_header(("location", location(id)));
    let mut response = response.json(Operation::from(operation));
    response.extensions_mut().insert(id);
    Ok(response)
}

fn model_name(text: &str, hint: &str) -> Result<ModelName, Problem> {
    text.parse().map_err(|error: InvalidModelName| {
        Problem::from_words(recovery_core::ErrorCode::InvalidRequest, format!("This is {error}"))
            .hint(hint)
            .field("model", error.to_string())
    })
}

async fn result(
    done: recovery_inference::lifecycle::Done,
    warning: Option<Problem>,
) -> Result<serde_json::Value, crate::operations::Failure> {
    to_result(done, warning)
}

fn accepted(answer: Answer, backend: String, model: Option<String>) -> HttpResponse {
    let id = began(&answer);
    let status = match answer {
        Answer::Accepted(_) => "accepted",
        Answer::AlreadyStarting(_) => "already_starting",
    };
    let mut response = HttpResponse::Accepted();
    if let Some(id) = id {
        response.insert_header(("location", location(id)));
    }
    let operation_id = id.map(|id| id.to_string());
    let mut response = response.json(BackendAccepted { status, backend, model, operation_id });
    if let Some(id) = id {
        response.extensions_mut().insert(id);
    }
    response
}

fn began(answer: &Answer) -> Option<OperationId> {
    match answer {
        Answer::Accepted(operation) => Some(operation.id),
        Answer::AlreadyStarting(id) => *id,
    }
}

fn location(id: OperationId) -> String {
    format!("{BASE}/operations/{id}")
}

/// How long the server before is given to finish its requests, where the caller says it.
fn drain_timeout(request: &HttpRequest) -> Result<Option<Duration>, ApiError> {
    let Some(text) = parameter(request, "drain_timeout")? else { return Ok(None) };
    match text.trim().parse() {
        Ok(seconds @ 0..=LONGEST_DRAIN) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(invalid("drain_timeout", format!("must be a number of seconds from 0 to {LONGEST_DRAIN}"))),
    }
}
