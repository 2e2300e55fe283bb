//! Brings the sources together: a variable of the environment goes before the file, the file before the default.

use std::{collections::BTreeMap, ffi::OsString};

use config::{Config, ConfigError, Environment, File, FileFormat, Value};
use recovery_backup::{BackupSettings, RetentionPolicy};
use recovery_core::database::{ConnectionTarget, ServerAddress};
use recovery_reset::Categories;
use secrecy::SecretString;

use super::{
    DatabaseSetting, EffectiveSetting, InvalidSettings, Loaded, SettingError, Settings, Source, backends,
    include, inference,
    platform::PlatformSettings,
    reset,
    table::{self, About, Default, Shown, Variable},
};

impl Settings {
    /// Reads the settings of this process.
    ///
    /// # Errors
    /// Names everything that is wrong, not only the first.
    pub fn load() -> Result<Loaded, InvalidSettings> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// Reads the settings from something that is like an environment.
    ///
    /// # Errors
    /// Names everything that is wrong, not only the first.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Loaded, InvalidSettings> {
        let mut values = Values::collect(lookup)?;
        let settings = read(&mut values);
        match (settings, values.errors.is_empty()) {
            (Some(settings), true) => Ok(Loaded { settings, effective: values.into_effective() }),
            _ => Err(InvalidSettings(values.errors)),
        }
    }
}

/// Reads every variable before it looks whether one was missing, so that all errors are found.
fn read(values: &mut Values) -> Option<Settings> {
    let database = read_database(values);
    let admin_secret = values.optional(&table::ADMIN_SECRET);
    let backup_dir = values.required(&table::BACKUP_DIR);
    let state_dir = values.computed(
        &table::STATE_DIR,
        || backup_dir.as_deref().map(|directory| directory.join(".state")),
        |path| path.display().to_string(),
    );
    let bind_address = values.required(&table::BIND_ADDRESS);
    let port = values.required(&table::PORT);
    let redis_url = values.required(&table::REDIS_URL);
    let checkpoint_interval = values.required(&table::CHECKPOINT_INTERVAL_HOURS);
    let checkpoints_kept = values.required(&table::CHECKPOINT_MAX_KEEP);
    let backups_kept_for = values.required(&table::BACKUP_RETAIN_DAYS);
    let safety_kept = values.required(&table::SAFETY_MAX_KEEP);
    let notify = values.optional(&table::NOTIFY_URL);
    let keep_replaced = values.required(&table::KEEP_REPLACED_HOURS);
    let drill_interval = values.required(&table::DRILL_INTERVAL_DAYS);
    let backup_jobs =
        values.computed(&table::BACKUP_JOBS, || Some(BackupSettings::default_jobs()), usize::to_string);
    let backup_compression = values.required(&table::BACKUP_COMPRESSION);
    let backup_include = values.optional(&table::BACKUP_INCLUDE).unwrap_or_default();
    if let (Some(backups), Some(state)) = (&backup_dir, &state_dir) {
        let own = [("BACKUP_DIR", backups.as_path()), ("STATE_DIR", state.as_path())];
        if let Err(message) = include::check_apart(&backup_include, &own) {
            values.errors.push(table::BACKUP_INCLUDE.about.error(message));
        }
    }
    let tool_directories = values.computed(
        &table::PG_BIN_DIR,
        || Some(BackupSettings::default_tool_directories()),
        |paths| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":"),
    );
    let platform = PlatformSettings::read(values);
    let inference = inference::read(values);
    let backends = backends::read(values);
    let reset_categories = match values.optional(&table::RESET_CATEGORIES_FILE) {
        Some(path) => reset::categories(&path),
        None => Categories::built_in().map_err(|error| error.to_string()),
    };
    let reset_categories = reset_categories.map_err(|message| {
        values.errors.push(table::RESET_CATEGORIES_FILE.about.error(message));
    });
    let cors_allowed_origins = values.required(&table::CORS_ALLOWED_ORIGINS);
    let allowed_hosts = values.optional(&table::ALLOWED_HOSTS).unwrap_or_default();
    let trusted_proxies = values.optional(&table::TRUSTED_PROXIES).unwrap_or_default();
    let trusted_networks = values.optional(&table::TRUSTED_NETWORK_CIDRS).unwrap_or_default();
    let sync_wait = values.required(&table::SYNC_WAIT_SECS);
    let metrics_open = values.required(&table::METRICS_OPEN);
    let log_level = values.required(&table::LOG_LEVEL);
    let log_format = values.required(&table::LOG_FORMAT);
    Some(Settings {
        database,
        admin_secret,
        backup_dir: backup_dir?,
        state_dir: state_dir?,
        bind_address: bind_address?,
        port: port?,
        redis_url: redis_url?,
        checkpoint_interval: checkpoint_interval?,
        retention: RetentionPolicy {
            checkpoints: checkpoints_kept?,
            safety: safety_kept?,
            manual: backups_kept_for?,
        },
        notify,
        keep_replaced: keep_replaced?,
        drill_interval: drill_interval?,
        cors_allowed_origins: cors_allowed_origins?,
        allowed_hosts,
        trusted_proxies,
        trusted_networks,
        sync_wait: sync_wait?,
        metrics_open: metrics_open?,
        log_level: log_level?,
        log_format: log_format?,
        backup_jobs: backup_jobs?,
        backup_compression: backup_compression?,
        tool_directories: tool_directories?,
        backup_include,
        platform: platform?,
        inference: inference?,
        backends: backends?,
        reset_categories: reset_categories.ok()?,
    })
}

