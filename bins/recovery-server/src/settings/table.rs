//! The table of variables: each stands here once, with its meaning, its default and how it is read.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use recovery_backup::{Compression, IncludedDirectory};
use secrecy::SecretString;

use super::{include, parse};
pub(super) use super::{
    order::ALL,
    variable::{About, Default, Shown, Variable},
};
use crate::{
    alerts::Webhook,
    logging::{LogFilter, LogFormat},
};

mod backends;
mod inference;
mod platform;

pub(super) use backends::{
    GATEWAY_CONFIG_TTL_SECS, INFERENCE_BACKENDS, INFERENCE_DRAIN_SECS, INFERENCE_MONITOR_SECS,
    INFERENCE_STALL_SECS, LLM_GATEWAY_URL,
};
pub(super) use inference::{
    GPU_TOOL_DIRS, HARDWARE_FILE, HF_ENDPOINT, HF_TOKEN, OLLAMA_LIBRARY_URL, OLLAMA_REGISTRY_URL,
    RECOMMENDED_MODELS_FILE,
};
pub(super) use platform::{
    COMPOSE_FILE, COMPOSE_PROJECT_DIR, COMPOSE_PROJECT_NAME, DOCKER_HOST, DOCKER_SDK_HOST, NOVA_ENV_FILE,
    RESET_CATEGORIES_FILE,
};

use Default::{Described, Text};

pub(super) const CONFIG_FILE: About = About {
    name: "NOVA_RECOVERY_CONFIG",
    alias: None,
    meaning: "A TOML file that supplies any of the other variables, in lower case: `port = 8888`. \
              The environment goes before the file.",
    default: Described("no file"),
    example: "/etc/nova-recovery.toml",
    shown: Shown::Plain,
};

pub(super) const DATABASE_URL: Variable<SecretString> = Variable {
    about: About {
        name: "DATABASE_URL",
        alias: None,
        meaning: "The PostgreSQL database to protect. Where it is unset, the `POSTGRES_` variables are used; where \
                  those are unset too, or the URL cannot be understood, the service starts and what needs the \
                  database answers 503 with the reason.",
        default: Described("unset"),
        example: "postgresql://nova:password@postgres:5432/nova",
        shown: Shown::Url,
    },
    parse: parse::secret,
};

pub(super) const POSTGRES_HOST: Variable<String> = Variable {
    about: About {
        name: "POSTGRES_HOST",
        alias: None,
        meaning: "The database server: a name, an address, or the directory of a Unix-domain socket. Like the other \
                  `POSTGRES_` variables it counts only while `DATABASE_URL` is unset.",
        default: Described("unset"),
        example: "postgres",
        shown: Shown::Plain,
    },
    parse: parse::text,
};

pub(super) const POSTGRES_PORT: Variable<String> = Variable {
    about: About {
        name: "POSTGRES_PORT",
        alias: None,
        meaning: "The port of the database server.",
        default: Text("5432"),
        example: "5432",
        shown: Shown::Plain,
    },
    parse: parse::text,
};

pub(super) const POSTGRES_USER: Variable<String> = Variable {
    about: About {
        name: "POSTGRES_USER",
        alias: None,
        meaning: "The role to sign in as.",
        default: Described("unset"),
        example: "nova",
        shown: Shown::Plain,
    },
    parse: parse::text,
};

pub(super) const POSTGRES_PASSWORD: Variable<SecretString> = Variable {
    about: About {
        name: "POSTGRES_PASSWORD",
        alias: None,
        meaning: "That role's password.",
        default: Described("none"),
        example: "a-long-password",
        shown: Shown::Secret,
    },
    parse: parse::secret,
};

pub(super) const POSTGRES_DB: Variable<String> = Variable {
    about: About {
        name: "POSTGRES_DB",
        alias: None,
        meaning: "The database.",
        default: Described("unset"),
        example: "nova",
        shown: Shown::Plain,
    },
    parse: parse::text,
};

pub(super) const ADMIN_SECRET: Variable<SecretString> = Variable {
    about: About {
        name: "ADMIN_SECRET",
        alias: Some("NOVA_ADMIN_SECRET"),
        meaning: "The secret that `X-Admin-Secret` must carry, 8 characters or more. Placeholders such as `changeme` \
                  are refused.",
        default: Described("generated once, kept in the state directory with mode 0600; its path is logged"),
        example: "$(openssl rand -hex 24)",
        shown: Shown::Secret,
    },
    parse: parse::admin_secret,
};

pub(super) const BACKUP_DIR: Variable<PathBuf> = Variable {
    about: About {
        name: "BACKUP_DIR",
        alias: None,
        meaning: "Where backups are stored.",
        default: Text("/backups"),
        example: "/backups",
        shown: Shown::Plain,
    },
    parse: parse::directory,
};

pub(super) const STATE_DIR: Variable<PathBuf> = Variable {
    about: About {
        name: "STATE_DIR",
        alias: None,
        meaning: "Where the journal, the audit log and the generated secret are kept.",
        default: Described("`.state` in `BACKUP_DIR`"),
        example: "/var/lib/nova-recovery",
        shown: Shown::Plain,
    },
    parse: parse::directory,
};

