//! Just enough of an HTTP client to ask the service on this machine something.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// An answer.
pub(crate) struct Answer {
    /// Its status code.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON; fails with what the service said where the status is no success.
    pub(crate) fn json(&self) -> Result<serde_json::Value> {
        if !(200..300).contains(&self.status) {
            bail!("the service answered {}: {}", self.status, self.body);
        }
        serde_json::from_str(&self.body).with_context(|| format!("no JSON: {}", self.body))
    }
}

/// Sends one request to the loopback address and reads the answer to its end.
pub(crate) fn request(port: u16, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    send(port, method, path, headers, "")
}

/// The same with a body.
pub(crate) fn send(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    connection.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Result<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without a head")?;
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .context("an answer without a status")?;
    let chunked = lines.any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    Ok(Answer { status, body: if chunked { join_chunks(body)? } else { body.to_owned() } })
}

fn join_chunks(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").context("a chunk without a size")?;
        let size = usize::from_str_radix(size.trim(), 16).context("a chunk without a size")?;
        if size == 0 {
            return Ok(body);
        }
        body.push_str(after.get(..size).context("a chunk that is cut off")?);
        rest = after.get(size + 2..).context("a chunk that is cut off")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, status: u16, body: &str) {
        let parsed = parse(answer.as_bytes()).unwrap();
        assert_eq!((parsed.status, parsed.body.as_str()), (status, body));
    }

    #[test]
    fn answers_are_read() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", 200, "{}");
        check(
            "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab\r\n\r\n1\r\nc\r\n0\r\n\r\n",
            503,
            "ab\r\nc",
        );
        assert!(parse(b"").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nab").is_err());
    }
}
