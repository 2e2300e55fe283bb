use std::{pin::pin, time::Duration};

use docker_api::opts::ExecCreateOpts;
use futures_util::AsyncReadExt as _;
use recovery_core::{
    container::ContainerId,
    port::{EngineError, Exec, ExecOutput, OutputStream},
};

use super::{error, output::Frames, session::Session, within};

const DOING: &str = "running a command in a container";
/// How often the engine is asked whether a command that prints nothing any more has ended.
const POLL: Duration = Duration::from_millis(20);

/// Runs a command in a container and gathers what it prints, within bounds.
pub(super) async fn run(
    session: &Session,
    container: &ContainerId,
    command: Exec,
) -> Result<ExecOutput, EngineError> {
    let (limit, most) = (command.timeout, command.max_output);
    let running = async {
        let options = ExecCreateOpts::builder()
            .command(command.command)
            .attach_stdout(true)
            .attach_stderr(true)
            .build();
        let of_container = |error| error::of_container(DOING, container, error);
        let options = options.serialize().map_err(of_container)?;
        let id = session.raw().make_exec(container, options).await.map_err(of_container)?;
        let start = r#"{"Detach":false,"Tty":false}"#.to_owned();
        let output =
            session.raw().take_over(&format!("/exec/{id}/start"), start).await.map_err(of_container)?;
        let mut output = pin!(output);
        let mut ended = ExecOutput { exit_code: 0, stdout: vec![], stderr: vec![], truncated: false };
        let (mut frames, mut buffer) = (Frames::default(), vec![0; 16 * 1024]);
        let broken =
            |source: Box<dyn std::error::Error + Send + Sync>| EngineError::Broken { doing: DOING, source };
        loop {
            let read = output.read(&mut buffer).await.map_err(|error| broken(error.into()))?;
            if read == 0 {
                break;
            }
            let came = buffer.get(..read).unwrap_or_default();
            let take = |stream, piece: &[u8]| ended.keep(stream, piece, most);
            frames.take(came, take).map_err(|error| broken(error.into()))?;
        }
        let exec = docker_api::Exec::get(session.docker().clone(), id);
        loop {
            let told = exec.inspect().await.map_err(of_container)?;
            match told.exit_code {
                Some(code) if told.running != Some(true) => {
                    return Ok(ExecOutput { exit_code: code.try_into().unwrap_or(-1), ..ended });
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    };
    within(limit, DOING, running).await
}

pub(super) trait Keep {
    /// Adds a piece, up to the limit.
    fn keep(&mut self, stream: OutputStream, piece: &[u8], most: usize);
}

impl Keep for ExecOutput {
    fn keep(&mut self, stream: OutputStream, piece: &[u8], most: usize) {
        let kept = match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        };
        let room = most.saturating_sub(kept.len());
        kept.extend_from_slice(piece.get(..room).unwrap_or(piece));
        self.truncated |= piece.len() > room;
    }
}
