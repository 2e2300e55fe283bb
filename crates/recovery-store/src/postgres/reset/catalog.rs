//! The tables of a database and the foreign keys between them, as PostgreSQL's catalogue has them.

use std::collections::BTreeMap;

use recovery_core::{
    port::DatabaseError,
    schema::{ForeignKey, ForeignKeyId, KeyColumn, OnDelete, TableName},
};
use tokio_postgres::Row;

use crate::postgres::{error::refused, quote::Ident, session::Session};

/// Tables that hold rows of their own: a partitioned table stands for its partitions. Of extensions' tables only those
/// that have a foreign key, since their rows may depend on others'. The last column is whether `TRUNCATE` does what
/// `DELETE` would: no trigger or rule of a user's wants to know of each row, no part is on another server, and we may.
const TABLES: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'p',
           pg_catalog.has_table_privilege(c.oid, 'TRUNCATE')
           AND NOT EXISTS (SELECT FROM (SELECT c.oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)) p (oid)
                           JOIN pg_catalog.pg_class l ON l.oid = p.oid
                           WHERE l.relkind = 'f' OR NOT pg_catalog.has_table_privilege(l.oid, 'TRUNCATE')
                              OR EXISTS (SELECT FROM pg_catalog.pg_trigger t
                                         WHERE t.tgrelid = l.oid AND NOT t.tgisinternal AND t.tgtype::int4 & 8 <> 0)
                              OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r
                                         WHERE r.ev_class = l.oid AND r.ev_type = '4'))
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                       WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                         AND d.deptype = 'e')
           OR EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f'))";

