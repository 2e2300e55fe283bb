//! `kill -9` at every moment of a factory reset: the rows are gone all or none, the words say which, and the same reset
//! again goes on.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    crash::{Scene, before, post, words},
    crash_points,
    service::World,
};

const KIND: &str = "factory_reset";

/// A scene with something of everything that a reset takes: rows, a key, a file, a backup.
struct ResetScene {
    scene: Scene,
    archive: Vec<u8>,
}

impl ResetScene {
    async fn new() -> Self {
        let world = World::new();
        let data = world.directory.path().join("data");
        let text =
            include_str!("../../data/reset_categories.json").replace("/app/data", data.to_str().unwrap());
        let file = world.directory.path().join("categories.json");
        fs::write(&file, text).unwrap();
        let scene = Scene::of(world.with("RESET_CATEGORIES_FILE", file.to_str().unwrap())).await;
        let archive = fs::read(scene.world.backups().join(&scene.backup)).unwrap();
        let own = Self { scene, archive };
        own.refill();
        own
    }

    fn file(&self) -> PathBuf {
        self.scene.world.directory.path().join("data/friction-screenshots/1.png")
    }

    /// Puts back what an earlier round took, and removes the safety backups that it made.
    fn refill(&self) {
        let world = &self.scene.world;
        world.postgres.psql(
            "nova",
            "INSERT INTO messages SELECT i, 1 + i % 100, 'back' FROM generate_series(1, 50) i ON CONFLICT DO NOTHING",
        );
        self.redis(&["set", "nova:state:chat_scorer_cursor", "7"]);
        fs::create_dir_all(self.file().parent().unwrap()).unwrap();
        fs::write(self.file(), "png").unwrap();
        for name in world.files().into_iter().filter(|name| *name != self.scene.backup) {
            fs::remove_file(world.backups().join(name)).unwrap();
        }
        let backup = world.backups().join(&self.scene.backup);
        if !backup.exists() {
            fs::write(backup, &self.archive).unwrap();
        }
    }

    fn redis(&self, words: &[&str]) -> String {
        let output = std::process::Command::new("redis-cli")
            .args(["-u", &self.scene.world.redis.url(2)])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether messages, the key, the file and the old backup are gone.
    fn gone(&self) -> [bool; 4] {
        let backup = self.scene.world.backups().join(&self.scene.backup);
        let key = self.redis(&["exists", "nova:state:chat_scorer_cursor"]).trim() == "0";
        [self.scene.world.count("messages") == 0, key, !self.file().exists(), !backup.exists()]
    }
}

fn body(safety_backup: bool) -> Value {
    let keep = [
        "cortex_state",
        "intel_data",
        "knowledge_data",
        "runtime_caches",
        "memory_and_knowledge",
        "api_keys",
        "linked_accounts",
        "platform_config",
        "users_and_auth",
    ];
    json!({ "keep": keep, "confirm": "RESET", "safety_backup": safety_backup })
}

fn request(safety_backup: bool) -> crate::crash::Request {
    post("/factory-reset".into()).with("application/json", body(safety_backup).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_passes_the_moments_of_the_table_and_no_others() {
    let own = ResetScene::new().await;
    assert_eq!(own.scene.trace(request(true)).await, crash_points::of(KIND));
    assert_eq!(own.gone(), [true; 4]);
}

/// Cuts a reset off at each of these moments.
async fn resets(moments: &[String]) {
    let own = ResetScene::new().await;
    for moment in moments {
        own.scene.cut_off(moment, request(true)).await;
        // The old backup, unless it was removed, and a safety backup.
        let service = own.scene.start_again(moment, &[], 2).await;
        let words = words(&service, KIND, moment).await;
        let deleted = !before(KIND, moment, "reset:committed");
        let gone = own.gone();
        assert_eq!(gone[0], deleted, "{moment}: {words}");
        assert!(deleted || gone == [false; 4], "{moment}: {gone:?}");
        if !words.is_empty() {
            assert_eq!(words.contains("0 rows of 1 table are gone"), deleted, "{moment}: {words}");
            assert_eq!(words.contains("all is as it was"), !deleted, "{moment}: {words}");
            for (part, gone) in [("Keys of Redis", gone[1]), ("Files", gone[2]), ("Backups", gone[3])] {
                if words.contains(&format!("{part} that were to go are gone")) {
                    assert!(gone, "{moment}: {words}");
                }
                if words.contains(&format!("{part} are as they were")) {
                    assert!(!gone, "{moment}: {words}");
                }
            }
            let operations = service.get_json("/operations").await.assert_ok();
            let reset = operations.as_array().unwrap().iter().find(|own| own["kind"] == KIND).unwrap();
            let begun = !before(KIND, moment, "factory_reset:resetting:after");
            if begun {
                assert_eq!(reset["result"]["keep"], body(true)["keep"], "{moment}: {reset}");
                let hint = reset["error"]["hint"].as_str().unwrap();
                assert!(hint.contains("send the same reset again"), "{moment}: {hint}");
            }
        }
        // It can be gone on with.
        let request = service.admin(reqwest::Method::POST, "/factory-reset").json(&body(false));
        service.send(request).await.assert_ok();
        assert_eq!(own.gone(), [true; 4], "{moment}");
        own.refill();
        service.post(&format!("/backups/{}/verify", own.scene.backup)).await.assert_ok();
    }
}

fn part_of(part: usize, parts: usize) -> Vec<String> {
    let all = crash_points::of(KIND);
    all.chunks(all.len().div_ceil(parts)).nth(part).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_that_is_killed_while_it_saves_changes_nothing() {
    resets(&part_of(0, 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_that_is_killed_around_its_commit_has_deleted_all_rows_or_none() {
    resets(&part_of(1, 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_that_is_killed_after_its_rows_are_gone_says_what_is_left() {
    resets(&part_of(2, 3)).await;
}
