//! An installation to reset: every table of the categories and more, keys in nine numbered databases, directories and
//! backups; and complete listings of all that.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::reset_oracle::sort;
use crate::service::{Answer, DATABASE, Service, World};

const SHAPE: &str = "shape";
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A row of a table, column by column.
pub(crate) type Row = serde_json::Map<String, Value>;

/// The installation.
pub(crate) struct ResetWorld {
    pub(crate) world: World,
    /// The file of the categories, as JSON.
    pub(crate) categories: Value,
    /// Backups that are put back before each case.
    archives: BTreeMap<String, Vec<u8>>,
}

/// Everything that an installation holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listing {
    /// Rows by table, in an order of their own.
    pub(crate) tables: BTreeMap<String, Vec<Row>>,
    /// By numbered database and key: what `DUMP` says, and when it expires.
    pub(crate) keys: BTreeMap<(u8, String), (Vec<u8>, String)>,
    /// By path: what a file holds, where a link leads.
    pub(crate) files: BTreeMap<PathBuf, Vec<u8>>,
    /// The backups by name.
    pub(crate) backups: BTreeMap<String, u64>,
}

impl ResetWorld {
    pub(crate) async fn new() -> Self {
        let world = World::new();
        let text = |path: &str| fs::read_to_string(format!("{ROOT}/{path}")).unwrap();
        let data = world.directory.path().join("data");
        let categories = text("data/reset_categories.json").replace("/app/data", data.to_str().unwrap());
        let file = world.directory.path().join("categories.json");
        fs::write(&file, &categories).unwrap();
        let world = world.with("RESET_CATEGORIES_FILE", file.to_str().unwrap());
        world.postgres.psql("postgres", &format!("CREATE DATABASE {SHAPE}"));
        let sql =
            ["data/sample/schema.sql", "data/sample/data.sql", "tests/e2e/reset.sql"].map(text).join("\n");
        world.postgres.psql(SHAPE, &format!("\\set scale 0\n{sql}"));
        let mut own =
            Self { world, categories: serde_json::from_str(&categories).unwrap(), archives: BTreeMap::new() };
        own.rebuild();
        {
            let service = own.world.serve().await;
            for _ in 0..2 {
                service.backup().await;
            }
        }
        let read = |name: String| {
            let bytes = fs::read(own.world.backups().join(&name)).unwrap();
            (name, bytes)
        };
        own.archives = own.world.files().into_iter().map(read).collect();
        own
    }

    /// Puts everything back to how it was at first.
    pub(crate) fn rebuild(&self) {
        self.world.postgres.psql(
            "postgres",
            &format!("DROP DATABASE {DATABASE} WITH (FORCE); CREATE DATABASE {DATABASE} TEMPLATE {SHAPE}"),
        );
        self.fill_redis();
        self.fill_directories();
        for name in self.world.files() {
            if !self.archives.contains_key(&name) {
                fs::remove_file(self.world.backups().join(name)).unwrap();
            }
        }
        for (name, bytes) in &self.archives {
            let path = self.world.backups().join(name);
            if !path.exists() {
                fs::write(path, bytes).unwrap();
            }
        }
    }

