//! The order of entries: a directory before what is in it, and what is in it by name.
//!
//! An archive that keeps it names nothing twice, and puts nothing below what is no directory of its own: not below a
//! symbolic link, a file, or a directory that it does not have.

use super::entry::{Entry, What};

/// Follows the entries of one included directory.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// The directories that the last entry is in, from the outside to the inside, itself included where it is one.
    open: Vec<Vec<u8>>,
    /// The last name in each of them, that of the included directory first; empty before the first entry.
    last: Vec<Option<Vec<u8>>>,
}

impl Order {
    /// Whether the entry may stand here; then it counts as the last.
    pub(crate) fn admits(&mut self, entry: &Entry) -> bool {
        let names = entry.names();
        let Some((name, parents)) = names.split_last() else {
            // The included directory itself.
            let first = self.last.is_empty() && entry.what == What::Directory;
            self.last.push(None);
            return first;
        };
        let depth = parents.len();
        let in_open = depth <= self.open.len()
            && depth < Entry::MAX_DEPTH
            && self.open.iter().zip(parents).all(|(open, parent)| open == parent);
        if !in_open {
            return false;
        }
        self.open.truncate(depth);
        self.last.truncate(depth + 1);
        let Some(last) = self.last.get_mut(depth) else { return false };
        if last.as_deref().is_some_and(|last| last >= *name) {
            return false;
        }
        *last = Some(name.to_vec());
        if entry.what == What::Directory {
            self.open.push(name.to_vec());
            self.last.push(None);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], admitted: bool) {
        let mut order = Order::default();
        let mut admits = |path: &str| {
            let what = match path.strip_suffix('@') {
                Some(_) => What::Link { target: b"/etc".to_vec() },
                None if path.ends_with('/') || path.is_empty() => What::Directory,
                None => What::File { size: 0, data: None },
            };
            let path = path.trim_end_matches(['/', '@']).as_bytes().to_vec();
            let entry = Entry { path, what, mode: 0, uid: 0, gid: 0, seconds: 0, nanoseconds: 0 };
            order.admits(&entry)
        };
        assert_eq!(paths.iter().all(|path| admits(path)), admitted, "{paths:?}");
    }

    #[test]
    fn a_directory_stands_before_what_is_in_it_and_nothing_twice() {
        check(&["", "a", "b/", "b/a", "b/c/", "b/c/a", "b/d", "c"], true);
        check(&["", "b/", "b/x", "b.txt"], true);
        check(&["", "b.txt", "b/"], false);
        check(&["", "b.txt", "ba/", "ba/x"], true);
        check(&["", "a", "a"], false);
        check(&["", "a/", "a/b", "a/"], false);
        check(&["", "a/", "b", "a/c"], false);
        check(&["", "b", "a"], false);
        check(&["a"], false);
        check(&["", ""], false);
        check(&[""], true);
    }

    #[test]
    fn nothing_stands_below_a_link_a_file_or_a_directory_that_is_not_there() {
        check(&["", "a@", "a/x"], false);
        check(&["", "a", "a/x"], false);
        check(&["", "a/x"], false);
        check(&["", "a/", "a/b/x"], false);
        check(&["", "a@", "b"], true);
    }
}
