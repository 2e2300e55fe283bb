//! What belongs to a database without being in its dump: read from one database, given to another.

use recovery_core::{
    database::{DatabaseName, DatabaseProfile, DatabaseSetting, LocaleProvider, Privilege},
    port::DatabaseError,
};
use tracing::debug;

use super::{
    error::refused,
    quote::{Ident, Literal, setting_value},
    session::Session,
};

const READING: &str = "reading the properties of a database";

/// The version as `server_version_num` gives it.
pub(super) async fn server_version(session: &Session) -> Result<u32, DatabaseError> {
    let doing = "reading the server's version";
    let text = session.text(doing, "SHOW server_version_num").await?;
    text.and_then(|text| text.parse().ok()).ok_or_else(|| refused(doing, "the version is not a number"))
}

/// Reads what belongs to a database of the session's server.
pub(super) async fn read(session: &Session, name: &DatabaseName) -> Result<DatabaseProfile, DatabaseError> {
    // Where the locale stands has changed from version to version.
    let (provider, locale, rules) = match server_version(session).await? / 10_000 {
        ..=14 => ("'c'", "NULL", "NULL"),
        15 => ("d.datlocprovider::text", "d.daticulocale::text", "NULL"),
        16 => ("d.datlocprovider::text", "d.daticulocale::text", "d.daticurules::text"),
        17.. => ("d.datlocprovider::text", "d.datlocale::text", "d.daticurules::text"),
    };
    let sql = format!(
        "SELECT d.oid, pg_catalog.pg_get_userbyid(d.datdba)::text, pg_catalog.pg_encoding_to_char(d.encoding)::text,
                {provider}, d.datcollate::text, d.datctype::text, {locale}::text, {rules}::text, d.datconnlimit,
                t.spcname::text, pg_catalog.shobj_description(d.oid, 'pg_database'), d.datacl IS NOT NULL
         FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
         WHERE d.datname = $1"
    );
    let rows = session.query(READING, &sql, &[&name.as_str()]).await?;
    let row = rows.first().ok_or_else(|| DatabaseError::NoSuchDatabase { name: name.clone() })?;
    let (oid, provider, has_privileges): (u32, String, bool) = (row.get(0), row.get(3), row.get(11));
    Ok(DatabaseProfile {
        owner: row.get(1),
        encoding: row.get(2),
        locale_provider: match provider.as_str() {
            "c" => LocaleProvider::Libc,
            "i" => LocaleProvider::Icu,
            "b" => LocaleProvider::Builtin,
            other => return Err(refused(READING, format!("the locale provider {other:?} is not known"))),
        },
        collate: row.get(4),
        ctype: row.get(5),
        locale: row.get(6),
        icu_rules: row.get(7),
        connection_limit: row.get(8),
        tablespace: row.get(9),
        comment: row.get(10),
        settings: settings(session, oid).await?,
        privileges: if has_privileges { Some(privileges(session, oid).await?) } else { None },
    })
}

async fn settings(session: &Session, oid: u32) -> Result<Vec<DatabaseSetting>, DatabaseError> {
    let rows = session
        .query(
            READING,
            "SELECT r.rolname::text, pg_catalog.split_part(c.setting, '=', 1),
                    pg_catalog.substr(c.setting, pg_catalog.strpos(c.setting, '=') + 1)
             FROM pg_catalog.pg_db_role_setting s
             LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
             CROSS JOIN pg_catalog.unnest(s.setconfig) WITH ORDINALITY c (setting, place)
             WHERE s.setdatabase = $1 AND (s.setrole = 0 OR r.oid IS NOT NULL)
             ORDER BY r.rolname NULLS FIRST, c.place",
            &[&oid],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| DatabaseSetting { role: row.get(0), name: row.get(1), value: row.get(2) })
        .collect())
}

