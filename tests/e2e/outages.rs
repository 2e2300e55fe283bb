//! Servers and disks that fail at a chosen moment of an operation, which waits there meanwhile.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

use crate::service::{Service, World, until};

/// A service whose next operation stands still at one moment.
pub(crate) struct Standing {
    pub service: Service,
    pause: PathBuf,
}

impl Standing {
    /// Begins an operation and returns its id when it stands at the moment.
    pub(crate) async fn at(world: &World, moment: &str, path: &str) -> (Self, String) {
        let pause = world.directory.path().join("pause");
        let service = world
            .serve_by(world.crash_binary(), |command| {
                command.env("NOVA_CRASH_AT", moment).env("NOVA_CRASH_PAUSE", &pause);
            })
            .await;
        let id = service.begin(path).await;
        until(&format!("the operation to reach {moment}"), async || pause.exists()).await;
        (Self { service, pause }, id)
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        fs::remove_file(&self.pause).unwrap();
    }
}

/// What the operation came to: its state and the code of its problem.
fn outcome(operation: &Value) -> (&str, &str) {
    (operation["state"].as_str().unwrap(), operation["error"]["code"].as_str().unwrap_or_default())
}

fn assert_nothing_left(world: &World, moment: &str) {
    let closed = "SELECT datname FROM pg_database
                  WHERE datname LIKE '%\\_\\_restore\\_%' OR (NOT datallowconn AND NOT datistemplate)";
    assert_eq!(world.postgres.psql("postgres", closed), "", "{moment}");
    let files = world.files();
    assert!(files.iter().all(|name| !name.starts_with(".partial")), "{moment}: {files:?}");
}

/// When a server that was killed is there again.
#[derive(Clone, Copy)]
enum Back {
    /// Before the operation goes on: it finds its connections broken.
    Before,
    /// While it tries to set right what it has begun.
    Meanwhile,
    /// Only when the operation has ended.
    After,
}

/// Kills PostgreSQL and starts it again at each of these moments; says which of them the operation survives.
async fn postgres_dies(kind: &str, moments: &[(&str, Back, bool)]) {
    let mut world = World::new();
    let then = world.postgres.pg_dump_text("nova");
    let name = world.serve().await.backup().await;
    for (round, (moment, back, survives)) in moments.iter().enumerate() {
        world.postgres.psql("nova", &format!("UPDATE users SET name = 'round {round}' WHERE id = 1"));
        let now = world.postgres.pg_dump_text("nova");
        let path = if kind == "backup" { "/backups".to_owned() } else { format!("/backups/{name}/restore") };
        let (standing, id) = Standing::at(&world, moment, &path).await;
        world.postgres.stop_immediately();
        if matches!(back, Back::Before) {
            world.postgres.restart();
        }
        standing.go_on();
        if matches!(back, Back::Meanwhile) {
            world.postgres.restart();
        }
        let operation = standing.service.finished(&id).await;
        if matches!(back, Back::After) {
            world.postgres.restart();
        }
        let expect = if *survives { ("succeeded", "") } else { ("failed", "database_unavailable") };
        assert_eq!(outcome(&operation), expect, "{moment}: {operation}");
        let restored = *survives && kind == "restore";
        assert!(
            world.postgres.pg_dump_text("nova") == if restored { &then } else { &now }.as_str(),
            "{moment}"
        );
        // What could not be dropped while the server was away is cleared up by the next operation.
        standing.service.backup().await;
        standing.service.post(&format!("/backups/{name}/verify")).await.assert_ok();
        drop(standing);
        let service = world.serve().await;
        until("everything to be cleared up", async || cleared(&world)).await;
        drop(service);
        assert_nothing_left(&world, moment);
    }
}

