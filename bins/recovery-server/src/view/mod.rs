//! What others see: the shapes of every JSON answer, converted by hand from the types inside, so that neither can
//! change the other by accident. The OpenAPI document describes these.

mod backends;
mod backup;
mod diagnostics;
mod environment;
mod factory_reset;
mod inference;
mod integration;
mod operation;
mod problem;
mod profile;
mod reset_preview;
mod service;
mod status;

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

pub use backends::{
    BackendAccepted, BackendChanged, BackendEntry, BackendStatus, ModelPulled, SwitchProgress,
};
pub use backup::{
    Backup, Deleted, Directory, DrillRecord, DroppedReplaced, Made, Removed, Replaced, Restored, RolledBack,
    SwitchedDirectory, Verified,
};
pub use diagnostics::{ChatAnswer, CheckpointCount, Diagnostics};
pub use environment::Variables;
pub use factory_reset::{Reseeded, ResetCategory, ResetDone};
pub use inference::{
    Alternative, ContainerLimits, FoundModel, Gpu, GpuPart, GpuStat, GpuStats, Hardware, Recommendation,
    RecommendedModel, VramEstimate,
};
pub use integration::{ChatIntegrations, ContainerBrief, Integration, RemoteAccess};
pub use operation::{AuditRecord, Operation, Progress};
pub use problem::{FieldProblem, ProblemBody};
pub use profile::ProfileChanged;
pub use reset_preview::ResetPreview;
pub use service::{
    LastExit, LogLine, Replicas, RestartResult, Service, ServiceLists, ServiceLogs, ServiceRestarted,
    Services,
};
pub use status::{
    BackupStatus, CheckpointStatus, DatabaseStatus, DependencyStatus, DiskStatus, DrillStatus, LastError,
    Live, Ready, RunningOperation, SessionBegun, Status,
};

/// A time as every answer gives it: RFC 3339, UTC, whole seconds where there is no fraction.
#[must_use]
pub fn timestamp(at: OffsetDateTime) -> String {
    // Years beyond 9999 are the one thing that RFC 3339 cannot write.
    at.to_offset(UtcOffset::UTC).format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

/// A size for people, in the units of PostgreSQL's `pg_size_pretty`.
#[must_use]
pub fn pretty_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 10 * 1024 {
        return format!("{bytes} bytes");
    }
    // As PostgreSQL does: the unit grows once the number would reach 10240, and halves are rounded up.
    let (mut half_units, mut name) = (bytes / 512, "kB");
    for unit in UNITS {
        name = unit;
        if half_units < 20 * 1024 - 1 {
            break;
        }
        half_units /= 1024;
    }
    format!("{} {name}", half_units.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn times_are_utc() {
        assert_eq!(timestamp(datetime!(2026-02-01 01:00:00.25 +02:00)), "2026-01-31T23:00:00.25Z");
        assert_eq!(timestamp(datetime!(2026-01-31 23:59:59 UTC)), "2026-01-31T23:59:59Z");
    }

    #[test]
    fn sizes_are_those_of_pg_size_pretty() {
        // From PostgreSQL 15.
        for (bytes, expect) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (10_485_247, "10239 kB"),
            (10_485_248, "10 MB"),
            (936_378_368, "893 MB"),
            (10_736_893_951, "10239 MB"),
            (10_736_893_952, "10 GB"),
        ] {
            assert_eq!(pretty_size(bytes), expect, "{bytes}");
        }
    }
}
