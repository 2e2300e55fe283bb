use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{free_port, random_word, template::new_directory, wait_until, watchdog::Watchdog};

/// A Redis server of one test, on 127.0.0.1, that keeps everything in memory.
pub struct RedisServer {
    directory: PathBuf,
    port: u16,
    password: Option<String>,
    watchdog: Watchdog,
}

impl RedisServer {
    /// Starts a server without a password.
    ///
    /// # Panics
    /// Panics where Redis is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::configured(None, "")
    }

    /// Starts a server, without a password, that does not know these commands.
    ///
    /// # Panics
    /// Panics where Redis is not installed or does not start.
    #[must_use]
    pub fn start_without(commands: &[&str]) -> Self {
        let lines: String =
            commands.iter().map(|command| format!("rename-command {command} \"\"\n")).collect();
        Self::configured(None, &lines)
    }

    /// Starts a server that asks for a random password.
    ///
    /// # Panics
    /// Panics where Redis is not installed or does not start.
    #[must_use]
    pub fn start_protected() -> Self {
        Self::configured(Some(random_word()), "")
    }

    fn configured(password: Option<String>, lines: &str) -> Self {
        for _ in 0..5 {
            let (directory, port) = (new_directory(None), free_port());
            let config = directory.join("redis.conf");
            let mut text = format!(
                "bind 127.0.0.1\nport {port}\ndir {}\nsave \"\"\nappendonly no\n{lines}",
                directory.display()
            );
            if let Some(password) = &password {
                text.push_str(&format!("requirepass {password}\n"));
            }
            fs::write(&config, text).expect("a configuration file for Redis");
            let args = [config.display().to_string()];
            let watchdog = Watchdog::new(&directory, None, "KILL", Path::new("/usr/bin/redis-server"), &args);
            let mut server = Self { directory, port, password: password.clone(), watchdog };
            if server.try_start() {
                return server;
            }
            let log = server.log();
            assert!(
                log.contains("Address already in use"),
                "redis-server does not start (Debian: apt-get install redis-server):\n{log}"
            );
        }
        panic!("no port of 127.0.0.1 stays free")
    }

    /// The URL of one of its databases.
    #[must_use]
    pub fn url(&self, database: u8) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}/{database}", self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password it asks for.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Ends the server; everything in it is gone.
    pub fn stop(&mut self) {
        self.watchdog.signal("KILL");
        self.watchdog.wait();
    }

    /// Starts the server again, empty, on the same port; stops it first where it runs.
    ///
    /// # Panics
    /// Panics where it does not start.
    pub fn restart(&mut self) {
        if self.watchdog.is_alive() {
            self.stop();
        }
        assert!(self.try_start(), "redis-server does not start again:\n{}", self.log());
    }

    /// Stops the process in its tracks: connections are taken by the kernel, and nobody answers them.
    pub fn freeze(&mut self) {
        self.watchdog.signal("STOP");
    }

    /// Undoes [`RedisServer::freeze`].
    pub fn thaw(&mut self) {
        self.watchdog.signal("CONT");
    }

    /// Where its files lie.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn try_start(&mut self) -> bool {
        self.watchdog.start();
        let port = self.port;
        let mut ended = false;
        let up = wait_until(Duration::from_secs(15), || {
            let up = answers(port);
            ended = !up && !self.watchdog.is_alive();
            up || ended
        });
        up && !ended
    }
}

/// Whether something that speaks Redis listens there; that it asks for a password is an answer, too.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let mut start = [0_u8; 1];
    stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut start).is_ok()
        && matches!(&start, b"+" | b"-")
}