pub(super) const BIND_ADDRESS: Variable<IpAddr> = Variable {
    about: About {
        name: "BIND_ADDRESS",
        alias: None,
        meaning: "The address to listen on. The container image sets `0.0.0.0`.",
        default: Text("127.0.0.1"),
        example: "0.0.0.0",
        shown: Shown::Plain,
    },
    parse: parse::address,
};

pub(super) const PORT: Variable<u16> = Variable {
    about: About {
        name: "PORT",
        alias: None,
        meaning: "The port to listen on; 0 lets the system choose one, which is logged.",
        default: Text("8888"),
        example: "8888",
        shown: Shown::Plain,
    },
    parse: parse::port,
};

pub(super) const REDIS_URL: Variable<SecretString> = Variable {
    about: About {
        name: "REDIS_URL",
        alias: None,
        meaning: "Redis; the path is the number of the system database.",
        default: Text("redis://redis:6379/7"),
        example: "redis://:password@redis:6379/7",
        shown: Shown::Url,
    },
    parse: parse::redis_url,
};

pub(super) const KEEP_REPLACED_HOURS: Variable<Duration> = Variable {
    about: About {
        name: "KEEP_REPLACED_HOURS",
        alias: None,
        meaning: "How many hours the database that a restore replaced is kept for a rollback, at least; fractions are allowed. \
                  Hours in which the service is down do not count, so that no jump of the clock ends them.",
        default: Text("72"),
        example: "72",
        shown: Shown::Plain,
    },
    parse: parse::hours,
};

pub(super) const DRILL_INTERVAL_DAYS: Variable<Option<Duration>> = Variable {
    about: About {
        name: "DRILL_INTERVAL_DAYS",
        alias: None,
        meaning: "How many days after a good drill the newest backup is restored into a scratch database again to see \
                  that it can be; fractions are allowed, 0 turns it off.",
        default: Text("7"),
        example: "1",
        shown: Shown::Plain,
    },
    parse: parse::interval_days,
};

pub(super) const CHECKPOINT_INTERVAL_HOURS: Variable<Option<Duration>> = Variable {
    about: About {
        name: "CHECKPOINT_INTERVAL_HOURS",
        alias: None,
        meaning: "How many hours after the newest good checkpoint the service makes the next one by itself; fractions \
                  are allowed, 0 turns it off. Backups that somebody asked for do not count.",
        default: Text("6"),
        example: "6",
        shown: Shown::Plain,
    },
    parse: parse::checkpoint_hours,
};

pub(super) const CHECKPOINT_MAX_KEEP: Variable<usize> = Variable {
    about: About {
        name: "CHECKPOINT_MAX_KEEP",
        alias: None,
        meaning: "How many good checkpoints are kept, 1 to 10000: after each new backup the oldest beyond that are \
                  deleted. Pinned ones stay and do not count.",
        default: Text("5"),
        example: "5",
        shown: Shown::Plain,
    },
    parse: parse::kept,
};

pub(super) const SAFETY_MAX_KEEP: Variable<usize> = Variable {
    about: About {
        name: "SAFETY_MAX_KEEP",
        alias: None,
        meaning: "How many good safety backups are kept, 1 to 10000, in the same way.",
        default: Text("5"),
        example: "5",
        shown: Shown::Plain,
    },
    parse: parse::kept,
};

pub(super) const BACKUP_RETAIN_DAYS: Variable<Option<Duration>> = Variable {
    about: About {
        name: "BACKUP_RETAIN_DAYS",
        alias: None,
        meaning: "How many days a backup that somebody asked for is kept, a whole number; 0 means for ever. The newest \
                  good one stays, however old it is, and so do pinned ones.",
        default: Text("30"),
        example: "30",
        shown: Shown::Plain,
    },
    parse: parse::days,
};

pub(super) const NOTIFY_URL: Variable<Webhook> = Variable {
    about: About {
        name: "NOTIFY_URL",
        alias: None,
        meaning: "A web address that is told, in a POST with a JSON body, when what the service does by itself fails, \
                  once for each reason, and when it works again. The whole address counts as a secret.",
        default: Described("nobody is told"),
        example: "https://hooks.example.org/services/nova",
        shown: Shown::Host,
    },
    parse: parse::webhook,
};

pub(super) const CORS_ALLOWED_ORIGINS: Variable<Vec<String>> = Variable {
    about: About {
        name: "CORS_ALLOWED_ORIGINS",
        alias: None,
        meaning: "Web origins that may call from a browser, exact, separated by commas. `*` is refused.",
        default: Text("http://localhost:3000,http://localhost:5173"),
        example: "https://nova.example.org",
        shown: Shown::Plain,
    },
    parse: parse::origins,
};

