//! How far a deletion reaches: which rows go with those that go, and which refer to them and stay.
//!
//! The rows of tables of which not all go are listed in temporary tables, by their place (`ctid`) in the table or
//! partition (`tableoid`); the caller's transaction keeps others from moving them, and ends with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use recovery_core::{
    port::DatabaseError,
    schema::{Count, Doomed, OnDelete, Reach, TableName},
};

use super::{
    catalog::{Catalog, Default, Key},
    count,
};
use crate::postgres::{error::refused, session::Session};

/// How long the searches of one estimate may take in all, and one of them.
const SEARCH_LIMIT: Duration = Duration::from_millis(150);
const SEARCH: Duration = Duration::from_millis(50);

/// Which rows of a table go.
enum Going {
    All,
    /// Those listed in this temporary table.
    Listed {
        list: String,
        rows: u64,
        newest: u32,
    },
    /// About so many, of a table that is too large to look at each row.
    Some(u64),
}

/// What is being found out.
pub(super) struct Search<'a> {
    session: &'a Session,
    catalog: &'a Catalog,
    doomed: &'a Doomed,
    /// The tables whose rows are not counted; none where all are.
    large: BTreeSet<TableName>,
    give_up: Instant,
    going: BTreeMap<TableName, Going>,
}

impl<'a> Search<'a> {
    /// A search that looks at every row.
    pub(super) fn exact(session: &'a Session, catalog: &'a Catalog, doomed: &'a Doomed) -> Self {
        Self::with(session, catalog, doomed, BTreeSet::new())
    }

    /// A search that does not look at every row of large tables.
    pub(super) async fn quick(
        session: &'a Session,
        catalog: &'a Catalog,
        doomed: &'a Doomed,
    ) -> Result<Self, DatabaseError> {
        let large = count::large(session, catalog).await?;
        Ok(Self::with(session, catalog, doomed, large.into_iter().collect()))
    }

    fn with(
        session: &'a Session,
        catalog: &'a Catalog,
        doomed: &'a Doomed,
        large: BTreeSet<TableName>,
    ) -> Self {
        let going = doomed.wiped.iter().map(|table| (table.clone(), Going::All)).collect();
        Self { session, catalog, doomed, large, give_up: Instant::now() + SEARCH_LIMIT, going }
    }

    /// Finds out how far it reaches. The lists are there until the transaction ends.
    pub(super) async fn run(&mut self) -> Result<Reach, DatabaseError> {
        let binding = |key: &&Key| key.key.binds() && self.doomed.following.contains(&key.key.table);
        let keys: Vec<&Key> = self.catalog.keys.iter().filter(binding).collect();
        let mut round = 0;
        while self.follow(&keys, round).await? {
            round += 1;
        }
        let mut reach = Reach::default();
        for (table, going) in &self.going {
            let rows = match going {
                Going::All => continue,
                Going::Listed { rows, .. } => Count { rows: *rows, exact: true },
                Going::Some(rows) => Count { rows: *rows, exact: false },
            };
            reach.following.insert(table.clone(), rows);
        }
        for key in &self.catalog.keys {
            let stays = !matches!(self.going.get(&key.key.table), Some(Going::All));
            if !stays || !self.going.contains_key(&key.key.referenced) {
                continue;
            }
            let Some(referring) = self.referring(key, None).await? else { continue };
            reach.referring.insert(key.id.clone(), referring);
            if key.key.on_delete == OnDelete::SetDefault
                && let Some(dangling) = self.dangling(key).await?
            {
                reach.dangling.insert(key.id.clone(), dangling);
            }
        }
        Ok(reach)
    }

    /// The temporary table that lists which rows of a table go; none where none do, or all.
    pub(super) fn list(&self, table: &TableName) -> Option<(&str, u64)> {
        match self.going.get(table) {
            Some(Going::Listed { list, rows, .. }) => Some((list, *rows)),
            _ => None,
        }
    }

