//! Every fake passes the suite of its port.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use recovery_core::{
    compose::{ComposeDependency, ComposeService, DependencyCondition, ServiceStanding},
    container::{ContainerState, Health, RestartPolicy},
    database::DatabaseName,
    keys::KeySelection,
    port::{
        Command, CommandOutput, Compose, ContainerEngine, DataDirectories, DatabaseAdmin, DirectoryError,
        DirectorySize, EnvFile, ExecOutput, Exit, KeySpace, KeyValue, KeyValueError, NotifyError,
        ProtectedDatabase, ScanPosition, WebClient,
    },
};
use recovery_testkit::{
    DirectoryNode, EngineContainer, FakeCompose, FakeContents, FakeDatabase, FakeEngine, FakeGateway,
    FakeProgram, FakeRunner, FakeServer, FakeSession, FakeWeb, Fate, KeySpacePoint, MemoryAuditLog,
    MemoryDirectories, MemoryDocuments, MemoryEnvFile, MemoryJournal, MemoryKeyValue, NotifyPoint,
    RecordingNotifier, TakenRequest, WebManners,
    contract::{
        self, CommandCases, ComposeFixture, DatabaseFixture, DirectoryFixture, EngineDeed, EngineFixture,
        OtherSession, WebFixture,
    },
    exits,
};
use serde_json::Value;

#[tokio::test]
async fn key_value() {
    let store = MemoryKeyValue::new();
    contract::key_value(&store).await;
    let refused = store.get(16, "key").await;
    assert!(matches!(refused, Err(KeyValueError::Refused { .. })), "stricter than the port: {refused:?}");
    store.away();
    contract::key_value_away(&store).await;
    store.back();
    contract::key_value(&store).await;
}

struct Directories(MemoryDirectories);

impl DirectoryFixture for Directories {
    fn directories(&self) -> &dyn DataDirectories {
        &self.0
    }

    fn place(&self) -> PathBuf {
        "/app".into()
    }

    fn make_directory(&self, path: &Path) {
        self.0.put_directory(path);
    }

    fn make_file(&self, path: &Path, content: &str) {
        self.0.put_file(path, content);
    }

    fn make_link(&self, path: &Path, _: &Path) {
        self.0.put(path, DirectoryNode::Link);
    }

    fn listing(&self, path: &Path) -> BTreeSet<PathBuf> {
        self.0.contents().into_keys().filter(|entry| entry.starts_with(path)).collect()
    }
}

#[tokio::test]
async fn data_directories() {
    let directories = MemoryDirectories::new();
    contract::data_directories(&Directories(directories.clone())).await;

    // What a real file system shows in tests of its own.
    let path = Path::new("/volume");
    directories.put_file("/volume/in/mounted/kept", "kept");
    directories.put("/volume/in/mounted", DirectoryNode::MountPoint);
    directories.put_file("/volume/in/gone", "12");
    let size = DirectorySize { files: 1, bytes: 2 };
    assert_eq!(directories.measure(path).await.unwrap(), size);
    assert_eq!(directories.empty(path, &|_| ()).await.unwrap().removed, size);
    assert!(directories.contents().contains_key(Path::new("/volume/in/mounted/kept")));
    directories.put_file("/volume/locked/file", "");
    directories.put("/volume/locked", DirectoryNode::Directory { read_only: true });
    let refused = directories.measure(path).await;
    assert!(matches!(refused, Err(DirectoryError::ReadOnly { .. })), "{refused:?}");
    assert_eq!(directories.empty(path, &|_| ()).await.unwrap().left, 1);
}

#[tokio::test]
async fn key_space() {
    let store = MemoryKeyValue::new();
    contract::key_space(&store).await;
    assert_eq!(store.contents().len(), 0);
    store.away();
    contract::key_space_away(&store).await;
    store.back();
    store.faults().fail_next(KeySpacePoint::Scan, || KeyValueError::Unavailable { source: "reset".into() });
    store.scan(&KeySelection::everything(0), ScanPosition::default()).await.unwrap_err();
    store.faults().assert_spent();
    contract::key_space(&store).await;
}

#[tokio::test]
async fn inference_server() {
    for server in [FakeServer::new("m", Duration::ZERO), FakeServer::uncounted("m", Duration::ZERO)] {
        server.hangs_for(Duration::from_millis(10));
        contract::inference_server(&server, &server).await;
    }
}

#[tokio::test]
async fn puller() {
    let server = FakeServer::uncounted("m", Duration::ZERO);
    server.start();
    contract::puller(&server, &server).await;
}

#[tokio::test]
async fn gateway() {
    let server = FakeServer::new("m", Duration::ZERO);
    server.start();
    let store = MemoryKeyValue::new();
    store.put(1, "nova:config:inference.backend", "\"vllm\"");
    store.put(1, "nova:config:inference.state", "ready");
    let gateway = FakeGateway::new(&store, &[("vllm", "http://nova-vllm:8000", &server)]);
    contract::gateway(&gateway, &gateway).await;
}

