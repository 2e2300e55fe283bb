//! Where stand-ins listen, and the keys of Redis that the gateway goes by.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::Duration,
};

use recovery_testkit::servers::RedisServer;

/// Where they listen: on loopback addresses of the test's own, so that nobody else is given their ports while one of
/// them is stopped.
#[derive(Clone, Copy)]
pub(crate) struct Places([u8; 2]);

impl Places {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        // Every test is a process of its own; within one they are counted.
        let id = std::process::id().to_le_bytes();
        Self([id[0], id[1].wrapping_add(NEXT.fetch_add(1, Relaxed).wrapping_mul(37))])
    }

    /// Host and port.
    pub(crate) fn listen(self, name: &str) -> String {
        let (host, port) = match name {
            "ollama" => (1, 21_434),
            "vllm" => (2, 28_000),
            "sglang" => (3, 28_000),
            "gateway" => (4, 28_001),
            other => panic!("nobody is called {other}"),
        };
        let Self([first, second]) = self;
        // 127.0 is everybody's.
        format!("127.{}.{second}.{host}:{port}", first.max(1))
    }

    pub(crate) fn address(self, name: &str) -> String {
        format!("http://{}", self.listen(name))
    }
}

/// Sends commands to the gateway's database and returns the answers.
fn redis(server: &RedisServer, command: &str) -> String {
    let mut connection = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    connection.write_all(format!("SELECT 1\r\n{command}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

/// Writes a key of the gateway's.
pub(crate) fn set_key(server: &RedisServer, key: &str, value: &str) {
    let command = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}", key.len(), value.len());
    let answer = redis(server, &command);
    assert!(answer.starts_with("+OK\r\n+OK"), "{answer}");
}

/// Reads a key of the gateway's; empty where it is not there.
pub(crate) fn key(server: &RedisServer, key: &str) -> String {
    let answer = redis(server, &format!("GET {key}"));
    let value = answer.lines().nth(2).filter(|value| !value.starts_with('+'));
    value.unwrap_or_default().to_owned()
}
