//! What happens, as it happens: server-sent events.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName},
    web::{Bytes, Data},
};
use futures_util::{Stream, stream};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    app::App,
    http::error::ApiError,
    operations::{Delivery, Event, Happening, Subscription},
    view::Operation,
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// After so long without an event comes a comment, so that no proxy takes the silence for a dead connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Events as they happen (`text/event-stream`): `operation` holds an operation, `service` a service and `inference` how
/// the servers of language models stand, as it is now; `reset` says that events
/// were missed, so that what was known must be asked for again. Each event has an id; a client that sends the last one
/// as `Last-Event-ID` goes on where it stopped.
#[utoipa::path(get, path = "/api/v1/recovery/events", tag = "operations",
    params(("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event that was seen")),
    responses((status = 200, description = "The events", content_type = "text/event-stream")))]
pub(crate) async fn events(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let permit = Arc::clone(&app.watchers).try_acquire_owned().map_err(|_| ApiError::too_many_watchers())?;
    // A number that cannot be read is one that was never given out: the client is told to start over.
    let after = request
        .headers()
        .get(LAST_EVENT_ID)
        .filter(|value| !value.is_empty())
        .map(|value| value.to_str().ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0));
    let subscription = app.operations.events().subscribe(after);
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(lines(subscription, permit)))
}

/// The events as lines; the permit goes back when the client does.
fn lines(
    subscription: Subscription,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
    // The first piece goes out at once, so that the client sees the connection stand.
    let first = stream::once(async { Ok(Bytes::from_static(b"retry: 3000\n\n")) });
    let rest = stream::unfold((subscription, permit), |(mut subscription, permit)| async move {
        let piece = match tokio::time::timeout(HEARTBEAT, subscription.next()).await {
            Err(_) => Bytes::from_static(b": still here\n\n"),
            Ok(Some(delivery)) => Bytes::from(line(&delivery)),
            Ok(None) => return None,
        };
        Some((Ok(piece), (subscription, permit)))
    });
    futures_util::StreamExt::chain(first, rest)
}

fn line(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Reset(id) => format!("id: {id}\nevent: reset\ndata: {{}}\n\n"),
        Delivery::Event(Event { id, happening }) => {
            let (kind, data) = match happening {
                Happening::Operation(operation) => {
                    ("operation", serde_json::to_string(&Operation::from(operation.as_ref())))
                }
                Happening::Service(service) => ("service", serde_json::to_string(service.as_ref())),
                Happening::Backend(status) => ("inference", serde_json::to_string(status.as_ref())),
            };
            format!("id: {id}\nevent: {kind}\ndata: {}\n\n", data.unwrap_or_default())
        }
    }
}
