//! Which servers of language models there are, and how they are run.

use std::{collections::BTreeMap, time::Duration};

use recovery_inference::{
    lifecycle::Timing,
    server::{BackendName, Backends, SpecChanges},
};

use super::{load::Values, parse, table};
use crate::backends::BackendSettings;

/// The longest time that requests are given to end, in seconds.
const LONGEST_DRAIN: u64 = 86_400;

pub(super) fn read(values: &mut Values) -> Option<BackendSettings> {
    let backends = values.optional(&table::INFERENCE_BACKENDS);
    let gateway = values.required(&table::LLM_GATEWAY_URL);
    let gateway_cache = values.required(&table::GATEWAY_CONFIG_TTL_SECS);
    let drain = values.required(&table::INFERENCE_DRAIN_SECS);
    let monitor = values.required(&table::INFERENCE_MONITOR_SECS);
    let stall = values.required(&table::INFERENCE_STALL_SECS);
    let usual = BackendSettings::default();
    let gateway_cache = gateway_cache?;
    Some(BackendSettings {
        backends: backends.unwrap_or(usual.backends),
        gateway: gateway?,
        drain: drain?,
        timing: Timing {
            gateway_cache,
            margin: gateway_cache / 5,
            monitor: monitor?,
            stall: stall?,
            ..usual.timing
        },
    })
}

pub(super) fn backends(text: &str) -> Result<Backends, String> {
    let changes: BTreeMap<BackendName, SpecChanges> =
        serde_json::from_str(text).map_err(|error| format!("is no JSON of the expected form: {error}"))?;
    Backends::configured(changes).map_err(|error| format!("cannot be used: {error}"))
}

pub(super) fn drain(text: &str) -> Result<Duration, String> {
    match text.trim().parse() {
        Ok(seconds @ 0..=LONGEST_DRAIN) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("`{text}` is no whole number from 0 to {LONGEST_DRAIN}")),
    }
}

pub(super) fn span(text: &str) -> Result<Duration, String> {
    const SHORTEST: Duration = Duration::from_millis(100);
    let span = parse::wait_seconds(text)?;
    if span >= SHORTEST { Ok(span) } else { Err(format!("`{text}` is no number from 0.1 to 3600")) }
}
