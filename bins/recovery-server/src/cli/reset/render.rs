//! How a reset looks on a terminal. Pure: values in, text out.

use super::{
    super::{
        render::{bytes, grouped, printable},
        table::table,
    },
    view::{Category, Directory, Done, Preview, Reseed, Totals},
};

/// What would go.
pub(super) fn preview(preview: &Preview) -> String {
    let mut text = match preview.wiped.as_slice() {
        [] => "Everything is kept: nothing would go.\n".to_owned(),
        wiped => format!("Would be wiped: {}\n", printable(&wiped.join(", "))),
    };
    let kept = if preview.kept.is_empty() { "nothing".to_owned() } else { preview.kept.join(", ") };
    text.push_str(&format!("Would be kept:  {}\n", printable(&kept)));
    let rows: Vec<Vec<String>> = preview.categories.iter().flat_map(rows_of).collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&table(&["CATEGORY", "WHAT", "HOW MUCH"], &rows));
        text.push_str(&total(&preview.totals));
    }
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for following in &preview.following {
        line(format!(
            "Follows: {} of {} rows of {}, in no category, which depend on {}.",
            number(following.rows, following.exact),
            grouped(following.of),
            printable(&following.table),
            printable(&following.refers_to.join(", "))
        ));
    }
    for cleared in &preview.references_cleared {
        line(format!(
            "Loses a reference: {} rows of {} ({}), which refer to {}.",
            number(cleared.rows, cleared.exact),
            printable(&cleared.table),
            printable(&cleared.columns.join(", ")),
            printable(&cleared.refers_to)
        ));
    }
    for conflict in &preview.conflicts {
        line(format!("In the way: {}. {}", printable(&conflict.message), printable(&conflict.hint)));
    }
    if let Some(error) = &preview.redis_error {
        line(format!("The keys of Redis cannot be counted: {}", printable(error)));
    }
    for warning in &preview.warnings {
        line(format!("Note: {}", printable(warning)));
    }
    line(migrations(&preview.reseed, "would run again", "would not run again"));
    if !preview.possible {
        line("As things are, the reset would be refused, and nothing changed.".to_owned());
    }
    text
}

fn rows_of(category: &Category) -> Vec<Vec<String>> {
    let row = |what: String, how_much: String| vec![category.key.clone(), printable(&what), how_much];
    let mut rows = Vec::new();
    // What is empty loses nothing.
    for table in category.tables.iter().filter(|table| table.rows > 0) {
        rows.push(row(table.table.clone(), format!("{} rows", number(table.rows, table.exact))));
    }
    for keys in category.redis.iter().filter(|keys| keys.keys > 0) {
        rows.push(row(
            format!("Redis database {}", keys.database),
            format!("{} keys", number(keys.keys, keys.exact)),
        ));
    }
    for directory in &category.directories {
        rows.push(row(directory.path.clone(), contents(directory)));
    }
    if let Some(backups) = &category.backups {
        let how_much = format!("{}, {}", several(backups.count, "backup"), bytes(backups.bytes));
        rows.push(row("the backup directory".to_owned(), how_much));
    }
    rows
}

fn contents(directory: &Directory) -> String {
    match (&directory.problem, directory.exists, directory.files, directory.bytes) {
        (Some(problem), ..) => format!("cannot be emptied: {}", printable(problem)),
        (None, false, ..) => "is not there".to_owned(),
        (None, true, Some(files), Some(size)) => format!("{} files, {}", grouped(files), bytes(size)),
        (None, true, ..) => "very many files".to_owned(),
    }
}

fn total(totals: &Totals) -> String {
    format!(
        "Together: {}, {}, {} ({}), {} ({}).{}\n",
        several(totals.rows, "row"),
        several(totals.redis_keys, "key"),
        several(totals.files, "file"),
        bytes(totals.file_bytes),
        several(totals.backups, "backup"),
        bytes(totals.backup_bytes),
        if totals.exact { "" } else { " Some of these are estimates; --exact counts." }
    )
}

fn number(number: u64, exact: bool) -> String {
    if exact { grouped(number) } else { format!("about {}", grouped(number)) }
}

/// `1 row`, `2 rows`.
fn several(number: u64, one: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {one}{ending}", grouped(number))
}

fn migrations(reseed: &Reseed, yes: &str, no: &str) -> String {
    let what = if reseed.planned { yes } else { no };
    format!("The platform's migrations {what}: {}", printable(&lower(&reseed.why)))
}

/// A sentence as the rest of another one.
fn lower(sentence: &str) -> String {
    let mut chars = sentence.chars();
    let first = chars.next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
    format!("{first}{}", chars.as_str())
}

