//! How many rows there are: counted, or estimated where counting would take long.

use std::collections::BTreeMap;

use recovery_core::{
    port::DatabaseError,
    schema::{Count, TableName},
};
use serde_json::Value;

use super::catalog::{Catalog, Relation};
use crate::postgres::{error::refused, session::Session};

/// A table of at most so many bytes is counted in about a millisecond.
const SMALL: i64 = 1024 * 1024;
/// How many tables one statement counts.
const AT_ONCE: usize = 100;

/// The sizes of tables by their OIDs, partitions added up.
const SIZES: &str = "
    SELECT t.oid, pg_catalog.sum(pg_catalog.pg_relation_size(p.oid))::int8
    FROM pg_catalog.unnest($1::pg_catalog.oid[]) t (oid)
    CROSS JOIN LATERAL (SELECT t.oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(t.oid)) p (oid)
    GROUP BY t.oid";

/// The rows of these tables.
pub(super) async fn exact<'a>(
    session: &Session,
    tables: impl Iterator<Item = (&'a TableName, &'a Relation)>,
) -> Result<BTreeMap<TableName, u64>, DatabaseError> {
    let doing = "counting rows";
    let tables: Vec<(&TableName, &Relation)> = tables.collect();
    let mut counts = BTreeMap::new();
    for some in tables.chunks(AT_ONCE) {
        let each = some.iter().enumerate().map(|(at, (_, relation))| {
            format!("SELECT {at}::int4, pg_catalog.count(*) FROM {}", relation.sql)
        });
        let sql = each.collect::<Vec<_>>().join(" UNION ALL ");
        for row in &session.query(doing, &sql, &[]).await? {
            let (at, rows): (i32, i64) = (row.get(0), row.get(1));
            if let Some((name, _)) = usize::try_from(at).ok().and_then(|at| some.get(at)) {
                counts.insert((*name).clone(), u64::try_from(rows).unwrap_or_default());
            }
        }
    }
    Ok(counts)
}

/// Which tables are not counted in moments.
pub(super) async fn large(session: &Session, catalog: &Catalog) -> Result<Vec<TableName>, DatabaseError> {
    let oids: Vec<u32> = catalog.tables.values().map(|relation| relation.oid).collect();
    let rows = session.query("reading the sizes of tables", SIZES, &[&oids]).await?;
    let sizes: BTreeMap<u32, Option<i64>> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let is_large =
        |relation: &Relation| sizes.get(&relation.oid).is_none_or(|size| size.is_none_or(|s| s > SMALL));
    Ok(catalog
        .tables
        .iter()
        .filter(|(_, relation)| is_large(relation))
        .map(|(name, _)| name.clone())
        .collect())
}

/// The rows of all tables: small ones are counted, of the others it is what PostgreSQL's planner expects.
pub(super) async fn quick(
    session: &Session,
    catalog: &Catalog,
) -> Result<BTreeMap<TableName, Count>, DatabaseError> {
    let large = large(session, catalog).await?;
    let small = catalog.tables.iter().filter(|(name, _)| !large.contains(name));
    let counted = exact(session, small).await?;
    let mut counts: BTreeMap<TableName, Count> =
        counted.into_iter().map(|(name, rows)| (name, Count { rows, exact: true })).collect();
    for name in large {
        let rows = expected(session, &format!("FROM {}", catalog.table(&name)?.sql)).await?;
        counts.insert(name, Count { rows, exact: false });
    }
    Ok(counts)
}

/// How many rows PostgreSQL's planner expects of a query; at least one.
pub(super) async fn expected(session: &Session, from: &str) -> Result<u64, DatabaseError> {
    let doing = "estimating rows";
    let plan = session.text(doing, &format!("EXPLAIN (FORMAT JSON) SELECT {from}")).await?;
    let plan: Option<Value> = plan.and_then(|plan| serde_json::from_str(&plan).ok());
    let rows = plan.as_ref().and_then(|plan| plan.pointer("/0/Plan/Plan Rows")).and_then(Value::as_u64);
    rows.map(|rows| rows.max(1)).ok_or_else(|| refused(doing, "the server did not answer with a plan"))
}
