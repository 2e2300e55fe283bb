//! Backups of a PostgreSQL database that are proven or do not exist, and restores that cannot lose anything.
