//! Several maps of the same tree, gone through side by side in the order of their paths.
//!
//! Invariant: paths are asked for in rising order, each once; the answer is the one that `get` would give. A tree of many files asks each of
//! its maps about each path, and to walk along costs a step where to look it up costs a search.

use std::iter::Peekable;

use super::path::RelPath;

/// Where one map has been walked to.
pub struct Walk<I: Iterator>(Peekable<I>);

impl<'m, V, I: Iterator<Item = (&'m RelPath, V)>> Walk<I> {
    pub fn of(map: impl IntoIterator<Item = I::Item, IntoIter = I>) -> Self {
        Self(map.into_iter().peekable())
    }

    /// The path that comes next.
    fn next_path(&mut self) -> Option<&'m RelPath> {
        self.0.peek().map(|(path, _)| *path)
    }

    /// What the map has at a path, which comes after the one asked for last.
    pub fn at(&mut self, path: &RelPath) -> Option<V> {
        loop {
            // Mostly it is the very same path, which costs less to see than its order.
            if let Some((_, value)) = self.0.next_if(|(p, _)| *p == path) {
                return Some(value);
            }
            self.0.next_if(|(p, _)| *p < path)?;
        }
    }
}

/// Every path of three maps, once, with what each of them has there.
pub fn three<'m, A: 'm, B: 'm, C: 'm>(
    a: impl IntoIterator<Item = (&'m RelPath, &'m A)>,
    b: impl IntoIterator<Item = (&'m RelPath, &'m B)>,
    c: impl IntoIterator<Item = (&'m RelPath, &'m C)>,
) -> impl Iterator<Item = (&'m RelPath, Option<&'m A>, Option<&'m B>, Option<&'m C>)> {
    let (mut a, mut b, mut c) = (Walk::of(a), Walk::of(b), Walk::of(c));
    std::iter::from_fn(move || {
        let next = [a.next_path(), b.next_path(), c.next_path()];
        let path = next.into_iter().flatten().min()?;
        Some((path, a.at(path), b.at(path), c.at(path)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

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
    }
}
