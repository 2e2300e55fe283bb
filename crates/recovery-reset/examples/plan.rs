//! Plans the reset of a small database that exists in memory alone: `cargo run -p recovery-reset --example plan`.

use std::{collections::BTreeMap, error::Error};

use recovery_core::schema::{Count, ForeignKey, KeyColumn, OnDelete, Reach, Schema, TableName};
use recovery_reset::{
    CategoryKey,
    tables::{TableClass, TableClasses, TablePlan},
};

fn main() -> Result<(), Box<dyn Error>> {
    let table = |name: &str| TableName::public(name);
    let counted = |rows| Count { rows, exact: true };
    let refers = |from: &str, to: &str, on_delete| ForeignKey {
        table: table(from),
        name: format!("{from}_{to}_fkey"),
        referenced: table(to),
        on_delete,
        columns: vec![KeyColumn {
            name: format!("{to}_id"),
            nullable: true,
            defaults_to_null: true,
            is_set: true,
        }],
        match_full: false,
    };
    let bookmarks = refers("bookmarks", "messages", OnDelete::SetNull);
    let owners = refers("api_keys", "users", OnDelete::Cascade);
    let schema = Schema {
        tables: BTreeMap::from([
            (table("users"), counted(3)),
            (table("messages"), counted(1200)),
            (table("bookmarks"), counted(7)),
            (table("api_keys"), counted(2)),
        ]),
        foreign_keys: vec![bookmarks.clone(), owners.clone()],
    };
    let (chats, accounts, keys): (CategoryKey, CategoryKey, CategoryKey) =
        ("chats".parse()?, "accounts".parse()?, "keys".parse()?);
    let wiped = |category: &CategoryKey| TableClass::Wiped { category: category.clone() };
    let kept = |category: &CategoryKey| TableClass::Kept { category: category.clone() };
    let mut classes: TableClasses = [
        (table("messages"), wiped(&chats)),
        (table("users"), kept(&accounts)),
        (table("api_keys"), kept(&keys)),
    ]
    .into_iter()
    .collect();

    // What a database would answer to `classes.doomed(&schema)`.
    let reach = Reach { referring: [(bookmarks.id(), counted(5))].into(), ..Reach::default() };
    show("Without the chats:", &TablePlan::new(&classes, &schema, &reach));

    classes.set(table("users"), wiped(&accounts));
    let reach = Reach { referring: [(owners.id(), counted(2))].into(), ..reach };
    show("Without the accounts, but with their keys:", &TablePlan::new(&classes, &schema, &reach));
    Ok(())
}

fn show(title: &str, plan: &TablePlan) {
    println!("{title}");
    for entry in plan.wiped.values().flatten() {
        println!("  {} rows of {} go", entry.rows.rows, entry.table);
    }
    for reference in &plan.cleared {
        println!("  {} rows of {} lose a reference", reference.rows.rows, reference.key.table);
    }
    for conflict in &plan.conflicts {
        println!("  refused: {}", conflict.sentence(ToString::to_string));
        println!("           {}", conflict.remedy(ToString::to_string));
    }
}
