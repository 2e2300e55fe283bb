//! Uploads: a backup that comes over the wire, as it comes, without ever being in memory as a whole.

use std::{io, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, ContentDisposition},
    web::{Bytes, Data, Payload},
};
use futures_util::{Stream, StreamExt as _, stream};
use recovery_core::{BackupName, ErrorCode, Problem};
use serde_json::{Map, json};
use tokio::{sync::mpsc, time::timeout};

use super::Caller;
use crate::{
    app::App,
    http::{error::ApiError, waiting::answer},
    view::{Backup, Operation},
};

/// How long nothing may arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of an upload that is refused, so much is still read, for so long: many clients read the answer only afterwards.
const COURTESY: (usize, Duration) = (16 * 1024 * 1024, Duration::from_secs(2));
/// How many pieces may wait to be written.
const WAITING: usize = 4;

/// What an upload may be declared to be. What it is will be seen.
const TYPES: &[&str] = &["application/x-tar", "application/tar", "application/octet-stream"];

/// A piece of the body, its end, or why there is no more.
type Piece = io::Result<Option<Bytes>>;

/// Takes in a backup. Its file is the body; it is listed once every file in it was decoded, and never takes the place
/// of another.
#[utoipa::path(post, path = "/api/v1/recovery/backups/upload", tag = "backups",
    params(("filename" = Option<String>, Query, description = "The backup's name; its own, where it is left out"),
        ("Prefer" = Option<String>, Header, description = "`respond-async` to be answered when it has arrived")),
    request_body(content = Vec<u8>, content_type = "application/x-tar", description = "The archive"),
    responses((status = 200, body = Backup), (status = 202, body = Operation)))]
pub(crate) async fn upload(
    app: Data<App>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    check_type(&request)?;
    let name = name(&request)?;
    let announced = number(&request, header::CONTENT_LENGTH);
    let (sender, receiver) = mpsc::channel(WAITING);
    let source = tokio_util::io::StreamReader::new(Box::pin(arriving(receiver)));
    let started = app.start_upload(caller.actor(), name.clone(), announced, source).await?;
    feed(payload, sender).await;
    let mut known = Map::new();
    if let Some(name) = name {
        known.insert("filename".to_owned(), json!(name));
    }
    answer(&app, &request, started, known).await
}

fn check_type(request: &HttpRequest) -> Result<(), ApiError> {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if TYPES.iter().any(|known| essence.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(Problem::new(ErrorCode::UnsupportedMediaType, "The request body is not declared to be an archive.")
        .hint("Send the file itself as the body, with Content-Type: application/x-tar; forms are not understood.")
        .into())
}

/// The name in the address or, where none is there, that of `Content-Disposition`.
fn name(request: &HttpRequest) -> Result<Option<BackupName>, ApiError> {
    #[derive(serde::Deserialize)]
    struct Parameters {
        filename: Option<String>,
    }
    let invalid = || {
        ApiError::from(Problem::new(ErrorCode::InvalidName, "This is not the name of a backup.").hint(
            "Such names look like nova-backup-2026-01-31_23-59-59.tar; leave it out to take the file's own.",
        ))
    };
    let parameters = actix_web::web::Query::<Parameters>::from_query(request.query_string());
    let in_address = parameters.map_err(|_| invalid())?.into_inner().filename;
    let disposition = request.headers().get(header::CONTENT_DISPOSITION);
    let in_header = || {
        let disposition = ContentDisposition::from_raw(disposition?).ok()?;
        disposition.get_filename().map(str::to_owned)
    };
    in_address.or_else(in_header).map(|name| name.parse().map_err(|_| invalid())).transpose()
}

fn number(request: &HttpRequest, name: header::HeaderName) -> Option<u64> {
    request.headers().get(name)?.to_str().ok()?.parse().ok()
}

/// Passes the body on to its end, or until nobody wants it.
async fn feed(mut payload: Payload, sender: mpsc::Sender<Piece>) {
    loop {
        let arrived = tokio::select! {
            arrived = timeout(PATIENCE, payload.next()) => arrived,
            () = sender.closed() => break,
        };
        let piece = match arrived {
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
            Ok(Some(Err(error))) => Err(io::Error::other(error.to_string())),
            Ok(None) => Ok(None),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let more = matches!(piece, Ok(Some(_)));
        if sender.send(piece).await.is_err() {
            break;
        }
        if !more {
            return;
        }
    }
    let mut left = COURTESY.0;
    let drain = async {
        while let Some(Ok(bytes)) = payload.next().await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                break;
            }
        }
    };
    // Whether it took too long or not, there is nothing more to do.
    let _ = timeout(COURTESY.1, drain).await;
}

/// The bytes that are passed on. Only an end that was sent is one: when the other side is gone, so is the rest.
fn arriving(mut receiver: mpsc::Receiver<Piece>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|piece| match piece {
            Some(Ok(Some(bytes))) => Some(Ok(bytes)),
            Some(Ok(None)) => {
                receiver.close();
                None
            }
            Some(Err(error)) => Some(Err(error)),
            None => Some(Err(io::ErrorKind::UnexpectedEof.into())),
        })
    })
}
