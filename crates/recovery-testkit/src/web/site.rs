use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::{TakenRequest, WebManner, WebManners};
use crate::lock;

/// A server on a port of this machine, until the tests end. It speaks HTTP as its [`WebManner`] says.
#[derive(Clone)]
pub struct WebSite {
    address: String,
    taken: Arc<Mutex<Vec<TakenRequest>>>,
    manners: Arc<Mutex<WebManners>>,
}

impl std::fmt::Debug for WebSite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSite").field("address", &self.address).finish_non_exhaustive()
    }
}

impl WebSite {
    /// Starts one that does this.
    #[must_use]
    pub fn start(manners: impl Fn(&TakenRequest) -> WebManner + Send + Sync + 'static) -> Self {
        Self::start_shared(Arc::new(manners))
    }

    /// As [`Self::start`].
    #[must_use]
    pub fn start_shared(manners: WebManners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of this machine");
        let address = format!("http://{}", listener.local_addr().expect("a port of this machine"));
        let site = Self { address, taken: Arc::default(), manners: Arc::new(Mutex::new(manners)) };
        let shared = site.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let site = shared.clone();
                // A client may have had enough, and hang up.
                thread::spawn(move || site.answer(connection));
            }
        });
        site
    }

    /// Its address, as `http://127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The requests that it got, oldest first.
    #[must_use]
    pub fn taken(&self) -> Vec<TakenRequest> {
        lock(&self.taken).clone()
    }

    /// Lets it do something else from now on.
    pub fn now(&self, manner: WebManner) {
        *lock(&self.manners) = Arc::new(move |_| manner.clone());
    }

    fn answer(&self, connection: TcpStream) -> std::io::Result<()> {
        let mut connection = BufReader::new(connection);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if connection.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let mut connection = connection.into_inner();
        let request = parse(&head);
        lock(&self.taken).push(request.clone());
        let manners = Arc::clone(&lock(&self.manners));
        let start = |status: u16, length: u64| {
            format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
        };
        match manners(&request) {
            WebManner::Answers(status, body) => {
                connection.write_all(start(status, body.len() as u64).as_bytes())?;
                connection.write_all(&body)
            }
            WebManner::LeadsTo(to) => {
                let head = format!(
                    "HTTP/1.1 307 X\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                connection.write_all(head.as_bytes())
            }
            WebManner::Cuts(body) => {
                connection.write_all(start(200, body.len() as u64).as_bytes())?;
                connection.write_all(&body[..body.len() / 2])
            }
            WebManner::Hangs => wait_for_the_end(&mut connection),
            WebManner::Trickles => {
                connection.write_all(start(200, 1 << 40).as_bytes())?;
                loop {
                    connection.write_all(b" ")?;
                    thread::sleep(Duration::from_millis(100));
                }
            }
            WebManner::Floods => {
                // Without a length, so that only reading tells how much it is.
                connection.write_all(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n")?;
                loop {
                    connection.write_all(&[b' '; 64 * 1024])?;
                }
            }
            WebManner::Mumbles => connection.write_all(b"who is there?\r\n\r\n"),
        }
    }
}

fn parse(head: &str) -> TakenRequest {
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        })
    };
    TakenRequest {
        path: head.split(' ').nth(1).unwrap_or_default().to_owned(),
        accept: header("accept").unwrap_or_default(),
        token: header("authorization").map(|value| value.trim_start_matches("Bearer ").to_owned()),
    }
}

fn wait_for_the_end(connection: &mut TcpStream) -> std::io::Result<()> {
    use std::io::Read as _;
    while connection.read(&mut [0; 64])? > 0 {}
    Ok(())
}
