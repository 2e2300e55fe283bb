//! Databases made up by chance: tables, foreign keys of every kind between them, rows, and what is to become of them.

use std::collections::{BTreeMap, BTreeSet};

use recovery_core::schema::{OnDelete, TableName};
use recovery_reset::{
    CategoryKey,
    tables::{TableClass, TableClasses},
};
use recovery_testkit::{SampleColumn, SampleKey, SampleTable};

/// SplitMix64: the same seed makes the same database.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    /// True so many times in a hundred.
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What is to be tried.
pub(crate) struct Case {
    pub(crate) tables: Vec<SampleTable>,
    pub(crate) classes: TableClasses,
}

impl Case {
    pub(crate) fn new(seed: u64, schema: &str) -> Self {
        let random = &mut Random::new(seed);
        let count = 3 + random.below(6);
        let mut tables: Vec<SampleTable> = (0..count).map(|number| table(schema, number)).collect();
        for _ in 0..count + random.below(2 * count) {
            add_key(random, &mut tables);
        }
        add_rows(random, &mut tables);
        let classes = classes(random, &tables);
        Self { tables, classes }
    }
}

/// A table whose `a` and `b` can be referred to together; both are made of the `id`.
fn table(schema: &str, number: usize) -> SampleTable {
    let mut table = SampleTable::new(&format!("t{number}")).column("a").column("b");
    for column in &mut table.columns {
        column.nullable = false;
    }
    schema.clone_into(&mut table.name.schema);
    table
}

fn add_key(random: &mut Random, tables: &mut [SampleTable]) {
    let (child, parent) = (random.below(tables.len()), random.below(tables.len()));
    let actions =
        [OnDelete::NoAction, OnDelete::Restrict, OnDelete::Cascade, OnDelete::SetNull, OnDelete::SetDefault];
    let on_delete = actions[random.below(5)];
    let parent = tables[parent].name.clone();
    let wide = random.chance(15);
    let width = if wide { 2 } else { 1 };
    let number = tables[child].keys.len();
    // Sometimes a column has two keys, of one kind: where one clears it, whether the other is in the way depends on
    // which comes first; and a default that suits the one need not suit the other.
    let binds = |action: OnDelete| !matches!(action, OnDelete::SetNull | OnDelete::SetDefault);
    let alike = |key: &&SampleKey| {
        key.columns.len() == 1
            && on_delete != OnDelete::SetDefault
            && key.on_delete != OnDelete::SetDefault
            && binds(key.on_delete) == binds(on_delete)
    };
    let shared = tables[child].keys.iter().find(alike).filter(|_| !wide && random.chance(20));
    let columns: Vec<String> = match shared {
        Some(key) => key.columns.clone(),
        None => (0..width).map(|at| format!("k{number}_{at}")).collect(),
    };
    if shared.is_none() {
        let nullable = random.chance(75);
        for name in &columns {
            let default =
                (on_delete == OnDelete::SetDefault && random.chance(60)).then(|| 1 + random.below(3) as i64);
            let nullable = nullable || (wide && random.chance(40));
            tables[child].columns.push(SampleColumn { name: name.clone(), nullable, default });
        }
    }
    let to: &[&str] = if wide { &["a", "b"] } else { &["id"] };
    let key = SampleKey {
        name: format!("key {number}"),
        columns,
        referenced: parent,
        referenced_columns: to.iter().map(ToString::to_string).collect(),
        on_delete,
        deferred: random.chance(20),
        match_full: wide && random.chance(30),
    };
    tables[child].keys.push(key);
}

fn add_rows(random: &mut Random, tables: &mut [SampleTable]) {
    let mut counts: BTreeMap<TableName, usize> = tables
        .iter()
        .map(|table| {
            let many = random.chance(2);
            (
                table.name.clone(),
                if many { 1000 + random.below(200) } else { random.below(9).saturating_sub(1) },
            )
        })
        .collect();
    // Where a reference cannot be NULL and there is nothing to refer to, there is no row.
    let binding = |table: &SampleTable, key: &SampleKey| {
        key.columns.iter().all(|column| !table.columns[table.place(column)].nullable)
            || (key.match_full
                && key.columns.iter().any(|column| !table.columns[table.place(column)].nullable))
    };
    while let Some(table) = tables.iter().find(|table| {
        counts[&table.name] > 0
            && table.keys.iter().any(|key| counts[&key.referenced] == 0 && binding(table, key))
    }) {
        counts.insert(table.name.clone(), 0);
    }
    for table in tables {
        for id in 1..=i64::try_from(counts[&table.name]).unwrap() {
            let row = row(random, table, id, &counts);
            table.rows.push(row);
        }
    }
}

fn row(
    random: &mut Random,
    table: &SampleTable,
    id: i64,
    counts: &BTreeMap<TableName, usize>,
) -> Vec<Option<i64>> {
    let mut row = vec![None; table.columns.len()];
    (row[0], row[1], row[2]) = (Some(id), Some(id), Some(10 * id));
    let mut set: BTreeSet<&String> = BTreeSet::new();
    for key in &table.keys {
        if !set.insert(&key.columns[0]) {
            continue;
        }
        // A column with two keys refers to rows of both tables.
        let same = table.keys.iter().filter(|other| other.columns == key.columns);
        let limit = same.map(|key| counts[&key.referenced]).min().unwrap();
        let places: Vec<usize> = key.columns.iter().map(|column| table.place(column)).collect();
        let nullable: Vec<usize> =
            places.iter().filter(|place| table.columns[**place].nullable).copied().collect();
        let may_refer_to_nothing =
            if key.match_full { nullable.len() == places.len() } else { !nullable.is_empty() };
        let nothing = limit == 0 || (may_refer_to_nothing && random.chance(35));
        let to = if nothing { 99 } else { 1 + random.below(limit) as i64 };
        for (at, place) in places.iter().enumerate() {
            row[*place] = Some(if at == 0 { to } else { 10 * to });
        }
        if nothing {
            let all = key.match_full || random.chance(50);
            let nulls = if all { nullable.len() } else { 1 };
            nullable.iter().take(nulls).for_each(|place| row[*place] = None);
        }
    }
    row
}

/// Three categories of which some are kept, tables that are never touched, and some that nobody has classified.
fn classes(random: &mut Random, tables: &[SampleTable]) -> TableClasses {
    let kept: Vec<bool> = (0..3).map(|_| random.chance(40)).collect();
    let class = |random: &mut Random| {
        let category = random.below(3);
        let key: CategoryKey = format!("category_{category}").parse().unwrap();
        match random.below(100) {
            0..15 => TableClass::Never,
            15..35 => TableClass::Unclassified,
            35..38 => TableClass::Emptied,
            _ if kept[category] => TableClass::Kept { category: key },
            _ => TableClass::Wiped { category: key },
        }
    };
    tables.iter().map(|table| (table.name.clone(), class(random))).collect()
}