fn cleared(world: &World) -> bool {
    world.databases().iter().all(|name| !name.contains("__restore_"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_at_any_phase_of_a_backup_leaves_none_that_is_not_good() {
    let moments = [
        ("backup:dumping:before", Back::After, false),
        ("backup:dumped", Back::After, false),
        // The server is back, but has forgotten that this instance had the lock.
        ("backup:packed", Back::Before, false),
        // The lock is looked after for the last time before the operation is sealed.
        ("backup:sealed", Back::After, true),
        ("backup:renamed", Back::After, true),
    ];
    postgres_dies("backup", &moments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_while_a_backup_is_loaded_stays_what_it_was() {
    let moments = [
        ("restore:loading:before", Back::After, false),
        ("load:created", Back::After, false),
        ("load:loaded", Back::Before, false),
        ("take-over:remembered", Back::Before, false),
    ];
    postgres_dies("restore", &moments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_around_the_swap_is_the_old_or_the_new_one_and_open() {
    let moments = [
        ("take-over:pending", Back::Before, true),
        ("swap:incoming-closed", Back::Meanwhile, false),
        ("swap:live-closed", Back::Meanwhile, false),
        ("swap:emptied", Back::Meanwhile, false),
        ("take-over:swapped", Back::Before, true),
    ];
    postgres_dies("restore", &moments).await;
}

/// A small file system of its own, unmounted when the test ends.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn mount(size: &str) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        let options = format!("size={size}");
        disk.run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"]);
        disk
    }

    fn run(&self, program: &str, args: &[&str]) {
        let done = Command::new(program).args(args).arg(self.0.path()).status().unwrap();
        assert!(done.success(), "{program} {args:?}");
    }

    fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    /// Takes the last byte.
    fn fill(&self) {
        let filler = fs::write(self.path().join("filler"), vec![0; 64 << 20]);
        assert_eq!(filler.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }

    fn free(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.run("umount", &["--lazy"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_directory_that_fills_up_at_any_phase_gives_507_and_keeps_what_it_had() {
    let disk = SmallDisk::mount("40m");
    let world = World::new();
    let state = world.directory.path().join("state");
    let world = world
        .with("BACKUP_DIR", disk.path().to_str().unwrap())
        .with("STATE_DIR", state.to_str().unwrap())
        .with("BACKUP_COMPRESSION", "none");
    let name = world.serve().await.backup().await;
    let now = world.postgres.pg_dump_text("nova");
    let restore = format!("/backups/{name}/restore");
    for (moment, path, survives) in [
        ("backup:dumping:before", "/backups", false),
        ("backup:dumped", "/backups", false),
        // Everything that needs room is written.
        ("backup:packed", "/backups", true),
        ("unpack:room-found", &restore, false),
        ("restore:loading:before", &restore, true),
    ] {
        let before = files(&disk);
        let (standing, id) = Standing::at(&world, moment, path).await;
        disk.fill();
        standing.go_on();
        let operation = standing.service.finished(&id).await;
        let expect = if survives { ("succeeded", "") } else { ("failed", "insufficient_storage") };
        assert_eq!(outcome(&operation), expect, "{moment}: {operation}");
        assert_eq!(files(&disk).len(), before.len() + 1 + usize::from(survives && path == "/backups"));
        assert!(world.postgres.pg_dump_text("nova") == now, "{moment}");
        assert_nothing_left(&world, moment);
        let full = standing.service.post("/backups").await;
        full.assert_problem(507, "insufficient_storage");
        disk.free();
        standing.service.backup().await;
    }
}

/// The files of a disk, those included that are not backups, less the lock files.
fn files(disk: &SmallDisk) -> Vec<String> {
    let entries = fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().file_name());
    entries.map(|name| name.into_string().unwrap()).filter(|name| !name.ends_with(".lock")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_fills_up_at_any_step_stops_what_can_be_stopped() {
    let disk = SmallDisk::mount("1m");
    let world = World::new().with("STATE_DIR", disk.path().to_str().unwrap());
    let then = world.postgres.pg_dump_text("nova");
    let name = world.serve().await.backup().await;
    let restore = format!("/backups/{name}/restore");
    for (round, (moment, path, survives)) in [
        ("backup:dumping:before", "/backups", false),
        ("backup:publishing:before", "/backups", false),
        ("backup:published:before", "/backups", true),
        ("restore:loading:before", &restore, false),
        ("load:loaded", &restore, false),
        ("restore:swapping:before", &restore, false),
        ("restore:swapped:before", &restore, true),
        ("restore:finished:before", &restore, true),
    ]
    .into_iter()
    .enumerate()
    {
        world.postgres.psql("nova", &format!("UPDATE users SET name = 'round {round}' WHERE id = 1"));
        let now = world.postgres.pg_dump_text("nova");
        let backups = world.files();
        let (standing, id) = Standing::at(&world, moment, path).await;
        fill_the_last_page(&disk.path().join("journal.jsonl"));
        disk.fill();
        standing.go_on();
        let operation = standing.service.finished(&id).await;
        let expect = if survives { ("succeeded", "") } else { ("failed", "insufficient_storage") };
        assert_eq!(outcome(&operation), expect, "{moment}: {operation}");
        let restored = survives && path != "/backups";
        assert!(
            world.postgres.pg_dump_text("nova") == if restored { &then } else { &now }.as_str(),
            "{moment}"
        );
        assert_nothing_left(&world, moment);
        assert_eq!(world.files().len(), backups.len() + usize::from(survives && path == "/backups"));
        standing.service.post("/backups").await.assert_problem(507, "insufficient_storage");
        disk.free();
        drop(standing);
        let service = world.serve().await;
        // That it had ended could not be written down, so it is found by the next start.
        let mut words = String::new();
        until("it to be closed", async || {
            words = service.operation(&id).await["error"]["detail"].as_str().unwrap_or_default().to_owned();
            words.contains("was cut off")
        })
        .await;
        if path != "/backups" {
            assert_eq!(words.contains("after the swap"), restored, "{moment}: {words}");
        }
        service.backup().await;
    }
}

/// A file of such a file system grows by whole pages, so that a line may fit where nothing is free.
fn fill_the_last_page(path: &std::path::Path) {
    const PAGE: u64 = 4096;
    let length = fs::metadata(path).unwrap().len();
    let room = usize::try_from(PAGE - length % PAGE).unwrap();
    let mut file = fs::File::options().append(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, format!("{}\n", "x".repeat(room - 1)).as_bytes()).unwrap();
}