    fn fill_redis(&self) {
        let mut redis = Redis::connect(self);
        redis.ask(0, &["FLUSHALL"]);
        let strings = [
            (0, "nova:embed:1"),
            (0, "engram:ingestion:queue:old"),
            (0, "memory:session:1"),
            (1, "nova:config:llm.routing"),
            (1, "nova:cache:embed:1"),
            (1, "nova:ratelimit:1"),
            (1, "nova:lock"),
            (2, "nova:state:chat_scorer_cursor"),
            (2, "nova:agent:7:tasks"),
            (2, "nova:config:x"),
            (2, "nova:agents"),
            (3, "chat:session:1"),
            (4, "bridge:telegram:1"),
            (5, "nova:state:drive"),
            (5, "nova:config:x"),
            (5, "nova:other"),
            (6, "feed:1"),
            (6, "nova:config:x"),
            (6, "neural_router:last_trained_count:t1"),
            (7, "nova:system:of-tests"),
            (7, "nova:state:mine"),
            (8, "crawl:1"),
            (8, "nova:config:x"),
        ];
        for (database, key) in strings {
            redis.ask(database, &["SET", key, &format!("value of {key}")]);
        }
        redis.ask(0, &["RPUSH", "engram:ingestion:queue", "a", "b"]);
        redis.ask(0, &["RPUSH", "memory:ingestion:queue", "c"]);
        redis.ask(1, &["HSET", "nova:model_catalog:all", "field", "value"]);
        redis.ask(2, &["SADD", "nova:state:scored_conversations:1", "x"]);
        redis.ask(2, &["ZADD", "nova:queue:dead_letter", "1", "job"]);
        // 2100: an instant and no span, so that it is the same at every rebuild.
        redis.ask(6, &["SET", "feed:expires", "later", "PXAT", "4102444800000"]);
        redis.ask(1, &["SET", "nova:config:expires", "later", "PXAT", "4102444800000"]);
        for number in 0..1500 {
            redis.ask(8, &["SET", &format!("page:{number}"), "x"]);
        }
    }

    fn fill_directories(&self) {
        let data = self.data();
        if data.exists() {
            fs::remove_dir_all(&data).unwrap();
        }
        for (path, content) in [
            ("sources/a.txt", "a"),
            ("sources/deep/b.txt", "b"),
            ("sources/deep/.hidden", "h"),
            ("friction-screenshots/1.png", "png"),
            ("friction-screenshots/2.png", "png2"),
            ("elsewhere/keep.txt", "kept"),
        ] {
            let path = data.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::create_dir(data.join("sources/empty")).unwrap();
        symlink(data.join("elsewhere"), data.join("sources/link")).unwrap();
        symlink(data.join("elsewhere/keep.txt"), data.join("friction-screenshots/link.png")).unwrap();
    }

    /// Where the directories are.
    pub(crate) fn data(&self) -> PathBuf {
        self.world.directory.path().join("data")
    }

    pub(crate) fn keys(&self) -> Vec<&str> {
        let categories = self.categories["categories"].as_array().unwrap();
        categories.iter().map(|category| category["key"].as_str().unwrap()).collect()
    }

    /// The category of this key, as it stands in the file.
    pub(crate) fn category(&self, key: &str) -> &Value {
        let categories = self.categories["categories"].as_array().unwrap();
        categories.iter().find(|category| category["key"] == key).unwrap()
    }

    /// The categories that are kept by default.
    pub(crate) fn defaults(&self) -> Vec<&str> {
        self.keys().into_iter().filter(|key| self.category(key)["default_keep"] == true).collect()
    }

    /// All categories but these.
    pub(crate) fn all_but(&self, keys: &[&str]) -> Vec<&str> {
        self.keys().into_iter().filter(|key| !keys.contains(key)).collect()
    }

    /// Everything that there is.
    pub(crate) fn listing(&self) -> Listing {
        let mut files = BTreeMap::new();
        list(&self.data(), &mut files);
        let backups = self.world.files().into_iter().map(|name| {
            let size = fs::metadata(self.world.backups().join(&name)).unwrap().len();
            (name, size)
        });
        Listing { tables: self.tables(), keys: self.redis_keys(), files, backups: backups.collect() }
    }

    pub(crate) fn tables(&self) -> BTreeMap<String, Vec<Row>> {
        let postgres = &self.world.postgres;
        let query = postgres.psql(
            DATABASE,
            // What is long is told by its hash.
            "SELECT string_agg(format(
                 'SELECT %L, coalesce(jsonb_agg((
                      SELECT jsonb_object_agg(key, CASE WHEN length(value::text) > 100 THEN to_jsonb(md5(value::text))
                                                        ELSE value END)
                      FROM jsonb_each(to_jsonb(t)))), ''[]'') FROM %s t', name, name), ' UNION ALL ')
             FROM (SELECT oid::regclass::text AS name FROM pg_class
                   WHERE relkind IN ('r', 'p') AND NOT relispartition
                     AND relnamespace::regnamespace::text IN ('public', 'plugins')) tables",
        );
        let rows = postgres.psql(DATABASE, query.trim());
        let table = |line: &str| {
            let (name, rows) = line.split_once('|').unwrap();
            let mut rows: Vec<Row> = serde_json::from_str(rows).unwrap();
            sort(&mut rows);
            (name.to_owned(), rows)
        };
        rows.lines().map(table).collect()
    }

    fn redis_keys(&self) -> BTreeMap<(u8, String), (Vec<u8>, String)> {
        let mut redis = Redis::connect(self);
        let mut keys = BTreeMap::new();
        for database in 0..16 {
            // What the service writes by itself, about this machine and its language models, comes and goes.
            let others = |key: &String| {
                !key.starts_with("nova:config:inference.")
                    && (database != 7 || key.ends_with(":of-tests") || key.ends_with(":mine"))
            };
            for key in redis.list(database).into_iter().filter(others) {
                let dump = redis.ask(database, &["DUMP", &key]);
                let expires = redis.ask(database, &["PEXPIRETIME", &key]);
                keys.insert((database, key), (dump, String::from_utf8(expires).unwrap()));
            }
        }
        keys
    }

    /// Asks for a reset.
    pub(crate) async fn reset(&self, service: &Service, body: Value) -> Answer {
        service.send(service.admin(Method::POST, "/factory-reset").json(&body)).await
    }

    /// Asks what a reset would do.
    pub(crate) async fn preview(&self, service: &Service, keep: &[&str]) -> Value {
        let body = json!({ "keep": keep, "exact": true });
        let request = service.admin(Method::POST, "/factory-reset/preview").json(&body);
        service.send(request).await.assert_ok()
    }
}

