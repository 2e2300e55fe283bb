//! A call that starts something long waits a while for its end, so that simple clients need not ask again; others say
//! `Prefer: respond-async`.

use actix_web::{HttpRequest, HttpResponse, http::header::HeaderName};
use recovery_core::{Operation, OperationKind, OperationState};
use serde_json::{Map, Value};

use super::error::ApiError;
use crate::{app::App, view};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Answers with the result of an operation; with the operation itself, and what is already known of its result, where
/// it takes longer than a caller's proxy would wait; or at once where the caller prefers that.
pub(super) async fn answer(
    app: &App,
    request: &HttpRequest,
    started: Operation,
    known: Map<String, Value>,
) -> Result<HttpResponse, ApiError> {
    let id = started.id;
    let at_once = prefers_async(request);
    let ended = if at_once {
        None
    } else {
        tokio::time::timeout(app.sync_wait, app.operations.wait(id)).await.ok().flatten()
    };
    let mut response = match ended {
        Some(Operation { state: OperationState::Succeeded, result, .. }) => HttpResponse::Ok().json(result),
        Some(Operation { error: Some(problem), .. }) => return Err(problem.into()),
        Some(Operation { error: None, .. }) => return Err(ApiError::internal()),
        None => {
            let operation = app.operations.get(id).unwrap_or(started);
            let mut body = known;
            // A backup's name is known once it has begun.
            if let (OperationKind::Backup, Some(filename)) = (operation.kind, &operation.target) {
                body.insert("filename".to_owned(), Value::String(filename.clone()));
            }
            if let Ok(Value::Object(fields)) = serde_json::to_value(view::Operation::from(operation)) {
                body.extend(fields);
            }
            let mut response = HttpResponse::Accepted();
            response.insert_header(("location", format!("{}/operations/{id}", super::BASE)));
            if at_once {
                response.insert_header(("preference-applied", "respond-async"));
            }
            response.json(body)
        }
    };
    response.extensions_mut().insert(id);
    Ok(response)
}

fn prefers_async(request: &HttpRequest) -> bool {
    request
        .headers()
        .get_all(PREFER)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}
