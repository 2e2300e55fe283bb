//! What a factory reset would do.

use recovery_core::{BackupInfo, schema::Count};
use recovery_reset::{
    Categories, Category, DirectoryState, KeyCount, KeyPlan, Order, Plan,
    tables::{ClearedReference, Conflict, FollowingTable, TableRows},
};
use serde::Serialize;
use utoipa::ToSchema;

/// What a factory reset would do. Nothing has been changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ResetPreview {
    /// Whether it would be done as it is asked for; otherwise `conflicts`, `redis_error` or a directory's `problem` says
    /// what is in the way.
    possible: bool,
    /// The categories that would be wiped.
    wiped: Vec<String>,
    /// The categories that would be kept.
    kept: Vec<String>,
    /// How much would go.
    totals: Totals,
    /// What would go of each category.
    categories: Vec<PreviewedCategory>,
    /// Tables in no category of which rows would go, because they depend on rows that go.
    following: Vec<Following>,
    /// References that rows would lose that stay.
    references_cleared: Vec<Cleared>,
    /// Rows that are to stay and that are in the way.
    conflicts: Vec<PreviewedConflict>,
    /// What exists, belongs to no category, and would stay.
    unclassified: Unclassified,
    /// Backups that would stay because they are pinned.
    pinned_backups: Vec<String>,
    /// Whether the platform's migrations would run again.
    reseed: PlannedReseed,
    /// Why the keys of Redis cannot be counted.
    redis_error: Option<String>,
    /// What a person should know before.
    warnings: Vec<String>,
}

/// How much would go.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
struct Totals {
    /// Rows, those that follow included.
    rows: u64,
    /// Keys of Redis.
    redis_keys: u64,
    /// Files.
    files: u64,
    /// Bytes of these files.
    file_bytes: u64,
    /// Backups.
    backups: u64,
    /// Bytes of these backups.
    backup_bytes: u64,
    /// Whether everything was counted; otherwise some numbers are estimates.
    exact: bool,
}

/// What would go of a category.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct PreviewedCategory {
    /// Its name for programs.
    key: String,
    /// Its name for people.
    label: String,
    /// Its tables that exist.
    tables: Vec<Rows>,
    /// Its keys of Redis.
    redis: Vec<Keys>,
    /// Its directories.
    directories: Vec<PreviewedDirectory>,
    /// Its backups; `null` where it has none to do with.
    backups: Option<Backups>,
}

/// A table and its rows.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Rows {
    /// The table.
    table: String,
    /// How many rows.
    rows: u64,
    /// Whether they were counted; otherwise it is an estimate.
    exact: bool,
}

/// Keys in a numbered database of Redis.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Keys {
    /// The numbered database.
    database: u8,
    /// How many keys.
    keys: u64,
    /// Whether they were counted; otherwise it is an estimate.
    exact: bool,
}

/// A directory that would be emptied.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct PreviewedDirectory {
    /// Its path.
    path: String,
    /// Whether it is there.
    exists: bool,
    /// How many files it holds; `null` where that takes longer to find out, or cannot be.
    files: Option<u64>,
    /// How many bytes they have.
    bytes: Option<u64>,
    /// Why it cannot be emptied.
    problem: Option<String>,
}

/// Backups that would go.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Backups {
    /// How many.
    count: u64,
    /// How many bytes they have.
    bytes: u64,
    /// Their names.
    filenames: Vec<String>,
}

/// A table in no category of which rows would go.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Following {
    /// The table.
    table: String,
    /// How many of its rows.
    rows: u64,
    /// How many rows it has.
    of: u64,
    /// Whether they were counted; otherwise these are estimates.
    exact: bool,
    /// The tables that they depend on.
    refers_to: Vec<String>,
    /// The categories on whose account they go.
    because_of: Vec<String>,
}

/// Rows that would lose a reference.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Cleared {
    /// Their table.
    table: String,
    /// Its columns.
    columns: Vec<String>,
    /// The foreign key.
    foreign_key: String,
    /// The table that they refer to.
    refers_to: String,
    /// How many rows.
    rows: u64,
    /// Whether they were counted; otherwise it is an estimate.
    exact: bool,
}

/// Rows that are in the way.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct PreviewedConflict {
    /// Their table.
    table: String,
    /// The category that keeps them.
    category: Option<String>,
    /// How many.
    rows: u64,
    /// The table that they refer to.
    refers_to: String,
    /// What is in the way.
    message: String,
    /// What can be done.
    hint: String,
}

/// What exists and belongs to no category.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
struct Unclassified {
    /// Tables.
    tables: Vec<Rows>,
    /// Keys of Redis, by numbered database.
    redis: Vec<Keys>,
}

/// Whether the platform's migrations would run again.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct PlannedReseed {
    /// Whether they would.
    planned: bool,
    /// Why, or why not.
    why: String,
}

impl ResetPreview {
    pub(crate) fn new(plan: &Plan, order: &Order, categories: &Categories) -> Self {
        let counted = plan.keys.counted.as_ref().ok();
        let wiped: Vec<PreviewedCategory> = order
            .selection
            .wiped(categories)
            .map(|category| PreviewedCategory::new(category, plan, counted))
            .collect();
        let label = |key: &_| categories.label(key);
        let keys = |category: &Category| category.key.to_string();
        let following: Vec<Following> = plan.tables.following.iter().map(Following::from).collect();
        let mut preview = Self {
            possible: plan.check(order, categories).is_ok(),
            wiped: order.selection.wiped(categories).map(keys).collect(),
            kept: order.selection.kept(categories).map(keys).collect(),
            totals: Totals::of(&wiped, &following),
            categories: wiped,
            following,
            references_cleared: plan.tables.cleared.iter().map(Cleared::from).collect(),
            conflicts: plan
                .tables
                .conflicts
                .iter()
                .map(|conflict| PreviewedConflict::new(conflict, label))
                .collect(),
            unclassified: Unclassified {
                tables: plan.tables.left_alone.iter().map(Rows::from).collect(),
                redis: counted.iter().flat_map(|keys| &keys.unclassified).map(Keys::from).collect(),
            },
            pinned_backups: names(&plan.pinned),
            reseed: PlannedReseed { planned: plan.reseed.planned, why: plan.reseed.why.clone() },
            redis_error: plan.keys.counted.as_ref().err().map(|problem| problem.detail.clone()),
            warnings: Vec::new(),
        };
        let warned = order.selection.wiped(categories);
        preview.warnings = warned.filter_map(|category| category.destructive_warning.clone()).collect();
        preview.warnings.extend(preview.unclassified.warning());
        preview
    }
}

