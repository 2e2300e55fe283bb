//! What an operator does: sign in, back up, restore, roll back, take in a file, change the `.env`.

use std::{fs, thread, time::Duration};

use serde_json::json;

use super::{browser::Page, world};
use crate::service::until;

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_and_out() {
    let world = world();
    let service = world.serve().await;
    let page = Page::open(&service).await;
    page.until_text("#verdict", "There is no backup yet").await;
    page.until_text("#facts", "PostgreSQL").await;
    assert!(!page.is_there("#backups .button").await, "nothing can be done without signing in");

    page.until_there("#secret").await;
    page.write("#secret", "not the secret").await;
    page.press("#sign-in", "Sign in").await;
    page.until_text("#sign-in [role=alert]", "The admin secret is wrong").await;
    page.until_text("#sign-in [role=alert]", "ADMIN_SECRET").await;
    assert!(!page.is_there("#session button").await);

    page.sign_in().await;
    page.until_there("#backups .button").await;
    assert!(!page.is_there("#sign-in").await);
    assert_eq!(page.run("return document.cookie").await, json!(""), "no script can read the session");
    assert_eq!(
        page.run("return JSON.stringify([{...localStorage}, {...sessionStorage}])").await,
        json!("[{},{}]")
    );

    page.press("#session", "Sign out").await;
    page.until_there("#secret").await;
    assert!(!page.is_there("#backups .button").await);
    // It is over on the other side too.
    let status =
        page.run("return fetch('/api/v1/recovery/operations').then((answer) => answer.status)").await;
    assert_eq!(status, json!(401));
}