async fn privileges(session: &Session, oid: u32) -> Result<Vec<Privilege>, DatabaseError> {
    let rows = session
        .query(
            READING,
            "SELECT pg_catalog.pg_get_userbyid(a.grantor)::text,
                    CASE WHEN a.grantee <> 0 THEN pg_catalog.pg_get_userbyid(a.grantee)::text END,
                    a.privilege_type, a.is_grantable
             FROM pg_catalog.pg_database d
             CROSS JOIN pg_catalog.aclexplode(d.datacl) WITH ORDINALITY a
                        (grantor, grantee, privilege_type, is_grantable, place)
             WHERE d.oid = $1 ORDER BY a.place",
            &[&oid],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Privilege {
            grantor: row.get(0),
            grantee: row.get(1),
            privilege: row.get(2),
            grantable: row.get(3),
        })
        .collect())
}

/// The statement that creates an empty database of this encoding, locale, tablespace and owner.
pub(super) fn create_statement(name: &DatabaseName, profile: &DatabaseProfile, version: u32) -> String {
    let major = version / 10_000;
    let mut sql = format!(
        "CREATE DATABASE {} WITH TEMPLATE = template0 OWNER = {} ENCODING = {} LC_COLLATE = {} LC_CTYPE = {}",
        Ident(name.as_str()),
        Ident(&profile.owner),
        Literal(&profile.encoding),
        Literal(&profile.collate),
        Literal(&profile.ctype)
    );
    if major >= 15 {
        let (provider, option) = match profile.locale_provider {
            LocaleProvider::Libc => ("libc", None),
            LocaleProvider::Icu => ("icu", Some("ICU_LOCALE")),
            LocaleProvider::Builtin => ("builtin", Some("BUILTIN_LOCALE")),
        };
        sql.push_str(&format!(" LOCALE_PROVIDER = {provider}"));
        if let (Some(option), Some(locale)) = (option, &profile.locale) {
            sql.push_str(&format!(" {option} = {}", Literal(locale)));
        }
    }
    if let (true, Some(rules)) = (major >= 16, &profile.icu_rules) {
        sql.push_str(&format!(" ICU_RULES = {}", Literal(rules)));
    }
    if profile.tablespace != "pg_default" {
        sql.push_str(&format!(" TABLESPACE = {}", Ident(&profile.tablespace)));
    }
    sql
}

/// Makes a database's properties those of the profile, in one transaction. What it has and the profile has not goes.
pub(super) async fn apply(
    session: &Session,
    name: &DatabaseName,
    wanted: &DatabaseProfile,
) -> Result<(), DatabaseError> {
    let current = read(session, name).await?;
    let statements = statements(name, &current, wanted)?;
    debug!(database = %name, statements = statements.len(), "applying a profile");
    let sql = format!("BEGIN;\n{};\nCOMMIT", statements.join(";\n"));
    let result = session.batch_about("setting the properties of a database", name, &sql).await;
    if result.is_err() && session.is_ready() {
        session.batch("giving up a transaction", "ROLLBACK").await?;
    }
    result
}

/// The same for the session's own database and in its open transaction, as far as our role may; returns what could not
/// be set. Where it may not give the database away, what the owner would have had is for the present one.
pub(super) async fn apply_what_we_may(
    session: &Session,
    wanted: &DatabaseProfile,
) -> Result<Vec<String>, DatabaseError> {
    let doing = "setting the properties of the database";
    let name = session.database();
    let current = read(session, name).await?;
    let mut refusals = Vec::new();
    let mut attempt = async |sql: &str, what: &str| {
        session.batch(doing, "SAVEPOINT property").await?;
        if session.batch(doing, sql).await.is_ok() {
            return session.batch(doing, "RELEASE property").await.map(|()| true);
        }
        refusals.push(what.to_owned());
        session.batch(doing, "ROLLBACK TO property; RELEASE property").await.map(|()| false)
    };
    let mut wanted = wanted.clone();
    let give_away = format!("ALTER DATABASE {} OWNER TO {}", Ident(name.as_str()), Ident(&wanted.owner));
    if current.owner != wanted.owner && !attempt(&give_away, &format!("its owner {}", wanted.owner)).await? {
        for privilege in wanted.privileges.iter_mut().flatten() {
            for role in [Some(&mut privilege.grantor), privilege.grantee.as_mut()].into_iter().flatten() {
                if *role == wanted.owner {
                    role.clone_from(&current.owner);
                }
            }
        }
        wanted.owner.clone_from(&current.owner);
    }
    let current = DatabaseProfile { owner: wanted.owner.clone(), ..current };
    let statements = statements(name, &current, &wanted)?;
    let mut rest = statements.iter();
    while let Some(statement) = rest.next() {
        let mut sql = statement.clone();
        // What is granted in somebody else's name is one step of three.
        if sql.starts_with("SET LOCAL ROLE") {
            for part in rest.by_ref().take(2) {
                sql = format!("{sql}; {part}");
            }
        }
        attempt(&sql, shown(statement)).await?;
    }
    Ok(refusals)
}

