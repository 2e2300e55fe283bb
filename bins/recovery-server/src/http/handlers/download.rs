//! Downloads: the archive itself, or a part of it.

use std::{fs::File, io, ops::Range};

use actix_web::{
    HttpRequest, HttpResponse, ResponseError as _,
    body::SizedStream,
    http::{
        Method, StatusCode,
        header::{self, HeaderMap},
    },
    web::{Bytes, Data},
};
use futures_util::{Stream, stream};
use recovery_core::{ErrorCode, Problem};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::Caller;
use crate::{
    app::App,
    http::{error::ApiError, path},
};

/// The archive itself. A part of it can be asked for with `Range`, so that a download can be taken up again.
#[utoipa::path(get, path = "/api/v1/recovery/backups/{filename}/download", tag = "backups",
    params(("filename" = String, Path, description = "The backup's name"),
        ("Range" = Option<String>, Header, description = "One range of bytes, such as `bytes=1000-`"),
        ("If-Range" = Option<String>, Header, description = "The ETag of the part that is there already")),
    responses((status = 200, description = "The archive", content_type = "application/x-tar"),
        (status = 206, description = "The part that was asked for", content_type = "application/x-tar"),
        (status = 416, description = "The archive ends before the part that was asked for")))]
pub(crate) async fn download(
    app: Data<App>,
    _: Caller,
    request: HttpRequest,
    name: path::Backup,
) -> Result<HttpResponse, ApiError> {
    let backup = app.backups.open(&name.0).await?;
    let size = backup.size_bytes;
    let etag = format!("\"{}\"", backup.version);
    let (status, range) = match asked_for(request.headers(), size, &etag) {
        Asked::Everything => (StatusCode::OK, 0..size),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Beyond => return beyond(size),
    };
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", name.0)))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::ETAG, etag))
        .content_type(if name.0.as_str().ends_with(".gz") {
            "application/gzip"
        } else {
            "application/x-tar"
        });
    if status == StatusCode::PARTIAL_CONTENT {
        let last = range.end.saturating_sub(1);
        response.insert_header((header::CONTENT_RANGE, format!("bytes {}-{last}/{size}", range.start)));
    }
    let length = range.end - range.start;
    if request.method() == Method::HEAD {
        return Ok(response.body(SizedStream::new(length, stream::empty::<io::Result<Bytes>>())));
    }
    Ok(response.body(SizedStream::new(length, contents(backup.file, range))))
}

/// What part of the archive a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Everything,
    Part(Range<u64>),
    Beyond,
}

/// Reads `Range` and `If-Range`. What is not understood, or asks for several parts, asks for everything.
fn asked_for(headers: &HeaderMap, size: u64, etag: &str) -> Asked {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let unchanged = !headers.contains_key(header::IF_RANGE) || text(header::IF_RANGE) == Some(etag);
    let range =
        text(header::RANGE).filter(|_| unchanged).and_then(|range| range.trim().strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.trim().split_once('-')) else {
        return Asked::Everything;
    };
    let number =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Some(0) => Asked::Beyond,
            Some(length) if size > 0 => Asked::Part(size.saturating_sub(length)..size),
            Some(_) => Asked::Beyond,
            None => Asked::Everything,
        },
        (first, last) => {
            let end = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            match (number(first), end) {
                (Some(first), Some(last)) if first <= last => {
                    if first < size {
                        Asked::Part(first..last.saturating_add(1).min(size))
                    } else {
                        Asked::Beyond
                    }
                }
                _ => Asked::Everything,
            }
        }
    }
}

/// There is no such part: an empty archive, or one that ends before it.
fn beyond(size: u64) -> Result<HttpResponse, ApiError> {
    let problem = Problem::new(ErrorCode::RangeNotSatisfiable, format!("The archive has only {size} bytes."))
        .hint("Begin again without a range.");
    let mut response = ApiError::from(problem).error_response();
    if let Ok(value) = header::HeaderValue::from_str(&format!("bytes */{size}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

/// A part of a file, in pieces, to the length that was announced.
fn contents(file: File, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> {
    const PIECE: usize = 64 * 1024;
    stream::try_unfold((tokio::fs::File::from_std(file), range), |(mut file, range)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        if file.stream_position().await? != range.start {
            file.seek(io::SeekFrom::Start(range.start)).await?;
        }
        let mut piece = Vec::with_capacity(PIECE);
        let most = (range.end - range.start).min(PIECE as u64);
        let read = (&mut file).take(most).read_to_end(&mut piece).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Ok(Some((Bytes::from(piece), (file, range.start + read as u64..range.end))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn check(range: &str, expect: Asked) {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_str(range).unwrap());
        assert_eq!(asked_for(&headers, 1000, "\"1\""), expect, "{range}");
    }

    #[test]
    fn one_range_is_a_part_and_nonsense_is_everything() {
        check("bytes=0-0", Asked::Part(0..1));
        check("bytes=200-299", Asked::Part(200..300));
        check("bytes=900-", Asked::Part(900..1000));
        check("bytes=900-99999999999", Asked::Part(900..1000));
        check("bytes=-1", Asked::Part(999..1000));
        check("bytes=-5000", Asked::Part(0..1000));
        check("bytes=1000-", Asked::Beyond);
        check("bytes=-0", Asked::Beyond);
        for nonsense in
            ["bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "bytes=+1-2", "bytes=0-1,3-4", "rows=0-1", "0-1"]
        {
            check(nonsense, Asked::Everything);
        }
        check("bytes=99999999999999999999-", Asked::Everything);
    }

    #[test]
    fn a_part_of_another_version_is_not_given() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=1-"));
        for (if_range, expect) in
            [("\"1\"", Asked::Part(1..10)), ("\"2\"", Asked::Everything), ("W/\"1\"", Asked::Everything)]
        {
            headers.insert(header::IF_RANGE, HeaderValue::from_static(if_range));
            assert_eq!(asked_for(&headers, 10, "\"1\""), expect, "{if_range}");
        }
    }
}
