use std::{collections::BTreeMap, ffi::OsString, time::Duration};

use secrecy::ExposeSecret;

use recovery_inference::lifecycle::Timing;

use super::{table::About, *};

const FILE: &str = "NOVA_RECOVERY_CONFIG";

fn load(variables: &[(&str, &str)]) -> Result<Loaded, InvalidSettings> {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    Settings::from_lookup(|name| variables.get(name).map(OsString::from))
}

fn settings(variables: &[(&str, &str)]) -> Settings {
    load(variables).unwrap().settings
}

fn errors(variables: &[(&str, &str)]) -> String {
    load(variables).unwrap_err().to_string()
}

fn with_file(toml: &str, variables: &[(&str, &str)]) -> Result<Loaded, InvalidSettings> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), toml).unwrap();
    let mut variables = variables.to_vec();
    variables.push((FILE, file.path().to_str().unwrap()));
    load(&variables)
}

fn shown(loaded: &Loaded, name: &str) -> (Option<String>, Source) {
    let setting = loaded.effective.iter().find(|setting| setting.name == name).unwrap();
    (setting.value.clone(), setting.source)
}

#[test]
fn without_any_variable_the_defaults_hold() {
    let settings = settings(&[]);
    assert!(matches!(settings.database, DatabaseSetting::Unset));
    assert!(settings.admin_secret.is_none());
    assert_eq!(settings.backup_dir.to_str(), Some("/backups"));
    assert_eq!(settings.state_dir.to_str(), Some("/backups/.state"));
    assert_eq!((settings.bind_address.to_string().as_str(), settings.port), ("127.0.0.1", 8888));
    assert_eq!(settings.redis_url.expose_secret(), "redis://redis:6379/7");
    assert_eq!(settings.checkpoint_interval, Some(Duration::from_secs(6 * 3600)));
    assert_eq!((settings.retention.checkpoints, settings.retention.safety), (5, 5));
    assert_eq!(settings.retention.manual, Some(Duration::from_secs(30 * 24 * 3600)));
    assert!(settings.notify.is_none());
    assert_eq!(settings.keep_replaced, Duration::from_secs(72 * 3600));
    assert_eq!(settings.cors_allowed_origins, ["http://localhost:3000", "http://localhost:5173"]);
    assert_eq!(settings.sync_wait, Duration::from_secs(50));
    assert!(settings.trusted_proxies.is_empty() && settings.trusted_networks.is_empty());
    assert!(!settings.metrics_open);
    assert!((1..=8).contains(&settings.backup_jobs));
    assert!(!settings.tool_directories.is_empty());
}

#[test]
fn every_variable_of_the_table_is_read_and_reported() {
    let loaded = load(&[]).unwrap();
    let reported: Vec<_> = loaded.effective.iter().map(|setting| setting.name).collect();
    let table: Vec<_> = table::ALL.iter().map(|about| about.name).collect();
    assert_eq!(reported, table);
}

#[test]
fn the_empty_string_counts_as_unset() {
    let variables: Vec<_> = table::ALL.iter().map(|about| (about.name, "")).collect();
    let settings = settings(&variables);
    assert_eq!(settings.port, 8888);
    assert!(settings.admin_secret.is_none());
}

#[test]
fn the_example_of_every_variable_is_accepted() {
    // They name files that are read, and that are not there.
    let files = [FILE, "RESET_CATEGORIES_FILE", "RECOMMENDED_MODELS_FILE"];
    let ones = |about: &&&About| !about.example.contains(' ') && !files.contains(&about.name);
    for about in table::ALL.iter().filter(ones) {
        load(&[(about.name, about.example)]).unwrap();
    }
}