fn read_database(values: &mut Values) -> DatabaseSetting {
    let url = values.optional(&table::DATABASE_URL);
    let parts = DatabaseParts {
        host: values.optional(&table::POSTGRES_HOST),
        port: values.required(&table::POSTGRES_PORT),
        user: values.optional(&table::POSTGRES_USER),
        password: values.optional(&table::POSTGRES_PASSWORD),
        database: values.optional(&table::POSTGRES_DB),
    };
    match url {
        Some(url) => match recovery_store::parse_database_url(&url) {
            Ok(target) => DatabaseSetting::Target(target),
            Err(error) => DatabaseSetting::Invalid(format!("DATABASE_URL cannot be used: {error}")),
        },
        None => parts.target(),
    }
}

/// The database as the `POSTGRES_` variables name it.
struct DatabaseParts {
    host: Option<String>,
    port: Option<String>,
    user: Option<String>,
    password: Option<SecretString>,
    database: Option<String>,
}

impl DatabaseParts {
    /// Which database is meant is never guessed: without a host nothing is, with one its user and database must be
    /// named too.
    fn target(self) -> DatabaseSetting {
        let Some(host) = self.host else { return DatabaseSetting::Unset };
        let (Some(user), Some(database)) = (self.user, self.database) else {
            return DatabaseSetting::Invalid(
                "POSTGRES_HOST is set, and POSTGRES_USER or POSTGRES_DB is not".to_owned(),
            );
        };
        let Some(port) = self.port.and_then(|port| port.trim().parse::<u16>().ok()).filter(|port| *port > 0)
        else {
            return DatabaseSetting::Invalid("POSTGRES_PORT is no port, a number from 1 to 65535".to_owned());
        };
        let Ok(database) = database.parse() else {
            return DatabaseSetting::Invalid("POSTGRES_DB is longer than a database name can be".to_owned());
        };
        let address = if host.starts_with('/') {
            ServerAddress::SocketDirectory(host.into())
        } else {
            ServerAddress::Host(host)
        };
        DatabaseSetting::Target(ConnectionTarget { address, port, user, password: self.password, database })
    }
}

/// The texts of all variables that are set, and what was found while they were read.
pub(super) struct Values {
    texts: BTreeMap<&'static str, (String, Source)>,
    errors: Vec<SettingError>,
    effective: BTreeMap<&'static str, EffectiveSetting>,
}

const FROM_ENVIRONMENT: &str = "the environment";

