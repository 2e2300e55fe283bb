//! What PostgreSQL 17 has that 15 has not.

use recovery_core::{database::LocaleProvider, port::DatabaseAdmin};
use recovery_testkit::servers::PostgresServer;

use crate::{name, profile, with_nova};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_goes_round_on_17_and_so_does_the_builtin_locale() {
    let (server, database) = with_nova(PostgresServer::start_version(17));
    profile::goes_round(&server, &database).await;

    server.psql(
        "postgres",
        "CREATE DATABASE builtin TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C';
         CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' ICU_RULES '&a < g' LOCALE 'C';
         ALTER DATABASE builtin SET transaction_timeout TO '1h'",
    );
    for (source, provider, locale) in
        [("builtin", LocaleProvider::Builtin, "C.UTF-8"), ("icu", LocaleProvider::Icu, "de-DE")]
    {
        let wanted = database.profile(&name(source)).await.unwrap();
        assert_eq!((wanted.locale_provider, wanted.locale.as_deref()), (provider, Some(locale)));
        let copy = name(&format!("{source} copy"));
        database.create_database(&copy, &wanted).await.unwrap();
        database.apply_profile(&copy, &wanted).await.unwrap();
        assert_eq!(database.profile(&copy).await.unwrap(), wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_on_login_does_not_change_what_is_counted() {
    let (server, database) = with_nova(PostgresServer::start_version(17));
    server.psql(
        "nova",
        "CREATE TABLE logins (at timestamptz DEFAULT now());
         CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.logins DEFAULT VALUES; END $$;
         CREATE EVENT TRIGGER note ON login EXECUTE FUNCTION note();
         ALTER EVENT TRIGGER note ENABLE ALWAYS;
         TRUNCATE logins",
    );
    for _ in 0..2 {
        assert_eq!(database.row_counts(&name("nova"), 2).await.unwrap().tables["public.logins"], 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_limit_on_transactions_does_not_cut_a_snapshot_off() {
    let (server, database) = with_nova(PostgresServer::start_version(17));
    server.psql("nova", "CREATE TABLE t AS SELECT 1; ALTER DATABASE nova SET transaction_timeout TO '300ms'");
    let snapshot = database.snapshot().await.unwrap();
    server.psql("postgres", "SELECT pg_sleep(0.5)");
    assert_eq!(snapshot.row_counts().await.unwrap().tables["public.t"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_maintain_a_table_is_named() {
    let (server, database) = with_nova(PostgresServer::start_version(17));
    server.psql("nova", "CREATE ROLE janitor; CREATE TABLE t (a int); GRANT MAINTAIN ON t TO janitor");
    let roles = database.snapshot().await.unwrap().facts().roles.clone();
    assert!(roles.contains(&"janitor".to_owned()), "{roles:?}");
}