#[test]
fn bad_values_name_the_variable_and_what_is_expected() {
    let check = |name: &str, value: &str, expect: &str| {
        let error = errors(&[(name, value)]);
        assert!(
            error.starts_with(&format!("{name}: ")) && error.contains(expect) && error.contains("(example: "),
            "{name}={value}: {error}"
        );
    };
    check("PORT", "http", "`http` is no port");
    check("PORT", "65536", "0 to 65535");
    check("BIND_ADDRESS", "localhost", "is no IP address");
    check("BACKUP_DIR", "backups", "no absolute path");
    check("STATE_DIR", "./state", "no absolute path");
    check("PG_BIN_DIR", "/usr/bin:bin", "`bin` is no absolute path");
    check("REDIS_URL", "redis:6379", "names no host");
    check("REDIS_URL", "http://redis", "does not begin with redis://");
    check("REDIS_URL", "rediss://redis", "TLS to Redis is not supported");
    check("REDIS_URL", "redis://redis/db", "no database number");
    for bad in ["-1", "-0.5", "NaN", "inf", "1e9", "0.0001", "six", "6h", "6,5"] {
        check("CHECKPOINT_INTERVAL_HOURS", bad, "neither 0 (off) nor a number from 0.0005 to 8760");
    }
    for bad in ["0", "-1", "2.5", "NaN", "99999999999999999999", "all"] {
        check("CHECKPOINT_MAX_KEEP", bad, "is no whole number from 1 to 10000");
        check("SAFETY_MAX_KEEP", bad, "is no whole number from 1 to 10000");
    }
    for bad in ["-1", "0.5", "NaN", "40000", "30d", "never"] {
        check("BACKUP_RETAIN_DAYS", bad, "neither 0 (for ever) nor a whole number of days up to 36500");
    }
    check("NOTIFY_URL", "hooks.example.org", "no address of the form http://");
    check("NOTIFY_URL", "ftp://hooks.example.org/x", "no address of the form http://");
    check("KEEP_REPLACED_HOURS", "-1", "is no number from 0");
    check("KEEP_REPLACED_HOURS", "inf", "is no number from 0");
    check("SYNC_WAIT_SECS", "NaN", "is no number from 0 to 3600");
    check("CORS_ALLOWED_ORIGINS", "*", "let every web page in");
    check("CORS_ALLOWED_ORIGINS", "https://*.nova.example", "let every web page in");
    check("CORS_ALLOWED_ORIGINS", "localhost:3000", "is no origin");
    check("CORS_ALLOWED_ORIGINS", "http://localhost:3000/app", "is no origin");
    check("ALLOWED_HOSTS", "nova.lan:8888", "is no host name");
    check("TRUSTED_PROXIES", "172.18.0.0/33", "neither an IP address nor a network");
    check("TRUSTED_NETWORK_CIDRS", "lan", "neither an IP address nor a network");
    check("METRICS_OPEN", "maybe", "neither true nor false");
    check("LOG_LEVEL", "loud", "expected off, error");
    check("LOG_FORMAT", "xml", "expected text or json");
    check("BACKUP_JOBS", "0", "1 to 64");
    check("BACKUP_COMPRESSION", "lz4", "expected auto, none");
    check("BACKUP_INCLUDE", "/app/data", "is no name and path");
    check("BACKUP_INCLUDE", "Sources=/app/data", "`Sources` is no name: expected 1 to 32 of a-z");
    check("BACKUP_INCLUDE", "=/app/data", "is no name");
    check("BACKUP_INCLUDE", "sources=data", "`data` is no absolute path");
    check("BACKUP_INCLUDE", "sources=/app/../etc", "no absolute path without `..`");
    check("BACKUP_INCLUDE", "sources=", "is no absolute path");
    check("BACKUP_INCLUDE", "all=/", "cannot be included");
    check("BACKUP_INCLUDE", "a=/x,a=/y", "the name `a` stands there twice");
    check("BACKUP_INCLUDE", "a=/x,b=/x", "are inside one another");
    check("BACKUP_INCLUDE", "a=/x/y,b=/x", "are inside one another");
    check("BACKUP_INCLUDE", "a=/backups", "and BACKUP_DIR (`/backups`) are inside one another");
    check("BACKUP_INCLUDE", "a=/backups/files", "are inside one another");
    check("RESET_CATEGORIES_FILE", "/does/not/exist.json", "`/does/not/exist.json` cannot be read");
    check("RESET_CATEGORIES_FILE", "/dev/null", "cannot be used");
    check("RECOMMENDED_MODELS_FILE", "/does/not/exist.json", "`/does/not/exist.json` cannot be read");
    check("RECOMMENDED_MODELS_FILE", "/dev/null", "cannot be used");
    check("HF_ENDPOINT", "huggingface.co", "is no address");
    check("HF_ENDPOINT", "https://me:pw@huggingface.co", "is no address");
    check("OLLAMA_LIBRARY_URL", "ftp://ollama.com", "is no address");
    check("OLLAMA_REGISTRY_URL", "https://", "is no address");
    check("HF_TOKEN", "two words", "no token has");
    check("HARDWARE_FILE", "hardware.json", "no absolute path");
    check("GPU_TOOL_DIRS", "/usr/bin:bin", "`bin` is no absolute path");
}