    /// The condition under which the row `child` refers by a key to a row that goes and stays itself, and whether that
    /// is so for certain. `since` is the round from which on parents count.
    pub(super) fn condition(&self, key: &Key, since: Option<u32>) -> Option<(String, bool)> {
        let (refers, matches) = (key.refers("child"), key.matches("parent", "child"));
        let (to_one_that_goes, mut certain) = match self.going.get(&key.key.referenced)? {
            Going::All if key.is_validated => (refers, true),
            Going::All => {
                (format!("{refers} AND EXISTS (SELECT FROM {} parent WHERE {matches})", key.to), true)
            }
            Going::Some(_) => (refers, false),
            Going::Listed { list, .. } => {
                let since = since.map(|round| format!(" AND gone.round >= {round}")).unwrap_or_default();
                let parents = format!(
                    "EXISTS (SELECT FROM {} parent JOIN {list} gone
                             ON gone.part = parent.tableoid AND gone.place = parent.ctid WHERE {matches}{since})",
                    key.to
                );
                (parents, true)
            }
        };
        let and_stays = match self.going.get(&key.key.table) {
            Some(Going::Listed { list, .. }) => format!(
                " AND NOT EXISTS (SELECT FROM {list} gone WHERE gone.part = child.tableoid AND gone.place = child.ctid)"
            ),
            Some(Going::Some(_)) => {
                certain = false;
                String::new()
            }
            Some(Going::All) | None => String::new(),
        };
        Some((format!("{to_one_that_goes}{and_stays}"), certain))
    }

    /// Lets rows follow that refer to rows which were found in the last round. Whether there were any.
    async fn follow(&mut self, keys: &[&Key], round: u32) -> Result<bool, DatabaseError> {
        let mut found_any = false;
        for key in keys {
            let is_new = match self.going.get(&key.key.referenced) {
                None => false,
                Some(Going::All | Going::Some(_)) if round == 0 => true,
                Some(Going::All) => false,
                // It may have become so in any round; what is known of the child already is not looked for again.
                Some(Going::Some(_)) => true,
                Some(Going::Listed { newest, .. }) => *newest + 1 >= round,
            };
            if is_new {
                found_any |= self.follow_key(key, round).await?;
            }
        }
        Ok(found_any)
    }

    async fn follow_key(&mut self, key: &Key, round: u32) -> Result<bool, DatabaseError> {
        let table = &key.key.table;
        if matches!(self.going.get(table), Some(Going::Some(_))) {
            return Ok(false);
        }
        let Some((condition, certain)) = self.condition(key, Some(round.saturating_sub(1))) else {
            return Ok(false);
        };
        if !certain || self.large.contains(table) {
            let Some(count) = self.estimate(key, &condition).await? else { return Ok(false) };
            self.going.insert(table.clone(), Going::Some(count));
            return Ok(true);
        }
        let doing = "looking for rows that depend on others";
        let list = match self.going.get(table) {
            Some(Going::Listed { list, .. }) => list.clone(),
            _ => {
                if !self.any(key, &condition).await? {
                    return Ok(false);
                }
                self.new_list(table).await?
            }
        };
        let sql = format!(
            "INSERT INTO {list} SELECT child.tableoid, child.ctid, {round} FROM {} child WHERE {condition}",
            key.from
        );
        let added = self
            .session
            .single(doing, &sql)
            .await
            .map_err(|error| error.into_database_error(doing, self.session.database()))?;
        let Some(Going::Listed { rows, newest, .. }) = self.going.get_mut(table) else {
            return Err(refused(doing, "a list was lost"));
        };
        if added > 0 {
            *rows += added;
            *newest = round;
        }
        Ok(added > 0)
    }

    async fn new_list(&mut self, table: &TableName) -> Result<String, DatabaseError> {
        let list = format!("pg_temp.nova_recovery_going_{}", self.going.len());
        let sql = format!(
            "CREATE TEMPORARY TABLE {list} (part pg_catalog.oid, place pg_catalog.tid, round pg_catalog.int4) ON COMMIT DROP",
        );
        self.session.batch("listing rows that go", &sql).await?;
        self.going.insert(table.clone(), Going::Listed { list: list.clone(), rows: 0, newest: 0 });
        Ok(list)
    }

    /// How many rows that stay refer by this key to rows that go, and meet a further condition; none where none do.
    async fn referring(&self, key: &Key, further: Option<&str>) -> Result<Option<Count>, DatabaseError> {
        let Some((mut condition, certain)) = self.condition(key, None) else { return Ok(None) };
        if let Some(further) = further {
            condition = format!("{condition} AND {further}");
        }
        if !certain || self.large.contains(&key.key.table) {
            let count = self.estimate(key, &condition).await?;
            return Ok(count.map(|rows| Count { rows, exact: false }));
        }
        let sql = format!("SELECT pg_catalog.count(*) FROM {} child WHERE {condition}", key.from);
        let doing = "counting references";
        let rows = self.session.text(doing, &sql).await?.and_then(|rows| rows.parse::<u64>().ok());
        let rows = rows.ok_or_else(|| refused(doing, "the server did not answer with a number"))?;
        Ok((rows > 0).then_some(Count { rows, exact: true }))
    }

    /// How many of the rows that get a default refer nowhere then.
    async fn dangling(&self, key: &Key) -> Result<Option<Count>, DatabaseError> {
        let columns = key.key.columns.iter().zip(&key.columns).zip(&key.defaults);
        let values: Option<Vec<String>> = columns
            .map(|((column, quoted), default)| match (column.is_set, default) {
                (false, _) => Some(format!("child.{quoted}")),
                (true, Default::Null) => Some("NULL".to_owned()),
                (true, Default::Plain(value)) => Some(format!("({value})")),
                (true, Default::Other) => None,
            })
            .collect();
        // A default that is worked out each time is taken to lead nowhere: we do not run it.
        let Some(values) = values else { return self.referring(key, None).await };
        let is_null = |value: &String| format!("{value} IS NULL");
        let nulls: Vec<String> = values.iter().map(is_null).collect();
        let refers_to_none = if key.key.match_full { nulls.join(" AND ") } else { nulls.join(" OR ") };
        let matches = key.leads_to("parent", values.iter().map(String::as_str));
        let remains = match self.going.get(&key.key.referenced) {
            Some(Going::All) | None => "false".to_owned(),
            // For all that we know, it may go.
            Some(Going::Some(_)) => "false".to_owned(),
            Some(Going::Listed { list, .. }) if values.iter().all(|value| value != "NULL") => format!(
                "EXISTS (SELECT FROM {} parent WHERE {matches}
                         AND NOT EXISTS (SELECT FROM {list} gone WHERE gone.part = parent.tableoid
                                         AND gone.place = parent.ctid))",
                key.to
            ),
            Some(Going::Listed { .. }) => "false".to_owned(),
        };
        self.referring(key, Some(&format!("NOT ({refers_to_none}) AND NOT {remains}"))).await
    }

    /// Whether any row meets the condition.
    async fn any(&self, key: &Key, condition: &str) -> Result<bool, DatabaseError> {
        let sql = format!("SELECT EXISTS (SELECT FROM {} child WHERE {condition})", key.from);
        Ok(self.session.text("looking for references", &sql).await?.as_deref() == Some("t"))
    }

    /// About how many rows meet the condition; none where that is certain.
    async fn estimate(&self, key: &Key, condition: &str) -> Result<Option<u64>, DatabaseError> {
        let doing = "looking for references";
        let left = self.give_up.saturating_duration_since(Instant::now()).min(SEARCH);
        if !left.is_zero() {
            let sql = format!(
                "SAVEPOINT search; SET LOCAL statement_timeout = {};
                 SELECT EXISTS (SELECT FROM {} child WHERE {condition}); ROLLBACK TO search; RELEASE search",
                left.as_millis().max(1),
                key.from
            );
            match self.session.text(doing, &sql).await {
                Ok(found) if found.as_deref() == Some("f") => return Ok(None),
                Ok(_) => {}
                // It would take longer, so nobody knows.
                Err(DatabaseError::TimedOut { .. }) => {
                    self.session.batch(doing, "ROLLBACK TO search; RELEASE search").await?;
                }
                Err(error) => return Err(error),
            }
        }
        count::expected(self.session, &format!("FROM {} child WHERE {condition}", key.from)).await.map(Some)
    }
}
