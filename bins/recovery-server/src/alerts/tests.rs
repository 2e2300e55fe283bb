use recovery_testkit::{FakeClock, MemoryDocuments, NotifyPoint, RecordingNotifier, StatePoint, disk_full};

use super::*;

const SUBJECT: Subject = Subject { name: "checkpoint", words: "the automatic backup" };

struct World {
    notifier: RecordingNotifier,
    documents: MemoryDocuments,
    clock: FakeClock,
}

/// Who tells, between two restarts.
struct Running {
    alerts: Arc<Alerts>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    fn new() -> Self {
        Self {
            notifier: RecordingNotifier::new(),
            documents: MemoryDocuments::new(),
            clock: FakeClock::default(),
        }
    }

    fn start(&self) -> Running {
        let (notifier, documents) = (Arc::new(self.notifier.clone()), Arc::new(self.documents.clone()));
        let alerts = Arc::new(Alerts::new(
            Some(notifier),
            documents,
            Arc::new(self.clock.clone()),
            "nova on box".into(),
        ));
        let shared = Arc::clone(&alerts);
        Running { alerts, task: tokio::spawn(async move { shared.run().await }) }
    }

    /// What was told since it was last asked, as event, subject and reason.
    async fn told(&self, before: &mut usize) -> Vec<String> {
        // Time is paused, so that this returns once everybody else waits for something.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let taken = self.notifier.taken();
        let new = taken.iter().skip(*before);
        let words = |notice: &Notice| {
            format!("{} {} {}", notice.event.as_str(), notice.subject, notice.reason.as_str())
        };
        let told = new.map(words).collect();
        *before = taken.len();
        told
    }
}

fn problem(code: ErrorCode) -> Problem {
    Problem::new(code, "It went wrong.").hint("Mend it.")
}

#[tokio::test(start_paused = true)]
async fn each_reason_is_told_once_and_its_end_too() {
    let (world, mut before) = (World::new(), 0);
    let running = world.start();
    let mut check = async |code: Option<ErrorCode>, expect: &[&str]| {
        match code {
            Some(code) => running.alerts.failed(SUBJECT, problem(code)),
            None => running.alerts.well(SUBJECT, "It was done.".into()),
        }
        assert_eq!(world.told(&mut before).await, expect, "{code:?}");
    };
    check(None, &[]).await;
    check(Some(ErrorCode::DatabaseUnavailable), &["failed checkpoint database_unavailable"]).await;
    check(Some(ErrorCode::DatabaseUnavailable), &[]).await;
    check(Some(ErrorCode::InsufficientStorage), &["failed checkpoint insufficient_storage"]).await;
    check(Some(ErrorCode::DatabaseUnavailable), &["failed checkpoint database_unavailable"]).await;
    check(None, &["recovered checkpoint database_unavailable"]).await;
    check(None, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn the_words_say_where_what_and_since_when() {
    let (world, mut before) = (World::new(), 0);
    let running = world.start();
    running.alerts.failed(SUBJECT, problem(ErrorCode::ToolFailed));
    world.told(&mut before).await;
    world.clock.advance(Duration::from_secs(3600));
    running.alerts.well(SUBJECT, "x.tar was made.".into());
    world.told(&mut before).await;
    let texts: Vec<String> = world.notifier.taken().into_iter().map(|notice| notice.text).collect();
    assert_eq!(
        texts,
        [
            "nova on box: the automatic backup fails. It went wrong. Mend it.",
            "nova on box: the automatic backup works again. x.tar was made. It had failed since \
             2026-01-31T12:00:00Z: It went wrong."
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_does_not_tell_it_again() {
    let (world, mut before) = (World::new(), 0);
    let running = world.start();
    running.alerts.failed(SUBJECT, problem(ErrorCode::ToolFailed));
    assert_eq!(world.told(&mut before).await.len(), 1);
    drop(running);
    let running = world.start();
    running.alerts.failed(SUBJECT, problem(ErrorCode::ToolFailed));
    assert_eq!(world.told(&mut before).await.len(), 0);
    drop(running);
    let running = world.start();
    running.alerts.well(SUBJECT, "It was done.".into());
    assert_eq!(world.told(&mut before).await, ["recovered checkpoint tool_failed"]);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_fails_is_tried_again_and_then_at_the_next_failure() {
    let (world, mut before) = (World::new(), 0);
    let running = world.start();
    let fail = |times: usize, status: u16| {
        for _ in 0..times {
            world.notifier.faults().fail_next(NotifyPoint::Deliver, move || NotifyError::Refused { status });
        }
    };
    let mut check = async |expect: usize| {
        running.alerts.failed(SUBJECT, problem(ErrorCode::ToolFailed));
        assert_eq!(world.told(&mut before).await.len(), expect);
        world.notifier.faults().assert_spent();
    };
    // Given up after three tries, or after the first where another is of no use.
    fail(3, 503);
    check(0).await;
    fail(1, 404);
    check(0).await;
    fail(2, 500);
    check(1).await;
    check(0).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_over_before_it_could_be_told_is_not_told() {
    let (world, mut before) = (World::new(), 0);
    let running = world.start();
    let mut held = world.notifier.faults().hold_next(NotifyPoint::Deliver);
    running.alerts.failed(SUBJECT, problem(ErrorCode::ToolFailed));
    held.reached().await;
    running.alerts.well(SUBJECT, "It was done.".into());
    held.fail(NotifyError::Unavailable { why: "connection refused".into() });
    assert_eq!(world.told(&mut before).await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_makes_nobody_hear_it_twice_from_one_process() {
    let (world, mut before) = (World::new(), 0);
    let running = world.start();
    world.documents.faults().fail_next(StatePoint::Write, disk_full);
    for expect in [1, 0] {
        running.alerts.failed(SUBJECT, problem(ErrorCode::InsufficientStorage));
        assert_eq!(world.told(&mut before).await.len(), expect);
    }
    world.documents.faults().assert_spent();
}
