//! Whether a container that was restarted is well, found out as early as it can be told.

use recovery_core::{
    container::{Container, ContainerState, Health, RestartPolicy},
    port::LogTail,
};
use tokio::time::Instant;

use super::{RestartError, Restarter};

/// So many starts by the engine itself after ours mean that the program ends over and over.
const CRASH_LOOP: u64 = 2;
/// How many of the last lines of its log an error holds.
const LAST_WORDS: usize = 5;
/// The most characters of each.
const LONGEST_WORDS: usize = 200;

/// Waits until a container is healthy, or where it has no health check has run untouched for a while.
pub(super) async fn until_well(restarter: &Restarter<'_>, before: &Container) -> Result<(), RestartError> {
    let patience = restarter.patience;
    let began = Instant::now();
    let mut seen: Option<(Container, Instant)> = None;
    loop {
        let now = restarter.engine.inspect(&before.id).await?;
        let limit = now.health_check.map_or(patience.stable * 10, |check| check.verdict_within());
        match judge(&now) {
            Verdict::Well | Verdict::Done => return Ok(()),
            Verdict::Unhealthy => return Err(fail(restarter, &now, Failing::Unhealthy).await),
            Verdict::Ended(code) => return Err(fail(restarter, &now, Failing::Ended(code)).await),
            Verdict::CrashLoop => return Err(fail(restarter, &now, Failing::CrashLoop).await),
            Verdict::Runs => {
                let untouched_since = match &seen {
                    Some((last, since)) if same_run(last, &now) => *since,
                    _ => Instant::now(),
                };
                if untouched_since.elapsed() >= patience.stable {
                    return Ok(());
                }
                seen = Some((now.clone(), untouched_since));
            }
            Verdict::NotYet => seen = None,
        }
        if began.elapsed() > limit.saturating_add(patience.margin) {
            return Err(fail(restarter, &now, Failing::Slow).await);
        }
        tokio::time::sleep(patience.poll).await;
    }
}

enum Verdict {
    /// It is healthy.
    Well,
    /// It runs; time will tell.
    Runs,
    /// It was a job, and is done.
    Done,
    /// Nothing can be said yet.
    NotYet,
    Unhealthy,
    Ended(i64),
    CrashLoop,
}

fn judge(now: &Container) -> Verdict {
    if now.restart_count >= CRASH_LOOP {
        return Verdict::CrashLoop;
    }
    match now.state {
        ContainerState::Running => match (now.health_check, now.health) {
            (_, Health::Healthy) => Verdict::Well,
            (_, Health::Unhealthy) => Verdict::Unhealthy,
            (Some(_), _) => Verdict::NotYet,
            (None, _) => Verdict::Runs,
        },
        // One that the engine starts again is `restarting`, not this.
        ContainerState::Exited | ContainerState::Dead => match (now.exit_code, now.restart_policy) {
            (Some(0), RestartPolicy::No | RestartPolicy::OnFailure) => Verdict::Done,
            (code, _) => Verdict::Ended(code.unwrap_or(-1)),
        },
        _ => Verdict::NotYet,
    }
}

/// Whether nobody started it in between.
fn same_run(last: &Container, now: &Container) -> bool {
    last.started_at == now.started_at && last.restart_count == now.restart_count
}

enum Failing {
    Unhealthy,
    Ended(i64),
    CrashLoop,
    Slow,
}

async fn fail(restarter: &Restarter<'_>, container: &Container, failing: Failing) -> RestartError {
    // The words are a courtesy: without them the error is still the error.
    let last_words = restarter.engine.logs(&container.id, LAST_WORDS).await.map(words).unwrap_or_default();
    let service = container.service().clone();
    let name = container.name.clone();
    match failing {
        Failing::Unhealthy => RestartError::Unhealthy { service, container: name, last_words },
        Failing::Ended(exit_code) => RestartError::Ended { service, container: name, exit_code, last_words },
        Failing::CrashLoop => RestartError::CrashLoop { service, container: name, last_words },
        Failing::Slow => RestartError::Slow { service, container: name, last_words },
    }
}

fn words(tail: LogTail) -> Vec<String> {
    tail.lines
        .into_iter()
        .map(|line| line.text.chars().take(LONGEST_WORDS).collect::<String>())
        .filter(|line| !line.trim().is_empty())
        .collect()
}
