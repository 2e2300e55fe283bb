//! What can be reset: the categories, each with its tables, keys and directories, as the data file has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Component, Path, PathBuf},
    str::FromStr,
};

use recovery_core::{keys::KeyPattern, schema::TableName};
use serde::Deserialize;

/// The file that this program was built with.
const BUILT_IN: &str = include_str!("../../../data/reset_categories.json");

/// The name of a category, for example `chat_history`: lower-case letters, digits and underscores.
///
/// ```
/// use recovery_reset::CategoryKey;
/// assert!("chat_history".parse::<CategoryKey>().is_ok());
/// assert!("Chat history".parse::<CategoryKey>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CategoryKey(String);

/// A text that cannot name a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("lower-case letters, digits and underscores name a category")]
pub struct InvalidCategoryKey;

impl CategoryKey {
    /// The longest name, in bytes.
    const LONGEST: usize = 64;

    /// As it stands in the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CategoryKey {
    type Err = InvalidCategoryKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_name = !text.is_empty() && text.len() <= Self::LONGEST && text.bytes().all(is_plain);
        if is_name { Ok(Self(text.to_owned())) } else { Err(InvalidCategoryKey) }
    }
}

impl fmt::Display for CategoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What belongs together, and is wiped or kept as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// Its name for programs.
    pub key: CategoryKey,
    /// Its name for people.
    pub label: String,
    /// What is in it, in words.
    pub description: String,
    /// Whether it is kept where nobody says anything else.
    pub default_keep: bool,
    /// What a person should know before it is wiped.
    pub destructive_warning: Option<String>,
    /// Its tables. One that does not exist is no mistake: versions of the platform differ.
    pub tables: Vec<TableName>,
    /// The keys of Redis that belong to it.
    pub keys: Vec<KeyPattern>,
    /// The directories whose contents belong to it; absolute.
    pub directories: Vec<PathBuf>,
    /// Whether the platform's migrations put rows into its tables, which are missing once they are wiped.
    pub seeded_by_migrations: bool,
    /// Whether it is the backups themselves.
    pub backups: bool,
}

/// Everything that can be reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Categories {
    never: BTreeSet<TableName>,
    all: Vec<Category>,
}

/// A file of categories that cannot be used: what is wrong with it, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidCategories(pub Vec<String>);

impl Categories {
    /// The categories of this version of the platform.
    ///
    /// # Errors
    /// Never, which a test proves.
    pub fn built_in() -> Result<Self, InvalidCategories> {
        BUILT_IN.parse()
    }

    /// Every category, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[Category] {
        &self.all
    }

    /// Tables of which no row is ever deleted.
    #[must_use]
    pub fn never(&self) -> &BTreeSet<TableName> {
        &self.never
    }

    /// The category of this name.
    #[must_use]
    pub fn get(&self, key: &CategoryKey) -> Option<&Category> {
        self.all.iter().find(|category| category.key == *key)
    }

    /// What people call the category of this name.
    #[must_use]
    pub fn label(&self, key: &CategoryKey) -> String {
        self.get(key).map_or_else(|| key.to_string(), |category| category.label.clone())
    }

    /// Those that are kept where nobody says anything else, in order.
    #[must_use]
    pub fn kept_by_default(&self) -> Vec<CategoryKey> {
        self.all
            .iter()
            .filter(|category| category.default_keep)
            .map(|category| category.key.clone())
            .collect()
    }

    /// Every directory that some category empties, in order.
    #[must_use]
    pub fn directories(&self) -> Vec<PathBuf> {
        self.all.iter().flat_map(|category| category.directories.iter().cloned()).collect()
    }
}

