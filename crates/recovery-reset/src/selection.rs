//! What somebody wants reset, checked: which categories are kept, and what else was said.

use std::collections::BTreeSet;

use recovery_core::{ErrorCode, Problem};

use crate::{Categories, Category, CategoryKey};

/// What has to be typed before anything is deleted.
pub const CONFIRMATION: &str = "RESET";

/// Which categories are kept. All others are wiped; there is no other way to say it, so that nothing goes because
/// something was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    kept: BTreeSet<CategoryKey>,
}

impl Selection {
    /// Keeps the categories of these names.
    ///
    /// # Errors
    /// There is no such category, or one is named twice. Every mistake is named, not only the first.
    pub fn keeping<S: AsRef<str>>(categories: &Categories, keep: &[S]) -> Result<Self, InvalidSelection> {
        let (mut kept, mut wrong) = (BTreeSet::new(), Vec::new());
        for (place, name) in keep.iter().map(AsRef::as_ref).enumerate() {
            let key = name.parse().ok().filter(|key| categories.get(key).is_some());
            match key {
                None => wrong.push((place, Mistake::Unknown)),
                Some(key) => {
                    if !kept.insert(key) {
                        wrong.push((place, Mistake::Twice));
                    }
                }
            }
        }
        if wrong.is_empty() {
            return Ok(Self { kept });
        }
        let known = categories.all().iter().map(|category| category.key.clone()).collect();
        Err(InvalidSelection { wrong, known })
    }

    /// Keeps what is kept where nobody says anything else.
    #[must_use]
    pub fn defaults(categories: &Categories) -> Self {
        Self { kept: categories.kept_by_default().into_iter().collect() }
    }

    /// Whether a category is kept.
    #[must_use]
    pub fn keeps(&self, key: &CategoryKey) -> bool {
        self.kept.contains(key)
    }

    /// The categories that are kept, in the order of the file.
    pub fn kept<'a>(&'a self, categories: &'a Categories) -> impl Iterator<Item = &'a Category> {
        categories.all().iter().filter(|category| self.keeps(&category.key))
    }

    /// The categories that are wiped, in the order of the file.
    pub fn wiped<'a>(&'a self, categories: &'a Categories) -> impl Iterator<Item = &'a Category> {
        categories.all().iter().filter(|category| !self.keeps(&category.key))
    }

    /// The names of those that are kept, separated by commas, in the order of the file.
    #[must_use]
    pub fn list(&self, categories: &Categories) -> String {
        self.kept(categories).map(|category| category.key.as_str()).collect::<Vec<_>>().join(",")
    }
}

/// What is wrong with the name of a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    Unknown,
    Twice,
}

/// A list of categories that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list of the categories to keep is wrong")]
pub struct InvalidSelection {
    wrong: Vec<(usize, Mistake)>,
    known: Vec<CategoryKey>,
}

impl From<InvalidSelection> for Problem {
    fn from(error: InvalidSelection) -> Self {
        let InvalidSelection { wrong, known } = error;
        let unknown = wrong.iter().any(|(_, mistake)| *mistake == Mistake::Unknown);
        let detail = if unknown {
            "`keep` names a category that does not exist. Nothing was changed."
        } else {
            "`keep` names a category twice. Nothing was changed."
        };
        let known: Vec<&str> = known.iter().map(CategoryKey::as_str).collect();
        let problem = Self::new(ErrorCode::InvalidRequest, detail)
            .hint(format!("Categories are {}.", known.join(", ")));
        // The names themselves are not repeated: they are somebody's text.
        wrong.iter().fold(problem, |problem, (place, mistake)| {
            let message = match mistake {
                Mistake::Unknown => "is no category",
                Mistake::Twice => "stands there twice",
            };
            problem.field(format!("keep.{place}"), message)
        })
    }
}

/// A reset that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What is kept.
    pub selection: Selection,
    /// Whether a safety backup is made first, and the reset given up where that fails.
    pub safety_backup: bool,
    /// Whether Redis or a directory may be away; what is there is reset all the same.
    pub accept_partial: bool,
    /// Whether pinned backups go too, where backups go.
    pub include_pinned: bool,
    /// Whether migrations are to run again; `None` leaves it to what is wiped.
    pub reseed: Option<bool>,
}

impl Order {
    /// A reset with a safety backup, and nothing out of the ordinary.
    #[must_use]
    pub fn new(selection: Selection) -> Self {
        Self { selection, safety_backup: true, accept_partial: false, include_pinned: false, reseed: None }
    }
}

/// Refuses what was not confirmed, letter by letter.
///
/// # Errors
/// It is another text.
pub fn check_confirmation(text: &str) -> Result<(), Problem> {
    if text == CONFIRMATION {
        return Ok(());
    }
    Err(Problem::new(ErrorCode::ConfirmationRequired, "The reset is not confirmed. Nothing was changed.")
        .hint(format!("Send \"confirm\": \"{CONFIRMATION}\", in capital letters."))
        .field("confirm", format!("must be {CONFIRMATION}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_wiped_and_nothing_is_guessed() {
        let categories = Categories::built_in().unwrap();
        let check = |keep: &[&str], fields: &[&str]| {
            let problem = Problem::from(Selection::keeping(&categories, keep).unwrap_err());
            assert_eq!(problem.code, ErrorCode::InvalidRequest);
            let found: Vec<String> =
                problem.errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
            assert_eq!(found, fields, "{keep:?}");
            assert!(problem.hint.unwrap().contains("chat_history"));
        };
        check(&["nonsense"], &["keep.0 is no category"]);
        check(&["api_keys", ""], &["keep.1 is no category"]);
        check(&["api_keys", "API_KEYS"], &["keep.1 is no category"]);
        check(&["api_keys", " backups"], &["keep.1 is no category"]);
        check(&["api_keys", "backups", "api_keys"], &["keep.2 stands there twice"]);
        check(&["x", "backups", "backups"], &["keep.0 is no category", "keep.2 stands there twice"]);

        let selection = Selection::keeping(&categories, &["backups", "api_keys"]).unwrap();
        assert_eq!(selection.list(&categories), "api_keys,backups");
        assert_eq!(selection.wiped(&categories).count(), 10);
        let nothing = Selection::keeping::<&str>(&categories, &[]).unwrap();
        assert_eq!(nothing.wiped(&categories).count(), 12);
        assert_eq!(Selection::defaults(&categories).wiped(&categories).count(), 6);
    }

    #[test]
    fn only_the_very_word_confirms() {
        assert!(check_confirmation("RESET").is_ok());
        for text in ["reset", "Reset", "RESET ", " RESET", "", "YES", "RESET\n"] {
            let problem = check_confirmation(text).unwrap_err();
            assert_eq!(problem.code, ErrorCode::ConfirmationRequired, "{text:?}");
        }
    }
}
