//! A service over fakes, and a client of it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    body::{BoxBody, MessageBody},
    dev::ServiceResponse,
    http::{Method, StatusCode, header::HeaderMap},
    test::{self, TestRequest},
};
use recovery_backup::BackupSettings;
use recovery_core::{OperationState, database::PostgresVersion, port::InferenceServer};
use recovery_docker::Patience;
use recovery_inference::{
    catalogue::Addresses,
    lifecycle::Timing,
    server::{BackendName, BackendSpec},
};
use recovery_reset::Categories;
use recovery_server::{
    app::{App, AppSettings, Ports},
    auth::AccessSettings,
    backends::BackendSettings,
    http::application,
    inference::InferenceSettings,
    troubleshoot::ProviderAddresses,
    web::Web,
};
use recovery_testkit::{
    FakeClock, FakeCompose, FakeDatabase, FakeEngine, FakeGateway, FakePostgresTools, FakeRunner, FakeServer,
    FakeTables, MemoryAuditLog, MemoryDirectories, MemoryDocuments, MemoryEnvFile, MemoryJournal,
    MemoryKeyValue, RecordingNotifier,
};
use serde_json::Value;
use tempfile::TempDir;
use time::macros::datetime;

pub(crate) const SECRET: &str = "the-secret-of-tests";
pub(crate) const BASE: &str = "/api/v1/recovery";

/// Everything outside, and the service.
pub(crate) struct World {
    pub(crate) database: FakeDatabase,
    pub(crate) tools: FakePostgresTools,
    pub(crate) key_value: MemoryKeyValue,
    pub(crate) tables: FakeTables,
    pub(crate) audit: MemoryAuditLog,
    pub(crate) compose: FakeCompose,
    pub(crate) engine: FakeEngine,
    pub(crate) env_file: MemoryEnvFile,
    pub(crate) notifier: RecordingNotifier,
    pub(crate) clock: FakeClock,
    pub(crate) app: Arc<App>,
    pub(crate) directory: TempDir,
    pub(crate) runner: FakeRunner,
    /// The servers of language models, by name.
    pub(crate) servers: BTreeMap<String, FakeServer>,
    pub(crate) journal: MemoryJournal,
    ports: Ports,
    settings: AppSettings,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut AppSettings)) -> Self {
        let database = FakeDatabase::new("nova");
        database.set_rows("public.notes", 3);
        let tools = FakePostgresTools::new(&database, PostgresVersion(150_018));
        let runner = FakeRunner::new();
        tools.install(&runner, "/usr/lib/postgresql/15/bin");
        let (key_value, audit) = (MemoryKeyValue::new(), MemoryAuditLog::new());
        audit.forbid(SECRET);
        let tables = FakeTables::default();
        let compose = FakeCompose::new("nova");
        let engine = FakeEngine::new();
        let env_file = MemoryEnvFile::new("LOG_LEVEL=info\n");
        let notifier = RecordingNotifier::new();
        let clock = FakeClock::new(datetime!(2026-01-31 12:00 UTC));
        let journal = MemoryJournal::new();
        let directory = tempfile::tempdir().unwrap();
        let mut settings = settings(&directory);
        change(&mut settings);
        let loads_for = Duration::from_millis(30);
        let of = |spec: &BackendSpec| match spec.name().as_str() {
            "ollama" => FakeServer::uncounted("llama3.2:3b", loads_for),
            _ => FakeServer::new("org/model", loads_for),
        };
        let backends: Vec<&BackendSpec> = settings.backends.backends.iter().collect();
        let servers: BTreeMap<String, FakeServer> =
            backends.iter().map(|spec| (spec.name().to_string(), of(spec))).collect();
        let known: Vec<(&str, &str, &FakeServer)> = backends
            .iter()
            .map(|spec| (spec.name().as_str(), spec.address(), &servers[spec.name().as_str()]))
            .collect();
        let gateway = FakeGateway::new(&key_value, &known);
        let clients = servers.iter().map(|(name, server)| {
            let client: Arc<dyn InferenceServer> = Arc::new(server.clone());
            (name.parse::<BackendName>().unwrap(), client)
        });
        let ports = Ports {
            admin: Arc::new(database.clone()),
            database: Arc::new(database.clone()),
            runner: Arc::new(runner.clone()),
            key_value: Arc::new(key_value.clone()),
            key_space: Arc::new(key_value.clone()),
            reset_database: Arc::new(tables.clone()),
            directories: Arc::new(MemoryDirectories::new()),
            inference_servers: clients.collect(),
            gateway: Arc::new(gateway),
            journal: Arc::new(journal.clone()),
            audit: Arc::new(audit.clone()),
            documents: Arc::new(MemoryDocuments::new()),
            compose: Arc::new(compose.clone()),
            engine: Arc::new(engine.clone()),
            gpu_engine: Arc::new(engine.clone()),
            web: Arc::new(Web::new()),
            env_file: Arc::new(env_file.clone()),
            notifier: Some(Arc::new(notifier.clone())),
            clock: Arc::new(clock.clone()),
        };
        let app = App::assemble(settings.clone(), ports.clone());
        Self {
            database,
            tools,
            key_value,
            tables,
            audit,
            compose,
            engine,
            env_file,
            notifier,
            clock,
            app,
            directory,
            runner,
            servers,
            journal,
            ports,
            settings,
        }
    }

    /// The same world after a restart of the service.
    pub(crate) fn restarted(self) -> Self {
        self.restarted_with(|_| {})
    }

    /// The same world after a restart of the service with other settings.
    pub(crate) fn restarted_with(self, change: impl FnOnce(&mut AppSettings)) -> Self {
        let mut settings = self.settings.clone();
        change(&mut settings);
        let app = App::assemble(settings, self.ports.clone());
        Self { app, ..self }
    }

    pub(crate) async fn send(&self, call: Call) -> Answer {
        Answer::of(self.open(call).await).await
    }

    /// Sends a call and leaves the body of the answer unread.
    pub(crate) async fn open(&self, call: Call) -> ServiceResponse<BoxBody> {
        let service = test::init_service(application(Arc::clone(&self.app))).await;
        test::call_service(&service, call.request.to_request()).await
    }

    /// Makes a backup and returns its name.
    pub(crate) async fn backup(&self) -> String {
        let answer = self.send(Call::post("backups").admin()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        self.clock.advance(Duration::from_secs(1));
        answer.json["filename"].as_str().unwrap().to_owned()
    }

    /// Waits for the end of an operation.
    pub(crate) async fn ended(&self, id: &Value) -> recovery_core::Operation {
        let id = id.as_str().unwrap().parse().unwrap();
        let wait = self.app.operations().wait(id);
        let operation = tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap().unwrap();
        assert_ne!(operation.state, OperationState::Running);
        operation
    }
}

