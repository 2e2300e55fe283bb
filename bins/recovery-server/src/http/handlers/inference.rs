//! Language models: what the machine has for them, what its GPUs do, what is recommended.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, ContentType},
    web::{self, Bytes, Data, Json},
};
use recovery_core::{ErrorCode, Problem};
use recovery_inference::{
    Backend, UnknownBackend,
    catalogue::Query,
    estimate::{Fit, Room},
};

use crate::{
    app::App,
    http::error::ApiError,
    view::{FoundModel, GpuStats, Hardware, Recommendation, RecommendedModel},
};

/// What the machine has for language models.
///
/// Found out when the service starts and whenever somebody asks for it; told from memory.
#[utoipa::path(get, path = "/api/v1/recovery/inference/hardware", tag = "inference",
    responses((status = 200, body = Hardware)))]
pub(crate) async fn hardware(app: Data<App>) -> Result<HttpResponse, ApiError> {
    Ok(ready(app.inference.known().await?.hardware_body.clone()))
}

/// Finds out anew what the machine has for language models.
///
/// Takes two seconds at most, and longer where a container has to look at the GPUs.
#[utoipa::path(post, path = "/api/v1/recovery/inference/hardware/detect", tag = "inference",
    responses((status = 200, body = Hardware)))]
pub(crate) async fn detect(app: Data<App>) -> Result<HttpResponse, ApiError> {
    let service = app.clone().into_inner();
    // Whoever hangs up changes nothing: a container that looks is waited for.
    let known = app.on_runtime(async move { service.inference.detect().await }).await;
    let known =
        known.ok_or_else(|| Problem::new(ErrorCode::Internal, "The hardware could not be looked at."))?;
    Ok(ready(known.hardware_body.clone()))
}

/// What the GPUs do now; `null` where there is none to ask.
///
/// Asked of the inference container that runs, or else of this machine. An answer is given to everybody for a second.
#[utoipa::path(get, path = "/api/v1/recovery/inference/hardware/gpu-stats", tag = "inference",
    responses((status = 200, body = Option<GpuStats>)))]
pub(crate) async fn gpu_stats(app: Data<App>) -> Json<Option<GpuStats>> {
    let service = app.clone().into_inner();
    let stats = app.on_runtime(async move { service.inference.gpu_stats().await }).await.flatten();
    Json(stats.as_deref().map(GpuStats::from))
}

/// What the GPUs do now, under its shorter path.
#[utoipa::path(get, path = "/api/v1/recovery/hardware/gpu-stats", tag = "inference",
    responses((status = 200, body = Option<GpuStats>)))]
pub(crate) async fn gpu_stats_short(app: Data<App>) -> Json<Option<GpuStats>> {
    gpu_stats(app).await
}

/// The recommended models, for one server and up to a size where these are asked for.
#[utoipa::path(get, path = "/api/v1/recovery/inference/models/recommended", tag = "inference",
    params(("backend" = Option<String>, Query, description = "`ollama`, `vllm` or `sglang`"),
        ("max_vram_gb" = Option<f64>, Query, description = "The most GPU memory in GiB; 0 for those that need no GPU")),
    responses((status = 200, body = Vec<RecommendedModel>)))]
pub(crate) async fn recommended(
    app: Data<App>,
    request: HttpRequest,
) -> Result<Json<Vec<RecommendedModel>>, ApiError> {
    let Filter { backend, max_vram_gb } = Filter::of(&request)?;
    Ok(Json(app.inference.models.filtered(backend, max_vram_gb).map(RecommendedModel::from).collect()))
}

/// Which server and which model to run on this machine, and why.
#[utoipa::path(get, path = "/api/v1/recovery/inference/recommendation", tag = "inference",
    responses((status = 200, body = Recommendation)))]
pub(crate) async fn recommendation(app: Data<App>) -> Result<HttpResponse, ApiError> {
    match &app.inference.known().await?.recommendation_body {
        Some(body) => Ok(ready(body.clone())),
        None => Err(Problem::new(
            ErrorCode::NotFound,
            "The list of recommended models has none for this machine.",
        )
        .hint("Add one to RECOMMENDED_MODELS_FILE, or unset it to have the built-in list.")
        .into()),
    }
}

