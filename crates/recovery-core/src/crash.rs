//! Moments at which a test may let the process die.
//!
//! Between two steps of an operation there are moments at which a crash would leave something to clear up. The code
//! names them; what happens there is decided by a hook, which exists only in a program that was built with the feature
//! `crash-points`. Without it, naming a moment costs nothing and nothing can happen there.

use std::fmt::Display;

/// Passes a moment of this name, for example `swap:renamed`.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn crash_point(_name: impl Display) {}

/// Passes a moment of this name, for example `swap:renamed`: calls the hook, where one is set.
#[cfg(feature = "crash-points")]
pub fn crash_point(name: impl Display) {
    if let Some(hook) = hook::HOOK.get() {
        hook(&name.to_string());
    }
}

#[cfg(feature = "crash-points")]
pub use hook::on_crash_point;

#[cfg(feature = "crash-points")]
mod hook {
    use std::sync::OnceLock;

    type Hook = Box<dyn Fn(&str) + Send + Sync>;

    pub(super) static HOOK: OnceLock<Hook> = OnceLock::new();

    /// Sets what happens at every moment from now on; the first hook stays.
    pub fn on_crash_point(hook: impl Fn(&str) + Send + Sync + 'static) {
        let _ = HOOK.set(Box::new(hook));
    }
}
