//! Every moment at which an operation can be cut off, in the order in which it passes them: the table that the tests
//! in `crash` go through. Whoever adds a step adds its moments here.

/// What every operation passes before its own steps.
pub(crate) const BEGIN: &[&str] = &["started:before", "started:after"];
/// What every operation passes after its own steps.
pub(crate) const END: &[&str] = &["finished:before", "finished:after"];

/// Making a backup.
pub(crate) const BACKUP: &[&str] = &[
    "backup:dumping:before",
    "backup:dumping:after",
    "backup:dumped",
    "backup:packed",
    "backup:sealed",
    "backup:publishing:before",
    "backup:publishing:after",
    "backup:renamed",
    "backup:published:before",
    "backup:published:after",
];

/// Removing what has had its time, after a backup that leaves something to remove; `kept` goes through them.
pub(crate) const RETAIN: &[&str] = &["backup:removing:before", "backup:removing:after", "retain:removed"];

/// Restoring one, up to the swap.
pub(crate) const RESTORE: &[&str] =
    &["unpack:room-found", "restore:loading:before", "restore:loading:after", "load:created", "load:loaded"];

/// Restoring one in place, up to the commit; a safety backup, with moments of its own, comes before.
pub(crate) const RESTORE_IN_PLACE: &[&str] = &[
    "restore:rewriting:before",
    "restore:rewriting:after",
    "restore:sealed",
    "restore:committing:before",
    "restore:committing:after",
];

/// Restoring one that has included directories, around their part in it.
pub(crate) const RESTORE_WITH_FILES: &[&str] = &[
    "load:loaded",
    "restore:swapping:after",
    "take-over:swapped",
    "restore:switching files:before",
    "restore:switching files:after",
    "restore:switched files:before",
    "restore:switched files:after",
];

/// Restoring one that has keys of Redis, around their part in it.
pub(crate) const RESTORE_WITH_KEYS: &[&str] = &[
    "load:loaded",
    "restore:swapping:after",
    "take-over:pending",
    "take-over:swapped",
    "restore:writing keys:before",
    "restore:writing keys:after",
    "keys:kept",
    "keys:written",
    "restore:wrote keys:before",
    "restore:wrote keys:after",
];

/// Rolling back a restore that has written keys of Redis, around their part in it.
pub(crate) const ROLLBACK_WITH_KEYS: &[&str] = &[
    "rollback:swapping:after",
    "swap:emptied",
    "take-over:swapped",
    "rollback:writing keys:after",
    "keys:kept",
    "keys:written",
    "rollback:wrote keys:after",
];

/// Restoring an archive of the earlier service that has directories, from its first step to its last.
pub(crate) const RESTORE_LEGACY: &[&str] = &[
    "restore:loading:before",
    "restore:loading:after",
    "load:created",
    "load:loaded",
    "take-over:remembered",
    "restore:swapping:after",
    "take-over:pending",
    "swap:emptied",
    "take-over:swapped",
    "restore:switching files:before",
    "restore:switched files:after",
];

/// Going to the swap of a rollback.
pub(crate) const ROLLBACK: &[&str] = &["rollback:rolling back:before", "rollback:rolling back:after"];

/// Rolling back a restore that has changed included directories, around their part in it.
pub(crate) const ROLLBACK_WITH_FILES: &[&str] = &[
    "rollback:swapping:after",
    "swap:emptied",
    "take-over:swapped",
    "rollback:switching files:before",
    "rollback:switching files:after",
    "rollback:switched files:before",
    "rollback:switched files:after",
];

/// The swap; what has no kind before it here is recorded under the kind of the operation.
pub(crate) const SWAP: &[&str] = &[
    "take-over:remembered",
    "KIND:sealed",
    "KIND:swapping:before",
    "KIND:swapping:after",
    "take-over:pending",
    "swap:incoming-closed",
    "swap:live-closed",
    "swap:emptied",
    "take-over:swapped",
    "KIND:swapped:before",
    "KIND:swapped:after",
];

/// Dropping a replaced database.
pub(crate) const DROP_REPLACED: &[&str] = &[
    "drop_replaced:sealed",
    "drop_replaced:dropping:before",
    "drop_replaced:dropping:after",
    "drop:closed",
    "drop-replaced:dropped",
];