/// Looks for models: at Hugging Face for vLLM and SGLang, in Ollama's library for Ollama.
///
/// What was found is told for ten minutes without asking again (`Age` says how old it is), and with a mark (`stale`) while
/// the catalogue is down. With `max_vram_gb`, those are left out that do not fit into it, and those of which nothing says
/// how large they are.
#[utoipa::path(get, path = "/api/v1/recovery/inference/models/search", tag = "inference",
    params(("q" = Option<String>, Query, description = "What is looked for; what is popular where it is empty"),
        ("backend" = Option<String>, Query, description = "`vllm` (where it is absent), `sglang` or `ollama`"),
        ("max_vram_gb" = Option<f64>, Query, description = "The GPU memory in GiB that they must fit into")),
    responses((status = 200, body = Vec<FoundModel>)))]
pub(crate) async fn search(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let Filter { backend, max_vram_gb } = Filter::of(&request)?;
    let backend = backend.unwrap_or(Backend::Vllm);
    let text = parameter(&request, "q")?.unwrap_or_default();
    let query = Query::new(&text).map_err(|error| invalid("q", error.to_string()))?;
    let service = app.clone().into_inner();
    // Others may wait for the same answer: it is fetched whoever hangs up.
    let searching = async move { service.inference.search(backend, &query).await };
    let found = app.on_runtime(searching).await;
    let found = found.ok_or_else(|| Problem::new(ErrorCode::Internal, "The search broke off."))?;
    let found = found.map_err(|error| {
        tracing::warn!("a search for models failed: {error}");
        Problem::from(&error)
    })?;
    let wanted = max_vram_gb.and_then(mebibytes).map(|mib| Room::one_gpu(mib, backend));
    let room = app.inference.room(backend);
    let models: Vec<FoundModel> = found
        .models
        .iter()
        .filter(|model| {
            let fits =
                |room| model.fit(backend, room).is_some_and(|fit| !matches!(fit, Fit::DoesNotFit { .. }));
            wanted.is_none_or(fits)
        })
        .map(|model| FoundModel::new(model, &found, backend, room))
        .collect();
    let age = (app.clock.now() - found.at).whole_seconds().max(0);
    Ok(HttpResponse::Ok().insert_header((header::AGE, age)).json(models))
}

/// GiB in MiB.
fn mebibytes(gib: f64) -> Option<u64> {
    let mib = (gib * 1024.0).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within bounds")]
    (0.0..=1e9).contains(&mib).then_some(mib as u64)
}

/// Which models are asked for.
pub(super) struct Filter {
    pub(super) backend: Option<Backend>,
    pub(super) max_vram_gb: Option<f64>,
}

impl Filter {
    pub(super) fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let backend = parameter(request, "backend")?
            .map(|text| text.parse().map_err(|error: UnknownBackend| invalid("backend", error.to_string())));
        let max_vram_gb = parameter(request, "max_vram_gb")?.map(|text| {
            let number = text.trim().parse().ok().filter(|number| (0.0..=100_000.0).contains(number));
            number.ok_or_else(|| invalid("max_vram_gb", "must be a number from 0 to 100000"))
        });
        Ok(Self { backend: backend.transpose()?, max_vram_gb: max_vram_gb.transpose()? })
    }
}

/// A parameter of the query; one that is empty counts as absent.
pub(super) fn parameter(request: &HttpRequest, name: &'static str) -> Result<Option<String>, ApiError> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map_err(|_| invalid(name, "cannot be read: the query is not of the form name=value&name=value"))?;
    let found = pairs.into_inner().into_iter().find(|(key, _)| key == name);
    Ok(found.map(|(_, value)| value).filter(|value| !value.is_empty()))
}

pub(super) fn invalid(field: &'static str, message: impl Into<String>) -> ApiError {
    let message = message.into();
    Problem::new(ErrorCode::InvalidRequest, format!("The parameter {field} {message}."))
        .field(field, message)
        .into()
}

fn ready(body: Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(body)
}
