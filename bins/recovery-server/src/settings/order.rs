//! The order in which people see the variables.

#[allow(clippy::wildcard_imports, reason = "every one of them stands below")]
use super::table::*;

/// Every variable, in the order of the reference.
pub(super) const ALL: &[&About] = &[
    &DATABASE_URL.about,
    &POSTGRES_HOST.about,
    &POSTGRES_PORT.about,
    &POSTGRES_USER.about,
    &POSTGRES_PASSWORD.about,
    &POSTGRES_DB.about,
    &ADMIN_SECRET.about,
    &BACKUP_DIR.about,
    &STATE_DIR.about,
    &BIND_ADDRESS.about,
    &PORT.about,
    &REDIS_URL.about,
    &CHECKPOINT_INTERVAL_HOURS.about,
    &CHECKPOINT_MAX_KEEP.about,
    &BACKUP_RETAIN_DAYS.about,
    &SAFETY_MAX_KEEP.about,
    &NOTIFY_URL.about,
    &KEEP_REPLACED_HOURS.about,
    &DRILL_INTERVAL_DAYS.about,
    &BACKUP_JOBS.about,
    &BACKUP_COMPRESSION.about,
    &BACKUP_INCLUDE.about,
    &PG_BIN_DIR.about,
    &CORS_ALLOWED_ORIGINS.about,
    &ALLOWED_HOSTS.about,
    &TRUSTED_PROXIES.about,
    &TRUSTED_NETWORK_CIDRS.about,
    &SYNC_WAIT_SECS.about,
    &METRICS_OPEN.about,
    &LOG_LEVEL.about,
    &LOG_FORMAT.about,
    &CONFIG_FILE,
];
