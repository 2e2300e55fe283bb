use recovery_core::{
    database::DatabaseName,
    port::{DatabaseAdmin, DatabaseError, LockError, ProtectedDatabase, Swap},
};
use recovery_store::PostgresDatabase;
use recovery_testkit::servers::PostgresServer;

fn name(text: &str) -> DatabaseName {
    text.parse().unwrap()
}

#[tokio::test]
async fn smoke() {
    let server = PostgresServer::start();
    server.psql("postgres", "CREATE DATABASE nova");
    server.psql(
        "nova",
        "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000); CREATE MATERIALIZED VIEW m AS TABLE t;
         CREATE TABLE schema_migrations (version text); INSERT INTO schema_migrations VALUES ('9_a'), ('10_b')",
    );
    let db = PostgresDatabase::new(Some(server.target("nova")));
    db.ping().await.unwrap();
    println!("{:?}", db.overview().await.unwrap());
    println!("{:?}", db.server().await.unwrap());
    println!("{:?}", db.databases().await.unwrap());
    println!("{:?}", db.available_extensions().await.unwrap().len());
    let snapshot = db.snapshot().await.unwrap();
    println!("{} {:?}", snapshot.id(), snapshot.facts());
    println!("{:?}", snapshot.row_counts().await.unwrap());
    let profile = snapshot.facts().profile.clone();
    drop(snapshot);
    let next = name("nova__restore_x");
    db.create_database(&next, &profile).await.unwrap();
    db.apply_profile(&next, &profile).await.unwrap();
    db.analyze(&name("nova"), 2).await.unwrap();
    println!("{:?}", db.row_counts(&name("nova"), 2).await.unwrap());
    db.swap(&Swap { live: name("nova"), incoming: next, retired: name("old") }).await.unwrap();
    assert_eq!(db.overview().await.unwrap().table_count, 0);
    db.probe(&name("old")).await.unwrap();
    let lock = db.lock("a test").await.unwrap();
    lock.still_held().await.unwrap();
    let Err(LockError::Held { holder }) = db.lock("b").await else { panic!() };
    assert_eq!(holder, "a test");
    drop(lock);
    db.lock("b").await.unwrap();
    db.drop_database(&name("old")).await.unwrap();
    db.drop_database(&name("old")).await.unwrap();
    assert!(matches!(db.probe(&name("old")).await, Err(DatabaseError::NoSuchDatabase { .. })));
    assert_eq!(db.create_missing_roles(&["nova".into(), "B \"x".into()]).await.unwrap(), ["B \"x"]);
}
