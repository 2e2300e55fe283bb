//! Made-up databases are reset on a real server: no kept row is ever lost, and what is refused is refused for a reason.
//!
//! What should come of it is worked out in memory as well, by another program (`FakeTables`), and compared row by row.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use recovery_core::{
    port::{ResetDatabase, ResetTransaction},
    schema::{Doomed, ForeignKeyId, OnDelete, TableName},
};
use recovery_reset::tables::{Conflict, ConflictReason, TableClass, TablePlan};
use recovery_store::PostgresDatabase;
use recovery_testkit::{
    FakeTables, SampleRow, SampleTable, sample_schema, sample_sql, servers::PostgresServer,
};
use tokio_postgres::Client;

use crate::generated::Case;

const CASES: usize = 200;
/// Where the seeds begin. A failure names its own.
const FIRST_SEED: u64 = 20_261_124;
const WORKERS: usize = 3;
const SCHEMA: &str = "made up";

type Listing = BTreeMap<TableName, Vec<SampleRow>>;

#[derive(Default)]
struct Tally {
    refused: AtomicUsize,
    done: AtomicUsize,
    following: AtomicUsize,
    cleared: AtomicUsize,
    forced: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_kept_row_is_lost_and_every_refusal_names_a_real_conflict() {
    let server = PostgresServer::start();
    let (next, tally) = (Arc::new(AtomicUsize::new(0)), Arc::new(Tally::default()));
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        let trial = Trial::new(&server, &format!("nova_{number}")).await;
        let (next, tally) = (Arc::clone(&next), Arc::clone(&tally));
        workers.push(tokio::spawn(async move {
            loop {
                let case = next.fetch_add(1, Ordering::Relaxed);
                if case >= CASES {
                    return;
                }
                let named = NamedInPanic(FIRST_SEED + case as u64);
                trial.run(&Case::new(named.0, SCHEMA), &tally).await;
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    let counts = [&tally.refused, &tally.done, &tally.following, &tally.cleared, &tally.forced];
    let counts = counts.map(|count| count.load(Ordering::Relaxed));
    println!("refused, done, with following, with cleared, with forced: {counts:?}");
    assert!(
        counts.iter().zip([40, 40, 20, 20, 5]).all(|(count, least)| *count >= least),
        "the cases are too much alike: {counts:?}"
    );
}

/// Says which case it was.
struct NamedInPanic(u64);

impl Drop for NamedInPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}", self.0);
        }
    }
}

/// A database in which one case is tried after the other.
struct Trial {
    database: PostgresDatabase,
    client: Client,
}

impl Trial {
    async fn new(server: &PostgresServer, name: &str) -> Self {
        server.psql("postgres", &format!("CREATE DATABASE {name}"));
        let (client, connection) = tokio_postgres::Config::new()
            .host("127.0.0.1")
            .port(server.port())
            .user(PostgresServer::USER)
            .password(server.password())
            .dbname(name)
            .connect(tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        Self { database: PostgresDatabase::new(Some(server.target(name))), client }
    }

    async fn listing(&self, tables: &[SampleTable]) -> Listing {
        let mut listing = Listing::new();
        for table in tables {
            let sql = format!("SELECT * FROM \"{SCHEMA}\".\"{}\" ORDER BY id", table.name.name);
            let rows = self.client.query(&sql, &[]).await.unwrap();
            let rows = rows.iter().map(|row| (0..row.len()).map(|at| row.get(at)).collect());
            listing.insert(table.name.clone(), rows.collect());
        }
        listing
    }

    async fn run(&self, case: &Case, tally: &Tally) {
        let sql = format!("DROP SCHEMA IF EXISTS \"{SCHEMA}\" CASCADE; CREATE SCHEMA \"{SCHEMA}\";");
        self.client.batch_execute(&format!("{sql}{}", sample_sql(&case.tables))).await.unwrap();
        let fake = FakeTables::new(case.tables.clone());
        let before = self.listing(&case.tables).await;

        let schema = self.database.schema(true).await.unwrap();
        assert_eq!(schema, sample_schema(&case.tables));
        let doomed = case.classes.doomed(&schema);
        let reach = self.database.reach(&doomed, true).await.unwrap();
        assert_eq!(reach, fake.reach(&doomed, true).await.unwrap());
        if case.tables.iter().any(|table| table.rows.len() >= 1000) {
            let quick = self.database.reach(&doomed, false).await.unwrap();
            assert!(reach.following.keys().all(|table| quick.following.contains_key(table)), "{quick:?}");
            assert!(reach.referring.keys().all(|key| quick.referring.contains_key(key)), "{quick:?}");
        }

        let plan = TablePlan::new(&case.classes, &schema, &reach);
        let transaction = self.database.begin_reset("made up").await.unwrap();
        transaction.hold_writers().await.unwrap();
        if plan.is_possible() {
            tally.done.fetch_add(1, Ordering::Relaxed);
            tally.following.fetch_add(usize::from(!plan.following.is_empty()), Ordering::Relaxed);
            tally.cleared.fetch_add(usize::from(!plan.cleared.is_empty()), Ordering::Relaxed);
            let forced = plan.cleared.iter().any(|reference| reference.forced);
            tally.forced.fetch_add(usize::from(forced), Ordering::Relaxed);
            self.carry_out(case, &plan, transaction, &fake, &before).await;
        } else {
            tally.refused.fetch_add(1, Ordering::Relaxed);
            // Whoever does it all the same loses nothing that is to stay.
            let error = transaction.wipe(&plan.wipe(), &AtomicU64::new(0)).await;
            assert!(error.is_err() && transaction.commit().await.is_err(), "{:?}", plan.conflicts);
            assert_eq!(self.listing(&case.tables).await, before);
            let going = fake.going(&doomed);
            for conflict in &plan.conflicts {
                self.prove(case, conflict, &doomed, &going, &before).await;
            }
            assert_eq!(self.listing(&case.tables).await, before);
        }
    }

    async fn carry_out(
        &self,
        case: &Case,
        plan: &TablePlan,
        transaction: Box<dyn ResetTransaction>,
        fake: &FakeTables,
        before: &Listing,
    ) {
        let wipe = plan.wipe();
        let schema = transaction.schema().await.unwrap();
        let reach = transaction.reach(&case.classes.doomed(&schema)).await.unwrap();
        assert_eq!(TablePlan::new(&case.classes, &schema, &reach), *plan, "nothing has changed");
        let in_memory = fake.begin_reset("made up").await.unwrap();
        in_memory.hold_writers().await.unwrap();
        let wiped = transaction.wipe(&wipe, &AtomicU64::new(0)).await.unwrap_or_else(|error| {
            panic!("{error}: {:?}\n{plan:#?}\n{:#?}", std::error::Error::source(&error), case.tables)
        });
        assert_eq!(wiped, in_memory.wipe(&wipe, &AtomicU64::new(0)).await.unwrap());
        transaction.commit().await.unwrap();
        in_memory.commit().await.unwrap();

        let after = self.listing(&case.tables).await;
        for table in &case.tables {
            assert_eq!(after[&table.name], fake.rows(&table.name), "{}", table.name);
            check_table(case, plan, table, &before[&table.name], &after[&table.name]);
        }
    }

    /// Deletes what the rows of a conflict refer to, with no foreign key but the one that is named.
    async fn prove(
        &self,
        case: &Case,
        conflict: &Conflict,
        doomed: &Doomed,
        going: &BTreeMap<TableName, Vec<SampleRow>>,
        before: &Listing,
    ) {
        let (table, referenced) = (conflict.table(), &conflict.key.referenced);
        let class = case.classes.of(table);
        assert_eq!(*class, conflict.class);
        assert!(!class.goes(), "{conflict:?}");
        assert!(going.contains_key(referenced), "nothing goes there: {conflict:?}");
        assert!(conflict.rows.exact && conflict.rows.rows > 0);
        let mut sql = "BEGIN;".to_owned();
        for sample in &case.tables {
            for key in sample.keys.iter().filter(|key| sample.key_id(key) != conflict.key.id()) {
                sql += &format!("ALTER TABLE {} DROP CONSTRAINT \"{}\";", in_sql(&sample.name), key.name);
            }
        }
        for of in [table, referenced] {
            let ids: Vec<String> =
                going.get(of).into_iter().flatten().map(|row| row[0].unwrap().to_string()).collect();
            if !ids.is_empty() {
                sql += &format!("DELETE FROM {} WHERE id IN ({});", in_sql(of), ids.join(", "));
            }
        }
        let outcome = self.client.batch_execute(&format!("{sql}SET CONSTRAINTS ALL IMMEDIATE")).await;
        let stay = before[table].len() - going.get(table).map_or(0, Vec::len);
        match conflict.reason {
            ConflictReason::WouldBeDeleted => {
                outcome.unwrap();
                let sql = format!("SELECT count(*) FROM {}", in_sql(table));
                let left: i64 = self.client.query_one(&sql, &[]).await.unwrap().get(0);
                let lost = stay as u64 - u64::try_from(left).unwrap();
                // Rows that refer to those go, too, where it refers to itself.
                assert!(lost >= conflict.rows.rows, "{lost} lost: {conflict:?}");
            }
            ConflictReason::WouldBlock
            | ConflictReason::CannotBeNull
            | ConflictReason::DefaultLeadsNowhere => {
                let error = outcome.expect_err("it would have worked");
                let state = error.code().unwrap().code();
                assert!(state.starts_with("23"), "{state} {error}: {conflict:?}");
            }
        }
        self.client.batch_execute("ROLLBACK").await.unwrap();
        assert!(conflict.wiped.len() + usize::from(causes_emptied(case, doomed)) > 0, "{conflict:?}");
    }
}

fn causes_emptied(case: &Case, doomed: &Doomed) -> bool {
    doomed.wiped.iter().any(|table| *case.classes.of(table) == TableClass::Emptied)
}

fn in_sql(table: &TableName) -> String {
    format!("\"{}\".\"{}\"", table.schema, table.name)
}

/// What must hold of a table, whatever worked it out.
fn check_table(
    case: &Case,
    plan: &TablePlan,
    table: &SampleTable,
    before: &[SampleRow],
    after: &[SampleRow],
) {
    let class = case.classes.of(&table.name);
    if class.goes() {
        assert!(after.is_empty(), "{}", table.name);
        return;
    }
    let ids = |rows: &[SampleRow]| rows.iter().map(|row| row[0].unwrap()).collect::<BTreeSet<_>>();
    let following = plan.following.iter().find(|entry| entry.table == table.name);
    match class {
        TableClass::Unclassified => {
            assert!(ids(after).is_subset(&ids(before)));
            let gone = following.map_or(0, |entry| entry.rows.rows);
            assert_eq!(before.len() as u64 - after.len() as u64, gone, "{}", table.name);
        }
        _ => assert_eq!(ids(after), ids(before), "{}", table.name),
    }
    // Only columns of keys that the plan names have changed, to NULL or to their default.
    let cleared: Vec<(ForeignKeyId, bool)> =
        plan.cleared.iter().map(|reference| (reference.key.id(), reference.forced)).collect();
    let may_become = |place: usize, value: Option<i64>| {
        let column = &table.columns[place];
        table.keys.iter().filter(|key| key.columns.contains(&column.name)).any(|key| {
            cleared.iter().any(|(id, forced)| {
                let default =
                    if key.on_delete == OnDelete::SetDefault && !forced { column.default } else { None };
                *id == table.key_id(key) && value == default
            })
        })
    };
    for row in after {
        let old = before.iter().find(|old| old[0] == row[0]).unwrap();
        for (place, value) in row.iter().enumerate() {
            assert!(
                old[place] == *value || may_become(place, *value),
                "{}: {old:?} became {row:?}",
                table.name
            );
        }
    }
}
