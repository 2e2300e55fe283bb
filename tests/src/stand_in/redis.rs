//! Reading one key of Redis.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The value of a key in database 1; `None` where it is not there.
///
/// # Errors
/// Redis does not answer, or not as it should.
pub(super) async fn get(address: &str, key: &str) -> io::Result<Option<String>> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("SELECT 1\r\nGET {key}\r\nQUIT\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(2), ask).await??;
    value_of(&answer).ok_or_else(|| io::Error::other(format!("Redis answers {answer:?}")))
}

/// The value in the answers to `SELECT`, `GET` and `QUIT`.
fn value_of(answer: &str) -> Option<Option<String>> {
    let rest = answer.strip_prefix("+OK\r\n$")?;
    let (length, rest) = rest.split_once("\r\n")?;
    if length == "-1" {
        return Some(None);
    }
    Some(Some(rest.get(..length.parse().ok()?)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_a_value_or_none_or_a_failure() {
        let value = |answer| value_of(answer).map(|value| value.unwrap_or_else(|| "(none)".to_owned()));
        assert_eq!(value("+OK\r\n$6\r\n\"vllm\"\r\n+OK\r\n").as_deref(), Some("\"vllm\""));
        assert_eq!(value("+OK\r\n$0\r\n\r\n+OK\r\n").as_deref(), Some(""));
        assert_eq!(value("+OK\r\n$-1\r\n+OK\r\n").as_deref(), Some("(none)"));
        assert_eq!(value("-LOADING\r\n-LOADING\r\n"), None);
        assert_eq!(value(""), None);
    }
}