/// A statement without the value that it sets, which can be a secret.
fn shown(statement: &str) -> &str {
    let end = [" TO ", " IS "].iter().filter_map(|word| statement.find(word)).min();
    if statement.starts_with("ALTER") || statement.starts_with("COMMENT") {
        end.and_then(|end| statement.get(..end)).unwrap_or(statement)
    } else {
        statement
    }
}

/// What turns `current` into `wanted`.
fn statements(
    name: &DatabaseName,
    current: &DatabaseProfile,
    wanted: &DatabaseProfile,
) -> Result<Vec<String>, DatabaseError> {
    let database = Ident(name.as_str()).to_string();
    let mut sql = Vec::new();
    if current.owner != wanted.owner {
        sql.push(format!("ALTER DATABASE {database} OWNER TO {}", Ident(&wanted.owner)));
    }
    sql.push(format!("ALTER DATABASE {database} CONNECTION LIMIT {}", wanted.connection_limit));
    if current.comment != wanted.comment {
        let comment =
            wanted.comment.as_deref().map_or_else(|| "NULL".to_owned(), |text| Literal(text).to_string());
        sql.push(format!("COMMENT ON DATABASE {database} IS {comment}"));
    }
    if current.settings != wanted.settings {
        set_settings(&mut sql, &database, &current.settings, &wanted.settings);
    }
    // A change of owner has rewritten the privileges: then what was read of them is no longer so.
    if current.privileges != wanted.privileges || current.owner != wanted.owner {
        set_privileges(&mut sql, &database, current, wanted)?;
    }
    Ok(sql)
}

fn set_settings(
    sql: &mut Vec<String>,
    database: &str,
    current: &[DatabaseSetting],
    wanted: &[DatabaseSetting],
) {
    let subject = |role: &Option<String>| match role {
        None => format!("ALTER DATABASE {database}"),
        Some(role) => format!("ALTER ROLE {} IN DATABASE {database}", Ident(role)),
    };
    let mut roles: Vec<&Option<String>> = current.iter().map(|setting| &setting.role).collect();
    roles.dedup();
    sql.extend(roles.into_iter().map(|role| format!("{} RESET ALL", subject(role))));
    sql.extend(wanted.iter().map(|setting| {
        let value = setting_value(&setting.name, &setting.value);
        format!("{} SET {} TO {value}", subject(&setting.role), Ident(&setting.name))
    }));
}

fn set_privileges(
    sql: &mut Vec<String>,
    database: &str,
    current: &DatabaseProfile,
    wanted: &DatabaseProfile,
) -> Result<(), DatabaseError> {
    let grantee =
        |role: &Option<String>| role.as_deref().map_or_else(|| "PUBLIC".to_owned(), |r| Ident(r).to_string());
    let default = default_privileges(&wanted.owner);
    // Away with everything, what others passed on included (CASCADE).
    let mut holders = vec![None, Some(current.owner.clone()), Some(wanted.owner.clone())];
    holders.extend(current.privileges.iter().flatten().map(|privilege| privilege.grantee.clone()));
    holders.sort();
    holders.dedup();
    for holder in &holders {
        sql.push(format!("REVOKE ALL ON DATABASE {database} FROM {} CASCADE", grantee(holder)));
    }
    for privilege in in_order_of_granting(wanted.privileges.as_ref().unwrap_or(&default), &wanted.owner) {
        let grant = format!(
            "GRANT {} ON DATABASE {database} TO {}{}",
            privilege_keyword(&privilege.privilege)?,
            grantee(&privilege.grantee),
            if privilege.grantable { " WITH GRANT OPTION" } else { "" }
        );
        if privilege.grantor == wanted.owner {
            sql.push(grant);
        } else {
            sql.push(format!("SET LOCAL ROLE {}", Ident(&privilege.grantor)));
            sql.push(grant);
            sql.push("SET LOCAL ROLE NONE".to_owned());
        }
    }
    Ok(())
}

