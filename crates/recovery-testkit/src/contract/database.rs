//! What `ProtectedDatabase` and `DatabaseAdmin` promise.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use recovery_core::{
    OperationId,
    database::{DatabaseName, DatabaseProfile, DatabaseSetting, Privilege},
    port::{DatabaseAdmin, DatabaseError, LockError, ProtectedDatabase},
};
use serde_json::{Value, json};

use super::{database_load, database_rewrite, database_swap, soon};

/// A server in a known state, and the hands of other programs on it.
///
/// The protected database exists, accepts sessions and holds no table; the role of recovery is a superuser.
#[async_trait]
pub trait DatabaseFixture: Send + Sync {
    /// The administration that is examined.
    fn admin(&self) -> &dyn DatabaseAdmin;

    /// The same database, as the status page sees it.
    fn protected(&self) -> &dyn ProtectedDatabase;

    /// The administration of another instance of the service on the same database.
    fn another_instance(&self) -> Box<dyn DatabaseAdmin>;

    /// Makes the table `public.<table>` of a database hold so many rows, and creates it where it is missing. The name
    /// needs no quotes.
    async fn set_rows(&self, database: &DatabaseName, table: &str, rows: u64);

    /// Sets a row of `platform_config` of the protected database, and creates the table where it is missing.
    async fn set_platform_config(&self, key: &str, value: &Value);

    /// Closes a database to new sessions, as an interrupted swap leaves it.
    async fn close_to_sessions(&self, database: &DatabaseName);

    /// Makes a database what a `DROP DATABASE` leaves that was cut off.
    async fn cut_off_a_drop(&self, database: &DatabaseName);

    /// Writes two scripts of `pg_restore` that make `public.<table>` with so many rows: definitions, and rows.
    fn scripts(&self, directory: &Path, table: &str, rows: u64) -> [PathBuf; 2];

    /// Begins a session of another program.
    async fn connect(&self, database: &DatabaseName, application_name: &str) -> Box<dyn OtherSession>;
}

/// A session of another program; dropping it disconnects.
#[async_trait]
pub trait OtherSession: Send + Sync {
    /// Whether it still answers queries.
    async fn is_alive(&self) -> bool;
}

/// A name that no other database has.
pub(super) fn new_name(what: &str) -> DatabaseName {
    format!("Contract {what} {}", OperationId::new().short()).parse().expect("the name of a database")
}

pub(super) async fn names(admin: &dyn DatabaseAdmin) -> Vec<DatabaseName> {
    admin.databases().await.unwrap().into_iter().map(|entry| entry.name).collect()
}

/// The profile of the protected database: one that this server can make another database of.
pub(super) async fn usual_profile(admin: &dyn DatabaseAdmin) -> DatabaseProfile {
    admin.profile(&admin.target().unwrap().database).await.unwrap()
}

/// What `ProtectedDatabase` promises.
pub async fn protected_database(fixture: &dyn DatabaseFixture) {
    let protected = fixture.protected();
    protected.ping().await.unwrap();
    let before = protected.overview().await.unwrap();
    assert!(before.size_bytes > 0, "an empty database has a size");
    assert_eq!(before.server_version, fixture.admin().server().await.unwrap().version);

    assert_eq!(protected.platform_config("auth.jwt_secret").await.unwrap(), None, "no table is no error");
    for value in [json!("a secret"), json!({"nested": [1, null]}), Value::Null] {
        fixture.set_platform_config("auth.jwt_secret", &value).await;
        assert_eq!(protected.platform_config("auth.jwt_secret").await.unwrap(), Some(value));
    }
    assert_eq!(protected.platform_config("auth.other").await.unwrap(), None, "no row is no error");

    let name = &fixture.admin().target().unwrap().database;
    fixture.set_rows(name, "contract_overview", 3).await;
    assert_eq!(protected.overview().await.unwrap().table_count, before.table_count + 2);
}

/// What `DatabaseAdmin` promises.
pub async fn database_admin(fixture: &dyn DatabaseFixture) {
    server_and_databases(fixture.admin()).await;
    missing_databases(fixture.admin()).await;
    roles(fixture.admin()).await;
    profiles(fixture.admin()).await;
    counting(fixture).await;
    snapshots(fixture).await;
    sessions(fixture).await;
    locks(fixture).await;
    database_load::loads(fixture.admin()).await;
    database_swap::swaps(fixture).await;
    database_rewrite::rewrites(fixture).await;
}

