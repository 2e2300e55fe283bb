//! What a plan says of the tables of a database, and what it refuses.

use recovery_core::{
    port::ResetDatabase,
    schema::{Count, OnDelete, TableName},
};
use recovery_reset::{
    CategoryKey,
    tables::{TableClass, TableClasses, TablePlan},
};
use recovery_testkit::{FakeTables, SampleTable};

fn key(text: &str) -> CategoryKey {
    text.parse().unwrap()
}

fn table(name: &str) -> TableName {
    TableName::public(name)
}

/// `name: +category` is kept, `-category` wiped, `!` never touched, `0` emptied.
fn classes(text: &str) -> TableClasses {
    let class = |word: &str| match word.split_at(1) {
        ("+", category) => TableClass::Kept { category: key(category) },
        ("-", category) => TableClass::Wiped { category: key(category) },
        ("!", _) => TableClass::Never,
        _ => TableClass::Emptied,
    };
    let entries = text.split_whitespace().map(|entry| entry.split_once(':').unwrap());
    entries.map(|(name, word)| (table(name), class(word))).collect()
}

async fn plan(tables: &[SampleTable], classes: &TableClasses) -> TablePlan {
    let database = FakeTables::new(tables.to_vec());
    let schema = database.schema(true).await.unwrap();
    let reach = database.reach(&classes.doomed(&schema), true).await.unwrap();
    TablePlan::new(classes, &schema, &reach)
}

fn label(key: &CategoryKey) -> String {
    format!("The {key}")
}

fn users() -> SampleTable {
    SampleTable::new("users").ids(1..=3)
}

/// One row that refers to the first user, one to the second, and one to none.
fn owned(name: &str, on_delete: OnDelete, nullable: bool) -> SampleTable {
    let table = SampleTable::new(name).column("owner").with(|column| column.nullable = nullable);
    let table = table.key("owner", "users", on_delete).row(&[Some(1), Some(1)]).row(&[Some(2), Some(2)]);
    if nullable { table.row(&[Some(3)]) } else { table }
}

#[tokio::test]
async fn a_conflict_says_who_is_in_the_way_and_what_to_do() {
    let check = async |child: SampleTable, classes_text: &str, expect: [&str; 2]| {
        let plan = plan(&[users(), child], &classes(classes_text)).await;
        assert!(!plan.is_possible());
        let conflict = &plan.conflicts[0];
        assert_eq!([conflict.sentence(label), conflict.remedy(label)], expect);
    };
    check(
        owned("api_keys", OnDelete::Cascade, true),
        "users:-accounts api_keys:+keys",
        [
            "2 rows refer from api_keys, which \"The keys\" keeps, to users of \"The accounts\" (foreign key \
             api_keys_owner): they would be deleted, too",
            "Keep \"The accounts\", or do not keep \"The keys\".",
        ],
    )
    .await;
    check(
        owned("notes", OnDelete::Restrict, false),
        "users:-accounts notes:!",
        [
            "2 rows refer from notes, of which no row is ever deleted, to users of \"The accounts\" (foreign key \
             notes_owner): they would block the deletion",
            "Keep \"The accounts\", or delete these rows of notes before.",
        ],
    )
    .await;
    check(
        owned("loose", OnDelete::SetNull, false),
        "users:-accounts",
        [
            "2 rows refer from loose, which belongs to no category, to users of \"The accounts\" (foreign key \
             loose_owner): they cannot do without",
            "Keep \"The accounts\", or delete these rows of loose before.",
        ],
    )
    .await;
    let one_default = owned("pods", OnDelete::SetDefault, true).with(|column| column.default = Some(3));
    check(
        one_default,
        "users:0 pods:+pods",
        [
            "2 rows refer from pods, which \"The pods\" keeps, to users (foreign key pods_owner): the default that \
             they would refer to instead does not stay",
            "Do not keep \"The pods\".",
        ],
    )
    .await;
}

#[tokio::test]
async fn references_that_can_be_cleared_are_and_those_of_never_tables_are_forced() {
    let tables =
        [users(), owned("kept", OnDelete::SetNull, true), owned("untouched", OnDelete::Cascade, true)];
    let plan = plan(&tables, &classes("users:-accounts kept:+chats untouched:!")).await;
    assert!(plan.is_possible(), "{plan:#?}");
    let cleared: Vec<(&str, u64, bool)> = plan
        .cleared
        .iter()
        .map(|reference| (reference.key.table.name.as_str(), reference.rows.rows, reference.forced))
        .collect();
    assert_eq!(cleared, [("kept", 2, false), ("untouched", 2, true)]);
    let wipe = plan.wipe();
    assert_eq!(wipe.wiped, [table("users")].into());
    assert_eq!(wipe.nulled.into_iter().map(|key| key.name).collect::<Vec<_>>(), ["untouched_owner"]);
}

#[tokio::test]
async fn what_nobody_has_classified_follows_in_part_or_is_left_alone() {
    let tables = [
        users(),
        owned("orders", OnDelete::NoAction, true),
        SampleTable::new("lines")
            .column("of")
            .key("of", "orders", OnDelete::Cascade)
            .row(&[Some(1), Some(2)])
            .row(&[Some(2), Some(3)]),
        SampleTable::new("stranger").ids(1..=9),
        SampleTable::new("kept").column("of").key("of", "lines", OnDelete::Cascade).row(&[Some(1), Some(1)]),
    ];
    let plan = plan(&tables, &classes("users:-accounts kept:+chats")).await;
    let counted = |rows| Count { rows, exact: true };
    let following: Vec<_> = plan.following.iter().map(|f| (f.table.name.as_str(), f.rows, f.of)).collect();
    assert_eq!(following, [("lines", counted(1), counted(2)), ("orders", counted(2), counted(3))]);
    assert_eq!(plan.following[0].refers_to, [table("orders")].into());
    assert_eq!(plan.following[0].wiped, [key("accounts")].into());
    assert_eq!(
        plan.left_alone.iter().map(|entry| entry.table.name.as_str()).collect::<Vec<_>>(),
        ["stranger"]
    );
    // The one in the way refers to a row that follows: on whose account is found through all tables between.
    assert_eq!(plan.conflicts.len(), 1);
    assert_eq!(plan.conflicts[0].wiped, [key("accounts")].into());
}

#[tokio::test]
async fn what_refers_to_nothing_that_goes_is_no_conflict() {
    let mut unused = owned("api_keys", OnDelete::Cascade, true);
    for row in &mut unused.rows {
        row[1] = None;
    }
    let plan =
        plan(&[users(), unused], &classes("users:-accounts api_keys:+keys no_such_table:-accounts")).await;
    assert!(plan.is_possible() && plan.cleared.is_empty());
    assert_eq!(plan.wipe().wiped, [table("users")].into(), "what does not exist is passed over");
}
