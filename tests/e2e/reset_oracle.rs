//! What a factory reset must leave, worked out in another way than the program does: over complete listings, one row at
//! a time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    reset_world::{Listing, ResetWorld, Row},
    service::DATABASE,
};

/// A foreign key.
#[derive(Debug)]
struct Key {
    table: String,
    columns: Vec<String>,
    referenced: String,
    referenced_columns: Vec<String>,
    /// `confdeltype`.
    action: char,
}

/// What there must be afterwards, or the tables whose rows are in the way.
pub(crate) type Expected = Result<Listing, BTreeSet<String>>;

/// What a reset that keeps these categories must make of a listing.
pub(crate) fn expected(own: &ResetWorld, before: &Listing, keep: &[&str], reseed: bool) -> Expected {
    let tables = tables(own, before, keep, reseed)?;
    let mut after = Listing { tables, ..before.clone() };
    let wiped: Vec<&Value> =
        own.keys().into_iter().filter(|key| !keep.contains(key)).map(|key| own.category(key)).collect();
    let kept: Vec<&Value> = keep.iter().map(|key| own.category(key)).collect();
    let matched = |categories: &[&Value], database: u8, key: &str| {
        categories
            .iter()
            .flat_map(|category| category["redis"].as_array().unwrap())
            .any(|pattern| pattern[0] == database && like(pattern[1].as_str().unwrap(), key))
    };
    after
        .keys
        .retain(|(database, key), _| !matched(&wiped, *database, key) || matched(&kept, *database, key));
    for directory in wiped.iter().flat_map(|category| category["directories"].as_array().unwrap()) {
        let directory = directory.as_str().unwrap();
        after.files.retain(|path, _| path.as_os_str() == directory || !path.starts_with(directory));
    }
    if wiped.iter().any(|category| category["backups"] == true) {
        after.backups.clear();
    }
    Ok(after)
}

/// The patterns of the file have a star at the end, or in the middle.
fn like(pattern: &str, key: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == key,
        Some((begin, end)) => {
            key.len() >= begin.len() + end.len() && key.starts_with(begin) && key.ends_with(end)
        }
    }
}

fn tables(
    own: &ResetWorld,
    before: &Listing,
    keep: &[&str],
    reseed: bool,
) -> Result<BTreeMap<String, Vec<Row>>, BTreeSet<String>> {
    let category_of = |table: &str| {
        own.keys().into_iter().find(|key| {
            own.category(key)["tables"].as_array().unwrap().iter().any(|own| own.as_str() == Some(table))
        })
    };
    let never = |table: &str| own.categories["never"].as_array().unwrap().iter().any(|own| own == table);
    let wiped = |table: &str| match table {
        "schema_migrations" => reseed,
        table => category_of(table).is_some_and(|key| !keep.contains(&key)),
    };
    let unclassified = |table: &str| category_of(table).is_none() && !never(table);
    let keys = foreign_keys(own);
    let mut after = before.tables.clone();
    let mut gone: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for (table, rows) in &mut after {
        if wiped(table) {
            gone.insert(table.clone(), std::mem::take(rows));
        }
    }
    // Rows that follow, until there are no more.
    loop {
        let mut found = Vec::new();
        for key in keys.iter().filter(|key| unclassified(&key.table) && !matches!(key.action, 'n' | 'd')) {
            let doomed = gone.get(&key.referenced).into_iter().flatten();
            let doomed: BTreeSet<String> = doomed.map(|row| values(row, &key.referenced_columns)).collect();
            let follows = |row: &&Row| doomed.contains(&values(row, &key.columns));
            found
                .extend(after[&key.table].iter().filter(follows).map(|row| (key.table.clone(), row.clone())));
        }
        if found.is_empty() {
            break;
        }
        for (table, row) in found {
            after.get_mut(&table).unwrap().retain(|other| *other != row);
            gone.entry(table).or_default().push(row);
        }
    }
    let mut conflicts = BTreeSet::new();
    for key in &keys {
        let doomed = gone.get(&key.referenced).into_iter().flatten();
        let doomed: BTreeSet<String> = doomed.map(|row| values(row, &key.referenced_columns)).collect();
        for row in after.get_mut(&key.table).unwrap() {
            if !doomed.contains(&values(row, &key.columns)) {
                continue;
            }
            // Every default in this schema is NULL.
            if matches!(key.action, 'n' | 'd') || never(&key.table) {
                key.columns.iter().for_each(|column| drop(row.insert(column.clone(), Value::Null)));
            } else {
                conflicts.insert(key.table.clone());
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    after.values_mut().for_each(|rows| sort(rows));
    Ok(after)
}

/// The same order for both listings.
pub(crate) fn sort(rows: &mut [Row]) {
    rows.sort_by_cached_key(|row| serde_json::to_string(row).unwrap());
}

/// Values that are NULL are like none that is referred to.
fn values(row: &Row, columns: &[String]) -> String {
    columns.iter().map(|column| format!("{},", row[column])).collect()
}

fn foreign_keys(own: &ResetWorld) -> Vec<Key> {
    let names = |relation: &str, numbers: &str| {
        format!(
            "(SELECT string_agg(a.attname, ',' ORDER BY n.place) FROM unnest({numbers}) WITH ORDINALITY n (number, place)
              JOIN pg_attribute a ON a.attrelid = {relation} AND a.attnum = n.number)"
        )
    };
    let sql = format!(
        "SELECT conrelid::regclass, {}, confrelid::regclass, {}, confdeltype
         FROM pg_constraint c WHERE contype = 'f' AND conparentid = 0",
        names("c.conrelid", "c.conkey"),
        names("c.confrelid", "c.confkey")
    );
    let columns = |text: &str| text.split(',').map(str::to_owned).collect();
    let key = |line: &str| {
        let fields: Vec<&str> = line.split('|').collect();
        Key {
            table: fields[0].to_owned(),
            columns: columns(fields[1]),
            referenced: fields[2].to_owned(),
            referenced_columns: columns(fields[3]),
            action: fields[4].chars().next().unwrap(),
        }
    };
    own.world.postgres.psql(DATABASE, &sql).lines().map(key).collect()
}
