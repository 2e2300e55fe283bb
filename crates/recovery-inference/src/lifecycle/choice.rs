//! Whether a new server can be started beside the old one: a pure function of what is known of the memory.

use serde::{Deserialize, Serialize};

/// The two ways of changing from one server to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// The new one is started beside the old one, which serves until the new one does.
    MakeBeforeBreak,
    /// The old one is stopped before the new one is started; meanwhile the gateway's fallback answers.
    BreakBeforeMake,
}

/// What is known of the memory when a change begins, in MiB; `None` where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryFacts {
    /// Whether the new server works on GPUs.
    pub on_gpu: bool,
    /// How much memory of GPUs is free while the old server runs.
    pub gpu_free_mib: Option<u64>,
    /// How much memory of the system is free while the old server runs.
    pub system_free_mib: Option<u64>,
    /// How much the new server takes.
    pub needed_mib: Option<u64>,
}

/// A protocol, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The protocol.
    pub protocol: Protocol,
    /// Why, in half a sentence without a full stop.
    pub reason: String,
}

/// Chooses. A server that does not find the memory it takes fails, or lets the old one fail; so where it is not known
/// that there is enough, there is not.
#[must_use]
pub fn choose(facts: MemoryFacts) -> Choice {
    let (free, whose) =
        if facts.on_gpu { (facts.gpu_free_mib, "GPU memory") } else { (facts.system_free_mib, "memory") };
    let gib = crate::hardware::gib;
    let (protocol, reason) = match (free, facts.needed_mib) {
        (Some(free), Some(needed)) if needed <= free => (
            Protocol::MakeBeforeBreak,
            format!(
                "both fit: the new server takes about {} GiB of {whose}, and {} GiB are free",
                gib(needed),
                gib(free)
            ),
        ),
        (Some(free), Some(needed)) => (
            Protocol::BreakBeforeMake,
            format!(
                "both do not fit: the new server takes about {} GiB of {whose}, and {} GiB are free",
                gib(needed),
                gib(free)
            ),
        ),
        (None, _) => (Protocol::BreakBeforeMake, format!("it is not known how much {whose} is free")),
        (_, None) => {
            (Protocol::BreakBeforeMake, format!("it is not known how much {whose} the new server takes"))
        }
    };
    Choice { protocol, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(facts: MemoryFacts, protocol: Protocol, reason: &str) {
        assert_eq!(choose(facts), Choice { protocol, reason: reason.to_owned() });
    }

    #[test]
    fn both_run_only_where_it_is_known_that_both_fit() {
        let facts = MemoryFacts {
            on_gpu: true,
            gpu_free_mib: Some(20 * 1024),
            system_free_mib: Some(1024),
            needed_mib: Some(20 * 1024),
        };
        check(
            facts,
            Protocol::MakeBeforeBreak,
            "both fit: the new server takes about 20 GiB of GPU memory, and 20 GiB are free",
        );
        check(
            MemoryFacts { on_gpu: false, ..facts },
            Protocol::BreakBeforeMake,
            "both do not fit: the new server takes about 20 GiB of memory, and 1 GiB are free",
        );
        check(
            MemoryFacts { gpu_free_mib: None, ..facts },
            Protocol::BreakBeforeMake,
            "it is not known how much GPU memory is free",
        );
        check(
            MemoryFacts { needed_mib: None, ..facts },
            Protocol::BreakBeforeMake,
            "it is not known how much GPU memory the new server takes",
        );
    }
}
