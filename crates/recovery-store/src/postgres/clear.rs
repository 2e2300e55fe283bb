//! Emptying a database from within, in a transaction that is open: for roles that cannot make another one.
//!
//! A schema goes with all that is in it. Where a schema has to stay, because PostgreSQL made it or because it holds an
//! extension that stays, its objects are dropped one kind after the other.

use std::collections::BTreeSet;

use recovery_core::port::{DatabaseError, Kept};

use super::{
    quote::{Ident, Literal},
    session::Session,
};

/// Drops everything but these extensions.
pub(super) async fn clear(session: &Session, keep: &BTreeSet<String>) -> Result<Kept, DatabaseError> {
    let doing = "emptying the database";
    let keep: Vec<&str> = keep.iter().map(String::as_str).collect();
    let mut kept = Kept::default();
    let extensions = session
        .query(
            doing,
            "SELECT extname::text, extname::text = ANY ($1), pg_catalog.pg_has_role(extowner, 'USAGE')
             FROM pg_catalog.pg_extension",
            &[&keep],
        )
        .await?;
    let mut unwanted = Vec::new();
    for row in &extensions {
        let (name, is_wanted, is_ours): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
        if is_wanted || !is_ours {
            if !is_wanted {
                kept.leftovers.push(format!("the extension {name}, which belongs to another role"));
            }
            kept.extensions.insert(name);
        } else {
            unwanted.push(format!("DROP EXTENSION IF EXISTS {} CASCADE", Ident(&name)));
        }
    }
    run(session, statements(session, PUBLICATIONS, &[]).await?).await?;
    let kept_extensions: Vec<&str> = kept.extensions.iter().map(String::as_str).collect();
    let schemas = session.query(doing, SCHEMAS, &[&kept_extensions]).await?;
    let mut dropped = Vec::new();
    for row in &schemas {
        let (name, stays): (String, bool) = (row.get(0), row.get(1));
        if stays {
            kept.schemas.insert(name);
        } else {
            dropped.push(format!("DROP SCHEMA IF EXISTS {} CASCADE", Ident(&name)));
        }
    }
    dropped.extend(unwanted);
    run(session, dropped).await?;
    let kept_schemas: Vec<&str> = kept.schemas.iter().map(String::as_str).collect();
    for kind in KINDS {
        run(session, statements(session, kind, &[&kept_schemas]).await?).await?;
    }
    run(session, statements(session, SERVERS, &[]).await?).await?;
    session.batch(doing, "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata").await?;
    run(session, statements(session, DEFAULT_PRIVILEGES, &[]).await?).await?;
    for schema in &kept.schemas {
        run(session, vec![comment(schema)]).await?;
        run(session, statements(session, SCHEMA_PRIVILEGES, &[schema]).await?).await?;
    }
    Ok(kept)
}

async fn statements(
    session: &Session,
    sql: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Vec<String>, DatabaseError> {
    let rows = session.query("emptying the database", sql, params).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn run(session: &Session, statements: Vec<String>) -> Result<(), DatabaseError> {
    if statements.is_empty() {
        return Ok(());
    }
    session.batch("emptying the database", &statements.join(";\n")).await
}

fn comment(schema: &str) -> String {
    let usual =
        if schema == "public" { Literal("standard public schema").to_string() } else { "NULL".to_owned() };
    format!("COMMENT ON SCHEMA {} IS {usual}", Ident(schema))
}

/// Schemas that are not PostgreSQL's own, and whether each has to stay.
const SCHEMAS: &str = "SELECT n.nspname::text,
        n.nspname = 'public'
        OR EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extnamespace = n.oid AND e.extname::text = ANY ($1))
        OR EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
                   WHERE d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = n.oid
                     AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
                     AND e.extname::text = ANY ($1))
    FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

const PUBLICATIONS: &str =
    "SELECT pg_catalog.format('DROP PUBLICATION IF EXISTS %I', pubname) FROM pg_catalog.pg_publication";

const SERVERS: &str = "SELECT pg_catalog.format('DROP SERVER IF EXISTS %I CASCADE', s.srvname)
    FROM pg_catalog.pg_foreign_server s
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_foreign_server'::pg_catalog.regclass AND d.objid = s.oid
                        AND d.deptype = 'e')";