#[test]
fn servers_of_language_models_are_changed_and_added() {
    let built_in = settings(&[]).backends;
    assert_eq!(built_in.backends.iter().count(), 3);
    assert_eq!((built_in.drain, built_in.timing), (Duration::from_secs(300), Timing::default()));
    let text = r#"{"llamacpp": {"address": "http://llamacpp:8080", "in_flight": {"metrics":
        {"path": "/metrics", "counters": ["llamacpp:requests_processing"]}}}, "ollama": {"address": "http://gpu:1"}}"#;
    let own = settings(&[
        ("INFERENCE_BACKENDS", text),
        ("GATEWAY_CONFIG_TTL_SECS", "0.5"),
        ("INFERENCE_MONITOR_SECS", "0.2"),
    ])
    .backends;
    let addresses: Vec<_> =
        own.backends.iter().map(|spec| (spec.profile().as_str(), spec.address())).collect();
    assert_eq!(
        addresses,
        [
            ("local-llamacpp", "http://llamacpp:8080"),
            ("local-ollama", "http://gpu:1"),
            ("local-sglang", "http://nova-sglang:8000"),
            ("local-vllm", "http://nova-vllm:8000"),
        ]
    );
    assert_eq!((own.timing.settled(), own.timing.monitor.as_millis()), (Duration::from_millis(600), 200));
    let check = |name: &str, value: &str, expect: &str| {
        let error = errors(&[(name, value)]);
        assert!(error.contains(name) && error.contains(expect), "{value}: {error}");
    };
    check("INFERENCE_BACKENDS", "ollama", "is no JSON of the expected form");
    check("INFERENCE_BACKENDS", r#"{"ollama": {"adress": "http://gpu"}}"#, "unknown field `adress`");
    check("INFERENCE_BACKENDS", r#"{"none": {}}"#, "not the name of a backend");
    check("INFERENCE_BACKENDS", r#"{"tgi": {}}"#, "the backend tgi cannot be used: address is missing");
    check("INFERENCE_DRAIN_SECS", "-1", "no whole number from 0 to 86400");
    check("INFERENCE_MONITOR_SECS", "0", "no number from 0.1 to 3600");
    check("LLM_GATEWAY_URL", "llm-gateway", "is no address");
}

#[test]
fn included_directories_are_apart_from_what_the_service_keeps() {
    let include =
        settings(&[("BACKUP_INCLUDE", " sources=/app/data/sources/ , my_2-nd=/srv/a=b ")]).backup_include;
    let read: Vec<_> = include.iter().map(|one| (one.name.as_str(), one.path.to_str().unwrap())).collect();
    assert_eq!(read, [("sources", "/app/data/sources"), ("my_2-nd", "/srv/a=b")]);
    let state = errors(&[("BACKUP_INCLUDE", "a=/srv"), ("STATE_DIR", "/srv/state")]);
    assert!(state.contains("and STATE_DIR (`/srv/state`) are inside one another"), "{state}");
    let around = errors(&[("BACKUP_INCLUDE", "a=/srv"), ("BACKUP_DIR", "/srv/backups")]);
    assert!(around.contains("and BACKUP_DIR (`/srv/backups`) are inside one another"), "{around}");

    let place = tempfile::tempdir().unwrap();
    let (real, link) = (place.path().join("real"), place.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let linked = format!("a={}", link.display());
    let hidden = errors(&[("BACKUP_INCLUDE", &linked), ("BACKUP_DIR", real.to_str().unwrap())]);
    assert!(hidden.contains("are inside one another"), "a link hides nothing: {hidden}");
}

#[test]
fn categories_of_a_reset_can_be_others_than_those_of_this_version() {
    let built_in = settings(&[]).reset_categories;
    assert_eq!(built_in.all().len(), 12);
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = r#"{"never": [], "categories": [{"key": "notes", "label": "Notes", "description": "", "default_keep": true,
        "tables": ["notes"], "redis": [], "directories": []}]}"#;
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    let own = settings(&[("RESET_CATEGORIES_FILE", path)]).reset_categories;
    assert_eq!(own.all()[0].key.as_str(), "notes");
}

