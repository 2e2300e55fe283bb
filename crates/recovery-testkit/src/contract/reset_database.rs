//! What `ResetDatabase` promises.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use recovery_core::{
    port::{DatabaseError, ResetDatabase},
    schema::{Count, Doomed, ForeignKeyId, OnDelete, Reach, Schema, TableName, TableWipe},
};

use super::soon;
use crate::{SampleRow, SampleTable, sample_schema};

/// A database whose tables a test makes and looks at.
#[async_trait]
pub trait ResetFixture: Send + Sync {
    /// The database. Others keep it waiting for a few seconds at most.
    fn database(&self) -> &dyn ResetDatabase;
    /// Makes these tables, with their rows.
    async fn create(&self, tables: &[SampleTable]);
    /// The rows of a table, in ascending order.
    async fn rows(&self, table: &SampleTable) -> Vec<SampleRow>;
    /// Another session writes to a table and does not end its transaction until the returned value is dropped.
    async fn hold(&self, table: &TableName) -> Box<dyn Send + Sync>;
    /// Ends the sessions of this name.
    async fn end_sessions(&self, application_name: &str);
}

/// The suite. The database has no tables of these names yet.
///
/// # Panics
/// Panics over the first broken promise.
pub async fn reset_database(fixture: &dyn ResetFixture) {
    let tables = sample();
    fixture.create(&tables).await;
    tells_what_there_is(fixture, &tables).await;
    tells_how_far_it_reaches(fixture).await;
    refuses_to_lose_rows(fixture, &tables).await;
    waits_a_while_for_writers(fixture, &tables).await;
    is_undone_when_it_is_cut_off(fixture, &tables).await;
    is_nothing_until_it_is_committed(fixture, &tables).await;
}

fn some(values: &[i64]) -> Vec<Option<i64>> {
    values.iter().copied().map(Some).collect()
}

fn table(name: &str) -> TableName {
    TableName::public(name)
}

fn named(names: &[&str]) -> BTreeSet<TableName> {
    names.iter().map(|name| table(name)).collect()
}

fn key(table_name: &str, column: &str) -> ForeignKeyId {
    ForeignKeyId { table: table(table_name), name: format!("{table_name}_{column}") }
}

fn counted(rows: u64) -> Count {
    Count { rows, exact: true }
}

/// `wiped` and `circle` are to go. `loose` depends on them in part, `chain` on `loose`, `free` on nothing.
fn sample() -> Vec<SampleTable> {
    let odd = "Odd \"name\", with ünïcode";
    vec![
        SampleTable::new("wiped")
            .column("up")
            .column("circle")
            .key("up", "wiped", OnDelete::NoAction)
            .key("circle", "circle", OnDelete::Restrict)
            .row(&some(&[1, 1, 1]))
            .row(&some(&[2, 1]))
            .row(&some(&[3, 2, 2])),
        SampleTable::new("circle")
            .column("back")
            .key("back", "wiped", OnDelete::NoAction)
            .row(&some(&[1, 1]))
            .row(&some(&[2, 3])),
        SampleTable::new("loose")
            .column("on")
            .column("at")
            .column("self")
            .key("on", "wiped", OnDelete::Restrict)
            .key("at", "wiped", OnDelete::SetNull)
            .key("self", "loose", OnDelete::Cascade)
            .row(&some(&[1, 1]))
            .row(&[Some(2), None, Some(2)])
            .row(&[Some(3), None, None, Some(1)])
            .row(&[Some(4), None, None, Some(3)])
            .row(&[Some(5), None, None, Some(2)]),
        SampleTable::new("chain")
            .column("on")
            .key("on", "loose", OnDelete::NoAction)
            .row(&some(&[1, 4]))
            .row(&some(&[2, 5])),
        SampleTable::new(odd)
            .column("a \"b\"")
            .key("a \"b\"", "wiped", OnDelete::SetNull)
            .column("pair")
            .wide_key(&["a \"b\"", "pair"], "two", &["a", "b"], OnDelete::Cascade)
            .row(&some(&[1, 1]))
            .row(&[Some(2), None, Some(7)]),
        SampleTable::new("two").column("a").column("b").row(&some(&[1, 1, 1])),
        SampleTable::new("default_stays")
            .column("on")
            .with(|column| column.default = Some(2))
            .key("on", "loose", OnDelete::SetDefault)
            .row(&some(&[1, 4]))
            .row(&some(&[2, 5])),
        SampleTable::new("default_goes")
            .column("on")
            .with(|column| column.default = Some(1))
            .key("on", "loose", OnDelete::SetDefault)
            .row(&some(&[1, 3]))
            .row(&some(&[2, 1]))
            .row(&some(&[3, 2])),
        SampleTable::new("bound")
            .column("on")
            .with(|column| column.nullable = false)
            .key("on", "circle", OnDelete::Cascade)
            .row(&some(&[1, 2])),
        SampleTable::new("never")
            .column("on")
            .key("on", "chain", OnDelete::Restrict)
            .row(&some(&[1, 1]))
            .row(&some(&[2, 2])),
        SampleTable::new("free").ids(1..=4),
    ]
}