/// What a schema can hold, kind by kind; each makes the statements that drop its objects in the schemas `$1`. Parts of
/// other objects (`i`, and `a` of sequences) and of extensions (`e`) go with these; a composite type is part of itself. A name that an earlier statement has taken
/// away is passed over; so is one whose argument types are gone.
const KINDS: [&str; 6] = [
    "SELECT pg_catalog.format('DROP %s IF EXISTS %I.%I CASCADE',
            CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                           WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, n.nspname, c.relname)
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname::text = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                       WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                         AND d.objsubid = 0
                         AND (d.deptype = 'e' OR d.deptype = 'i' AND c.relkind <> 'c' OR d.deptype = 'a' AND c.relkind = 'S'))
     ORDER BY c.relkind = 'S', c.oid",
    "SELECT pg_catalog.format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::pg_catalog.regprocedure)
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname::text = ANY ($1)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                       WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
                         AND d.deptype IN ('e', 'i'))",
    "SELECT pg_catalog.format('DROP OPERATOR IF EXISTS %s CASCADE', o.oid::pg_catalog.regoperator)
     FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
     WHERE n.nspname::text = ANY ($1)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                       WHERE d.classid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND d.objid = o.oid
                         AND d.deptype IN ('e', 'i'))",
    "SELECT pg_catalog.format('DROP OPERATOR FAMILY IF EXISTS %I.%I USING %I CASCADE', n.nspname, f.opfname, a.amname)
     FROM pg_catalog.pg_opfamily f JOIN pg_catalog.pg_namespace n ON n.oid = f.opfnamespace
     JOIN pg_catalog.pg_am a ON a.oid = f.opfmethod
     WHERE n.nspname::text = ANY ($1)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                       WHERE d.classid = 'pg_catalog.pg_opfamily'::pg_catalog.regclass AND d.objid = f.oid
                         AND d.deptype IN ('e', 'i'))",
    "SELECT pg_catalog.format('DROP TYPE IF EXISTS %I.%I CASCADE', n.nspname, t.typname)
     FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
     WHERE n.nspname::text = ANY ($1) AND t.typtype IN ('b', 'd', 'e', 'r')
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                       WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid
                         AND d.deptype IN ('e', 'i'))",
    "SELECT pg_catalog.format('DROP %s IF EXISTS %I.%I CASCADE', o.kind, n.nspname, o.name)
     FROM (SELECT 'COLLATION', 'pg_catalog.pg_collation'::pg_catalog.regclass, oid, collnamespace, collname
           FROM pg_catalog.pg_collation
           UNION ALL SELECT 'CONVERSION', 'pg_catalog.pg_conversion'::pg_catalog.regclass, oid, connamespace, conname
           FROM pg_catalog.pg_conversion
           UNION ALL SELECT 'STATISTICS', 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, oid, stxnamespace, stxname
           FROM pg_catalog.pg_statistic_ext
           UNION ALL SELECT 'TEXT SEARCH CONFIGURATION', 'pg_catalog.pg_ts_config'::pg_catalog.regclass, oid,
                            cfgnamespace, cfgname FROM pg_catalog.pg_ts_config
           UNION ALL SELECT 'TEXT SEARCH DICTIONARY', 'pg_catalog.pg_ts_dict'::pg_catalog.regclass, oid,
                            dictnamespace, dictname FROM pg_catalog.pg_ts_dict) o (kind, class, oid, namespace, name)
     JOIN pg_catalog.pg_namespace n ON n.oid = o.namespace
     WHERE n.nspname::text = ANY ($1)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                       WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype IN ('e', 'i'))",
];

/// Takes back what `ALTER DEFAULT PRIVILEGES` has done and dropping schemas has not, for roles that we may act as. What
/// is everybody's by default is given again where it is not said for a schema.
const DEFAULT_PRIVILEGES: &str = "
    WITH entry AS (
        SELECT d.oid, d.defaclrole::pg_catalog.regrole AS role, d.defaclacl,
               CASE WHEN d.defaclnamespace <> 0
                    THEN pg_catalog.format(' IN SCHEMA %s', d.defaclnamespace::pg_catalog.regnamespace) ELSE '' END AS place,
               CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                                    WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END AS kind
        FROM pg_catalog.pg_default_acl d WHERE pg_catalog.pg_has_role(d.defaclrole, 'USAGE'))
    SELECT sql FROM (
        SELECT oid, 1, pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %s%s REVOKE ALL ON %s FROM %s', role, place, kind,
               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::text END)
        FROM entry, pg_catalog.aclexplode(defaclacl) a
        UNION SELECT oid, 2, pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %s GRANT ALL ON %s TO %1$s', role, kind)
        FROM entry WHERE place = ''
        UNION SELECT oid, 2, pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %s GRANT %s ON %s TO PUBLIC', role,
                             CASE kind WHEN 'TYPES' THEN 'USAGE' ELSE 'EXECUTE' END, kind)
        FROM entry WHERE place = '' AND kind IN ('FUNCTIONS', 'TYPES')) s (oid, step, sql)
    ORDER BY oid, step";

/// Gives the schema `$1` the privileges that it was made with.
const SCHEMA_PRIVILEGES: &str = "
    WITH this AS (
        SELECT n.nspname, n.nspowner, n.nspacl,
               coalesce((SELECT i.initprivs FROM pg_catalog.pg_init_privs i
                         WHERE i.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND i.objoid = n.oid),
                        pg_catalog.acldefault('n', n.nspowner)) AS usual
        FROM pg_catalog.pg_namespace n WHERE n.nspname::text = $1 AND n.nspacl IS NOT NULL)
    SELECT sql FROM (
        SELECT 1, pg_catalog.format('REVOKE ALL ON SCHEMA %I FROM %s CASCADE', nspname,
                  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::text END)
        FROM this, pg_catalog.aclexplode(nspacl) a
        UNION SELECT 2, pg_catalog.format('GRANT %s ON SCHEMA %I TO %s', a.privilege_type, nspname,
                        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::text END)
        FROM this, pg_catalog.aclexplode(usual) a) s (step, sql)
    ORDER BY step";
