//! What belongs to a database besides its contents: what one database has, another is given, and `pg_dump` sees no
//! difference.

use recovery_core::{
    database::{DatabaseProfile, LocaleProvider},
    port::{DatabaseAdmin, DatabaseError},
};
use recovery_store::PostgresDatabase;
use recovery_testkit::servers::PostgresServer;

use crate::{name, server_with_nova};

/// Everything that `pg_dump --create` says of the database itself, with the name taken out.
fn as_dumped(server: &PostgresServer, database: &str) -> String {
    let mut dump = server.pg_dump(database, &["--create", "--schema-only"]);
    for before in ["DATABASE ", "\\connect ", "-- Name: "] {
        dump = dump.replace(&format!("{before}{database}"), &format!("{before}IT"));
    }
    dump
}

/// What `\l` and `\drds` show, and what no dump does.
fn in_catalogue(server: &PostgresServer, database: &str) -> String {
    server.psql(
        "postgres",
        &format!(
            "SELECT datdba::regrole, encoding, datlocprovider, datcollate, datctype,
                    coalesce(to_jsonb(d) ->> 'daticulocale', to_jsonb(d) ->> 'datlocale'), datconnlimit, datacl, dattablespace, shobj_description(oid, 'pg_database') FROM pg_database d WHERE datname = '{database}';
             SELECT setrole::regrole, setconfig FROM pg_db_role_setting
             WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = '{database}') ORDER BY 1"
        ),
    )
}

const ELABORATE: &str = r#"
CREATE ROLE "Ow""ner ü" LOGIN; CREATE ROLE app LOGIN; CREATE ROLE "Re ader"; CREATE ROLE middle;
ALTER DATABASE nova OWNER TO "Ow""ner ü";
ALTER DATABASE nova CONNECTION LIMIT 42;
COMMENT ON DATABASE nova IS 'it''s "Größe" \ 🦀
second line';
ALTER DATABASE nova SET search_path TO "$user", public, "Größe, ""x""", 'it''s';
ALTER DATABASE nova SET work_mem TO '37MB';
ALTER DATABASE nova SET "app.tenant" TO 'a=b, "c" \ ''d''';
ALTER DATABASE nova SET datestyle TO 'SQL, DMY';
ALTER DATABASE nova SET temp_tablespaces TO pg_default, '';
ALTER ROLE app IN DATABASE nova SET statement_timeout TO '7s';
ALTER ROLE app IN DATABASE nova SET search_path TO '';
ALTER ROLE "Re ader" IN DATABASE nova SET default_transaction_read_only TO on;
REVOKE ALL ON DATABASE nova FROM PUBLIC;
GRANT CONNECT ON DATABASE nova TO app;
GRANT CONNECT, TEMPORARY ON DATABASE nova TO middle WITH GRANT OPTION;
SET ROLE middle; GRANT CONNECT ON DATABASE nova TO "Re ader"; RESET ROLE;
REVOKE TEMPORARY ON DATABASE nova FROM "Ow""ner ü";
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_goes_round() {
    let (server, database) = server_with_nova();
    goes_round(&server, &database).await;
}

pub(crate) async fn goes_round(server: &PostgresServer, database: &PostgresDatabase) {
    server.psql("postgres", ELABORATE);
    let wanted = database.profile(&name("nova")).await.unwrap();
    assert_eq!((wanted.owner.as_str(), wanted.connection_limit), ("Ow\"ner ü", 42));
    assert_eq!(wanted.settings.len(), 8);

    let copy = name("other");
    database.create_database(&copy, &wanted).await.unwrap();
    // All of this must go, or stay as it is.
    server.psql(
        "postgres",
        r#"ALTER DATABASE other SET lock_timeout TO '1s'; ALTER DATABASE other SET work_mem TO '1MB';
           ALTER ROLE nova IN DATABASE other SET jit TO off; CREATE ROLE stray;
           COMMENT ON DATABASE other IS 'stray'; GRANT CREATE ON DATABASE other TO stray WITH GRANT OPTION;
           SET ROLE stray; GRANT CREATE ON DATABASE other TO app"#,
    );
    for _ in 0..2 {
        database.apply_profile(&copy, &wanted).await.unwrap();
        assert_eq!(database.profile(&copy).await.unwrap(), wanted);
        assert_eq!(as_dumped(server, "other"), as_dumped(server, "nova"));
        assert_eq!(in_catalogue(server, "other"), in_catalogue(server, "nova"));
    }
    let through_json: DatabaseProfile =
        serde_json::from_str(&serde_json::to_string(&wanted).unwrap()).unwrap();
    assert_eq!(through_json, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_profile_takes_everything_away_again() {
    let (server, database) = server_with_nova();
    server.psql("postgres", "CREATE DATABASE plain");
    let plain = database.profile(&name("plain")).await.unwrap();
    assert_eq!((&plain.privileges, &plain.comment), (&None, &None));
    server.psql("postgres", ELABORATE);
    database.apply_profile(&name("nova"), &plain).await.unwrap();
    assert_eq!(as_dumped(&server, "nova"), as_dumped(&server, "plain"));
    let mut now = database.profile(&name("nova")).await.unwrap();
    assert_eq!(now.privileges.take().map(|p| p.len()), Some(5), "the default ones, written out");
    assert_eq!(now, plain);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_cannot_be_applied_changes_nothing() {
    let (server, database) = server_with_nova();
    server.psql("postgres", ELABORATE);
    let before = database.profile(&name("nova")).await.unwrap();
    let mut wrong = before.clone();
    wrong.comment = Some("changed".to_owned());
    wrong.settings[0].name = "no_such_setting".to_owned();
    let error = database.apply_profile(&name("nova"), &wrong).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Refused { .. }), "{error:?}");
    assert_eq!(database.profile(&name("nova")).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_privilege_is_never_taken_for_sql() {
    let (server, database) = server_with_nova();
    server.psql("postgres", ELABORATE);
    let before = database.profile(&name("nova")).await.unwrap();
    let mut wrong = before.clone();
    wrong.privileges.as_mut().unwrap()[0].privilege =
        "CONNECT ON DATABASE nova TO PUBLIC; CREATE ROLE intruder; GRANT CONNECT".to_owned();
    let error = database.apply_profile(&name("nova"), &wrong).await.unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("is no privilege on a database"), "{why}");
    assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'intruder'"), "0");
    assert_eq!(database.profile(&name("nova")).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locale_and_encoding_are_those_of_the_profile() {
    let (server, database) = server_with_nova();
    server.psql(
        "postgres",
        "CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' LOCALE 'C.UTF-8';
         CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
    );
    for (source, provider) in [("icu", LocaleProvider::Icu), ("latin", LocaleProvider::Libc)] {
        let wanted = database.profile(&name(source)).await.unwrap();
        assert_eq!(wanted.locale_provider, provider);
        let copy = name(&format!("{source} copy"));
        database.create_database(&copy, &wanted).await.unwrap();
        assert_eq!(database.profile(&copy).await.unwrap(), wanted);
    }
}