/// What went.
pub(super) fn done(done: &Done) -> String {
    if done.wiped.is_empty() && !done.reseed.planned {
        return "Everything is kept: nothing was changed.".to_owned();
    }
    let stats = &done.stats;
    let mut lines = vec![
        format!("Wiped {}.", printable(&done.wiped.join(", "))),
        format!(
            "Gone: {} of {}, {} of Redis, {} ({}), {} ({}).",
            several(stats.rows_deleted, "row"),
            several((done.detail.rows.len() as u64).max(stats.tables_truncated), "table"),
            several(stats.redis_keys_deleted, "key"),
            several(stats.filesystem_files_removed, "file"),
            bytes(stats.filesystem_bytes_reclaimed),
            several(stats.backup_files_removed, "backup"),
            bytes(stats.backup_bytes_reclaimed),
        ),
        migrations(&done.reseed, "run again", "do not run again"),
    ];
    if let Some(orchestrator) = &done.reseed.orchestrator {
        lines.push(format!("The orchestrator: {}", printable(&lower(orchestrator))));
    }
    if !done.detail.pinned_backups.is_empty() {
        let names = printable(&done.detail.pinned_backups.join(", "));
        lines.push(format!("Pinned backups are still there: {names}. --include-pinned removes them, too."));
    }
    lines.extend(done.errors.iter().flatten().map(|error| format!("Not done: {}", printable(error))));
    if let Some(safety) = &done.safety_backup {
        lines.push(format!("To bring it all back: nova-recovery restore {}", safety.filename));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_preview_shows_what_goes_and_what_is_in_the_way() {
        let shown: Preview = serde_json::from_value(json!({
            "possible": false, "wiped": ["chat_history", "backups"], "kept": ["api_keys"],
            "totals": {"rows": 57_005, "redis_keys": 12, "files": 3, "file_bytes": 2048, "backups": 1,
                "backup_bytes": 10, "exact": false},
            "categories": [
                {"key": "chat_history", "tables": [{"table": "messages", "rows": 57_000, "exact": false},
                    {"table": "empty", "rows": 0, "exact": true}],
                    "redis": [{"database": 2, "keys": 12, "exact": true}],
                    "directories": [{"path": "/data/shots", "exists": true, "files": 3, "bytes": 2048},
                        {"path": "/data/link", "exists": true, "problem": "it is a symbolic link, not a directory"},
                        {"path": "/data/none", "exists": false}]},
                {"key": "backups", "backups": {"count": 1, "bytes": 10}}],
            "following": [{"table": "notes", "rows": 5, "of": 9, "exact": true, "refers_to": ["messages"]}],
            "references_cleared": [{"table": "tasks", "columns": ["message_id"], "refers_to": "messages", "rows": 2,
                "exact": true}],
            "conflicts": [{"message": "3 rows refer", "hint": "Keep \"Chat history\"."}],
            "reseed": {"planned": false, "why": "Nothing is wiped that needs it."},
            "warnings": ["In no category, and left alone: the tables x."]
        }))
        .unwrap();
        insta::assert_snapshot!(preview(&shown), @r#"
        Would be wiped: chat_history, backups
        Would be kept:  api_keys

        CATEGORY      WHAT                  HOW MUCH
        chat_history  messages              about 57,000 rows
        chat_history  Redis database 2      12 keys
        chat_history  /data/shots           3 files, 2.0 KiB
        chat_history  /data/link            cannot be emptied: it is a symbolic link, not a directory
        chat_history  /data/none            is not there
        backups       the backup directory  1 backup, 10 B
        Together: 57,005 rows, 12 keys, 3 files (2.0 KiB), 1 backup (10 B). Some of these are estimates; --exact counts.
        Follows: 5 of 9 rows of notes, in no category, which depend on messages.
        Loses a reference: 2 rows of tasks (message_id), which refer to messages.
        In the way: 3 rows refer. Keep "Chat history".
        Note: In no category, and left alone: the tables x.
        The platform's migrations would not run again: nothing is wiped that needs it.
        As things are, the reset would be refused, and nothing changed.
        "#);
    }

    #[test]
    fn a_reset_tells_what_went_and_the_way_back() {
        let shown: Done = serde_json::from_value(json!({
            "wiped": ["chat_history"], "kept": [], "errors": ["Redis does not answer. Send it again."],
            "stats": {"tables_truncated": 5, "rows_deleted": 1200, "redis_keys_deleted": 7,
                "filesystem_files_removed": 0, "backup_files_removed": 0, "backup_bytes_reclaimed": 0},
            "detail": {"rows": {"messages": 1200}, "pinned_backups": ["nova-backup-2026-01-31_23-59-59.tar"]},
            "safety_backup": {"filename": "nova-safety-2026-02-01_00-00-00.tar"},
            "reseed": {"done": true, "why": "It was asked for.", "orchestrator": "restarted"}
        }))
        .unwrap();
        insta::assert_snapshot!(done(&shown), @r"
        Wiped chat_history.
        Gone: 1,200 rows of 5 tables, 7 keys of Redis, 0 files (0 B), 0 backups (0 B).
        The platform's migrations run again: it was asked for.
        The orchestrator: restarted
        Pinned backups are still there: nova-backup-2026-01-31_23-59-59.tar. --include-pinned removes them, too.
        Not done: Redis does not answer. Send it again.
        To bring it all back: nova-recovery restore nova-safety-2026-02-01_00-00-00.tar
        ");
    }
}
