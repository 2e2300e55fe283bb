//! Sequences of tables that were emptied.

use std::collections::BTreeSet;

use recovery_core::{port::DatabaseError, schema::TableName};

use super::catalog::Catalog;
use crate::postgres::session::Session;

/// The sequences that belong to columns of these tables or their partitions. One from which a table that stays takes its
/// numbers, too, goes on: they would come again.
const SEQUENCES: &str = "
    WITH emptied AS (SELECT t.oid FROM pg_catalog.unnest($1::pg_catalog.oid[]) t (oid)
                     UNION SELECT p.relid FROM pg_catalog.unnest($1::pg_catalog.oid[]) t (oid)
                           CROSS JOIN LATERAL pg_catalog.pg_partition_tree(t.oid) p)
    SELECT pg_catalog.format('ALTER SEQUENCE %I.%I RESTART', n.nspname, s.relname)
    FROM pg_catalog.pg_class s JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = s.oid
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid <> 0 AND d.deptype IN ('a', 'i')
    WHERE s.relkind = 'S' AND d.refobjid IN (SELECT oid FROM emptied)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend u
                      JOIN pg_catalog.pg_attrdef a ON u.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
                          AND u.objid = a.oid
                      WHERE u.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND u.refobjid = s.oid
                        AND a.adrelid NOT IN (SELECT oid FROM emptied))
    ORDER BY 1";

/// Lets them begin anew, if the transaction is committed.
pub(super) async fn restart(
    session: &Session,
    catalog: &Catalog,
    tables: &BTreeSet<TableName>,
) -> Result<(), DatabaseError> {
    let doing = "letting sequences begin anew";
    let relations = tables.iter().filter_map(|table| catalog.tables.get(table));
    let oids: Vec<u32> = relations.map(|relation| relation.oid).collect();
    let rows = session.query(doing, SEQUENCES, &[&oids]).await?;
    let statements: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if statements.is_empty() { Ok(()) } else { session.batch(doing, &statements.join(";\n")).await }
}
