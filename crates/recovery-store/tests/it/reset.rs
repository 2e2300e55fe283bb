//! A factory reset's deletions on a real server: what the contract does not show.

use recovery_testkit::{SampleRow, SampleTable, servers::PostgresServer};

/// The rows of a table of the database `nova`, in ascending order.
pub(crate) fn rows(server: &PostgresServer, table: &SampleTable) -> Vec<SampleRow> {
    let columns: Vec<String> =
        table.columns.iter().map(|c| format!("\"{}\"", c.name.replace('"', "\"\""))).collect();
    let name = format!("\"{}\".\"{}\"", table.name.schema, table.name.name.replace('"', "\"\""));
    let order = columns.join(", ");
    let text = server.psql("nova", &format!("SELECT {order} FROM {name}"));
    let mut rows: Vec<SampleRow> =
        text.lines().map(|line| line.split('|').map(|value| value.parse().ok()).collect()).collect();
    rows.sort();
    rows
}
