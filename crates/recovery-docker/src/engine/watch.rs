//! Keeps the snapshot true. Events only say that something happened: what it was is asked for, so that an event that
//! is missed, late or not understood does no harm beyond the next look.

use std::{collections::HashSet, sync::Arc, time::Duration};

use docker_api::{
    Error,
    models::{ContainerSummary, EventMessage},
    opts::{ContainerFilter, ContainerListOpts, EventFilter, EventFilterType, EventsOpts},
};
use futures_util::{StreamExt as _, stream};
use recovery_core::{
    Problem,
    container::{ComposeLabels, Container, ContainerId, Snapshot},
    port::{ContainerEngine as _, EngineError},
};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{DockerEngine, PATIENCE, error, facts, session::Session, within};

/// How long after an event others are waited for before the containers are looked at.
const GATHERING: Duration = Duration::from_millis(25);
/// How often the containers are looked at without an event: an engine that hangs sends none.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Every how-manieth of these looks takes nothing for granted.
const THOROUGH: u32 = 6;
/// How long after a failure it is tried again: at first, and at most.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long an engine whose event stream has ended has to answer before it counts as away.
const GRACE: Duration = Duration::from_millis(500);
const FOLLOWING: &str = "following what happens";
/// How far back the event stream begins, so that nothing falls between its beginning and the first look.
const OVERLAP: i64 = 2;
/// How many containers are inspected at once.
const AT_ONCE: usize = 8;

/// The events after which a container is not what it was. Running health checks are not among them, their verdict is.
const EVENTS: [&str; 13] = [
    "create",
    "destroy",
    "die",
    "health_status",
    "kill",
    "oom",
    "pause",
    "rename",
    "restart",
    "start",
    "stop",
    "unpause",
    "update",
];

/// Which containers may be other than they were when they were last inspected.
pub(super) enum Doubt {
    /// These, and those whose state in the list is another one.
    Some(HashSet<ContainerId>),
    /// All.
    All,
}