async fn all_rows(fixture: &dyn ResetFixture, tables: &[SampleTable]) -> Vec<(TableName, Vec<SampleRow>)> {
    let mut all = Vec::new();
    for table in tables {
        all.push((table.name.clone(), fixture.rows(table).await));
    }
    all
}

/// What is said of these tables, whatever else there is.
fn only(mut schema: Schema, tables: &[SampleTable]) -> Schema {
    let is_one = |name: &TableName| tables.iter().any(|table| table.name == *name);
    schema.tables.retain(|name, _| is_one(name));
    schema.foreign_keys.retain(|key| is_one(&key.table));
    schema.foreign_keys.sort_by_key(recovery_core::schema::ForeignKey::id);
    schema
}

async fn tells_what_there_is(fixture: &dyn ResetFixture, tables: &[SampleTable]) {
    let expect = sample_schema(tables);
    for exact in [true, false] {
        assert_eq!(only(fixture.database().schema(exact).await.unwrap(), tables), expect);
    }
}

async fn tells_how_far_it_reaches(fixture: &dyn ResetFixture) {
    let check = async |wiped: &[&str], following: &[&str], expect: Reach| {
        let doomed = Doomed { wiped: named(wiped), following: named(following) };
        for exact in [true, false] {
            let reach = fixture.database().reach(&doomed, exact).await.unwrap();
            assert_eq!(reach, expect, "{doomed:?}");
        }
    };
    check(&[], &["loose", "chain"], Reach::default()).await;
    check(&["free"], &["loose", "chain", "wiped"], Reach::default()).await;
    let odd = "Odd \"name\", with ünïcode";
    check(
        &["wiped", "circle"],
        &["loose", "chain"],
        Reach {
            following: [(table("loose"), counted(3)), (table("chain"), counted(1))].into(),
            referring: [
                (key("loose", "at"), counted(1)),
                (key(odd, "a \"b\""), counted(1)),
                (key("default_stays", "on"), counted(1)),
                (key("default_goes", "on"), counted(2)),
                (key("bound", "on"), counted(1)),
                (key("never", "on"), counted(1)),
            ]
            .into(),
            dangling: [(key("default_goes", "on"), counted(2))].into(),
        },
    )
    .await;
    // A circle of which only one half is asked for: the other one would be in the way, or follow.
    check(
        &["circle"],
        &[],
        Reach {
            referring: [(key("wiped", "circle"), counted(2)), (key("bound", "on"), counted(1))].into(),
            ..Reach::default()
        },
    )
    .await;
    check(
        &["circle"],
        &["wiped", "bound"],
        Reach {
            following: [(table("wiped"), counted(3)), (table("bound"), counted(1))].into(),
            referring: [
                (key("loose", "on"), counted(1)),
                (key("loose", "at"), counted(1)),
                (key(odd, "a \"b\""), counted(1)),
            ]
            .into(),
            ..Reach::default()
        },
    )
    .await;
    check(&["two"], &[], Reach::default()).await;
}

/// What the sample allows: everything that depends goes, too, or loses its reference.
fn possible() -> TableWipe {
    TableWipe {
        wiped: named(&["wiped", "circle", "default_goes"]),
        following: named(&["loose", "chain", "bound"]),
        nulled: BTreeSet::from([key("never", "on")]),
    }
}

async fn refuses_to_lose_rows(fixture: &dyn ResetFixture, tables: &[SampleTable]) {
    let before = all_rows(fixture, tables).await;
    let refused = async |wipe: &TableWipe| {
        let reset = fixture.database().begin_reset("refused").await.unwrap();
        reset.hold_writers().await.unwrap();
        let error = reset.wipe(wipe, &AtomicU64::new(0)).await.expect_err("rows that were to stay");
        assert!(reset.commit().await.is_err(), "after {error}");
        assert_eq!(all_rows(fixture, tables).await, before, "after {error}");
        error
    };
    let without = |remove: fn(&mut TableWipe)| {
        let mut wipe = possible();
        remove(&mut wipe);
        wipe
    };
    let cascaded = refused(&without(|wipe| assert!(wipe.following.remove(&table("bound"))))).await;
    assert!(
        matches!(&cascaded, DatabaseError::Unplanned { table, .. } if table.contains("bound")),
        "{cascaded:?}"
    );
    for wipe in [
        without(|wipe| wipe.nulled.clear()),
        without(|wipe| assert!(wipe.wiped.remove(&table("default_goes")))),
        without(|wipe| assert!(wipe.wiped.remove(&table("circle")))),
        without(|wipe| assert!(wipe.wiped.insert(table("no such table")))),
    ] {
        let error = refused(&wipe).await;
        assert!(matches!(error, DatabaseError::Refused { .. }), "{error:?}");
    }
}

