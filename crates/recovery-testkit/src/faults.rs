//! Faults on order: what a fake is to get wrong, and when.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use tokio::sync::oneshot;

use crate::lock;

/// The faults that a fake has in store, by the named points at which it looks for them. Clones share them.
pub struct Faults<P, E> {
    armed: Arc<Mutex<Vec<Armed<P, E>>>>,
}

type Armed<P, E> = (P, Action<E>);

enum Action<E> {
    Fail(Box<dyn FnOnce() -> E + Send>),
    Hold { reached: oneshot::Sender<()>, verdict: oneshot::Receiver<E> },
}

impl<P, E> Faults<P, E>
where
    P: PartialEq + fmt::Debug,
{
    /// Lets the next call that comes to `point` fail. Called twice, it lets the next two fail.
    pub fn fail_next(&self, point: P, error: impl FnOnce() -> E + Send + 'static) {
        lock(&self.armed).push((point, Action::Fail(Box::new(error))));
    }

    /// Holds up the next call that comes to `point` until the returned value lets it go.
    #[must_use = "dropping it lets the call go"]
    pub fn hold_next(&self, point: P) -> Hold<E> {
        let (reached, was_reached) = oneshot::channel();
        let (decide, verdict) = oneshot::channel();
        lock(&self.armed).push((point, Action::Hold { reached, verdict }));
        Hold { reached: was_reached, decide }
    }

    /// Passes a point: as a fake does it.
    ///
    /// # Errors
    /// The fault that was ordered for this point.
    pub async fn pass(&self, point: P) -> Result<(), E> {
        let action = {
            let mut armed = lock(&self.armed);
            let found = armed.iter().position(|(at, _)| *at == point);
            found.map(|index| armed.remove(index).1)
        };
        match action {
            None => Ok(()),
            Some(Action::Fail(error)) => Err(error()),
            Some(Action::Hold { reached, verdict }) => {
                // Neither end minds that the test has dropped the hold.
                let _ = reached.send(());
                verdict.await.map_or(Ok(()), Err)
            }
        }
    }

    /// Panics where a fault was ordered that no call has met: such a test does not test what it says.
    pub fn assert_spent(&self) {
        let armed = lock(&self.armed);
        let left: Vec<_> = armed.iter().map(|(point, _)| point).collect();
        assert!(left.is_empty(), "no call has come to {left:?}");
    }
}

impl<P, E> Clone for Faults<P, E> {
    fn clone(&self) -> Self {
        Self { armed: Arc::clone(&self.armed) }
    }
}

impl<P, E> Default for Faults<P, E> {
    fn default() -> Self {
        Self { armed: Arc::default() }
    }
}

impl<P: fmt::Debug, E> fmt::Debug for Faults<P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(lock(&self.armed).iter().map(|(point, _)| point)).finish()
    }
}

/// A call that is held up, or will be. Dropping it lets the call go.
#[derive(Debug)]
pub struct Hold<E> {
    reached: oneshot::Receiver<()>,
    decide: oneshot::Sender<E>,
}

impl<E> Hold<E> {
    /// Returns once a call stands at the point.
    pub async fn reached(&mut self) {
        (&mut self.reached).await.expect("the fake is gone, and no call has come to the point");
    }

    /// Lets the call go on.
    pub fn release(self) {}

    /// Lets the call fail.
    pub fn fail(self, error: E) {
        // A call that was cancelled meanwhile does not hear it.
        let _ = self.decide.send(error);
    }
}