impl DockerEngine {
    pub(super) async fn watch_for_ever(&self) {
        let mut pause = PAUSE;
        loop {
            let error = self.follow().await;
            *self.known_session() = None;
            // A proxy ends a stream on which nothing happens. An engine that answers at once was not away.
            let ended = matches!(error, EngineError::Broken { doing: FOLLOWING, .. });
            if ended && matches!(tokio::time::timeout(GRACE, self.look()).await, Ok(Ok(_))) {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            if self.snapshot.borrow().is_current() {
                pause = PAUSE;
            }
            if self.publish(|last| last.away(Problem::from(&error))) {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%cause, "what the containers do is not known: {error}");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Follows the events, and looks after each burst of them, until something fails.
    async fn follow(&self) -> EngineError {
        match self.follow_until_it_fails().await {
            Err(error) => error,
            Ok(never) => match never {},
        }
    }

    async fn follow_until_it_fails(&self) -> Result<std::convert::Infallible, EngineError> {
        let session = self.new_session().await?;
        let options = self.events();
        let mut events = session.docker().events(&options);
        let mut doubt = Doubt::All;
        let mut look_at = Instant::now();
        let mut beats = 0;
        loop {
            tokio::select! {
                event = events.next() => {
                    doubt = doubt.and(touched(event)?);
                    look_at = look_at.min(Instant::now() + GATHERING);
                }
                () = tokio::time::sleep_until(look_at) => {
                    beats += 1;
                    if beats % THOROUGH == 0 {
                        doubt = Doubt::All;
                    }
                    self.refresh(&session, std::mem::replace(&mut doubt, Doubt::none())).await?;
                    look_at = Instant::now() + HEARTBEAT;
                }
            }
        }
    }

    fn events(&self) -> EventsOpts {
        let mut filter = vec![
            EventFilter::Type(EventFilterType::Container),
            EventFilter::Label(format!("{}={}", ComposeLabels::PROJECT, self.project)),
        ];
        filter.extend(EVENTS.map(|event| EventFilter::Event(event.to_owned())));
        let since = OffsetDateTime::now_utc().unix_timestamp() - OVERLAP;
        EventsOpts::builder().since(since).filter(filter).build()
    }

    /// Lists the project's containers, inspects those in doubt, and publishes what comes of it. One at a time, so that
    /// an older look never replaces a newer one.
    pub(super) async fn refresh(&self, session: &Session, doubt: Doubt) -> Result<(), EngineError> {
        let mut inspected = self.inspected.lock().await;
        let listed = self.list(session).await?;
        let known = &*inspected;
        let containers: Vec<Result<Option<Container>, EngineError>> = stream::iter(listed)
            .map(|told| async {
                let id = facts::id_of(&told);
                let known = id.as_ref().and_then(|id| known.get(id));
                match (id, known) {
                    (_, Some(known)) if !doubt.is_about(known, &told) => Ok(Some(known.clone())),
                    (Some(id), _) => match session.inspect(&id).await {
                        Ok(container) => Ok(Some(container)),
                        Err(EngineError::NoSuchContainer { .. }) => Ok(None),
                        Err(error) if error::is_unreadable(&error) => {
                            tracing::warn!(container = %id, "its description cannot be understood: {error}");
                            Ok(facts::of_summary(told))
                        }
                        Err(error) => Err(error),
                    },
                    (None, _) => Ok(None),
                }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let containers: Vec<Option<Container>> = containers.into_iter().collect::<Result<_, _>>()?;
        let containers: Vec<Container> = containers.into_iter().flatten().collect();
        *inspected = containers.iter().map(|container| (container.id.clone(), container.clone())).collect();
        self.publish(|last| last.seen(session.version().clone(), containers));
        Ok(())
    }

    async fn list(&self, session: &Session) -> Result<Vec<ContainerSummary>, EngineError> {
        let doing = "listing the containers";
        let label = ContainerFilter::Label(ComposeLabels::PROJECT.to_owned(), self.project.to_string());
        let options = ContainerListOpts::builder().all(true).filter([label]).build();
        let asked = async {
            let containers = session.docker().containers();
            containers.list(&options).await.map_err(|error| error::of_engine(doing, error))
        };
        within(PATIENCE, doing, asked).await
    }

    /// Publishes the next snapshot, unless it says the same as the last one. Returns whether it did.
    fn publish(&self, next: impl FnOnce(&Snapshot) -> Snapshot) -> bool {
        self.snapshot.send_if_modified(|snapshot| {
            let next = next(snapshot);
            let says_more = !next.says_the_same(snapshot);
            if says_more {
                *snapshot = Arc::new(next);
            }
            says_more
        })
    }
}

impl Doubt {
    fn none() -> Self {
        Self::Some(HashSet::new())
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Some(mut these), Self::Some(those)) => {
                these.extend(those);
                Self::Some(these)
            }
            (Self::All, _) | (_, Self::All) => Self::All,
        }
    }

    fn is_about(&self, known: &Container, told: &ContainerSummary) -> bool {
        match self {
            Self::All => true,
            Self::Some(ids) => ids.contains(&known.id) || facts::state_of(told) != known.state,
        }
    }
}

/// What an event puts in doubt.
fn touched(event: Option<Result<EventMessage, Error>>) -> Result<Doubt, EngineError> {
    let doing = FOLLOWING;
    match event {
        None => Err(EngineError::Broken { doing, source: "the stream of events ended".into() }),
        // An event that cannot be read has happened all the same.
        Some(Err(Error::SerdeJsonError(_))) => Ok(Doubt::All),
        Some(Err(error)) => Err(error::of_engine(doing, error)),
        Some(Ok(event)) => {
            let id = event.actor.and_then(|actor| actor.id?.parse().ok());
            Ok(id.map_or(Doubt::All, |id| Doubt::Some(HashSet::from([id]))))
        }
    }
}