/// What both ports promise where no database is configured.
pub async fn database_unconfigured(admin: &dyn DatabaseAdmin, protected: &dyn ProtectedDatabase) {
    let any: DatabaseName = "nova".parse().expect("the name of a database");
    for result in [
        admin.target().map(drop),
        admin.server().await.map(drop),
        admin.databases().await.map(drop),
        admin.snapshot().await.map(drop),
        admin.profile(&any).await.map(drop),
        admin.available_extensions().await.map(drop),
        admin.ties(&any).await.map(drop),
        admin.drop_database(&any).await,
        admin.rewrite(&any, "contract").await.map(drop),
        protected.ping().await,
        protected.overview().await.map(drop),
        protected.platform_config("key").await.map(drop),
    ] {
        assert!(matches!(result, Err(DatabaseError::NotConfigured { .. })), "{result:?}");
    }
    let locked = admin.lock("contract").await.map(drop);
    assert!(matches!(locked, Err(LockError::Database(DatabaseError::NotConfigured { .. }))), "{locked:?}");
}

async fn server_and_databases(admin: &dyn DatabaseAdmin) {
    let server = admin.server().await.unwrap();
    assert!(server.version.major() >= 13, "{}", server.version);
    assert!(server.superuser && server.may_create_databases && server.may_create_roles, "{server:?}");

    let live = &admin.target().unwrap().database;
    let databases = admin.databases().await.unwrap();
    let own = databases.iter().find(|entry| entry.name == *live).expect("the protected database is listed");
    assert!(own.accepts_sessions && own.size_bytes.is_some_and(|size| size > 0), "{own:?}");
    assert!(databases.iter().all(|entry| !entry.name.as_str().starts_with("template")), "templates are not");

    let extensions = admin.available_extensions().await.unwrap();
    assert!(extensions.get("plpgsql").is_some_and(|versions| !versions.is_empty()), "{extensions:?}");
    admin.probe(live).await.unwrap();
}

async fn missing_databases(admin: &dyn DatabaseAdmin) {
    let missing = new_name("missing");
    let profile = usual_profile(admin).await;
    for result in [
        admin.profile(&missing).await.map(drop),
        admin.apply_profile(&missing, &profile).await,
        admin.analyze(&missing, 1).await,
        admin.row_counts(&missing, 1).await.map(drop),
        admin.open_to_sessions(&missing).await,
        admin.probe(&missing).await,
    ] {
        match result {
            Err(DatabaseError::NoSuchDatabase { name }) => assert_eq!(name, missing),
            other => panic!("expected that there is no such database, got {other:?}"),
        }
    }
    admin.drop_database(&missing).await.expect("dropping what is not there is no error");
}

async fn roles(admin: &dyn DatabaseAdmin) {
    let owner = usual_profile(admin).await.owner;
    let new = format!("Contract \"role\" {}", OperationId::new().short());
    let asked = [owner, new.clone()];
    assert_eq!(admin.create_missing_roles(&asked).await.unwrap(), [new], "only what is missing");
    assert_eq!(admin.create_missing_roles(&asked).await.unwrap(), [""; 0], "nothing is missing any more");
    assert_eq!(admin.create_missing_roles(&[]).await.unwrap(), [""; 0]);
}

/// The same profile, whatever order a catalogue gives its lists in.
fn sorted(mut profile: DatabaseProfile) -> DatabaseProfile {
    profile.settings.sort_by(|a, b| (&a.role, &a.name).cmp(&(&b.role, &b.name)));
    if let Some(privileges) = &mut profile.privileges {
        privileges.sort_by(|a, b| (&a.grantee, &a.privilege).cmp(&(&b.grantee, &b.privilege)));
    }
    profile
}

