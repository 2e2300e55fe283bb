//! In which order rows are deleted, so that none is in the way of another: a pure function.

use std::collections::{BTreeMap, BTreeSet};

/// Groups in the order in which they are deleted: whoever refers to another comes before it. Those that refer to each
/// other in a circle are one group. `references` are (who refers, to whom); what is not among `all` does not matter.
pub(super) fn groups<T: Ord + Copy>(all: &BTreeSet<T>, references: &[(T, T)]) -> Vec<BTreeSet<T>> {
    let mut referrers: BTreeMap<T, BTreeSet<T>> = all.iter().map(|one| (*one, BTreeSet::new())).collect();
    for (from, to) in references.iter().filter(|(from, to)| from != to && all.contains(from)) {
        if let Some(set) = referrers.get_mut(to) {
            set.insert(*from);
        }
    }
    let mut groups = Vec::new();
    while let Some(one) = referrers.keys().next().copied() {
        let group = first_group(one, &referrers);
        referrers.retain(|member, _| !group.contains(member));
        for set in referrers.values_mut() {
            set.retain(|referrer| !group.contains(referrer));
        }
        groups.push(group);
    }
    groups
}

/// A group that nothing outside it refers to, among those from which `one` can be reached.
fn first_group<T: Ord + Copy>(one: T, referrers: &BTreeMap<T, BTreeSet<T>>) -> BTreeSet<T> {
    let mut group = reached_from(one, referrers);
    loop {
        // Whoever reaches fewer lies nearer to the start; where all reach all, they are a circle.
        let smaller =
            group.iter().map(|member| reached_from(*member, referrers)).find(|set| set.len() < group.len());
        match smaller {
            Some(set) => group = set,
            None => return group,
        }
    }
}

/// This one, and all that refer to it, directly or not.
fn reached_from<T: Ord + Copy>(one: T, referrers: &BTreeMap<T, BTreeSet<T>>) -> BTreeSet<T> {
    let (mut seen, mut todo) = (BTreeSet::from([one]), vec![one]);
    while let Some(member) = todo.pop() {
        let next = referrers.get(&member).into_iter().flatten();
        todo.extend(next.filter(|referrer| seen.insert(**referrer)));
    }
    seen
}

/// Those of `candidates` to which nothing outside of the answer refers.
pub(super) fn closed<T: Ord + Copy>(mut candidates: BTreeSet<T>, references: &[(T, T)]) -> BTreeSet<T> {
    loop {
        let outside = |one: &T| references.iter().any(|(from, to)| to == one && !candidates.contains(from));
        let wrong: Vec<T> = candidates.iter().filter(|one| outside(one)).copied().collect();
        if wrong.is_empty() {
            return candidates;
        }
        candidates.retain(|one| !wrong.contains(one));
    }
}

/// These, and all that refer to them, directly or not.
pub(super) fn with_referrers<T: Ord + Copy>(some: &BTreeSet<T>, references: &[(T, T)]) -> BTreeSet<T> {
    let mut all = some.clone();
    loop {
        let before = all.len();
        all.extend(
            references.iter().filter(|(_, to)| all.contains(to)).map(|(from, _)| *from).collect::<Vec<_>>(),
        );
        if all.len() == before {
            return all;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(all: &str, references: &str, expect: &[&str]) {
        let all: BTreeSet<char> = all.chars().collect();
        let groups = groups(&all, &pairs(references));
        let shown: Vec<String> = groups.iter().map(|group| group.iter().collect()).collect();
        assert_eq!(shown, expect, "{references}");
    }

    /// `ab cd`: a refers to b, c to d.
    fn pairs(text: &str) -> Vec<(char, char)> {
        let pair = |word: &str| (word.chars().next().unwrap(), word.chars().nth(1).unwrap());
        text.split_whitespace().map(pair).collect()
    }

    #[test]
    fn whoever_refers_goes_first() {
        check("", "", &[]);
        check("ab", "", &["a", "b"]);
        check("abc", "ab bc", &["a", "b", "c"]);
        check("abc", "cb ba", &["c", "b", "a"]);
        check("a", "aa", &["a"]);
        check("ab", "ax xb", &["a", "b"]);
    }

    #[test]
    fn circles_go_together_and_at_their_place() {
        check("ab", "ab ba", &["ab"]);
        check("abcd", "ab bc cb cd", &["a", "bc", "d"]);
        check("abcde", "ab ba bc cd dc de", &["ab", "cd", "e"]);
        check("abc", "ab bc ca", &["abc"]);
    }

    #[test]
    fn only_what_nobody_outside_refers_to_is_closed() {
        let check = |candidates: &str, references: &str, expect: &str| {
            let closed: String = closed(candidates.chars().collect(), &pairs(references)).iter().collect();
            assert_eq!(closed, expect, "{references}");
        };
        check("abc", "", "abc");
        check("abc", "xa", "bc");
        check("abc", "xa ab", "c");
        check("abc", "xb ba", "c");
        check("abc", "ab ba cc", "abc");
        check("abc", "ax", "abc");
    }

    #[test]
    fn referrers_are_found_at_any_distance() {
        let some = BTreeSet::from(['c']);
        let all: String = with_referrers(&some, &pairs("ab bc xc cd")).iter().collect();
        assert_eq!(all, "abcx");
    }
}
