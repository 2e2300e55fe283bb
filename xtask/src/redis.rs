//! A Redis of our own on the loopback address.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{shell, signal, workspace};

/// A server that runs. Stopped when dropped.
pub(crate) struct Redis {
    child: Child,
    /// The port that it listens on.
    pub(crate) port: u16,
}

impl Redis {
    /// Starts a server that keeps its data in `directory`.
    pub(crate) fn start(directory: &Path, wanted_port: u16) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let port = workspace::free_port(wanted_port)?;
        let log = fs::File::create(directory.join("server.log"))?;
        let mut command = shell::command("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no", "--dir"]);
        command.arg(directory);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut redis = Self { child: command.spawn().context("cannot start redis-server")?, port };
        redis.wait_until_it_answers(directory)?;
        Ok(redis)
    }

    /// The address with the database that the service keeps its own data in.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/7", self.port)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it; it saves its data first.
    pub(crate) fn stop(&mut self) -> Result<()> {
        signal::stop_child(&mut self.child, Duration::from_secs(10))
    }

    fn wait_until_it_answers(&mut self, directory: &Path) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                break;
            }
            if ping(self.port).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("Redis did not start; its log is {}", directory.join("server.log").display())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("Redis was not stopped: {error:#}");
        }
    }
}

fn ping(port: u16) -> Result<()> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    connection.write_all(b"PING\r\n")?;
    let mut answer = [0; 5];
    connection.read_exact(&mut answer)?;
    if &answer != b"+PONG" {
        bail!("no Redis");
    }
    Ok(())
}
