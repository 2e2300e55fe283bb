//! Which roles a database needs to be restored, and making those that are missing.

use recovery_core::port::DatabaseError;

use super::{quote::Ident, session::Session};

/// Every role that the current database's dump will name. `pg_shdepend` knows them all but one: the bootstrap
/// superuser (oid 10) is pinned, so what it owns or was granted is looked up in the catalogues themselves. Owners of
/// what belongs to an extension are left out: the extension brings its members along.
const NAMED: &str = "
WITH db AS (SELECT oid, datdba, datacl FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()),
member AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'),
owned (class, oid, role) AS (
    SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, oid, nspowner FROM pg_catalog.pg_namespace
    UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, oid, relowner FROM pg_catalog.pg_class
    UNION ALL SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, oid, proowner FROM pg_catalog.pg_proc
    UNION ALL SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, oid, typowner FROM pg_catalog.pg_type
    UNION ALL SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, oid, oprowner FROM pg_catalog.pg_operator
    UNION ALL SELECT 'pg_catalog.pg_opclass'::pg_catalog.regclass, oid, opcowner FROM pg_catalog.pg_opclass
    UNION ALL SELECT 'pg_catalog.pg_opfamily'::pg_catalog.regclass, oid, opfowner FROM pg_catalog.pg_opfamily
    UNION ALL SELECT 'pg_catalog.pg_collation'::pg_catalog.regclass, oid, collowner FROM pg_catalog.pg_collation
    UNION ALL SELECT 'pg_catalog.pg_conversion'::pg_catalog.regclass, oid, conowner FROM pg_catalog.pg_conversion
    UNION ALL SELECT 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, oid, stxowner FROM pg_catalog.pg_statistic_ext
    UNION ALL SELECT 'pg_catalog.pg_ts_config'::pg_catalog.regclass, oid, cfgowner FROM pg_catalog.pg_ts_config
    UNION ALL SELECT 'pg_catalog.pg_ts_dict'::pg_catalog.regclass, oid, dictowner FROM pg_catalog.pg_ts_dict
    UNION ALL SELECT 'pg_catalog.pg_language'::pg_catalog.regclass, oid, lanowner FROM pg_catalog.pg_language
    UNION ALL SELECT 'pg_catalog.pg_event_trigger'::pg_catalog.regclass, oid, evtowner FROM pg_catalog.pg_event_trigger
    UNION ALL SELECT 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass, oid, fdwowner
              FROM pg_catalog.pg_foreign_data_wrapper
    UNION ALL SELECT 'pg_catalog.pg_foreign_server'::pg_catalog.regclass, oid, srvowner
              FROM pg_catalog.pg_foreign_server
    UNION ALL SELECT 'pg_catalog.pg_publication'::pg_catalog.regclass, oid, pubowner FROM pg_catalog.pg_publication
    UNION ALL SELECT 'pg_catalog.pg_largeobject'::pg_catalog.regclass, oid, lomowner
              FROM pg_catalog.pg_largeobject_metadata
    UNION ALL SELECT 'pg_catalog.pg_default_acl'::pg_catalog.regclass, oid, defaclrole FROM pg_catalog.pg_default_acl
    UNION ALL SELECT 'pg_catalog.pg_user_mapping'::pg_catalog.regclass, umid, umuser FROM pg_catalog.pg_user_mappings
),
acl (oid, items) AS (
    SELECT oid, nspacl FROM pg_catalog.pg_namespace
    UNION ALL SELECT oid, relacl FROM pg_catalog.pg_class
    UNION ALL SELECT attrelid, attacl FROM pg_catalog.pg_attribute WHERE attacl IS NOT NULL
    UNION ALL SELECT oid, proacl FROM pg_catalog.pg_proc
    UNION ALL SELECT oid, typacl FROM pg_catalog.pg_type
    UNION ALL SELECT oid, lanacl FROM pg_catalog.pg_language
    UNION ALL SELECT oid, fdwacl FROM pg_catalog.pg_foreign_data_wrapper
    UNION ALL SELECT oid, srvacl FROM pg_catalog.pg_foreign_server
    UNION ALL SELECT oid, lomacl FROM pg_catalog.pg_largeobject_metadata
    UNION ALL SELECT oid, defaclacl FROM pg_catalog.pg_default_acl
    UNION ALL SELECT oid, datacl FROM db
),
named (role) AS (
    SELECT d.refobjid FROM pg_catalog.pg_shdepend d, db
    WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
      AND (d.dbid = db.oid
           OR d.dbid = 0 AND d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND d.objid = db.oid
           OR d.dbid = 0 AND d.classid = 'pg_catalog.pg_subscription'::pg_catalog.regclass
              AND d.objid IN (SELECT s.oid FROM pg_catalog.pg_subscription s WHERE s.subdbid = db.oid))
      AND NOT (d.deptype = 'o' AND (d.classid = 'pg_catalog.pg_extension'::pg_catalog.regclass
                                    OR (d.classid, d.objid) IN (SELECT classid, objid FROM member)))
    UNION ALL SELECT datdba FROM db
    UNION ALL SELECT s.setrole FROM pg_catalog.pg_db_role_setting s, db WHERE s.setdatabase = db.oid
    UNION ALL SELECT pg_catalog.unnest(polroles) FROM pg_catalog.pg_policy
    UNION ALL SELECT role FROM owned
              WHERE role = 10 AND oid >= 16384 AND (class, oid) NOT IN (SELECT classid, objid FROM member)
    UNION ALL SELECT pg_catalog.unnest(ARRAY[a.grantor, a.grantee]) FROM acl, pg_catalog.aclexplode(acl.items) a
              WHERE acl.oid >= 16384
)
SELECT DISTINCT r.rolname::text FROM pg_catalog.pg_roles r JOIN named ON named.role = r.oid
WHERE r.rolname !~ '^pg_' ORDER BY 1";

/// Every role that the current database's dump names.
pub(super) async fn named(session: &Session) -> Result<Vec<String>, DatabaseError> {
    let rows = session.query("listing the roles of the database", NAMED, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Creates those that the server lacks, without the right to sign in, and returns their names.
pub(super) async fn create_missing(
    session: &Session,
    roles: &[String],
) -> Result<Vec<String>, DatabaseError> {
    let doing = "creating roles";
    let missing = session
        .query(
            doing,
            "SELECT DISTINCT w.name FROM pg_catalog.unnest($1::text[]) w (name)
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname::text = w.name) ORDER BY 1",
            &[&roles],
        )
        .await?;
    let mut created = Vec::new();
    for row in &missing {
        let name: String = row.get(0);
        match session.batch_raw(doing, &format!("CREATE ROLE {} NOLOGIN", Ident(&name))).await {
            Ok(()) => created.push(name),
            // duplicate_object, unique_violation: somebody else created it in between.
            Err(error) if matches!(error.sqlstate(), Some("42710" | "23505")) => {}
            Err(error) => return Err(error.into_database_error(doing, session.database())),
        }
    }
    Ok(created)
}