async fn waits_a_while_for_writers(fixture: &dyn ResetFixture, tables: &[SampleTable]) {
    let before = all_rows(fixture, tables).await;
    let held = fixture.hold(&table("free")).await;
    let reset = fixture.database().begin_reset("waiting").await.unwrap();
    let error = reset.hold_writers().await.expect_err("somebody writes");
    assert!(matches!(error, DatabaseError::TimedOut { .. }), "{error:?}");
    assert!(error.to_string().contains("free"), "it says what is in the way: {error}");
    drop((reset, held));
    assert_eq!(all_rows(fixture, tables).await, before);
}

async fn is_undone_when_it_is_cut_off(fixture: &dyn ResetFixture, tables: &[SampleTable]) {
    let (database, before) = (fixture.database(), all_rows(fixture, tables).await);
    let reset = database.begin_reset("cut off").await.unwrap();
    let id = reset.id().to_owned();
    reset.hold_writers().await.unwrap();
    reset.wipe(&possible(), &AtomicU64::new(0)).await.unwrap();
    fixture.end_sessions("cut off").await;
    soon("its session has ended", async || reset.schema().await.is_err()).await;
    assert!(reset.commit().await.is_err(), "what was cut off cannot be committed");
    assert_eq!(all_rows(fixture, tables).await, before);
    assert_eq!(database.was_committed(&id).await.unwrap(), Some(false));
    assert_eq!(database.was_committed("9000000000000000000").await.unwrap(), None, "nobody's");
}

async fn is_nothing_until_it_is_committed(fixture: &dyn ResetFixture, tables: &[SampleTable]) {
    let (database, before) = (fixture.database(), all_rows(fixture, tables).await);
    for is_committed in [false, true] {
        let reset = database.begin_reset("resetting").await.unwrap();
        let id = reset.id().to_owned();
        reset.hold_writers().await.unwrap();
        assert_eq!(only(reset.schema().await.unwrap(), tables), sample_schema(tables));
        let wipe = possible();
        let doomed = Doomed { wiped: wipe.wiped.clone(), following: wipe.following.clone() };
        let reach = reset.reach(&doomed).await.unwrap();
        assert_eq!(database.reach(&doomed, true).await.unwrap(), reach);
        let done = AtomicU64::new(0);
        let wiped = reset.wipe(&wipe, &done).await.unwrap();
        assert!(done.load(Ordering::Relaxed) > 0);
        let deleted =
            [("wiped", 3), ("circle", 2), ("default_goes", 3), ("loose", 3), ("chain", 1), ("bound", 1)];
        assert_eq!(wiped.deleted, deleted.map(|(name, rows)| (table(name), rows)).into());
        let odd = "Odd \"name\", with ünïcode";
        let cleared = [
            (key(odd, "a \"b\""), 1),
            (key("default_stays", "on"), 1),
            (key("loose", "at"), 1),
            (key("never", "on"), 1),
        ];
        assert_eq!(wiped.references_cleared, cleared);
        assert_eq!(all_rows(fixture, tables).await, before, "nobody sees it yet");
        if is_committed {
            reset.commit().await.unwrap();
        } else {
            drop(reset);
        }
        soon("it has ended", async || {
            database.was_committed(&id).await.is_ok_and(|ended| ended == Some(is_committed))
        })
        .await;
        if !is_committed {
            assert_eq!(all_rows(fixture, tables).await, before, "what is dropped was never there");
        }
    }
    let after: Vec<(String, Vec<SampleRow>)> =
        all_rows(fixture, tables).await.into_iter().map(|(name, rows)| (name.name, rows)).collect();
    let rows = |name: &str| after.iter().find(|(of, _)| of == name).map(|(_, rows)| rows.clone()).unwrap();
    for emptied in ["wiped", "circle", "default_goes", "bound"] {
        assert_eq!(rows(emptied), Vec::<SampleRow>::new(), "{emptied}");
    }
    assert_eq!(rows("loose"), [vec![Some(2), None, None, None], vec![Some(5), None, None, Some(2)]]);
    assert_eq!(rows("chain"), [some(&[2, 5])]);
    assert_eq!(rows("never"), [vec![Some(1), None], some(&[2, 2])]);
    assert_eq!(rows("default_stays"), [some(&[1, 2]), some(&[2, 5])]);
    assert_eq!(rows("Odd \"name\", with ünïcode"), [vec![Some(1), None, None], vec![Some(2), None, Some(7)]]);
    assert_eq!(rows("free").len(), 4);
}
