//! What tests tell the program that was built for them. The shipped one does not read this.

use std::path::PathBuf;

/// At which moment the program is to stop, and how.
#[derive(Debug)]
pub(crate) struct CrashSettings {
    /// `NOVA_CRASH_AT`: the name of the moment.
    pub(crate) at: Option<String>,
    /// `NOVA_CRASH_PAUSE`: a file that is created there; the program goes on when it was removed. Where this is unset,
    /// the program is killed.
    pub(crate) pause: Option<PathBuf>,
    /// `NOVA_CRASH_TRACE`: a file to which the name of every moment is appended.
    pub(crate) trace: Option<PathBuf>,
}

impl CrashSettings {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    pub(crate) fn load() -> Self {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
        Self {
            at: std::env::var("NOVA_CRASH_AT").ok(),
            pause: path("NOVA_CRASH_PAUSE"),
            trace: path("NOVA_CRASH_TRACE"),
        }
    }
}