pub(super) const ALLOWED_HOSTS: Variable<Vec<String>> = Variable {
    about: About {
        name: "ALLOWED_HOSTS",
        alias: None,
        meaning: "Names under which cookie sessions and trusted networks may reach the service, separated by commas, \
                  besides `localhost`, loopback addresses, `recovery` and the container's own name.",
        default: Described("none"),
        example: "nova.example.org,nova.lan",
        shown: Shown::Plain,
    },
    parse: parse::hosts,
};

pub(super) const TRUSTED_PROXIES: Variable<Vec<IpNet>> = Variable {
    about: About {
        name: "TRUSTED_PROXIES",
        alias: None,
        meaning: "Peers whose `X-Real-IP` header names the client, for throttling and the audit log, and whose \
                  `X-Forwarded-Proto` and `X-Forwarded-Host` say under which address a browser reached the console: \
                  addresses or networks, separated by commas.",
        default: Described("none"),
        example: "172.18.0.0/16",
        shown: Shown::Plain,
    },
    parse: parse::networks,
};

pub(super) const TRUSTED_NETWORK_CIDRS: Variable<Vec<IpNet>> = Variable {
    about: About {
        name: "TRUSTED_NETWORK_CIDRS",
        alias: None,
        meaning: "Peers that need no secret on admin routes that neither destroy nor disclose anything: addresses or \
                  networks, separated by commas.",
        default: Described("nobody"),
        example: "127.0.0.0/8,100.64.0.0/10",
        shown: Shown::Plain,
    },
    parse: parse::networks,
};

pub(super) const SYNC_WAIT_SECS: Variable<Duration> = Variable {
    about: About {
        name: "SYNC_WAIT_SECS",
        alias: None,
        meaning: "How many seconds a call waits for its operation before it answers 202. Keep it below the time-out \
                  of the proxy in front.",
        default: Text("50"),
        example: "50",
        shown: Shown::Plain,
    },
    parse: parse::wait_seconds,
};

pub(super) const METRICS_OPEN: Variable<bool> = Variable {
    about: About {
        name: "METRICS_OPEN",
        alias: None,
        meaning: "Whether `/metrics` answers without credentials.",
        default: Text("false"),
        example: "true",
        shown: Shown::Plain,
    },
    parse: parse::boolean,
};

pub(super) const LOG_LEVEL: Variable<LogFilter> = Variable {
    about: About {
        name: "LOG_LEVEL",
        alias: None,
        meaning: "What is logged: `error`, `warn`, `info`, `debug` or `trace`, or a list such as \
                  `info,recovery_backup=debug`.",
        default: Text("info"),
        example: "debug",
        shown: Shown::Plain,
    },
    parse: parse::from_str,
};

pub(super) const LOG_FORMAT: Variable<LogFormat> = Variable {
    about: About {
        name: "LOG_FORMAT",
        alias: None,
        meaning: "How the log is written: `text`, or `json` with one object a line.",
        default: Text("text"),
        example: "json",
        shown: Shown::Plain,
    },
    parse: parse::from_str,
};

pub(super) const BACKUP_JOBS: Variable<usize> = Variable {
    about: About {
        name: "BACKUP_JOBS",
        alias: None,
        meaning: "How many tables are dumped or restored at once, 1 to 64.",
        default: Described("the number of processor cores, at most 8"),
        example: "4",
        shown: Shown::Plain,
    },
    parse: parse::jobs,
};

pub(super) const BACKUP_COMPRESSION: Variable<Compression> = Variable {
    about: About {
        name: "BACKUP_COMPRESSION",
        alias: None,
        meaning: "How dump files are compressed: `auto`, `none`, `gzip:1` to `gzip:9`, or (PostgreSQL 16 and later) \
                  `zstd:1` to `zstd:19`. `auto` is zstd:1 where the server's `pg_dump` has it, else gzip:1.",
        default: Text("auto"),
        example: "gzip:6",
        shown: Shown::Plain,
    },
    parse: parse::from_str,
};

pub(super) const BACKUP_INCLUDE: Variable<Vec<IncludedDirectory>> = Variable {
    about: About {
        name: "BACKUP_INCLUDE",
        alias: None,
        meaning: "Directories that belong to every backup besides the database, as `name=path`, separated by commas. A \
                  name is 1 to 32 of `a-z`, `0-9`, `-` and `_`; a path is absolute. None may be inside another, or \
                  inside or around `BACKUP_DIR` and `STATE_DIR`.",
        default: Described("none"),
        example: "sources=/app/data/sources,memory=/app/data/memory",
        shown: Shown::Plain,
    },
    parse: include::parse,
};

pub(super) const PG_BIN_DIR: Variable<Vec<PathBuf>> = Variable {
    about: About {
        name: "PG_BIN_DIR",
        alias: None,
        meaning: "Directories in which `pg_dump` and `pg_restore` are looked for, separated by colons.",
        default: Described("every `/usr/lib/postgresql/*/bin`, `/usr/local/bin`, `/usr/bin`"),
        example: "/usr/lib/postgresql/16/bin",
        shown: Shown::Plain,
    },
    parse: parse::directories,
};