fn list(directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_symlink() {
            let leads_to = fs::read_link(&path).unwrap();
            files.insert(path, leads_to.to_str().unwrap().as_bytes().to_vec());
        } else if kind.is_dir() {
            files.insert(path.clone(), b"a directory".to_vec());
            list(&path, files);
        } else {
            let content = fs::read(&path).unwrap();
            files.insert(path, content);
        }
    }
}

/// A connection to Redis, with as much of its protocol as listing takes.
struct Redis {
    stream: BufReader<TcpStream>,
    database: Option<u8>,
}

impl Redis {
    fn connect(own: &ResetWorld) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", own.world.redis.port())).unwrap();
        Self { stream: BufReader::new(stream), database: None }
    }

    /// Sends a command and returns its simple answer: the bytes of a text or number.
    fn ask(&mut self, database: u8, words: &[&str]) -> Vec<u8> {
        let mut answers = self.answers(database, words);
        answers.pop().unwrap_or_default()
    }

    fn list(&mut self, database: u8) -> Vec<String> {
        let names = self.answers(database, &["KEYS", "*"]);
        names.into_iter().map(|name| String::from_utf8(name).unwrap()).collect()
    }

    fn answers(&mut self, database: u8, words: &[&str]) -> Vec<Vec<u8>> {
        if self.database != Some(database) {
            self.send(&["SELECT", &database.to_string()]);
            self.read();
            self.database = Some(database);
        }
        self.send(words);
        self.read()
    }

    fn send(&mut self, words: &[&str]) {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn read(&mut self) -> Vec<Vec<u8>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "+" | ":" => vec![rest.as_bytes().to_vec()],
            "$" => {
                let length: usize = rest.parse().unwrap();
                let mut bytes = vec![0; length + 2];
                self.stream.read_exact(&mut bytes).unwrap();
                bytes.truncate(length);
                vec![bytes]
            }
            "*" => (0..rest.parse::<usize>().unwrap()).flat_map(|_| self.read()).collect(),
            _ => panic!("Redis says {line}"),
        }
    }
}
