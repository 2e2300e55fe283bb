//! Counters in the text format of Prometheus.

use recovery_core::port::{Remaining, ServerError};

/// A text that does not tell how many requests a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableMetrics {
    /// One of the names does not stand in it: that is not 0, it is not known.
    #[error("a counter is missing")]
    Missing,
    /// A value is no number of requests.
    #[error("a counter is not a number of requests")]
    NotACount,
}

/// The sum of some counters over all their labels, for example of `vllm:num_requests_running` and
/// `vllm:num_requests_waiting`.
///
/// # Errors
/// One of them does not stand in the text, or has a value that is no count.
pub fn sum(metrics: &str, names: &[String]) -> Result<u64, UnreadableMetrics> {
    names.iter().try_fold(0_u64, |sum, name| Ok(sum.saturating_add(counter(metrics, name)?)))
}

/// What a server that counts still has to do.
pub(super) fn remaining(metrics: &str, names: &[String]) -> Result<Remaining, ServerError> {
    match sum(metrics, names) {
        Ok(0) => Ok(Remaining::Nothing),
        Ok(requests) => Ok(Remaining::Requests(requests)),
        Err(UnreadableMetrics::Missing) => Err(ServerError::Unreadable { what: "a counter is missing" }),
        Err(UnreadableMetrics::NotACount) => {
            Err(ServerError::Unreadable { what: "a counter is not a number of requests" })
        }
    }
}

fn counter(metrics: &str, name: &str) -> Result<u64, UnreadableMetrics> {
    let mut sum = None;
    for line in metrics.lines() {
        let Some(rest) = line.trim_start().strip_prefix(name) else { continue };
        // `name{labels} value [time]` or `name value [time]`; a longer name goes on with something else.
        let values = match rest.strip_prefix('{') {
            Some(labels) => after_labels(labels).ok_or(UnreadableMetrics::NotACount)?,
            None if rest.starts_with([' ', '\t']) => rest,
            None => continue,
        };
        let value = values.split_whitespace().next().ok_or(UnreadableMetrics::NotACount)?;
        sum = Some(sum.unwrap_or(0_u64).saturating_add(count(value)?));
    }
    sum.ok_or(UnreadableMetrics::Missing)
}

/// What stands after the labels: a `}` inside a quoted value does not end them.
fn after_labels(text: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return text.get(at + 1..),
            _ => {}
        }
    }
    None
}

/// Gauges are floating-point numbers: `2.0`. Half a request counts as one, so that nothing is taken for idle.
fn count(value: &str) -> Result<u64, UnreadableMetrics> {
    /// More than any server has; up to here every number is exact.
    const MOST: f64 = 1e12;
    let value: f64 = value.parse().map_err(|_| UnreadableMetrics::NotACount)?;
    if !(0.0..=MOST).contains(&value) {
        return Err(UnreadableMetrics::NotACount);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1e12")]
    Ok(value.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VLLM: &str = "\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine=\"0\",model_name=\"Qwen/Qwen2.5-7B\"} 3.0
vllm:num_requests_running{engine=\"1\",model_name=\"a}b\\\"} 9\"} 4.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine=\"0\",model_name=\"Qwen/Qwen2.5-7B\"} 2.0
vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 50.0
vllm:generation_tokens_total 1.5e+07
";

    /// The counters, separated by `+`, and their sum.
    fn check(metrics: &str, names: &str, expect: Result<u64, UnreadableMetrics>) {
        let names: Vec<String> = names.split('+').map(str::to_owned).collect();
        assert_eq!(sum(metrics, &names), expect, "{names:?}");
    }

    #[test]
    fn counters_are_summed_over_their_labels_and_longer_names_are_others() {
        check(VLLM, "vllm:num_requests_running", Ok(7));
        check(VLLM, "vllm:num_requests_running+vllm:num_requests_waiting", Ok(9));
        let sglang = "sglang:num_running_reqs{tp_rank=\"0\"} 1.0\nsglang:num_queue_reqs{tp_rank=\"0\"} 0.0\n";
        check(sglang, "sglang:num_running_reqs+sglang:num_queue_reqs", Ok(1));
        check("  a\t5 1735689600000\n", "a", Ok(5));
    }

    #[test]
    fn what_is_not_there_is_not_taken_for_nothing() {
        check(VLLM, "vllm:num_requests_running+vllm:num_requests_swapped", Err(UnreadableMetrics::Missing));
        check("", "a", Err(UnreadableMetrics::Missing));
        check("# a 0\n", "a", Err(UnreadableMetrics::Missing));
    }

    #[test]
    fn what_is_no_count_is_none() {
        for value in ["NaN", "+Inf", "-1", "x", ""] {
            check(&format!("a {value}\n"), "a", Err(UnreadableMetrics::NotACount));
        }
        check("a{b=\"c} 1\n", "a", Err(UnreadableMetrics::NotACount));
        check("a 0.2\n", "a", Ok(1));
    }
}