#[test]
fn zero_turns_checkpoints_off_and_keeps_backups_for_ever() {
    for zero in ["0", "0.0", " 0 ", "-0"] {
        assert_eq!(settings(&[("CHECKPOINT_INTERVAL_HOURS", zero)]).checkpoint_interval, None, "{zero:?}");
    }
    let interval = settings(&[("CHECKPOINT_INTERVAL_HOURS", "0.004")]).checkpoint_interval;
    assert_eq!(interval, Some(Duration::from_millis(14_400)));
    assert_eq!(settings(&[("BACKUP_RETAIN_DAYS", "0")]).retention.manual, None);
}

#[test]
fn every_bad_value_is_named_at_once() {
    let error = errors(&[("PORT", "x"), ("LOG_FORMAT", "xml"), ("ADMIN_SECRET", "short")]);
    assert_eq!(error.lines().count(), 3, "{error}");
}

#[test]
fn weak_admin_secrets_are_refused_and_not_repeated() {
    let check = |secret: &str, expect: &str| {
        let error = errors(&[("ADMIN_SECRET", secret)]);
        assert!(error.contains(expect) && !error.contains(secret), "{secret}: {error}");
    };
    check("changeme", "placeholder");
    check("Nova-Admin-Secret-Change-Me", "placeholder");
    check("your-admin-secret", "placeholder");
    check("k3yk3y7", "shorter than 8");
    check("four lines\nof text", "HTTP header");
    check("blank at the end ", "HTTP header");
    check("geheimnisträger", "HTTP header");
    assert!(settings(&[("ADMIN_SECRET", "k3yk3y78")]).admin_secret.is_some());
}

#[test]
fn the_alias_counts_where_the_first_name_is_unset() {
    let secret = |variables: &[(&str, &str)]| {
        settings(variables).admin_secret.map(|secret| secret.expose_secret().to_owned())
    };
    let (first, second) = ("first-secret-1", "second-secret-2");
    assert_eq!(secret(&[("NOVA_ADMIN_SECRET", second)]).as_deref(), Some(second));
    assert_eq!(secret(&[("ADMIN_SECRET", ""), ("NOVA_ADMIN_SECRET", second)]).as_deref(), Some(second));
    assert_eq!(secret(&[("ADMIN_SECRET", first), ("NOVA_ADMIN_SECRET", second)]).as_deref(), Some(first));
}

#[test]
fn lists_forgive_blanks_and_empty_parts() {
    let settings = settings(&[
        ("CORS_ALLOWED_ORIGINS", " https://nova.example.org/ ,, http://LOCALHOST:3000"),
        ("ALLOWED_HOSTS", "Nova.LAN, tail-net"),
        ("TRUSTED_PROXIES", "172.18.0.0/16, 10.0.0.1,::1"),
        ("PG_BIN_DIR", "/a::/b"),
    ]);
    assert_eq!(settings.cors_allowed_origins, ["https://nova.example.org", "http://localhost:3000"]);
    assert_eq!(settings.allowed_hosts, ["nova.lan", "tail-net"]);
    let networks: Vec<_> = settings.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["172.18.0.0/16", "10.0.0.1/32", "::1/128"]);
    assert_eq!(settings.tool_directories.len(), 2);
}

