//! As much of HTTP/1.1 as stand-ins need: one request for each connection, answered whole or in chunks.

use std::io;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The most that a request may have, in bytes.
const LARGEST: usize = 1024 * 1024;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method and the path, for example `GET /health`.
    pub line: String,
    /// The body; null where it has none, or none that is JSON.
    pub body: Value,
}

/// Reads one; `None` where the client goes before it is whole, or sends something else.
pub async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let (head, body) = bytes.split_at_checked(end + 4)?;
            let head = String::from_utf8_lossy(head).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                let mut words = head.split(' ');
                let line = format!("{} {}", words.next()?, words.next()?.split('?').next()?);
                return Some(Request { line, body: serde_json::from_slice(body).unwrap_or(Value::Null) });
            }
        }
        if bytes.len() > LARGEST || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Answers whole.
///
/// # Errors
/// The client has gone.
pub async fn answer(stream: &mut TcpStream, status: u16, kind: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.flush().await
}

/// Answers with JSON.
///
/// # Errors
/// The client has gone.
pub async fn json(stream: &mut TcpStream, status: u16, body: &Value) -> io::Result<()> {
    answer(stream, status, "application/json", &body.to_string()).await
}

/// Begins an answer that comes in chunks; `headers` are lines that end with `\r\n`.
///
/// # Errors
/// The client has gone.
pub async fn begin(stream: &mut TcpStream, kind: &str, headers: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{headers}transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await
}

/// Sends a chunk.
///
/// # Errors
/// The client has gone.
pub async fn chunk(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let framed = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    stream.write_all(&framed).await?;
    stream.flush().await
}

/// Ends an answer in chunks.
///
/// # Errors
/// The client has gone.
pub async fn end(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"0\r\n\r\n").await?;
    stream.shutdown().await
}

/// Waits until the client goes.
pub async fn gone(stream: &TcpStream) {
    let mut byte = [0];
    // What it says besides is of no interest.
    while stream.peek(&mut byte).await.is_ok_and(|length| length > 0) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
