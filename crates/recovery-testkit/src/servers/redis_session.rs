use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use super::RedisServer;

/// A connection to a Redis server, as another program would have one.
pub struct RedisSession(BufReader<TcpStream>);

/// What Redis answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisReply {
    /// There is nothing.
    Nothing,
    /// A number.
    Number(i64),
    /// Bytes, or a word like `OK`.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<RedisReply>),
    /// A refusal.
    Refused(String),
}

/// Everything in a server, by numbered database and key: what it holds (`DUMP`) and when it expires (`PEXPIRETIME`).
pub type RedisContents = BTreeMap<(u8, Vec<u8>), (Vec<u8>, i64)>;

impl RedisServer {
    /// Connects to one of its databases.
    ///
    /// # Panics
    /// Panics where it does not answer.
    #[must_use]
    pub fn session(&self, database: u8) -> RedisSession {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port())).expect("Redis takes connections");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
        let mut session = RedisSession(BufReader::new(stream));
        if let Some(password) = self.password() {
            session.ok(&["AUTH", password]);
        }
        session.ok(&["SELECT", &database.to_string()]);
        session
    }

    /// Everything in its sixteen databases.
    ///
    /// # Panics
    /// Panics where it does not answer.
    #[must_use]
    pub fn contents(&self) -> RedisContents {
        let mut contents = RedisContents::new();
        for database in 0..16 {
            let mut session = self.session(database);
            for key in session.keys(b"*") {
                let dump = session.call(&[&b"DUMP"[..], &key]).bytes();
                let RedisReply::Number(expires) = session.call(&[&b"PEXPIRETIME"[..], &key]) else {
                    panic!("no time of expiry")
                };
                contents.insert((database, key), (dump, expires));
            }
        }
        contents
    }
}

impl RedisSession {
    /// Sends a command and returns what is answered.
    ///
    /// # Panics
    /// Panics where the connection breaks.
    pub fn call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> RedisReply {
        let mut command = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments.iter().map(AsRef::as_ref) {
            command.extend(format!("${}\r\n", argument.len()).bytes());
            command.extend(argument);
            command.extend(b"\r\n");
        }
        self.0.get_mut().write_all(&command).expect("Redis takes a command");
        self.reply()
    }

    /// The same for a command that must succeed.
    ///
    /// # Panics
    /// Panics where it is refused.
    pub fn ok<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> RedisReply {
        match self.call(arguments) {
            RedisReply::Refused(why) => panic!("Redis refuses: {why}"),
            reply => reply,
        }
    }

    /// The keys that match a pattern.
    pub fn keys(&mut self, pattern: &[u8]) -> Vec<Vec<u8>> {
        let RedisReply::List(keys) = self.ok(&[b"KEYS".as_slice(), pattern]) else {
            panic!("no list of keys")
        };
        keys.into_iter().map(RedisReply::bytes).collect()
    }

    fn reply(&mut self) -> RedisReply {
        let line = self.line();
        let (kind, rest) = line.split_at(1);
        let number = || rest.parse::<i64>().expect("a number");
        match kind {
            "+" => RedisReply::Bytes(rest.as_bytes().to_vec()),
            "-" => RedisReply::Refused(rest.to_owned()),
            ":" => RedisReply::Number(number()),
            "$" => match usize::try_from(number()) {
                Err(_) => RedisReply::Nothing,
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.0.read_exact(&mut bytes).expect("bytes from Redis");
                    bytes.truncate(length);
                    RedisReply::Bytes(bytes)
                }
            },
            "*" => match usize::try_from(number()) {
                Err(_) => RedisReply::Nothing,
                Ok(length) => RedisReply::List((0..length).map(|_| self.reply()).collect()),
            },
            _ => panic!("not understood: {line:?}"),
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line from Redis");
        line.trim_end_matches("\r\n").to_owned()
    }
}

impl RedisReply {
    /// The bytes that it must be.
    ///
    /// # Panics
    /// Panics where it is something else.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes,
            other => panic!("bytes were expected, and it is {other:?}"),
        }
    }
}
