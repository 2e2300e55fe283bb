//! Starting a server, and waiting until it answers.
//!
//! Loading a model takes seconds or an hour, the first download included. So there is no deadline for it: as long as
//! something changes, it is waited. What ends at once, ends again and again, or stands still for long, has failed.

use recovery_core::{
    Progress,
    container::{Container, ContainerId, ContainerState},
    port::ServerError,
};
use tokio::time::{Instant, sleep};

use super::{LifecycleError, Parts, Step, Witness};
use crate::server::BackendSpec;

/// So many starts by the engine are a crash loop.
const CRASH_LOOP: u64 = 2;
/// How many lines of its log an error holds.
const LAST_LINES: usize = 20;
/// How many looks pass between two looks at its log.
const LOG_EVERY: u32 = 10;

/// What would change if it came on.
#[derive(PartialEq)]
struct Sign {
    restarts: u64,
    state: Option<ContainerState>,
    answer: &'static str,
    last_line: Option<String>,
}

/// Starts the server and waits until a model of it has answered. Returns the model.
pub(super) async fn start(
    parts: &Parts,
    spec: &BackendSpec,
    witness: &dyn Witness,
) -> Result<Option<String>, LifecycleError> {
    let label = spec.label();
    witness.step(Step::Starting, format!("The container of {label} is started.")).await?;
    let progress = |progress: Progress| match progress.phase.as_str() {
        "pulling" => witness.fetching(fetched(label, &progress), progress),
        _ => witness.tell(Step::Starting, format!("The container of {label} is started.")),
    };
    let before = running(parts, spec).await;
    parts.compose.start(std::slice::from_ref(spec.service()), &progress).await?;
    witness.step(Step::Loading, format!("{label} loads its model.")).await?;
    let server = parts.server(spec);
    let (mut sign, mut since, mut looks) = (None, Instant::now(), 0_u32);
    let mut last_line = None;
    loop {
        let container = container(parts, spec).await?;
        if let Some(container) = &container {
            judge(parts, spec, container, before.as_ref()).await?;
        }
        let asked = Instant::now();
        let answer = match server.health().await {
            Ok(()) => server.ready().await,
            Err(error) => Err(error),
        };
        let error = match answer {
            Ok(model) => return Ok(model),
            Err(error) => error,
        };
        witness.tell(Step::Loading, format!("{label} loads its model: {error}."));
        if looks.is_multiple_of(LOG_EVERY)
            && let Some(container) = &container
        {
            last_line = last_lines(parts, container).await.pop();
        }
        looks = looks.wrapping_add(1);
        let restarts = container.as_ref().map_or(0, |container| container.restart_count);
        let state = container.as_ref().map(|container| container.state);
        let now = Sign { restarts, state, answer: kind(&error), last_line: last_line.clone() };
        if sign.as_ref() != Some(&now) {
            (sign, since) = (Some(now), asked);
        }
        if since.elapsed() >= parts.timing.stall {
            let log = match &container {
                Some(container) => last_lines(parts, container).await,
                None => Vec::new(),
            };
            let within = parts.timing.stall;
            return Err(LifecycleError::Stalled { backend: label.to_owned(), within, answer: error, log });
        }
        sleep(parts.timing.poll).await;
    }
}

/// Its container as it is now; `None` while the engine does not say.
async fn container(parts: &Parts, spec: &BackendSpec) -> Result<Option<Container>, LifecycleError> {
    let Ok(snapshot) = parts.engine.look().await else { return Ok(None) };
    let container = snapshot.of_service(spec.service()).next().cloned();
    container.map(Some).ok_or_else(|| LifecycleError::Gone { backend: spec.label().to_owned() })
}

/// The container that runs before the start, and how often the engine has restarted it in its life so far.
async fn running(parts: &Parts, spec: &BackendSpec) -> Option<(ContainerId, u64)> {
    let snapshot = parts.engine.look().await.ok()?;
    let container = snapshot.of_service(spec.service()).next()?;
    let runs = matches!(container.state, ContainerState::Running | ContainerState::Restarting);
    runs.then(|| (container.id.clone(), container.restart_count))
}

async fn judge(
    parts: &Parts,
    spec: &BackendSpec,
    container: &Container,
    before: Option<&(ContainerId, u64)>,
) -> Result<(), LifecycleError> {
    let backend = spec.label().to_owned();
    // One that ran already may have been restarted weeks ago.
    let earlier = before.filter(|(id, _)| *id == container.id).map_or(0, |(_, restarts)| *restarts);
    let times = container.restart_count.saturating_sub(earlier);
    if times >= CRASH_LOOP {
        let log = last_lines(parts, container).await;
        return Err(LifecycleError::CrashLoop { backend, times, log });
    }
    if matches!(container.state, ContainerState::Exited | ContainerState::Dead) {
        let log = last_lines(parts, container).await;
        return Err(LifecycleError::Ended { backend, exit_code: container.exit_code, log });
    }
    Ok(())
}

/// The last lines that a server has printed.
pub(super) async fn last_lines_of(parts: &Parts, spec: &BackendSpec) -> Vec<String> {
    let snapshot = parts.engine.snapshot();
    match snapshot.of_service(spec.service()).next() {
        Some(container) => last_lines(parts, container).await,
        None => Vec::new(),
    }
}

async fn last_lines(parts: &Parts, container: &Container) -> Vec<String> {
    match parts.engine.logs(&container.id, LAST_LINES).await {
        Ok(tail) => tail.lines.into_iter().map(|line| line.text).collect(),
        // What it was can be said without them.
        Err(_) => Vec::new(),
    }
}

/// In words, how much of an image is there.
fn fetched(label: &str, progress: &Progress) -> String {
    // Tenths of a gigabyte, rounded down, as people read sizes of images.
    let gb = |bytes: u64| format!("{}.{}", bytes / 1_000_000_000, bytes / 100_000_000 % 10);
    match progress.total {
        Some(total) => {
            format!("The image of {label} is fetched: {} of {} GB.", gb(progress.done), gb(total))
        }
        None => format!("The image of {label} is fetched."),
    }
}

fn kind(error: &ServerError) -> &'static str {
    match error {
        ServerError::Closed { .. } => "closed",
        ServerError::Status { .. } => "status",
        ServerError::Hung { .. } => "hung",
        ServerError::Broken { .. } => "broken",
        ServerError::Unreadable { .. } => "unreadable",
    }
}
