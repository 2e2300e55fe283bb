//! Counts wrong secrets per client and shuts out who guesses.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::Client;

/// So many wrong secrets …
const ATTEMPTS: usize = 6;
/// … inside this time shut a client out until the first of them is this old.
const WINDOW: Duration = Duration::from_secs(60);
/// How many clients are counted at once; the one that was quiet longest makes room.
const CLIENTS: usize = 4096;

/// The wrong secrets of the last minute. Memory is bounded: so many clients, so many times each.
#[derive(Default)]
pub(super) struct Throttle {
    wrong: Mutex<HashMap<Option<IpAddr>, VecDeque<Instant>>>,
}

impl Throttle {
    /// Compares a secret, unless the client is shut out; a wrong one counts.
    ///
    /// # Errors
    /// For a client that is shut out: how long for.
    pub(super) fn attempt(
        &self,
        client: Client,
        now: Instant,
        is_right: impl FnOnce() -> bool,
    ) -> Result<bool, Duration> {
        let mut clients = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let key = client.counted_as();
        if let Some(times) = clients.get_mut(&key) {
            forget(times, now);
            if let (true, Some(first)) = (times.len() >= ATTEMPTS, times.front()) {
                return Err(WINDOW.saturating_sub(now.saturating_duration_since(*first)));
            }
        }
        if is_right() {
            return Ok(true);
        }
        if clients.len() >= CLIENTS && !clients.contains_key(&key) {
            make_room(&mut clients, now);
        }
        clients.entry(key).or_default().push_back(now);
        Ok(false)
    }
}

fn forget(times: &mut VecDeque<Instant>, now: Instant) {
    while times.front().is_some_and(|time| now.saturating_duration_since(*time) >= WINDOW) {
        times.pop_front();
    }
}

fn make_room(clients: &mut HashMap<Option<IpAddr>, VecDeque<Instant>>, now: Instant) {
    clients.retain(|_, times| {
        forget(times, now);
        !times.is_empty()
    });
    if clients.len() >= CLIENTS
        && let Some(quietest) =
            clients.iter().min_by_key(|(_, times)| times.back().copied()).map(|(key, _)| *key)
    {
        clients.remove(&quietest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn client(number: u32) -> Client {
        Client::new(Some(Ipv4Addr::from_bits(number).into()), None, false, &[])
    }

    #[test]
    fn six_wrong_secrets_in_a_minute_shut_out() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for second in 0..6 {
            let now = start + Duration::from_secs(second * 9);
            assert_eq!(throttle.attempt(client(1), now, || false), Ok(false));
        }
        let now = start + Duration::from_secs(50);
        assert_eq!(throttle.attempt(client(1), now, || true), Err(Duration::from_secs(10)));
        assert_eq!(throttle.attempt(client(2), now, || true), Ok(true));
        let later = start + Duration::from_secs(60);
        assert_eq!(throttle.attempt(client(1), later, || true), Ok(true));
        // Five of the six are still younger than a minute.
        assert_eq!(throttle.attempt(client(1), later, || false), Ok(false));
        assert_eq!(throttle.attempt(client(1), later, || false), Err(Duration::from_secs(9)));
    }

    #[test]
    fn right_secrets_do_not_count() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(throttle.attempt(client(1), now, || true), Ok(true));
        }
        assert_eq!(throttle.attempt(client(1), now, || false), Ok(false));
    }

    #[test]
    fn memory_is_bounded_and_the_quietest_is_forgotten() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for number in 0..=CLIENTS {
            let now = start + Duration::from_micros(number as u64);
            assert_eq!(throttle.attempt(client(u32::try_from(number).unwrap()), now, || false), Ok(false));
        }
        let clients = throttle.wrong.lock().unwrap();
        assert_eq!(clients.len(), CLIENTS);
        assert!(!clients.contains_key(&client(0).counted_as()));
    }
}