impl PreviewedCategory {
    fn new(category: &Category, plan: &Plan, counted: Option<&KeyPlan>) -> Self {
        let tables = plan.tables.wiped.get(&category.key);
        let keys = counted.and_then(|keys| keys.categories.get(&category.key));
        let directories = plan.directories.iter().filter(|directory| directory.category == category.key);
        Self {
            key: category.key.to_string(),
            label: category.label.clone(),
            tables: tables.into_iter().flatten().map(Rows::from).collect(),
            redis: keys.into_iter().flatten().map(Keys::from).collect(),
            directories: directories
                .map(|directory| {
                    let path = directory.path.display().to_string();
                    PreviewedDirectory::new(path, &directory.state)
                })
                .collect(),
            backups: category.backups.then(|| Backups {
                count: plan.backups.len() as u64,
                bytes: plan.backups.iter().map(|backup| backup.size_bytes).sum(),
                filenames: names(&plan.backups),
            }),
        }
    }
}

impl PreviewedDirectory {
    fn new(path: String, state: &DirectoryState) -> Self {
        let unknown = Self { path, exists: true, files: None, bytes: None, problem: None };
        match state {
            DirectoryState::Holds(Some(size)) => {
                Self { files: Some(size.files), bytes: Some(size.bytes), ..unknown }
            }
            DirectoryState::Holds(None) => unknown,
            DirectoryState::Missing => Self { exists: false, files: Some(0), bytes: Some(0), ..unknown },
            DirectoryState::Unusable(why) => Self { problem: Some(why.clone()), ..unknown },
        }
    }
}

impl Totals {
    fn of(categories: &[PreviewedCategory], following: &[Following]) -> Self {
        let mut totals = Self { exact: true, ..Self::default() };
        for category in categories {
            for table in &category.tables {
                totals.rows += table.rows;
                totals.exact &= table.exact;
            }
            for keys in &category.redis {
                totals.redis_keys += keys.keys;
                totals.exact &= keys.exact;
            }
            for directory in &category.directories {
                totals.files += directory.files.unwrap_or(0);
                totals.file_bytes += directory.bytes.unwrap_or(0);
                totals.exact &= directory.files.is_some() || directory.problem.is_some();
            }
            if let Some(backups) = &category.backups {
                totals.backups += backups.count;
                totals.backup_bytes += backups.bytes;
            }
        }
        for table in following {
            totals.rows += table.rows;
            totals.exact &= table.exact;
        }
        totals
    }
}

impl Unclassified {
    fn warning(&self) -> Option<String> {
        let tables: Vec<&str> = self.tables.iter().map(|entry| entry.table.as_str()).collect();
        let databases: Vec<String> = self.redis.iter().map(|keys| keys.database.to_string()).collect();
        let tables = (!tables.is_empty()).then(|| format!("the tables {}", tables.join(", ")));
        let keys = (!databases.is_empty())
            .then(|| format!("keys in the databases {} of Redis", databases.join(", ")));
        let all: Vec<String> = tables.into_iter().chain(keys).collect();
        (!all.is_empty()).then(|| format!("In no category, and left alone: {}.", all.join("; ")))
    }
}

impl PreviewedConflict {
    fn new(conflict: &Conflict, label: impl Fn(&recovery_reset::CategoryKey) -> String + Copy) -> Self {
        Self {
            table: conflict.table().to_string(),
            category: conflict.class.category().map(ToString::to_string),
            rows: conflict.rows.rows,
            refers_to: conflict.key.referenced.to_string(),
            message: conflict.sentence(label),
            hint: conflict.remedy(label),
        }
    }
}

impl From<&TableRows> for Rows {
    fn from(TableRows { table, rows: Count { rows, exact } }: &TableRows) -> Self {
        Self { table: table.to_string(), rows: *rows, exact: *exact }
    }
}

impl From<(&u8, &KeyCount)> for Keys {
    fn from((database, count): (&u8, &KeyCount)) -> Self {
        Self { database: *database, keys: count.keys, exact: count.exact }
    }
}

impl From<&FollowingTable> for Following {
    fn from(following: &FollowingTable) -> Self {
        Self {
            table: following.table.to_string(),
            rows: following.rows.rows,
            of: following.of.rows,
            exact: following.rows.exact && following.of.exact,
            refers_to: following.refers_to.iter().map(ToString::to_string).collect(),
            because_of: following.wiped.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&ClearedReference> for Cleared {
    fn from(cleared: &ClearedReference) -> Self {
        let key = &cleared.key;
        Self {
            table: key.table.to_string(),
            columns: key.columns.iter().map(|column| column.name.clone()).collect(),
            foreign_key: key.name.clone(),
            refers_to: key.referenced.to_string(),
            rows: cleared.rows.rows,
            exact: cleared.rows.exact,
        }
    }
}

fn names(backups: &[BackupInfo]) -> Vec<String> {
    backups.iter().map(|backup| backup.filename.to_string()).collect()
}
