//! `kill -9` at every moment of every operation, and what the next start makes of it.

use std::{collections::BTreeSet, fs};

use reqwest::Method;
use serde_json::Value;

use crate::{
    crash_points,
    service::{Service, World, until},
};

/// A world in which operations are cut off.
pub(crate) struct Scene {
    pub(crate) world: World,
    /// A backup of the database as it was at first.
    pub(crate) backup: String,
    /// What the database looked like then.
    pub(crate) then: String,
}

/// What an operation is asked for by.
pub(crate) struct Request {
    method: Method,
    path: String,
    body: reqwest::Body,
    content_type: &'static str,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::of(World::new()).await
    }

    pub(crate) async fn of(world: World) -> Self {
        let then = world.postgres.pg_dump_text("nova");
        let backup = world.serve().await.backup().await;
        Self { world, backup, then }
    }

    /// Changes the database, so that it can be told which one is live, and returns what it looks like now.
    pub(crate) fn change(&self, mark: &str) -> String {
        self.world.postgres.psql("nova", &format!("UPDATE users SET name = '{mark}' WHERE id = 1"));
        self.world.postgres.pg_dump_text("nova")
    }

    /// Restores the backup and returns the id by which that can be rolled back.
    pub(crate) async fn restore(&self) -> String {
        let service = self.world.serve().await;
        service.post(&format!("/backups/{}/restore", self.backup)).await.assert_ok()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Asks a service that dies at this moment; returns when it is dead.
    pub(crate) async fn cut_off(&self, moment: &str, request: Request) {
        let mut service = self
            .world
            .serve_by(self.world.crash_binary(), |command| {
                command.env("NOVA_CRASH_AT", moment);
            })
            .await;
        // It may die before it has answered.
        let _ = request.to(&service).send().await;
        let status = service.ended(&format!("the service to die at {moment}")).await;
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{moment}");
    }

    /// The moments that an operation passes.
    pub(crate) async fn trace(&self, request: Request) -> Vec<String> {
        let trace = self.world.directory.path().join("trace");
        let service = self.world.serve_by(self.world.crash_binary(), |command| {
            command.env("NOVA_CRASH_TRACE", &trace);
        });
        let service = service.await;
        self.cleared_up(&service).await;
        fs::write(&trace, "").unwrap();
        let answer = service.send(request.to(&service)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = fs::read_to_string(trace).unwrap();
        // The start of the service has cleared up, too.
        text.lines().filter(|moment| !moment.starts_with("clear-up:")).map(str::to_owned).collect()
    }

    /// Starts the service again, and returns it when nothing of what was cut off is left. `files` are the backups that
    /// there must be, and may be.
    pub(crate) async fn start_again(&self, moment: &str, must: &[&str], may: usize) -> Service {
        let service = self.world.serve().await;
        self.cleared_up(&service).await;
        let files = self.world.files();
        assert!(files.iter().all(|name| !name.starts_with(".partial")), "{moment}: {files:?}");
        assert!(must.iter().all(|name| files.iter().any(|file| file == name)), "{moment}: {files:?}");
        assert!(files.len() <= must.len() + may, "{moment}: {files:?}");
        let listed = service.get_json("/backups").await.assert_ok();
        for backup in listed.as_array().unwrap() {
            assert_eq!(backup["verification"], "verified", "{moment}: {backup}");
        }
        let databases = self.world.databases();
        assert!(databases.iter().all(|name| !name.contains("__restore_")), "{moment}: {databases:?}");
        let closed = "SELECT count(*) FROM pg_database WHERE NOT datallowconn AND NOT datistemplate";
        assert_eq!(self.world.postgres.psql("postgres", closed), "0", "{moment}");
        service
    }

    /// Waits until the journal knows of nothing that has not ended.
    async fn cleared_up(&self, service: &Service) {
        until("the journal to be closed", async || open_in_journal(&self.world).is_empty()).await;
        until("what it closed to be shown", async || {
            let operations = service.get_json("/operations").await.assert_ok();
            operations.as_array().unwrap().iter().all(|operation| operation["state"] != "running")
        })
        .await;
    }
}

/// The operations that the journal has begun and not ended.
fn open_in_journal(world: &World) -> BTreeSet<String> {
    let text = fs::read_to_string(world.backups().join(".state/journal.jsonl")).unwrap();
    let mut open = BTreeSet::new();
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let id = entry["operation"].as_str().unwrap().to_owned();
        match entry["event"].as_str().unwrap() {
            "finished" => open.remove(&id),
            _ => open.insert(id),
        };
    }
    open
}

/// The newest operation of a kind, where there is one.
async fn newest(service: &Service, kind: &str) -> Option<Value> {
    let operations = service.get_json("/operations").await.assert_ok();
    operations.as_array().unwrap().iter().find(|operation| operation["kind"] == kind).cloned()
}