/// Foreign keys, less the copies that partitions have of those of their partitioned table. The operators are the key's
/// own: which one `=` is would depend on the search path. A default is shown where it is a plain value.
const KEYS: &str = "
    SELECT k.oid, k.conname::text, k.confdeltype::text, k.confmatchtype = 'f', k.convalidated,
           coalesce(pg_catalog.pg_partition_root(k.conrelid), k.conrelid)::pg_catalog.oid,
           coalesce(pg_catalog.pg_partition_root(k.confrelid), k.confrelid)::pg_catalog.oid,
           cn.nspname::text, c.relname::text, c.relkind = 'p', c.relispartition,
           pn.nspname::text, p.relname::text, p.relkind = 'p',
           x.names, x.nullable, x.has_default, x.plain, x.is_set, x.referenced, x.operators
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
    JOIN pg_catalog.pg_class p ON p.oid = k.confrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
    CROSS JOIN LATERAL (
        SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.place) AS names,
               pg_catalog.array_agg(NOT a.attnotnull AND NOT t.typnotnull ORDER BY u.place) AS nullable,
               pg_catalog.array_agg(d.oid IS NOT NULL OR t.typdefault IS NOT NULL OR a.attidentity <> ''
                                    ORDER BY u.place) AS has_default,
               pg_catalog.array_agg(CASE WHEN e.sql ~ '^(-?[0-9.]+|true|false|''([^'']|'''')*''(::[^()'']+(\\([0-9,]+\\))?)?)$'
                                         THEN e.sql END ORDER BY u.place) AS plain,
               pg_catalog.array_agg(CASE WHEN pg_catalog.jsonb_typeof(s.columns) = 'array'
                                         THEN s.columns @> pg_catalog.to_jsonb(u.number) ELSE true END
                                    ORDER BY u.place) AS is_set,
               pg_catalog.array_agg(ra.attname::text ORDER BY u.place) AS referenced,
               pg_catalog.array_agg(pg_catalog.format('OPERATOR(%I.%s)', opn.nspname, o.oprname) ORDER BY u.place)
                   AS operators
        FROM ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey), pg_catalog.unnest(k.conpfeqop))
             WITH ORDINALITY u (number, referenced, operator, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number
        JOIN pg_catalog.pg_attribute ra ON ra.attrelid = k.confrelid AND ra.attnum = u.referenced
        JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
        JOIN pg_catalog.pg_operator o ON o.oid = u.operator
        JOIN pg_catalog.pg_namespace opn ON opn.oid = o.oprnamespace
        LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = k.conrelid AND d.adnum = u.number
        CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid)) e (sql)
        -- PostgreSQL 15 and newer.
        CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(k) -> 'confdelsetcols') s (columns)) x
    WHERE k.contype = 'f' AND k.conparentid = 0
    ORDER BY cn.nspname, c.relname, k.conname";

/// A table.
pub(super) struct Relation {
    pub(super) oid: u32,
    /// As it stands in a statement that means its own rows and those of its partitions: `ONLY` keeps those away that
    /// inherit from it and are tables of their own.
    pub(super) sql: String,
    /// Whether it has partitions.
    pub(super) is_partitioned: bool,
    /// Whether `TRUNCATE` does to it what `DELETE` would.
    pub(super) may_be_truncated: bool,
}

/// What `SET DEFAULT` gives a column.
pub(super) enum Default {
    /// Nothing is declared.
    Null,
    /// A plain value, as SQL.
    Plain(String),
    /// Something that is worked out anew each time.
    Other,
}

/// A foreign key.
pub(super) struct Key {
    pub(super) key: ForeignKey,
    pub(super) id: ForeignKeyId,
    /// The table or partition that has it, as it stands in a statement.
    pub(super) from: String,
    /// The table or partition that it refers to.
    pub(super) to: String,
    /// Its columns, quoted, in order.
    pub(super) columns: Vec<String>,
    pub(super) defaults: Vec<Default>,
    /// The columns that they refer to, quoted.
    referenced: Vec<String>,
    operators: Vec<String>,
    /// Whether every row is known to obey it.
    pub(super) is_validated: bool,
}

impl Key {
    /// Whether the row `child` refers to anything. `MATCH FULL` allows no half references, `MATCH SIMPLE` takes them
    /// for none.
    pub(super) fn refers(&self, child: &str) -> String {
        let columns = self.columns.iter().map(|column| format!("{child}.{column} IS NOT NULL"));
        columns.collect::<Vec<_>>().join(" AND ")
    }

    /// Whether the values, as SQL and in the order of the columns, are those of the row `parent`.
    pub(super) fn leads_to<'a>(&self, parent: &str, values: impl Iterator<Item = &'a str>) -> String {
        let columns = self.referenced.iter().zip(&self.operators).zip(values);
        let equal =
            columns.map(|((column, operator), value)| format!("{parent}.{column} {operator} {value}"));
        equal.collect::<Vec<_>>().join(" AND ")
    }

    /// Whether the row `child` refers to the row `parent`.
    pub(super) fn matches(&self, parent: &str, child: &str) -> String {
        let values: Vec<String> = self.columns.iter().map(|column| format!("{child}.{column}")).collect();
        self.leads_to(parent, values.iter().map(String::as_str))
    }
}

/// The tables and foreign keys of a database.
pub(super) struct Catalog {
    pub(super) tables: BTreeMap<TableName, Relation>,
    pub(super) keys: Vec<Key>,
}

impl Catalog {
    /// Reads it.
    pub(super) async fn read(session: &Session) -> Result<Self, DatabaseError> {
        let doing = "reading which tables there are";
        let mut tables = BTreeMap::new();
        let mut names = BTreeMap::new();
        for row in &session.query(doing, TABLES, &[]).await? {
            let (oid, schema, name): (u32, String, String) = (row.get(0), row.get(1), row.get(2));
            let (is_partitioned, may_be_truncated): (bool, bool) = (row.get(3), row.get(4));
            let sql = in_sql(&schema, &name, is_partitioned);
            let name = TableName { schema, name };
            names.insert(oid, name.clone());
            tables.insert(name, Relation { oid, sql, is_partitioned, may_be_truncated });
        }
        let mut keys = Vec::new();
        for row in &session.query(doing, KEYS, &[]).await? {
            keys.extend(key(row, &names, doing)?);
        }
        Ok(Self { tables, keys })
    }

    /// The table of this name.
    pub(super) fn table(&self, name: &TableName) -> Result<&Relation, DatabaseError> {
        self.tables.get(name).ok_or_else(|| refused("deleting rows", format!("there is no table {name}")))
    }
}

fn in_sql(schema: &str, name: &str, is_partitioned: bool) -> String {
    let only = if is_partitioned { "" } else { "ONLY " };
    format!("{only}{}.{}", Ident(schema), Ident(name))
}

/// A row of [`KEYS`]; none where one of its tables does not concern us.
fn key(row: &Row, names: &BTreeMap<u32, TableName>, doing: &str) -> Result<Option<Key>, DatabaseError> {
    let (Some(table), Some(referenced)) =
        (names.get(&row.get::<_, u32>(5)), names.get(&row.get::<_, u32>(6)))
    else {
        return Ok(None);
    };
    let (own_name, child_schema, child): (String, String, String) = (row.get(1), row.get(7), row.get(8));
    let on_delete = match row.get::<_, String>(2).as_str() {
        "a" => OnDelete::NoAction,
        "r" => OnDelete::Restrict,
        "c" => OnDelete::Cascade,
        "n" => OnDelete::SetNull,
        "d" => OnDelete::SetDefault,
        other => return Err(refused(doing, format!("an unknown kind of foreign key: {other}"))),
    };
    let columns: Vec<String> = row.get(14);
    let (nullable, has_default, is_set): (Vec<bool>, Vec<bool>, Vec<bool>) =
        (row.get(15), row.get(16), row.get(18));
    let plain: Vec<Option<String>> = row.get(17);
    let defaults = has_default.iter().zip(plain).map(|(has_one, plain)| match (has_one, plain) {
        (false, _) => Default::Null,
        (true, Some(plain)) => Default::Plain(plain),
        (true, None) => Default::Other,
    });
    let facts = nullable.iter().zip(&has_default).zip(&is_set);
    let key_columns = columns.iter().zip(facts).map(|(name, ((nullable, has_default), is_set))| KeyColumn {
        name: name.clone(),
        nullable: *nullable,
        defaults_to_null: !has_default,
        is_set: *is_set,
    });
    let is_partitions_own: bool = row.get(10);
    let key = ForeignKey {
        table: table.clone(),
        name: if is_partitions_own { format!("{child}.{own_name}") } else { own_name },
        referenced: referenced.clone(),
        on_delete,
        columns: key_columns.collect(),
        match_full: row.get(3),
    };
    let quoted = |names: &[String]| names.iter().map(|name| Ident(name).to_string()).collect::<Vec<_>>();
    let (parent_schema, parent): (String, String) = (row.get(11), row.get(12));
    Ok(Some(Key {
        id: key.id(),
        key,
        from: in_sql(&child_schema, &child, row.get(9)),
        to: in_sql(&parent_schema, &parent, row.get(13)),
        columns: quoted(&columns),
        defaults: defaults.collect(),
        referenced: quoted(&row.get::<_, Vec<String>>(19)),
        operators: row.get(20),
        is_validated: row.get(4),
    }))
}