#[tokio::test]
async fn notifier() {
    let notifier = RecordingNotifier::new();
    let texts = || notifier.taken().into_iter().map(|notice| notice.text).collect();
    contract::notifier(&notifier, texts).await;
    notifier
        .faults()
        .fail_next(NotifyPoint::Deliver, || NotifyError::Unavailable { why: "connection refused".into() });
    contract::notifier_away(&notifier).await;
    notifier.faults().assert_spent();
}

#[tokio::test]
async fn env_file() {
    let file = MemoryEnvFile::new("");
    contract::env_file(&file, |bytes| file.put(bytes)).await;
    let version = file.read().await.unwrap().version;
    contract::env_file_missing(&MemoryEnvFile::missing(), &version).await;
}

#[tokio::test]
async fn documents() {
    let store = MemoryDocuments::new();
    contract::documents(async || store.clone()).await;
}

#[tokio::test]
async fn journal() {
    let journal = MemoryJournal::new();
    contract::journal(async || journal.clone()).await;
}

#[tokio::test]
async fn audit_log() {
    let log = MemoryAuditLog::new();
    contract::audit_log(async || log.clone()).await;
}

struct Project(FakeCompose);

#[async_trait]
impl ComposeFixture for Project {
    fn compose(&self) -> Arc<dyn Compose> {
        self.0.elsewhere(false);
        Arc::new(self.0.clone())
    }

    fn elsewhere(&self) -> Arc<dyn Compose> {
        self.0.elsewhere(true);
        Arc::new(self.0.clone())
    }

    async fn container(&self, service: &str) -> Option<(String, ServiceStanding)> {
        self.0.container(service).map(|container| (container.id.to_string(), container.standing))
    }
}

#[tokio::test]
async fn compose() {
    let fake = FakeCompose::new("nova");
    let service =
        |profiles: &[&str], needs: Option<(&str, DependencyCondition)>, image: &str| ComposeService {
            profiles: profiles.iter().map(|profile| profile.parse().unwrap()).collect(),
            image: Some(image.to_owned()),
            built: false,
            depends_on: needs
                .into_iter()
                .map(|(service, condition)| ComposeDependency {
                    service: service.parse().unwrap(),
                    condition,
                    required: true,
                })
                .collect(),
        };
    let (started, healthy) = (DependencyCondition::Started, DependencyCondition::Healthy);
    fake.define("base", service(&[], None, "there"));
    fake.define("tool", service(&["tools"], Some(("base", started)), "there"));
    fake.define("helper", service(&["tools", "more"], Some(("tool", started)), "there"));
    fake.define("needy", service(&["needs"], Some(("gone", healthy)), "there"));
    fake.define("gone", service(&["never"], None, "there"));
    fake.define("imageless", service(&["nowhere"], None, "nowhere"));
    fake.no_image("nowhere");
    fake.demand("DEMANDED");
    fake.put("base", ServiceStanding::Running);
    contract::compose(&Project(fake)).await;
}

struct Endless;

#[async_trait]
impl FakeProgram for Endless {
    async fn run(&self, _: &Command) -> CommandOutput {
        std::future::pending().await
    }
}

#[tokio::test]
async fn command_runner() {
    let runner = FakeRunner::new();
    let printed = |stdout: &[u8], stderr: &str| CommandOutput { stdout: stdout.to_vec(), ..exits(0, stderr) };
    runner.install("succeeds", move |_: &Command| printed(b"out\n", "err\n"));
    runner.install("fails", |_: &Command| exits(3, "failed: it broke\n"));
    runner.install("killed", |_: &Command| CommandOutput { exit: Exit::Signal(9), ..exits(0, "") });
    runner.install("prints", move |_: &Command| printed(&[0; 1000], ""));
    runner.install("/usr/bin/endless", Endless);
    let cases = CommandCases {
        succeeds: Command::new("/usr/bin/succeeds"),
        fails: Command::new("fails"),
        killed: Command::new("killed"),
        prints: Command::new("prints"),
        endless: Command::new("/usr/bin/endless"),
        missing: Command::new("/usr/local/bin/endless"),
    };
    contract::command_runner(&runner, cases).await;
}

struct Fixture(FakeDatabase);

struct Session(FakeSession);

#[async_trait]
impl OtherSession for Session {
    async fn is_alive(&self) -> bool {
        self.0.is_alive()
    }
}

#[async_trait]
impl DatabaseFixture for Fixture {
    fn admin(&self) -> &dyn DatabaseAdmin {
        &self.0
    }

    fn protected(&self) -> &dyn ProtectedDatabase {
        &self.0
    }

    fn another_instance(&self) -> Box<dyn DatabaseAdmin> {
        Box::new(self.0.clone())
    }

    async fn set_rows(&self, database: &DatabaseName, table: &str, rows: u64) {
        self.0.change(database, |entry| entry.contents.tables.insert(format!("public.{table}"), rows));
    }

    async fn set_platform_config(&self, key: &str, value: &Value) {
        self.0.set_platform_config(key, value.clone());
    }

