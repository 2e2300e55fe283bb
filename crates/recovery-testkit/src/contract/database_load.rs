//! What a load session promises.

use recovery_core::port::{DatabaseAdmin, DatabaseError, LoadError};

use super::{
    database::{new_name, usual_profile},
    soon,
};

fn check_refused<T: std::fmt::Debug>(result: Result<T, LoadError>, expect: &str) {
    match result {
        Err(LoadError::Refused { sqlstate, .. }) => assert_eq!(sqlstate, expect),
        other => panic!("expected that the server refuses with {expect}, got {other:?}"),
    }
}

pub(super) async fn loads(admin: &dyn DatabaseAdmin) {
    let name = new_name("load");
    match admin.load_session(&name, "contract load").await.map(drop) {
        Err(DatabaseError::NoSuchDatabase { name: missing }) => assert_eq!(missing, name),
        other => panic!("expected that there is no such database, got {other:?}"),
    }
    let profile = usual_profile(admin).await;
    admin.create_database(&name, &profile).await.unwrap();
    let mut session = admin.load_session(&name, "contract load").await.unwrap();
    session.act_as(Some(&profile.owner)).await.unwrap();
    check_refused(session.act_as(Some("contract: nobody")).await, "22023");
    session.act_as(None).await.unwrap();

    session.run("SET statement_timeout = 0").await.unwrap();
    session.run("CREATE TABLE public.one (id bigint, word text)").await.unwrap();
    check_refused(session.run("CREATE TABLE public.one (id bigint)").await, "42P07");
    check_refused(session.run("SET lock_timeout = 0; SET lock_timeout = 1").await, "42601");
    check_refused(session.run("nonsense").await, "42601");

    check_refused(session.begin_copy("COPY public.none (id) FROM stdin").await, "42P01");
    for (rows, all) in [(3, 3), (0, 3), (500, 503)] {
        session.begin_copy("COPY public.one (id, word) FROM stdin").await.unwrap();
        for row in 0..rows {
            // However the rows are cut, they are the same rows.
            session.copy(format!("{row}\ta ").as_bytes()).await.unwrap();
            session.copy(b"word\n").await.unwrap();
        }
        assert_eq!(session.end_copy().await.unwrap(), rows);
        assert_eq!(admin.row_counts(&name, 1).await.unwrap().tables["public.one"], all);
    }

    assert_eq!(admin.terminate_application("contract load").await.unwrap(), 1);
    soon("the session has ended", async || {
        matches!(
            session.run("SET lock_timeout = 0").await,
            Err(LoadError::Database(DatabaseError::Unavailable { .. }))
        )
    })
    .await;
    admin.drop_database(&name).await.unwrap();
}