async fn profiles(admin: &dyn DatabaseAdmin) {
    let name = new_name("profile");
    let usual = usual_profile(admin).await;
    admin.create_database(&name, &usual).await.unwrap();
    assert!(names(admin).await.contains(&name));
    let created = admin.profile(&name).await.unwrap();
    assert_eq!(
        (&created.owner, &created.encoding, &created.collate),
        (&usual.owner, &usual.encoding, &usual.collate)
    );
    let again = admin.create_database(&name, &usual).await;
    assert!(matches!(again, Err(DatabaseError::Refused { .. })), "a name is given once: {again:?}");

    let owner = format!("contract_owner_{}", OperationId::new().short());
    let reader = format!("contract_reader_{}", OperationId::new().short());
    let setting = |role: Option<&String>, name: &str, value: &str| DatabaseSetting {
        role: role.cloned(),
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let grant = |grantee: Option<&String>, privilege: &str, grantable: bool| Privilege {
        grantor: owner.clone(),
        grantee: grantee.cloned(),
        privilege: privilege.to_owned(),
        grantable,
    };
    let profile = DatabaseProfile {
        owner: owner.clone(),
        connection_limit: 17,
        comment: Some("it's a \"comment\" \\ ü".to_owned()),
        settings: vec![
            setting(None, "statement_timeout", "5s"),
            setting(None, "application_name", "it's \\ odd"),
            setting(Some(&reader), "lock_timeout", "1min"),
        ],
        privileges: Some(vec![
            grant(None, "CONNECT", false),
            grant(Some(&owner), "CREATE", false),
            grant(Some(&owner), "TEMPORARY", false),
            grant(Some(&owner), "CONNECT", false),
            grant(Some(&reader), "CREATE", true),
        ]),
        ..usual.clone()
    };
    let result = admin.apply_profile(&name, &profile).await;
    assert!(matches!(result, Err(DatabaseError::Refused { .. })), "roles that do not exist: {result:?}");
    admin.create_missing_roles(&[owner.clone(), reader]).await.unwrap();
    for round in ["first", "second"] {
        admin.apply_profile(&name, &profile).await.unwrap();
        let applied = sorted(admin.profile(&name).await.unwrap());
        assert_eq!(applied, sorted(profile.clone()), "what was applied is what is read, the {round} time");
    }
    admin.drop_database(&name).await.unwrap();
    assert!(!names(admin).await.contains(&name), "what was dropped is gone");
}

async fn counting(fixture: &dyn DatabaseFixture) {
    let (admin, name) = (fixture.admin(), new_name("counting"));
    admin.create_database(&name, &usual_profile(admin).await).await.unwrap();
    assert_eq!(admin.row_counts(&name, 2).await.unwrap().tables.len(), 0, "a new database is empty");
    for rows in [3, 0, 250] {
        fixture.set_rows(&name, "one", rows).await;
        fixture.set_rows(&name, "two", 7).await;
        let counts = admin.row_counts(&name, 2).await.unwrap();
        let expect = [("public.one".to_owned(), rows), ("public.two".to_owned(), 7)];
        assert_eq!((counts.tables, counts.large_objects), (expect.into(), 0));
        admin.analyze(&name, 2).await.unwrap();
    }
    admin.drop_database(&name).await.unwrap();
}

async fn snapshots(fixture: &dyn DatabaseFixture) {
    let admin = fixture.admin();
    let live = &admin.target().unwrap().database;
    fixture.set_rows(live, "contract_snapshot", 3).await;
    let snapshot = admin.snapshot().await.unwrap();
    let before = admin.row_counts(live, 1).await.unwrap();
    fixture.set_rows(live, "contract_snapshot", 5).await;

    let shown = snapshot.row_counts().await.unwrap();
    assert_eq!(shown, before, "a snapshot shows what was there when it was opened");
    assert_eq!(snapshot.facts().table_count, shown.tables.len() as u64);
    assert_eq!(snapshot.facts().profile, usual_profile(admin).await);
    assert!(snapshot.facts().roles.contains(&snapshot.facts().profile.owner), "{:?}", snapshot.facts().roles);
    assert!(snapshot.facts().size_bytes > 0);
    assert_eq!(admin.row_counts(live, 1).await.unwrap().tables["public.contract_snapshot"], 5);

    let other = admin.snapshot().await.unwrap();
    assert_ne!(snapshot.id(), other.id(), "two snapshots are two");
    assert_eq!(other.row_counts().await.unwrap().tables["public.contract_snapshot"], 5);
}

async fn sessions(fixture: &dyn DatabaseFixture) {
    let admin = fixture.admin();
    let live = &admin.target().unwrap().database;
    let name = format!("contract {}", OperationId::new().short());
    assert_eq!(admin.terminate_application(&name).await.unwrap(), 0, "nobody has this name");
    let (one, two) = (fixture.connect(live, &name).await, fixture.connect(live, &name).await);
    let other = fixture.connect(live, "contract other").await;
    assert_eq!(admin.terminate_application(&name).await.unwrap(), 2);
    soon("both sessions have ended", async || !one.is_alive().await && !two.is_alive().await).await;
    assert!(other.is_alive().await, "the session of another application goes on");
    soon("the server has forgotten them", async || admin.terminate_application(&name).await.unwrap() == 0)
        .await;
}

async fn locks(fixture: &dyn DatabaseFixture) {
    let (admin, other) = (fixture.admin(), fixture.another_instance());
    let held = admin.lock("restore 0123456789ab").await.unwrap();
    held.still_held().await.unwrap();
    for instance in [admin, other.as_ref()] {
        match instance.lock("backup ba9876543210").await.map(drop) {
            Err(LockError::Held { holder }) => {
                assert!(holder.starts_with("restore 0123456789ab"), "{holder}");
            }
            result => panic!("expected that the lock is held, got {result:?}"),
        }
    }
    held.still_held().await.expect("the attempts of others change nothing");
    drop(held);
    soon("the lock is given back", async || {
        let taken = other.lock("backup ba9876543210").await;
        if let Ok(lock) = &taken {
            lock.still_held().await.unwrap();
        }
        taken.is_ok()
    })
    .await;
}
