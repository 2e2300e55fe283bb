//! What the overview says of the backups that the service makes by itself. Pure, like `render`.

use time::OffsetDateTime;

use super::{
    render::{moment, printable},
    view::Checkpoints,
};

/// One line, with its end; nothing where the service makes none.
pub(super) fn line(checkpoints: &Checkpoints) -> String {
    if !checkpoints.enabled {
        return String::new();
    }
    let when = |at: Option<OffsetDateTime>| at.map_or_else(|| "none yet".to_owned(), moment);
    let error = checkpoints
        .last_error
        .as_ref()
        .map_or_else(String::new, |error| format!("; the last try failed: {}", printable(&error.detail)));
    format!(
        "schedule  newest checkpoint {}, next due {}{error}\n",
        when(checkpoints.last),
        when(checkpoints.next_due)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_schedule_tells_what_was_and_what_comes() {
        let check = |value: serde_json::Value, expect: &str| {
            assert_eq!(line(&serde_json::from_value(value).unwrap()), expect);
        };
        check(json!({}), "");
        check(json!({"enabled": false, "last": "2026-01-31T12:00:00Z"}), "");
        check(
            json!({"enabled": true, "last": null, "next_due": "2026-01-31T12:00:00Z"}),
            "schedule  newest checkpoint none yet, next due 2026-01-31 12:00:00 UTC\n",
        );
        check(
            json!({
                "enabled": true, "last": "2026-01-31T06:00:00Z", "next_due": "2026-01-31T12:00:00.5Z",
                "last_error": {"code": "database_unavailable", "detail": "PostgreSQL does not answer.", "failures": 2}
            }),
            "schedule  newest checkpoint 2026-01-31 06:00:00 UTC, next due 2026-01-31 12:00:00 UTC; the last try failed: \
             PostgreSQL does not answer.\n",
        );
    }
}