/// Deleting a backup.
pub(crate) const DELETE_BACKUP: &[&str] = &["delete_backup:sealed", "delete:removed"];

/// Taking in an upload.
pub(crate) const UPLOAD: &[&str] = &[
    "upload:received:before",
    "upload:received:after",
    "upload:sealed",
    "upload:publishing:before",
    "upload:publishing:after",
    "upload:renamed",
    "upload:published:before",
    "upload:published:after",
];

/// Rehearsing a restore.
pub(crate) const DRILL: &[&str] = &[
    "unpack:room-found",
    "drill:drilling:before",
    "drill:drilling:after",
    "load:created",
    "load:loaded",
    "drop:closed",
];

/// A factory reset; a safety backup, with moments of its own, comes after the first ones.
pub(crate) const FACTORY_RESET: &[&str] = &[
    "factory_reset:resetting:before",
    "factory_reset:resetting:after",
    "reset:locked",
    "factory_reset:safety backup: dumping:before",
    "factory_reset:safety backup: dumping:after",
    "backup:dumped",
    "backup:packed",
    "factory_reset:safety backup: publishing:before",
    "factory_reset:safety backup: publishing:after",
    "backup:renamed",
    "factory_reset:safety backup: published:before",
    "factory_reset:safety backup: published:after",
    "factory_reset:saved:before",
    "factory_reset:saved:after",
    "reset:wiped",
    "factory_reset:sealed",
    "factory_reset:committing:before",
    "factory_reset:committing:after",
    "reset:committed",
    "factory_reset:committed:before",
    "factory_reset:committed:after",
    "reset:unlinked",
    "factory_reset:keys removed:before",
    "factory_reset:keys removed:after",
    "reset:emptied",
    "factory_reset:directories emptied:before",
    "factory_reset:directories emptied:after",
    "retain:removed",
    "reset:backup-removed",
    "factory_reset:backups removed:before",
    "factory_reset:backups removed:after",
];

/// Starting a server of language models where none serves.
pub(crate) const START_BACKEND: &[&str] = &[
    "start_backend:starting:before",
    "start_backend:starting:after",
    "start_backend:loading:before",
    "start_backend:loading:after",
];

/// Stopping the one that serves.
pub(crate) const STOP_BACKEND: &[&str] = &[
    "stop_backend:draining:before",
    "stop_backend:draining:after",
    "stop_backend:stopping:before",
    "stop_backend:stopping:after",
];

/// Giving it another model.
pub(crate) const SWITCH_MODEL: &[&str] = &[
    "switch_model:draining:before",
    "switch_model:draining:after",
    "switch_model:stopping:before",
    "switch_model:stopping:after",
    "switch_model:updating:before",
    "switch_model:updating:after",
    "switch_model:starting:before",
    "switch_model:starting:after",
    "switch_model:loading:before",
    "switch_model:loading:after",
];

/// Clearing up after any of them.
pub(crate) const CLEAR_UP: &[&str] = &[
    "clear-up:swap-finished",
    "clear-up:scratch-dropped",
    "clear-up:partials-removed",
    "clear-up:before-settling",
];

/// All moments of an operation of this kind with these steps.
pub(crate) fn moments(kind: &str, steps: &[&[&str]]) -> Vec<String> {
    let framed = |name: &&str| format!("{kind}:{name}");
    let own = steps.iter().copied().flatten().map(|name| name.replace("KIND", kind));
    BEGIN.iter().map(framed).chain(own).chain(END.iter().map(framed)).collect()
}

/// The moments of each operation that has steps.
pub(crate) fn of(kind: &str) -> Vec<String> {
    moments(
        kind,
        match kind {
            "backup" => &[BACKUP],
            "restore" => &[RESTORE, SWAP],
            "rollback" => &[ROLLBACK, SWAP],
            "drop_replaced" => &[DROP_REPLACED],
            "delete_backup" => &[DELETE_BACKUP],
            "upload" => &[UPLOAD],
            "drill" => &[DRILL],
            "factory_reset" => &[FACTORY_RESET],
            "start_backend" => &[START_BACKEND],
            "stop_backend" => &[STOP_BACKEND],
            "switch_model" => &[SWITCH_MODEL],
            _ => panic!("no table of the moments of {kind}"),
        },
    )
}