impl Values {
    fn collect(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, InvalidSettings> {
        let mut errors = Vec::new();
        let mut environment = config::Map::new();
        for about in table::ALL {
            for name in std::iter::once(about.name).chain(about.alias) {
                match lookup(name).map(OsString::into_string) {
                    Some(Ok(text)) if !text.is_empty() => {
                        environment.entry(about.name.to_owned()).or_insert(text);
                    }
                    Some(Err(_)) => errors.push(about.error("is not valid UTF-8".to_owned())),
                    Some(Ok(_)) | None => {}
                }
            }
        }
        let mut values = Self { texts: BTreeMap::new(), errors, effective: BTreeMap::new() };
        match merge(environment) {
            Ok(merged) => merged.into_iter().for_each(|(key, value)| values.take(&key, value)),
            Err(error) => values.errors.push(table::CONFIG_FILE.error(describe_file_error(&error))),
        }
        values.note(&table::CONFIG_FILE, None);
        if values.errors.is_empty() { Ok(values) } else { Err(InvalidSettings(values.errors)) }
    }

    /// Files one merged value under its variable.
    fn take(&mut self, key: &str, value: Value) {
        let named = |about: &&&About| {
            [Some(about.name), about.alias].into_iter().flatten().any(|name| name.eq_ignore_ascii_case(key))
        };
        let Some(about) = table::ALL.iter().find(named) else {
            let message = format!("is no setting; {} has it", table::CONFIG_FILE.name);
            self.errors.push(SettingError { name: key.to_owned(), message, example: None });
            return;
        };
        let source =
            if value.origin() == Some(FROM_ENVIRONMENT) { Source::Environment } else { Source::File };
        match value.into_string() {
            Ok(text) if text.is_empty() => {}
            Ok(text) => {
                let is_alias = !about.name.eq_ignore_ascii_case(key);
                if !(is_alias && self.texts.contains_key(about.name)) {
                    self.texts.insert(about.name, (text, source));
                }
            }
            Err(_) => self.errors.push(about.error(
                "is neither text nor a number nor true or false (a list is one text, separated by commas)"
                    .to_owned(),
            )),
        }
    }

    /// Notes that the value of a variable cannot be used.
    pub(super) fn refuse(&mut self, about: &About, message: String) {
        self.errors.push(about.error(message));
    }

    /// The value of a variable that has a default text; `None` only after an error.
    pub(super) fn required<T>(&mut self, variable: &Variable<T>) -> Option<T> {
        self.optional(variable)
    }

    /// The value of a variable; `None` where it is unset and has no default text, or after an error.
    pub(super) fn optional<T>(&mut self, variable: &Variable<T>) -> Option<T> {
        let about = &variable.about;
        self.note(about, None);
        let default = match about.default {
            Default::Text(text) => Some(text),
            Default::Described(_) => None,
        };
        let parsed =
            self.texts.get(about.name).map(|(text, _)| text.as_str()).or(default).map(variable.parse)?;
        parsed.map_err(|message| self.errors.push(about.error(message))).ok()
    }

    /// The value of a variable whose default is worked out.
    pub(super) fn computed<T>(
        &mut self,
        variable: &Variable<T>,
        default: impl FnOnce() -> Option<T>,
        show: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        if self.texts.contains_key(variable.about.name) {
            return self.optional(variable);
        }
        let value = default();
        self.note(&variable.about, value.as_ref().map(show));
        value
    }

    /// Remembers what is in effect for a variable, fit to be shown.
    fn note(&mut self, about: &About, computed: Option<String>) {
        let (value, source) = match (self.texts.get(about.name), &about.default) {
            (Some((text, source)), _) => (Some(about.shown.show(text)), *source),
            (None, Default::Text(text)) => (Some(about.shown.show(text)), Source::Default),
            (None, Default::Described(_)) => (computed, Source::Default),
        };
        self.effective.insert(about.name, EffectiveSetting { name: about.name, value, source });
    }

    fn into_effective(mut self) -> Vec<EffectiveSetting> {
        table::ALL.iter().filter_map(|about| self.effective.remove(about.name)).collect()
    }
}

fn merge(environment: config::Map<String, String>) -> Result<config::Map<String, Value>, ConfigError> {
    let file = environment.get(table::CONFIG_FILE.name).map(|path| File::new(path, FileFormat::Toml));
    let environment = Environment::default().ignore_empty(true).source(Some(environment));
    let mut builder = Config::builder();
    if let Some(file) = file {
        builder = builder.add_source(file);
    }
    config::Source::collect(&builder.add_source(environment).build()?)
}

/// What is wrong with the file, without the line of it that a syntax error would quote: it may hold a password.
fn describe_file_error(error: &ConfigError) -> String {
    let text = match error {
        ConfigError::FileParse { cause, .. } => cause.to_string(),
        other => other.to_string(),
    };
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    match lines.next_back() {
        Some(last) if !last.contains('|') => format!("cannot be read: {first}: {last}"),
        _ => format!("cannot be read: {first}"),
    }
}

impl About {
    fn error(&self, message: String) -> SettingError {
        SettingError { name: self.name.to_owned(), message, example: Some(self.example.to_owned()) }
    }
}

impl Shown {
    fn show(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Secret => "(not shown)".to_owned(),
            Self::Url => redacted_url(text).unwrap_or_else(|| "(not shown)".to_owned()),
            Self::Host => host_of_url(text).unwrap_or_else(|| "(not shown)".to_owned()),
        }
    }
}

/// A URL without its password and query; `None` where it is not certain what of it is the password.
fn redacted_url(text: &str) -> Option<String> {
    let mut url = reqwest::Url::parse(text).ok()?;
    if url.path().contains('@') || url.cannot_be_a_base() {
        return None;
    }
    if url.password().is_some() {
        url.set_password(Some("****")).ok()?;
    }
    url.set_query(None);
    url.set_fragment(None);
    Some(url.into())
}

/// The scheme and host of a URL, where it is certain that it has them.
fn host_of_url(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text.trim()).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty() && !url.path().contains('@'))?;
    Some(format!("{}://{host}/(not shown)", url.scheme()))
}
