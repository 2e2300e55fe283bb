//! PostgreSQL, Redis and the state directory behind the ports of recovery-core.