impl FromStr for Categories {
    type Err = InvalidCategories;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let file: File =
            serde_json::from_str(text).map_err(|error| InvalidCategories(vec![error.to_string()]))?;
        let mut wrong = Vec::new();
        let categories = Self {
            never: file.never.iter().map(|name| table(name, "never", &mut wrong)).collect(),
            all: file.categories.into_iter().filter_map(|raw| raw.category(&mut wrong)).collect(),
        };
        categories.check(&mut wrong);
        if wrong.is_empty() { Ok(categories) } else { Err(InvalidCategories(wrong)) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    never: Vec<String>,
    categories: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    key: String,
    label: String,
    description: String,
    default_keep: bool,
    #[serde(default)]
    destructive_warning: Option<String>,
    tables: Vec<String>,
    redis: Vec<(u8, String)>,
    directories: Vec<PathBuf>,
    #[serde(default)]
    seeded_by_migrations: bool,
    #[serde(default)]
    backups: bool,
}

impl Raw {
    fn category(self, wrong: &mut Vec<String>) -> Option<Category> {
        let Ok(key) = self.key.parse() else {
            wrong.push(format!("`{}` is no name of a category: {InvalidCategoryKey}", self.key));
            return None;
        };
        Some(Category {
            tables: self.tables.iter().map(|name| table(name, &self.key, wrong)).collect(),
            key,
            label: self.label,
            description: self.description,
            default_keep: self.default_keep,
            destructive_warning: self.destructive_warning,
            keys: self
                .redis
                .into_iter()
                .map(|(database, pattern)| KeyPattern { database, pattern })
                .collect(),
            directories: self.directories,
            seeded_by_migrations: self.seeded_by_migrations,
            backups: self.backups,
        })
    }
}

/// `name`, which is in the schema `public`, or `schema.name`.
fn table(text: &str, whose: &str, wrong: &mut Vec<String>) -> TableName {
    let name = match text.split_once('.') {
        Some((schema, name)) => TableName { schema: schema.to_owned(), name: name.to_owned() },
        None => TableName::public(text),
    };
    if name.schema.is_empty() || name.name.is_empty() {
        wrong.push(format!("{whose}: `{text}` is no name of a table"));
    }
    name
}

impl Categories {
    /// Finds what would make a reset do something that nobody meant.
    fn check(&self, wrong: &mut Vec<String>) {
        if self.all.is_empty() {
            wrong.push("there is no category".to_owned());
        }
        let (mut keys, mut tables) = (BTreeSet::new(), BTreeMap::new());
        let mut directories: Vec<(&CategoryKey, &Path)> = Vec::new();
        for category in &self.all {
            let key = &category.key;
            if !keys.insert(key) {
                wrong.push(format!("{key} stands there twice"));
            }
            if category.label.trim().is_empty() {
                wrong.push(format!("{key} has no label"));
            }
            for table in &category.tables {
                if self.never.contains(table) {
                    wrong.push(format!("{key} has the table {table}, of which no row may ever be deleted"));
                }
                if let Some(other) = tables.insert(table, key) {
                    wrong.push(format!("the table {table} is in {other} and in {key}"));
                }
            }
            if category.keys.iter().any(|pattern| pattern.pattern.is_empty()) {
                wrong.push(format!("{key} has an empty pattern for keys"));
            }
            for path in &category.directories {
                if !is_plain(path) {
                    wrong.push(format!(
                        "{key}: `{}` is no absolute path of a directory without `..`",
                        path.display()
                    ));
                }
                // What is wiped must not hold what is kept.
                for (other, theirs) in &directories {
                    if path.starts_with(theirs) || theirs.starts_with(path) {
                        wrong.push(format!(
                            "`{}` of {other} and `{}` of {key} are inside one another",
                            theirs.display(),
                            path.display()
                        ));
                    }
                }
                directories.push((key, path));
            }
        }
        if self.all.iter().filter(|category| category.backups).count() > 1 {
            wrong.push("more than one category is the backups".to_owned());
        }
    }
}

fn is_plain(path: &Path) -> bool {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    path.is_absolute() && plain && path.parent().is_some()
}

#[cfg(test)]
pub(crate) mod tests;
