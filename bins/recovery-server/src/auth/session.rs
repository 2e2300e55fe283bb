//! The console's sessions: in memory only, so a restart ends them all.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use secrecy::SecretString;
use time::OffsetDateTime;
use uuid::Uuid;

/// The sessions.
#[derive(Default)]
pub struct Sessions {
    sessions: Mutex<HashMap<String, Session>>,
}

struct Session {
    /// Of the admin secret that it was begun with.
    generation: u64,
    expires_at: OffsetDateTime,
}

/// A session that has just begun.
#[derive(Debug)]
pub struct NewSession {
    /// What the cookie holds: whoever knows it is signed in.
    pub id: SecretString,
    /// When it ends, UTC.
    pub expires_at: OffsetDateTime,
}

impl Sessions {
    /// How long a session lasts.
    pub const LIFETIME: time::Duration = time::Duration::hours(12);
    /// How many there are at most; the one that ends first makes room.
    const MOST: usize = 1000;

    pub(super) fn begin(&self, generation: u64, now: OffsetDateTime) -> NewSession {
        // Two random UUIDs: 244 bits of the system's randomness.
        let id = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let expires_at = now + Self::LIFETIME;
        let mut sessions = self.sessions();
        sessions.retain(|_, session| session.generation == generation && session.expires_at > now);
        if sessions.len() >= Self::MOST
            && let Some(first) =
                sessions.iter().min_by_key(|(_, session)| session.expires_at).map(|(id, _)| id.clone())
        {
            sessions.remove(&first);
        }
        sessions.insert(id.clone(), Session { generation, expires_at });
        NewSession { id: id.into(), expires_at }
    }

    pub(super) fn is_valid(&self, id: &str, generation: u64, now: OffsetDateTime) -> bool {
        self.sessions()
            .get(id)
            .is_some_and(|session| session.generation == generation && session.expires_at > now)
    }

    /// Returns whether there was one.
    pub(super) fn end(&self, id: &str) -> bool {
        self.sessions().remove(id).is_some()
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-01-31 12:00 UTC);

    #[test]
    fn a_session_ends_by_time_by_rotation_and_by_signing_out() {
        let sessions = Sessions::default();
        let session = sessions.begin(1, NOW);
        let id = session.id.expose_secret();
        assert!(sessions.is_valid(id, 1, NOW + Sessions::LIFETIME - time::Duration::SECOND));
        assert!(!sessions.is_valid(id, 1, NOW + Sessions::LIFETIME));
        assert!(!sessions.is_valid(id, 2, NOW));
        assert!(!sessions.is_valid("", 1, NOW));
        sessions.end(id);
        assert!(!sessions.is_valid(id, 1, NOW));
    }

    #[test]
    fn there_are_not_more_than_so_many() {
        let sessions = Sessions::default();
        let first = sessions.begin(0, NOW);
        for second in 0..Sessions::MOST {
            sessions.begin(0, NOW + time::Duration::seconds(i64::try_from(second).unwrap() + 1));
        }
        assert_eq!(sessions.sessions().len(), Sessions::MOST);
        assert!(!sessions.is_valid(first.id.expose_secret(), 0, NOW));
    }
}
