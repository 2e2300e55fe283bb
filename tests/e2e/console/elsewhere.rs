//! Others that the service asks: catalogues of models, a language model. They answer what the test wants.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use serde_json::Value;

/// A server that answers each request whose address begins so with this; all others with a 404.
pub(super) struct Elsewhere {
    /// Up to the port.
    pub(super) address: String,
}

impl Elsewhere {
    pub(super) fn start(answers: Vec<(&'static str, Value)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = BufReader::new(connection.unwrap());
                let Some(path) = read(&mut connection) else { continue };
                let answer = answers.iter().find(|(begin, _)| path.starts_with(begin));
                let (status, body) = answer.map_or((404, String::new()), |(_, body)| (200, body.to_string()));
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                // A client may have had enough.
                let _ = connection.get_mut().write_all(format!("{head}{body}").as_bytes());
            }
        });
        Self { address }
    }
}

/// Takes a whole request, and returns its address.
fn read(connection: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        connection.read_line(&mut head).ok().filter(|length| *length > 0)?;
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    connection.read_exact(&mut vec![0; length.unwrap_or(0)]).ok()?;
    head.split(' ').nth(1).map(str::to_owned)
}