/// Where the operation is in the journal at all, it has ended, and says in words what became of it. Returns these.
pub(crate) async fn words(service: &Service, kind: &str, moment: &str) -> String {
    let in_journal = moment != format!("{kind}:started:before");
    let Some(operation) = newest(service, kind).await.filter(|_| in_journal) else {
        assert!(!in_journal, "{moment}: not in the journal");
        return String::new();
    };
    if moment == format!("{kind}:finished:after") {
        assert_eq!(operation["state"], "succeeded", "{operation}");
        return String::new();
    }
    assert_eq!(operation["state"], "interrupted", "{moment}: {operation}");
    // What the journal has closed is shown with its last words a moment later.
    let mut words = String::new();
    until(&format!("{moment}: the words of what was cut off"), async || {
        let operation = newest(service, kind).await.unwrap();
        operation["error"]["detail"].as_str().unwrap().clone_into(&mut words);
        words.contains("was cut off")
    })
    .await;
    words
}

/// Whether the first of two moments comes before the second, as the table has it.
pub(crate) fn before(kind: &str, moment: &str, second: &str) -> bool {
    let table = crash_points::of(kind);
    let place = |name: &str| table.iter().position(|entry| entry == name).unwrap();
    place(moment) < place(second)
}

/// Asks for a drill of a backup.
pub(crate) fn drill(name: &str) -> Request {
    post(format!("/backups/{name}/verify")).with("application/json", r#"{"level": "restore"}"#)
}

pub(crate) fn post(path: String) -> Request {
    ask(Method::POST, path)
}

fn ask(method: Method, path: String) -> Request {
    Request { method, path, body: reqwest::Body::default(), content_type: "application/json" }
}

impl Request {
    /// Sends this along.
    pub(crate) fn with(self, content_type: &'static str, body: impl Into<reqwest::Body>) -> Self {
        Self { body: body.into(), content_type, ..self }
    }

    fn to(self, service: &Service) -> reqwest::RequestBuilder {
        service.admin(self.method, &self.path).header("content-type", self.content_type).body(self.body)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_passes_the_moments_of_the_table_and_no_others() {
    let scene = Scene::new().await;
    let name = scene.backup.clone();
    let traced = async |kind: &str, request: Request| {
        assert_eq!(scene.trace(request).await, crash_points::of(kind), "{kind}");
    };
    traced("backup", post("/backups".into())).await;
    traced("restore", post(format!("/backups/{name}/restore"))).await;
    let id = scene.restore().await;
    traced("rollback", post(format!("/restores/{id}/rollback"))).await;
    let id = scene.restore().await;
    traced("drop_replaced", ask(Method::DELETE, format!("/restores/{id}"))).await;
    let bytes = fs::read(scene.world.backups().join(&name)).unwrap();
    traced("drill", drill(&name)).await;
    traced("delete_backup", ask(Method::DELETE, format!("/backups/{name}"))).await;
    traced("upload", post("/backups/upload".into()).with("application/x-tar", bytes)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_program_has_no_crash_points() {
    let world = World::new();
    let program = world.binary().get_program().to_owned();
    let bytes = fs::read(program).unwrap();
    let variable = b"NOVA_CRASH_AT";
    assert!(!bytes.windows(variable.len()).any(|window| window == variable), "it reads NOVA_CRASH_AT");
    let service = world.serve_with(|command| {
        command.env("NOVA_CRASH_AT", "backup:sealed");
    });
    service.await.backup().await;
}

/// Cuts a backup off at each of these moments.
async fn backups(moments: &[String]) {
    let scene = Scene::new().await;
    let now = scene.change("now");
    let mut kept = vec![scene.backup.clone()];
    for moment in moments {
        scene.cut_off(moment, post("/backups".into())).await;
        let must: Vec<&str> = kept.iter().map(String::as_str).collect();
        let service = scene.start_again(moment, &must, 1).await;
        let words = words(&service, "backup", moment).await;
        let kept_it = scene.world.files().len() > kept.len();
        assert_eq!(kept_it, !before("backup", moment, "backup:renamed"), "{moment}");
        assert_eq!(words.contains("is kept"), kept_it && moment != "backup:finished:after", "{words}");
        assert!(scene.world.postgres.pg_dump_text("nova") == now, "{moment}: the live database is another");
        service.backup().await;
        kept = scene.world.files();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_killed_before_it_is_complete_leaves_nothing() {
    let all = crash_points::of("backup");
    let (first, _) = all.split_at(all.len() / 2);
    backups(first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_killed_at_its_end_is_there_and_good_or_is_not() {
    let all = crash_points::of("backup");
    let (_, second) = all.split_at(all.len() / 2);
    backups(second).await;
}

/// Cuts a restore off at each of these moments.
async fn restores(moments: &[String]) {
    let scene = Scene::new().await;
    for (round, moment) in moments.iter().enumerate() {
        let now = scene.change(&format!("round {round}"));
        scene.cut_off(moment, post(format!("/backups/{}/restore", scene.backup))).await;
        let service = scene.start_again(moment, &[&scene.backup], round).await;
        let words = words(&service, "restore", moment).await;
        let live = scene.world.postgres.pg_dump_text("nova");
        let restored = !before("restore", moment, "take-over:swapped");
        assert!(live == if restored { &scene.then } else { &now }.as_str(), "{moment}: {words}");
        if !words.is_empty() {
            assert_eq!(words.contains("after the swap"), restored, "{moment}: {words}");
        }
        let kept = service.get_json("/restores").await.assert_ok();
        if restored {
            assert_eq!(kept[0]["filename"], scene.backup.as_str(), "{moment}: {kept}");
        }
        service.backup().await;
    }
}

fn third_of(kind: &str, third: usize) -> Vec<String> {
    let all = crash_points::of(kind);
    let size = all.len().div_ceil(3);
    all.chunks(size).nth(third).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_while_it_loads_changes_nothing() {
    restores(&third_of("restore", 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_before_its_swap_changes_nothing() {
    restores(&third_of("restore", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_around_its_swap_is_done_or_is_not() {
    restores(&third_of("restore", 2)).await;
}

/// Cuts a rollback off at each of these moments.
async fn rollbacks(moments: &[String]) {
    let scene = Scene::new().await;
    for (round, moment) in moments.iter().enumerate() {
        let earlier = scene.change(&format!("round {round}"));
        let id = scene.restore().await;
        scene.cut_off(moment, post(format!("/restores/{id}/rollback"))).await;
        let service = scene.start_again(moment, &[&scene.backup], round).await;
        let words = words(&service, "rollback", moment).await;
        let live = scene.world.postgres.pg_dump_text("nova");
        let back = !before("rollback", moment, "take-over:swapped");
        assert!(live == if back { &earlier } else { &scene.then }.as_str(), "{moment}: {words}");
        if !words.is_empty() {
            assert_eq!(words.contains("after the swap"), back, "{moment}: {words}");
        }
        service.backup().await;
        if !back {
            service.post(&format!("/restores/{id}/rollback")).await.assert_ok();
            assert!(scene.world.postgres.pg_dump_text("nova") == earlier, "{moment}: rolled back at last");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_is_killed_before_its_swap_changes_nothing() {
    rollbacks(&third_of("rollback", 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_is_killed_in_its_swap_changes_nothing() {
    rollbacks(&third_of("rollback", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_is_killed_around_its_swap_is_done_or_is_not() {
    rollbacks(&third_of("rollback", 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_is_killed_has_removed_all_or_nothing() {
    let scene = Scene::new().await;
    for (round, moment) in crash_points::of("drop_replaced").iter().enumerate() {
        let earlier = scene.change(&format!("round {round}"));
        let id = scene.restore().await;
        scene.cut_off(moment, ask(Method::DELETE, format!("/restores/{id}"))).await;
        let service = scene.start_again(moment, &[&scene.backup], round).await;
        let words = words(&service, "drop_replaced", moment).await;
        let dropped = !before("drop_replaced", moment, "drop-replaced:dropped");
        let kept = scene.world.databases().len() > 1;
        assert_eq!(kept, !dropped, "{moment}: {words}");
        assert!(scene.world.postgres.pg_dump_text("nova") == scene.then, "{moment}");
        if kept {
            service.post(&format!("/restores/{id}/rollback")).await.assert_ok();
            assert!(scene.world.postgres.pg_dump_text("nova") == earlier, "{moment}: it can be rolled back");
            let restores = service.get_json("/restores").await.assert_ok();
            let path = format!("/restores/{}", restores[0]["id"].as_str().unwrap());
            service.send(service.admin(Method::DELETE, &path)).await.assert_ok();
        }
        service.backup().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_is_killed_has_deleted_the_backup_or_has_not() {
    let scene = Scene::new().await;
    for moment in crash_points::of("delete_backup") {
        let name = scene.world.serve().await.backup().await;
        let files = scene.world.files().len() - 1;
        scene.cut_off(&moment, ask(Method::DELETE, format!("/backups/{name}"))).await;
        let service = scene.start_again(&moment, &[&scene.backup], files).await;
        words(&service, "delete_backup", &moment).await;
        let deleted = !before("delete_backup", &moment, "delete:removed");
        assert_eq!(!scene.world.files().contains(&name), deleted, "{moment}");
        service.backup().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_up_that_is_killed_is_begun_anew() {
    let scene = Scene::new().await;
    for (round, moment) in crash_points::CLEAR_UP.iter().enumerate() {
        let now = scene.change(&format!("round {round}"));
        scene.cut_off("swap:emptied", post(format!("/backups/{}/restore", scene.backup))).await;
        fs::create_dir(scene.world.backups().join(".partial-0123456789ab")).unwrap();
        let mut service = scene
            .world
            .serve_by(scene.world.crash_binary(), |command| {
                command.env("NOVA_CRASH_AT", moment);
            })
            .await;
        service.ended(&format!("the service to die at {moment}")).await;
        let service = scene.start_again(moment, &[&scene.backup], round).await;
        let words = words(&service, "restore", moment).await;
        assert!(words.contains("before the swap"), "{moment}: {words}");
        assert!(scene.world.postgres.pg_dump_text("nova") == now, "{moment}");
        service.backup().await;
    }
}
