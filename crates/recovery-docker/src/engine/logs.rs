use std::{pin::pin, time::Duration};

use docker_api::opts::LogsOpts;
use futures_util::StreamExt as _;
use recovery_core::{
    container::ContainerId,
    port::{EngineError, LogTail, OutputStream},
};

use super::{
    error,
    output::{Frames, Lines},
    session::Session,
    within,
};

const DOING: &str = "reading the log of a container";
/// How long the lines may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// The last lines that a container printed, with or without a terminal.
pub(super) async fn read(
    session: &Session,
    container: &ContainerId,
    terminal: bool,
    lines: usize,
) -> Result<LogTail, EngineError> {
    let options = LogsOpts::builder().stdout(true).stderr(true).n_lines(lines).build();
    let endpoint =
        format!("/containers/{}/logs?{}", container.as_str(), options.serialize().unwrap_or_default());
    let reading = async {
        let mut bytes = pin!(session.raw().get(&endpoint));
        let (mut frames, mut gathered) = (Frames::default(), Lines::new(lines));
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|error| error::of_container(DOING, container, error))?;
            if terminal {
                gathered.take(OutputStream::Stdout, &piece);
            } else {
                frames
                    .take(&piece, |stream, piece| gathered.take(stream, piece))
                    .map_err(|error| EngineError::Broken { doing: DOING, source: error.into() })?;
            }
        }
        Ok(gathered.end())
    };
    within(PATIENCE, DOING, reading).await
}
