//! Several maps of the same tree, gone through side by side in the order of their paths.
//!
//! Invariant: paths are asked for in rising order, each once; the answer is the one that `get` would give. A tree of many files asks each of
//! its maps about each path, and to walk along costs a step where to look it up costs a search.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;

use super::path::RelPath;

/// Where one map has been walked to.
pub struct Walk<'m, V>(Peekable<btree_map::Iter<'m, RelPath, V>>);

impl<'m, V> Walk<'m, V> {
    pub fn of(map: &'m BTreeMap<RelPath, V>) -> Self {
        Self(map.iter().peekable())
    }

    /// The path that comes next.
    fn next_path(&mut self) -> Option<&'m RelPath> {
        self.0.peek().map(|(path, _)| *path)
    }

    /// What the map has at a path, which comes after the one asked for last.
    pub fn at(&mut self, path: &RelPath) -> Option<&'m V> {
        while self.0.next_if(|(p, _)| *p < path).is_some() {}
        self.0.next_if(|(p, _)| *p == path).map(|(_, value)| value)
    }
}

/// Every path of three maps, once, with what each of them has there.
pub fn three<'m, A, B, C>(
    a: &'m BTreeMap<RelPath, A>,
    b: &'m BTreeMap<RelPath, B>,
    c: &'m BTreeMap<RelPath, C>,
) -> impl Iterator<Item = (&'m RelPath, Option<&'m A>, Option<&'m B>, Option<&'m C>)> {
    let (mut a, mut b, mut c) = (Walk::of(a), Walk::of(b), Walk::of(c));
    std::iter::from_fn(move || {
        let next = [a.next_path(), b.next_path(), c.next_path()];
        let path = next.into_iter().flatten().min()?;
        Some((path, a.at(path), b.at(path), c.at(path)))
    })
}

/// Builds a map from lines of which the last one of a path holds, and `None` takes it away.
pub fn settled<V>(mut lines: Vec<(RelPath, Option<V>)>) -> BTreeMap<RelPath, V> {
    // Stable, and cheap for what is in order already.
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    lines.reverse();
    lines.dedup_by(|later, first| later.0 == first.0);
    lines.reverse();
    lines
        .into_iter()
        .filter_map(|(p, v)| Some((p, v?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map() -> impl Strategy<Value = BTreeMap<RelPath, u8>> {
        proptest::collection::btree_map("[ab]{1,3}", any::<u8>(), 0..8).prop_map(|m| {
            let sound = |(k, v)| Some((RelPath::new(k)?, v));
            m.into_iter().filter_map(sound).collect()
        })
    }

    proptest! {
        #[test]
        fn a_walk_answers_as_a_search_would(a in map(), b in map(), c in map()) {
            let walked: Vec<_> = three(&a, &b, &c).collect();
            let mut paths: Vec<&RelPath> = a.keys().chain(b.keys()).chain(c.keys()).collect();
            paths.sort();
            paths.dedup();
            let searched: Vec<_> = paths.iter().map(|p| (*p, a.get(*p), b.get(*p), c.get(*p))).collect();
            prop_assert_eq!(walked, searched);
        }

        #[test]
        fn the_last_line_of_a_path_holds(
            lines in proptest::collection::vec(("[ab]{1,2}", any::<Option<u8>>()), 0..20)
        ) {
            let lines: Vec<(RelPath, Option<u8>)> =
                lines.into_iter().filter_map(|(k, v)| Some((RelPath::new(k)?, v))).collect();
            let mut one_by_one = BTreeMap::new();
            for (path, value) in lines.clone() {
                match value {
                    Some(v) => one_by_one.insert(path, v),
                    None => one_by_one.remove(&path),
                };
            }
            prop_assert_eq!(settled(lines), one_by_one);
        }
    }
}
