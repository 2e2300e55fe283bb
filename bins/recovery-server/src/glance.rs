//! The overview, made once for everybody who asks at the same time.
//!
//! To make it, the database is asked and the backup directory is read. Dashboards ask every few seconds, several of
//! them at once; what they get is never older than the last operation, the last change of a service or dependency,
//! and a second or so.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::web::Bytes;
use tokio::sync::Mutex as AsyncMutex;

use crate::app::App;

/// Up to this age an overview is given out as it is.
const FRESH: Duration = Duration::from_secs(1);
/// Up to this age it is given out once more, while the next one is made.
const PASSABLE: Duration = Duration::from_secs(3);

/// The last overview that was made.
#[derive(Default)]
pub(crate) struct Glance {
    last: Mutex<Option<Last>>,
    making: Arc<AsyncMutex<()>>,
}

#[derive(Clone)]
struct Last {
    moment: Moment,
    made: Instant,
    json: Bytes,
}

/// What an overview is out of date without: the newest event, and the revisions of what is known.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Moment {
    event: u64,
    services: u64,
    dependencies: u64,
}

impl App {
    /// The overview as JSON.
    pub(crate) async fn status_json(self: &Arc<Self>) -> Bytes {
        match self.passable() {
            Some((json, age)) if age < FRESH => json,
            Some((json, _)) => {
                if let Ok(making) = Arc::clone(&self.glance.making).try_lock_owned() {
                    let app = Arc::clone(self);
                    self.in_background(async move {
                        app.make_overview().await;
                        drop(making);
                    });
                }
                json
            }
            None => {
                let _making = self.glance.making.lock().await;
                // Somebody may have made it meanwhile.
                match self.passable() {
                    Some((json, age)) if age < FRESH => json,
                    _ => self.make_overview().await,
                }
            }
        }
    }

    /// The last overview, if nothing has happened since, and its age.
    fn passable(&self) -> Option<(Bytes, Duration)> {
        let last = self.glance.last.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let age = last.made.elapsed();
        (last.moment == self.moment() && age < PASSABLE).then_some((last.json, age))
    }

    async fn make_overview(&self) -> Bytes {
        // Noted before: what happens while it is made makes it out of date.
        let moment = self.moment();
        let json = serde_json::to_vec(&self.status().await).map(Bytes::from).unwrap_or_default();
        let last = Last { moment, made: Instant::now(), json: json.clone() };
        *self.glance.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        json
    }

    fn moment(&self) -> Moment {
        Moment {
            event: self.operations.events().newest(),
            services: self.services.snapshot().revision(),
            dependencies: self.dependencies.revision(),
        }
    }
}