    async fn close_to_sessions(&self, database: &DatabaseName) {
        self.0.change(database, |entry| entry.accepts_sessions = false);
    }

    async fn cut_off_a_drop(&self, database: &DatabaseName) {
        self.0.change(database, |entry| entry.is_invalid = true);
    }

    fn scripts(&self, directory: &Path, table: &str, rows: u64) -> [PathBuf; 2] {
        let tables = [(format!("public.{table}"), rows)].into();
        let contents = FakeContents { tables, ..FakeContents::default() };
        let paths = ["definitions", "rows"].map(|name| directory.join(name));
        std::fs::write(&paths[0], "").unwrap();
        std::fs::write(&paths[1], serde_json::to_vec(&contents).unwrap()).unwrap();
        paths
    }

    async fn connect(&self, database: &DatabaseName, application_name: &str) -> Box<dyn OtherSession> {
        Box::new(Session(self.0.connect(database, application_name).unwrap()))
    }
}

#[tokio::test]
async fn protected_database() {
    contract::protected_database(&Fixture(FakeDatabase::new("nova"))).await;
}

#[tokio::test]
async fn database_admin() {
    contract::database_admin(&Fixture(FakeDatabase::new("Größe mit Leerzeichen"))).await;
}

#[tokio::test]
async fn database_unconfigured() {
    let fake = FakeDatabase::unconfigured();
    contract::database_unconfigured(&fake, &fake).await;
}

struct Engine(FakeEngine);

#[async_trait]
impl EngineFixture for Engine {
    fn engine(&self) -> Arc<dyn ContainerEngine> {
        Arc::new(self.0.another_client())
    }

    async fn deed(&self, service: &str, deed: EngineDeed) {
        let id = self.0.look_for(service);
        let state = |state| self.0.alter(&id, |container| container.state = state);
        match deed {
            EngineDeed::Kill => self.0.end(&id, 137),
            EngineDeed::Pause => state(ContainerState::Paused),
            EngineDeed::Unpause => state(ContainerState::Running),
            EngineDeed::Remove => self.0.remove(&id),
        }
    }
}

/// A container of the service that the contract speaks to.
fn talker() -> EngineContainer {
    let container = EngineContainer::of("talker").printed(["out 1", "out 2", "out 3"]).complained(["err 1"]);
    container.program(|exec| {
        let printed = |exit_code, stdout: &str, stderr: &str| ExecOutput {
            exit_code,
            stdout: stdout.as_bytes().to_vec(),
            stderr: stderr.as_bytes().to_vec(),
            truncated: false,
        };
        match exec.command.first().map(String::as_str) {
            Some("sh") => printed(3, "out\n", "err\n"),
            Some("seq") => {
                printed(0, &(1..=1000).map(|number| format!("{number}\n")).collect::<String>(), "")
            }
            other => panic!("{other:?}"),
        }
    })
}

#[tokio::test]
async fn container_engine() {
    let engine = FakeEngine::new();
    let talker_id = engine.add(talker());
    engine.add(EngineContainer::replica("talker", 2).with(|container| container.compose.one_off = true));
    let terminal = EngineContainer::of("terminal").printed(["one", "two"]);
    engine.add(terminal.with(|container| container.terminal = true));
    engine.add(EngineContainer::of("asks").depends_on("talker", true));
    engine.add(EngineContainer::of("lodger").with(|container| container.network_of = Some(talker_id)));
    engine.add(EngineContainer::of("well").health(Health::Starting));
    engine.add(EngineContainer::of("sick").health(Health::Starting).fate(Fate::Unhealthy));
    engine.add(EngineContainer::of("twice"));
    engine.add(EngineContainer::replica("twice", 2));
    let job = EngineContainer::of("job").state(ContainerState::Exited).fate(Fate::Ends(3));
    engine.add(job.with(|container| {
        container.restart_policy = RestartPolicy::No;
        container.exit_code = Some(3);
    }));
    contract::container_engine(&Engine(engine.clone())).await;
    engine.away();
    contract::container_engine_away(&engine.another_client()).await;
}

#[tokio::test]
async fn gpu_engine() {
    let engine = FakeEngine::new();
    engine.has_image("debian");
    let leave = async |of_a_crash| engine.leaves_probe(of_a_crash);
    contract::gpu_engine(&engine, "debian", async || engine.left_probes(), leave).await;
}

#[derive(Default)]
struct Outside {
    web: FakeWeb,
    sites: std::sync::atomic::AtomicUsize,
}

impl WebFixture for Outside {
    fn client(&self) -> &dyn WebClient {
        &self.web
    }

    fn site(&self, manners: WebManners) -> String {
        let number = self.sites.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let address = format!("http://site-{number}.example");
        self.web.put_shared(&address, manners);
        address
    }

    fn taken(&self, address: &str) -> Vec<TakenRequest> {
        self.web.taken(address)
    }

    fn nowhere(&self) -> String {
        "http://nowhere.example".to_owned()
    }
}

#[tokio::test]
async fn web_client() {
    contract::web_client(&Outside::default()).await;
}