#[tokio::test(flavor = "multi_thread")]
async fn back_up_damage_restore_roll_back() {
    let world = world();
    let service = world.serve().await;
    let page = Page::signed_in(&service).await;

    // The dump waits for this table for a moment, so that there is something to watch.
    let lock = "BEGIN; LOCK TABLE messages; SELECT pg_sleep(2)";
    thread::scope(|scope| {
        let held = scope.spawn(|| world.postgres.psql("nova", lock));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                until("the table to be locked", async || {
                    let locks = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted \
                                 AND relation = 'messages'::regclass";
                    world.postgres.psql("nova", locks).trim() == "1"
                })
                .await;
                page.press("#backups", "Back up now").await;
                page.until_text("#operations", "Backup").await;
                page.until_there("#operations progress").await;
                page.until_text("#verdict", "Backup under way").await;
                page.until_text("#announcer", "Backup: ").await;
            });
        });
        held.join().unwrap();
    });
    page.until_text("#backups .notice[role=status]", "is complete and was read back").await;
    page.until_gone("#operations").await;
    page.until_text("#verdict", "The container engine does not answer").await;
    page.until_text("#backup-list .rows", "Verified: every byte hashed").await;

    world.postgres.psql("nova", "DELETE FROM messages WHERE id > 1000");
    let name = world.files().remove(0);
    page.press("#backups", &format!("Restore …: {name}")).await;
    page.until_text("dialog", "3 tables, 5,100 rows").await;
    page.until_text("dialog", "every row count is compared").await;
    page.write("dialog input", "another").await;
    assert_eq!(
        page.run("return document.querySelector('dialog .danger').getAttribute('aria-disabled')").await,
        json!("true")
    );
    page.press("dialog", "Cancel").await;
    page.until_gone("dialog").await;
    assert_eq!(world.count("messages"), 1000, "nothing happens before it is confirmed");

    page.press("#backups", &format!("Restore …: {name}")).await;
    page.write("dialog input", "nova").await;
    page.press("dialog", "Restore").await;
    page.until_text("#backup-list .notice[role=status]", "Restored: 3 tables, 5,100 rows").await;
    assert_eq!(world.count("messages"), 5000);

    page.until_there("#replaced").await;
    let replaced = world.databases().into_iter().find(|name| name.contains("__before_")).unwrap();
    page.press("#replaced", &format!("Roll back …: {replaced}")).await;
    page.write("dialog input", "nova").await;
    page.press("dialog", "Roll back").await;
    // Only now: while the names are exchanged nobody can ask.
    page.until_text("#replaced", "by a rollback").await;
    assert_eq!(world.count("messages"), 1000);
    page.until_text("#history", "Rollback").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_broken_is_refused_in_words_that_stay() {
    let world = world();
    let service = world.serve().await;
    let name = service.backup().await;
    let whole = world.directory.path().join("elsewhere.tar");
    fs::rename(world.backups().join(&name), &whole).unwrap();
    let broken = world.directory.path().join("broken.tar");
    let bytes = fs::read(&whole).unwrap();
    fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();

    let page = Page::signed_in(&service).await;
    let choose = async |path: &std::path::Path| {
        let input = page.driver.find(thirtyfour::By::Css("#upload")).await.unwrap();
        input.send_keys(path.to_str().unwrap()).await.unwrap();
    };
    choose(&broken).await;
    page.until_text("#backup-list [role=alert]", "amaged").await;
    page.until_there("#backup-list [role=alert] .hint").await;
    assert_eq!(world.files(), [""; 0]);
    // What goes on elsewhere does not take it away; the reader does.
    service.backup().await;
    page.until_text("#backup-list .rows", "Verified").await;
    assert!(page.is_there("#backup-list [role=alert]").await);
    page.press("#backup-list [role=alert]", "Dismiss: this message").await;
    page.until_gone("#backup-list [role=alert]").await;

    choose(&whole).await;
    page.until_text("#backup-list .notice[role=status]", &format!("Taken in: {name}")).await;
    page.until_text("#backup-list .rows", "Uploaded").await;
    assert!(world.files().contains(&name));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_pinned_verified_and_deleted() {
    let world = world();
    let service = world.serve().await;
    let name = service.backup().await;
    let page = Page::signed_in(&service).await;
    page.press("#backup-list", &format!("More about {name}")).await;
    page.press("#backup-list", &format!("Pin: {name}")).await;
    page.until_text("#backup-list .rows", "Pinned").await;
    page.until_text("#backup-list", "Unpin it before it can be deleted").await;
    page.press("#backup-list", &format!("Unpin: {name}")).await;
    page.press("#backup-list", &format!("Verify: {name}")).await;
    page.until_text("#backup-list .notice[role=status]", "It is good").await;
    page.until_text("#backup-list .rows", "read to its end").await;

    // One that rots is called damaged where it stands.
    let path = world.backups().join(&name);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    page.press("#backup-list", &format!("Verify: {name}")).await;
    page.until_text("#backup-list .rows", "Damaged: do not rely on it").await;
    page.until_text("#verdict", "The newest backup is damaged").await;

    page.press("#backup-list", &format!("Delete …: {name}")).await;
    page.until_text("dialog", "There is no other verified backup").await;
    page.press("dialog", "Delete it").await;
    until("the file to be gone", async || !path.exists()).await;
    page.until_text("#backup-list", "There is no backup yet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_the_environment_meets_somebody_elses() {
    let world = world();
    let project = world.directory.path().join("project");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("docker-compose.yml"), "services: {chat-api: {image: x}}").unwrap();
    let file = project.join(".env");
    fs::write(&file, "LOG_LEVEL=info\nHF_TOKEN=hf_hunter2hunter2\nPOSTGRES_PASSWORD=hunter2\n").unwrap();
    let world = world
        .with("COMPOSE_PROJECT_NAME", "nova-console")
        .with("COMPOSE_PROJECT_DIR", project.to_str().unwrap())
        .with("NOVA_ENV_FILE", file.to_str().unwrap());
    let service = world.serve().await;
    let page = Page::signed_in(&service).await;
    let value = async |field: &str| {
        let script = format!("return document.querySelector('#env-{field}').value");
        page.run(&script).await.as_str().unwrap().to_owned()
    };
    page.until_there("#env-LOG_LEVEL").await;
    assert_eq!(value("HF_TOKEN").await, "hf_h...ter2");
    assert!(
        !page
            .run("return document.documentElement.outerHTML")
            .await
            .as_str()
            .unwrap()
            .contains("hunter2hunter2")
    );
    assert!(!page.is_there("#env-POSTGRES_PASSWORD").await);

    page.write("#env-LOG_LEVEL", "debug").await;
    fs::write(&file, "LOG_LEVEL=warning\nHF_TOKEN=hf_hunter2hunter2\n# by hand\n").unwrap();
    page.press("#environment", "Save 1 change").await;
    page.until_text("#environment [role=alert]", "Changed meanwhile").await;
    page.until_text("#environment .notice.is-warn", "stands as “warning”, you typed “debug”").await;
    assert_eq!(value("LOG_LEVEL").await, "debug", "what was typed stays");
    assert!(fs::read_to_string(&file).unwrap().contains("LOG_LEVEL=warning"));

    page.press("#environment", "Save 1 change").await;
    page.until_text("#environment .notice[role=status]", "Saved: LOG_LEVEL").await;
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "LOG_LEVEL=debug\nHF_TOKEN=hf_hunter2hunter2\n# by hand\n"
    );

    // What may not be changed here is said, and nothing is written.
    page.write("#env-new", "POSTGRES_PASSWORD").await;
    page.keys("\n").await;
    page.write("#env-POSTGRES_PASSWORD", "x").await;
    page.press("#environment", "Save 1 change").await;
    page.until_text("#environment [role=alert]", "POSTGRES_PASSWORD").await;
    assert!(!fs::read_to_string(&file).unwrap().contains("POSTGRES_PASSWORD"));
    tokio::time::timeout(Duration::from_secs(5), page.press("#environment", "Discard")).await.unwrap();
    page.until_text("#environment", "Nothing to save").await;
}
