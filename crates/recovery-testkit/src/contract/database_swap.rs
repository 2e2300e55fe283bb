//! What `DatabaseAdmin` promises of swapping and dropping databases.

use recovery_core::{
    database::{DatabaseName, Ties},
    port::{DatabaseAdmin, DatabaseError, Swap},
};

use super::{
    database::{DatabaseFixture, names, new_name, usual_profile},
    soon,
};

pub(super) async fn swaps(fixture: &dyn DatabaseFixture) {
    there_and_back(fixture).await;
    refused(fixture).await;
    without_a_live_database(fixture).await;
    closed(fixture).await;
    invalid(fixture).await;
    dropping(fixture).await;
}

/// A new database that holds so many rows in its only table.
async fn filled(fixture: &dyn DatabaseFixture, what: &str, rows: u64) -> DatabaseName {
    let (admin, name) = (fixture.admin(), new_name(what));
    admin.create_database(&name, &usual_profile(admin).await).await.unwrap();
    fixture.set_rows(&name, "contract_swap", rows).await;
    name
}

async fn rows(admin: &dyn DatabaseAdmin, name: &DatabaseName) -> Option<u64> {
    admin.row_counts(name, 1).await.unwrap().tables.get("public.contract_swap").copied()
}

async fn check_open(admin: &dyn DatabaseAdmin, name: &DatabaseName) {
    admin.probe(name).await.unwrap();
    let databases = admin.databases().await.unwrap();
    let entry = databases.iter().find(|entry| entry.name == *name).expect("it is listed");
    assert!(entry.accepts_sessions, "{entry:?}");
}

async fn there_and_back(fixture: &dyn DatabaseFixture) {
    let admin = fixture.admin();
    let live = admin.target().unwrap().database.clone();
    fixture.set_rows(&live, "contract_swap", 1).await;
    let incoming = filled(fixture, "incoming", 2).await;
    let retired = new_name("retired");

    let using_live = fixture.connect(&live, "contract").await;
    let using_incoming = fixture.connect(&incoming, "contract").await;
    admin
        .swap(&Swap { live: live.clone(), incoming: incoming.clone(), retired: retired.clone() })
        .await
        .unwrap();
    soon("the sessions of both have ended", async || {
        !using_live.is_alive().await && !using_incoming.is_alive().await
    })
    .await;
    assert_eq!((rows(admin, &live).await, rows(admin, &retired).await), (Some(2), Some(1)));
    assert!(!names(admin).await.contains(&incoming), "it has another name now");
    check_open(admin, &live).await;
    check_open(admin, &retired).await;

    // A rollback is the same in the other direction.
    let undone = new_name("undone");
    admin
        .swap(&Swap { live: live.clone(), incoming: retired.clone(), retired: undone.clone() })
        .await
        .unwrap();
    assert_eq!((rows(admin, &live).await, rows(admin, &undone).await), (Some(1), Some(2)));
    assert!(!names(admin).await.contains(&retired));
    fixture.protected().ping().await.unwrap();
    admin.drop_database(&undone).await.unwrap();
}

/// A swap that cannot be done changes nothing.
async fn refused(fixture: &dyn DatabaseFixture) {
    let admin = fixture.admin();
    let live = admin.target().unwrap().database.clone();
    let incoming = filled(fixture, "incoming", 2).await;
    let taken = filled(fixture, "taken", 3).await;
    let mut before = names(admin).await;
    before.sort();

    let missing = Swap { live: live.clone(), incoming: new_name("missing"), retired: new_name("retired") };
    let result = admin.swap(&missing).await;
    assert!(
        matches!(&result, Err(DatabaseError::NoSuchDatabase { name }) if *name == missing.incoming),
        "{result:?}"
    );
    let swap = Swap { live: live.clone(), incoming: incoming.clone(), retired: taken.clone() };
    let result = admin.swap(&swap).await;
    assert!(matches!(result, Err(DatabaseError::Refused { .. })), "a name that is taken: {result:?}");

    let mut after = names(admin).await;
    after.sort();
    assert_eq!(after, before, "the names are as before");
    for (name, expect) in [(&live, 1), (&incoming, 2), (&taken, 3)] {
        check_open(admin, name).await;
        assert_eq!(rows(admin, name).await, Some(expect));
    }
    admin.drop_database(&incoming).await.unwrap();
    admin.drop_database(&taken).await.unwrap();
}

async fn without_a_live_database(fixture: &dyn DatabaseFixture) {
    let admin = fixture.admin();
    let incoming = filled(fixture, "incoming", 2).await;
    let swap = Swap { live: new_name("absent"), incoming, retired: new_name("retired") };
    admin.swap(&swap).await.unwrap();
    assert_eq!(rows(admin, &swap.live).await, Some(2), "it just takes the name");
    let names = names(admin).await;
    assert!(!names.contains(&swap.incoming) && !names.contains(&swap.retired));
    check_open(admin, &swap.live).await;
    admin.drop_database(&swap.live).await.unwrap();
}

async fn closed(fixture: &dyn DatabaseFixture) {
    let admin = fixture.admin();
    let name = filled(fixture, "closed", 1).await;
    fixture.close_to_sessions(&name).await;
    admin.probe(&name).await.expect_err("it accepts no sessions");
    let databases = admin.databases().await.unwrap();
    assert!(databases.iter().any(|entry| entry.name == name && !entry.accepts_sessions), "it says so");
    for _ in 0..2 {
        admin.open_to_sessions(&name).await.unwrap();
        check_open(admin, &name).await;
    }
    fixture.close_to_sessions(&name).await;
    admin.drop_database(&name).await.expect("a closed database can be dropped");
}

async fn invalid(fixture: &dyn DatabaseFixture) {
    let admin = fixture.admin();
    let name = filled(fixture, "invalid", 1).await;
    fixture.cut_off_a_drop(&name).await;
    let databases = admin.databases().await.unwrap();
    assert!(databases.iter().all(|entry| entry.is_invalid == (entry.name == name)), "{databases:?}");
    admin.probe(&name).await.expect_err("it accepts no sessions");
    admin.open_to_sessions(&name).await.expect_err("nothing can be changed about it");
    admin.drop_database(&name).await.expect("an invalid database can be dropped");
    assert!(!names(admin).await.contains(&name));
}

async fn dropping(fixture: &dyn DatabaseFixture) {
    let admin = fixture.admin();
    let live = admin.target().unwrap().database.clone();
    admin.drop_database(&live).await.expect_err("the protected database is never dropped");
    check_open(admin, &live).await;

    for name in [&live, &new_name("missing")] {
        assert_eq!(admin.ties(name).await.unwrap(), Ties::default(), "nothing holds {name}");
    }
    let name = filled(fixture, "dropped", 1).await;
    let session = fixture.connect(&name, "contract").await;
    admin.drop_database(&name).await.expect("its sessions are ended");
    soon("the session has ended", async || !session.is_alive().await).await;
    assert!(!names(admin).await.contains(&name));
}