fn settings(directory: &TempDir) -> AppSettings {
    AppSettings {
        backup: BackupSettings {
            jobs: 1,
            temporary_directory: directory.path().to_owned(),
            tool_directories: vec!["/usr/lib/postgresql/15/bin".into()],
            ..BackupSettings::new(directory.path().join("backups"))
        },
        admin_secret: SECRET.to_owned().into(),
        access: AccessSettings {
            allowed_origins: vec!["http://localhost:3000".into()],
            allowed_hosts: vec!["recovery".into()],
            trusted_proxies: vec!["172.18.0.0/16".parse().unwrap()],
            trusted_networks: vec!["10.0.0.0/8".parse().unwrap()],
        },
        sync_wait: Duration::from_secs(20),
        metrics_open: false,
        drill_interval: None,
        checkpoint_interval: None,
        env_candidates: directory.path().to_owned(),
        restart_patience: Patience {
            stable: Duration::from_millis(30),
            poll: Duration::from_millis(1),
            margin: Duration::from_millis(50),
        },
        providers: ProviderAddresses::default(),
        inference: InferenceSettings {
            hardware_file: directory.path().join("hardware.json"),
            root: directory.path().to_owned(),
            // Nobody listens there: no test reaches the world outside.
            catalogues: Addresses {
                hugging_face: "http://127.0.0.1:1".to_owned(),
                token: None,
                ollama_library: "http://127.0.0.1:1".to_owned(),
                ollama_registry: "http://127.0.0.1:1".to_owned(),
                limit: Duration::from_secs(2),
            },
            ..InferenceSettings::default()
        },
        backends: BackendSettings {
            timing: Timing {
                gateway_cache: Duration::from_millis(20),
                margin: Duration::from_millis(5),
                poll: Duration::from_millis(5),
                // Tests that let days pass are not to look every second.
                keep: Duration::from_secs(3600),
                ..Timing::default()
            },
            drain: Duration::from_secs(20),
            ..BackendSettings::default()
        },
        reset_categories: Categories::built_in().unwrap(),
        machine: "box".to_owned(),
    }
}

/// A call.
pub(crate) struct Call {
    request: TestRequest,
}

impl Call {
    /// To this path: from the root where it begins with a slash, else below the base.
    pub(crate) fn new(method: Method, path: &str) -> Self {
        let uri = if path.starts_with('/') { path.to_owned() } else { format!("{BASE}/{path}") };
        let peer: SocketAddr = "192.0.2.1:50000".parse().unwrap();
        Self { request: TestRequest::default().method(method).uri(&uri).peer_addr(peer) }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn patch(path: &str) -> Self {
        Self::new(Method::PATCH, path)
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.append_header((name, value));
        self
    }

    pub(crate) fn secret(self, secret: &str) -> Self {
        self.header("x-admin-secret", secret)
    }

    pub(crate) fn admin(self) -> Self {
        self.secret(SECRET)
    }

    pub(crate) fn from(mut self, peer: &str) -> Self {
        self.request = self.request.peer_addr(SocketAddr::new(peer.parse().unwrap(), 50000));
        self
    }

    pub(crate) fn json(self, body: &str) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    pub(crate) fn body(self, body: &str) -> Self {
        self.bytes(body.as_bytes())
    }

    pub(crate) fn bytes(mut self, body: &[u8]) -> Self {
        self.request = self.request.set_payload(body.to_vec());
        self
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    async fn of(response: ServiceResponse<BoxBody>) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        let json = serde_json::from_str(&text).unwrap_or_default();
        let answer = Self { status, headers, text, json };
        if StatusCode::from_u16(status).unwrap().is_client_error() || status == 500 {
            answer.assert_problem();
        }
        for secret in [SECRET, FakeDatabase::PASSWORD] {
            assert!(!answer.text.contains(secret), "an answer holds a secret: {}", answer.text);
        }
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// Every error has the form of RFC 9457 and an id that finds it in the log.
    pub(crate) fn assert_problem(&self) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.json["status"], self.status);
        for member in ["type", "title", "detail", "code"] {
            assert!(self.json[member].is_string(), "{member}: {}", self.text);
        }
        assert!(self.header("x-request-id").is_some());
    }
}

/// The next piece of a body that does not end.
pub(crate) async fn next_piece(body: &mut BoxBody) -> String {
    let piece = std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_next(context));
    let piece = tokio::time::timeout(Duration::from_secs(20), piece).await.unwrap();
    String::from_utf8(piece.unwrap().unwrap().to_vec()).unwrap()
}