#[test]
fn the_database_is_named_by_url_or_parts_and_never_guessed() {
    let check = |variables: &[(&str, &str)], expect: &str| {
        let text = match settings(variables).database {
            DatabaseSetting::Unset => "unset".to_owned(),
            DatabaseSetting::Invalid(why) => format!("invalid: {why}"),
            DatabaseSetting::Target(target) => target.to_string(),
        };
        assert!(text.contains(expect), "{variables:?}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    };
    let parts = [("POSTGRES_HOST", "db"), ("POSTGRES_USER", "nova"), ("POSTGRES_DB", "brain")];
    let with = |name, value| [&parts[..], &[(name, value)]].concat();
    check(&[("POSTGRES_PASSWORD", "hunter2")], "unset");
    check(&parts, "brain on db:5432 as nova");
    check(&with("POSTGRES_PORT", "6432"), "brain on db:6432 as nova");
    check(&with("POSTGRES_HOST", "/run/postgresql"), "brain on /run/postgresql:5432 as nova");
    check(&with("POSTGRES_PORT", "x"), "invalid: POSTGRES_PORT");
    check(&parts[..2], "invalid: POSTGRES_HOST is set");
    check(&with("DATABASE_URL", "postgresql+asyncpg://u:hunter2@h:1/d"), "d on h:1 as u");
    check(&with("DATABASE_URL", "mysql://u:hunter2@h/d"), "invalid: DATABASE_URL cannot be used");
}

#[test]
fn the_environment_goes_before_the_file() {
    let toml = "port = 9000\nbackup_dir = \"/srv/backups\"\nmetrics_open = true\nlog_level = \"\"\n";
    let loaded = with_file(toml, &[("PORT", "9001"), ("METRICS_OPEN", "")]).unwrap();
    assert_eq!((loaded.settings.port, loaded.settings.metrics_open), (9001, true));
    assert_eq!(shown(&loaded, "PORT"), (Some("9001".into()), Source::Environment));
    assert_eq!(shown(&loaded, "BACKUP_DIR"), (Some("/srv/backups".into()), Source::File));
    assert_eq!(shown(&loaded, "STATE_DIR"), (Some("/srv/backups/.state".into()), Source::Default));
    assert_eq!(shown(&loaded, "LOG_LEVEL"), (Some("info".into()), Source::Default));
}

#[test]
fn a_file_that_is_wrong_is_named_and_not_quoted() {
    let check = |toml: &str, expect: &str| {
        let error = with_file(toml, &[]).unwrap_err().to_string();
        assert!(error.contains(expect) && !error.contains("hunter2"), "{toml}: {error}");
    };
    check("prot = 1\nbackupdir = \"/x\"", "prot: is no setting");
    check("[server]\nport = 1", "server: is no setting");
    check("allowed_hosts = [\"a\"]", "ALLOWED_HOSTS: is neither text");
    check("database_url = postgres://nova:hunter2@db/nova", "NOVA_RECOVERY_CONFIG: cannot be read");
    let missing = errors(&[(FILE, "/does/not/exist.toml")]);
    assert!(missing.starts_with("NOVA_RECOVERY_CONFIG: cannot be read"), "{missing}");
}

#[test]
fn secrets_are_not_shown() {
    let loaded = load(&[
        ("DATABASE_URL", "postgresql://nova:hunter2@db:5432/nova?password=hunter2"),
        ("POSTGRES_PASSWORD", "hunter2"),
        ("ADMIN_SECRET", "hunter2hunter2"),
        ("REDIS_URL", "redis://:hunter2@redis/7"),
        ("NOTIFY_URL", "https://bot:hunter2@hooks.example.org:8443/hunter2?key=hunter2#hunter2"),
    ])
    .unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert_eq!(shown(&loaded, "DATABASE_URL").0.as_deref(), Some("postgresql://nova:****@db:5432/nova"));
    assert_eq!(shown(&loaded, "REDIS_URL").0.as_deref(), Some("redis://:****@redis/7"));
    assert_eq!(shown(&loaded, "NOTIFY_URL").0.as_deref(), Some("https://hooks.example.org/(not shown)"));
    for bad in ["hunter2", "ftp://hooks/hunter2", "http:///hunter2@x:y"] {
        assert!(!errors(&[("NOTIFY_URL", bad)]).contains("hunter2"), "{bad}");
    }
    for ambiguous in ["postgres://nova:12/hunter2@db/nova", "nova:hunter2@db", "hunter2"] {
        let loaded = load(&[("DATABASE_URL", ambiguous)]).unwrap();
        assert_eq!(shown(&loaded, "DATABASE_URL").0.as_deref(), Some("(not shown)"), "{ambiguous}");
    }
}

#[test]
fn the_checked_in_reference_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let checked_in = std::fs::read_to_string(path).unwrap();
    assert!(
        checked_in == reference(),
        "docs/configuration.md is out of date: nova-recovery config --reference > docs/configuration.md"
    );
}