/// The keyword for a privilege on a database. It cannot be quoted in SQL, and a profile comes out of a file.
fn privilege_keyword(privilege: &str) -> Result<&'static str, DatabaseError> {
    ["CONNECT", "CREATE", "TEMPORARY"].into_iter().find(|known| *known == privilege).ok_or_else(|| {
        refused(
            "setting the properties of a database",
            format!("{privilege:?} is no privilege on a database; there are CONNECT, CREATE and TEMPORARY"),
        )
    })
}

/// What `datacl IS NULL` stands for.
fn default_privileges(owner: &str) -> Vec<Privilege> {
    let grant = |grantee: Option<&str>, privilege: &str| Privilege {
        grantor: owner.to_owned(),
        grantee: grantee.map(str::to_owned),
        privilege: privilege.to_owned(),
        grantable: false,
    };
    vec![
        grant(None, "TEMPORARY"),
        grant(None, "CONNECT"),
        grant(Some(owner), "CREATE"),
        grant(Some(owner), "TEMPORARY"),
        grant(Some(owner), "CONNECT"),
    ]
}

/// The order of the list, except that nobody passes on what he has not been given yet.
fn in_order_of_granting<'a>(privileges: &'a [Privilege], owner: &str) -> Vec<&'a Privilege> {
    let mut waiting: Vec<&Privilege> = privileges.iter().collect();
    let mut ordered: Vec<&Privilege> = Vec::new();
    loop {
        let may_grant = |p: &Privilege, given: &[&Privilege]| {
            p.grantor == owner
                || given.iter().any(|g| {
                    g.grantable
                        && g.privilege == p.privilege
                        && g.grantee.as_deref() == Some(p.grantor.as_str())
                })
        };
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.iter().partition(|p| may_grant(p, &ordered));
        ordered.extend(&ready);
        waiting = rest;
        if ready.is_empty() {
            // A circle cannot be; should the catalogue hold one, PostgreSQL says what it thinks of it.
            ordered.extend(waiting);
            return ordered;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(grantor: &str, grantee: &str, grantable: bool) -> Privilege {
        Privilege {
            grantor: grantor.to_owned(),
            grantee: Some(grantee.to_owned()),
            privilege: "CONNECT".to_owned(),
            grantable,
        }
    }

    #[test]
    fn only_privileges_on_databases_become_sql() {
        for known in ["CONNECT", "CREATE", "TEMPORARY"] {
            assert_eq!(privilege_keyword(known).unwrap(), known);
        }
        for other in
            ["", "ALL", "connect", "CONNECT, CREATE", "CONNECT ON DATABASE a TO b; DROP DATABASE a; --"]
        {
            let error = privilege_keyword(other).unwrap_err();
            assert!(matches!(error, DatabaseError::Refused { .. }), "{other}: {error:?}");
        }
    }

    #[test]
    fn nobody_passes_on_what_he_does_not_have_yet() {
        let list = [
            grant("b", "c", false),
            grant("a", "b", true),
            grant("owner", "a", true),
            grant("owner", "d", false),
        ];
        let ordered = in_order_of_granting(&list, "owner");
        let grantees: Vec<&str> = ordered.iter().map(|p| p.grantee.as_deref().unwrap()).collect();
        assert_eq!(grantees, ["a", "d", "b", "c"]);
    }
}
