//! Planning a reset over the ports, and showing the plan.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use recovery_core::{
    BackupInfo, Problem,
    port::{DataDirectories, DirectoryError, KeySpace, ResetDatabase},
    schema::Schema,
};

use crate::{
    Categories, DirectoryState, KeyEffort, KeyPlan, KeysPlan, Order, PlannedDirectory, Reseed, ResetError,
    ResetKeys,
    plan::{self, Plan},
    tables::{TableClasses, TablePlan},
};

/// How long a quick preview looks at keys and at directories before it makes do with what it has seen.
const GLANCE: Duration = Duration::from_millis(120);

/// What a reset has to know of the service that it is part of.
#[derive(Clone, Debug, Default)]
pub struct ResetSettings {
    /// What belongs to which category.
    pub categories: Categories,
    /// Directories that no reset may empty, because something of them is needed: backups, the journal.
    pub protected: Vec<PathBuf>,
    /// The numbered database of Redis that is the recovery service's own: no key of it is removed.
    pub own_key_database: u8,
}

/// Factory resets of one installation.
pub struct Reset {
    pub(crate) settings: ResetSettings,
    pub(crate) database: Arc<dyn ResetDatabase>,
    pub(crate) keys: Arc<dyn KeySpace>,
    pub(crate) directories: Arc<dyn DataDirectories>,
}

/// How closely it is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// For moments, with estimates.
    Glance,
    /// Until everything is counted.
    Count,
    /// Only whether it can be used; the numbers may be estimates.
    Check,
}

impl Reset {
    /// Resets over these ports. Touches nothing yet.
    #[must_use]
    pub fn new(
        settings: ResetSettings,
        database: Arc<dyn ResetDatabase>,
        keys: Arc<dyn KeySpace>,
        directories: Arc<dyn DataDirectories>,
    ) -> Self {
        Self { settings, database, keys, directories }
    }

    /// What can be reset.
    #[must_use]
    pub fn categories(&self) -> &Categories {
        &self.settings.categories
    }

    /// What a reset would do: counted where `exact`, else within moments, with estimates that are marked as such.
    /// `backups` are those that there are. Changes nothing.
    ///
    /// # Errors
    /// PostgreSQL cannot be asked. That Redis or a directory cannot be is part of the plan.
    pub async fn preview(
        &self,
        order: &Order,
        exact: bool,
        backups: Vec<BackupInfo>,
    ) -> Result<Plan, ResetError> {
        self.plan(order, if exact { Look::Count } else { Look::Glance }, backups).await
    }

    /// Plans a reset, looking at the database, the keys and the directories at the same time.
    pub(crate) async fn plan(
        &self,
        order: &Order,
        look: Look,
        backups: Vec<BackupInfo>,
    ) -> Result<Plan, ResetError> {
        let (tables, keys, directories) = tokio::join!(
            self.plan_tables(order, look == Look::Count),
            self.plan_keys(order, look),
            self.plan_directories(order, look),
        );
        let (tables, reseed) = tables?;
        let (backups, pinned) = plan::backups(order, self.categories(), backups);
        Ok(Plan { tables, keys, directories, backups, pinned, reseed })
    }

    async fn plan_tables(&self, order: &Order, exact: bool) -> Result<(TablePlan, Reseed), ResetError> {
        let schema = self.database.schema(exact).await?;
        let (classes, reseed) = self.classes(order, &schema);
        let doomed = classes.doomed(&schema);
        let mut plan = TablePlan::new(&classes, &schema, &self.database.reach(&doomed, exact).await?);
        // An estimate may see rows in the way where none are.
        if !plan.is_possible() && !exact {
            plan = TablePlan::new(&classes, &schema, &self.database.reach(&doomed, true).await?);
        }
        Ok((plan, reseed))
    }

    /// What is to be done with each table of this schema, and whether migrations are to run again.
    pub(crate) fn classes(&self, order: &Order, schema: &Schema) -> (TableClasses, Reseed) {
        let reseed = plan::reseed(order, self.categories(), schema);
        (plan::classes(order, self.categories(), &reseed), reseed)
    }

    /// The keys.
    pub(crate) fn keys(&self) -> ResetKeys<'_> {
        ResetKeys::new(self.keys.as_ref(), self.settings.own_key_database)
    }

    async fn plan_keys(&self, order: &Order, look: Look) -> KeysPlan {
        let (keys, categories) = (self.keys(), self.categories());
        let effort = if look == Look::Count { KeyEffort::Exact } else { KeyEffort::Within(GLANCE) };
        let counted = match look {
            // They are counted as they go.
            Look::Check => self.keys.databases().await.map(|_| KeyPlan::default()),
            Look::Glance | Look::Count => keys.plan(categories, &order.selection, effort).await,
        };
        KeysPlan { going: keys.going(categories, &order.selection), counted: counted.map_err(Problem::from) }
    }

    async fn plan_directories(&self, order: &Order, look: Look) -> Vec<PlannedDirectory> {
        let mut planned = Vec::new();
        for category in order.selection.wiped(self.categories()) {
            for path in &category.directories {
                let measured = self.measure(path);
                let state = if look == Look::Glance {
                    let in_time = tokio::time::timeout(GLANCE, measured).await;
                    in_time.unwrap_or(DirectoryState::Holds(None))
                } else {
                    measured.await
                };
                planned.push(PlannedDirectory { category: category.key.clone(), path: path.clone(), state });
            }
        }
        planned
    }

    async fn measure(&self, path: &Path) -> DirectoryState {
        // Nothing that leads to the same place by a link gets around this.
        let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let real = resolved(path);
        if self.settings.protected.iter().any(|protected| resolved(protected).starts_with(&real)) {
            return DirectoryState::Unusable("the recovery service keeps its own files in it".to_owned());
        }
        match self.directories.measure(path).await {
            Ok(size) => DirectoryState::Holds(Some(size)),
            Err(DirectoryError::Missing { .. }) => DirectoryState::Missing,
            Err(error) => DirectoryState::Unusable(error.to_string()),
        }
    }
}
