//! A map of the paths of a large tree: one piece of memory in the order of the paths, and beside it what was changed since.
//!
//! Invariant: it answers as a `BTreeMap` would. Such a tree is read once, walked through often and changed in few places: held like
//! this it takes the least room, and a copy of it takes none.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::ops::{Bound, Index};
use std::sync::Arc;

use super::path::RelPath;

/// Whether so many changes are worth making one piece with the rest: by themselves they take two or three times the room.
pub fn is_many(changes: usize, rest: usize) -> bool {
    let least: usize = if cfg!(test) { 4 } else { 1 << 14 };
    changes > least.max(rest / 2)
}

#[derive(Clone)]
pub struct Sorted<V> {
    whole: Arc<Vec<(RelPath, V)>>,
    /// Later than `whole`; `None` takes away.
    since: BTreeMap<RelPath, Option<V>>,
    len: usize,
}

impl<V> Default for Sorted<V> {
    fn default() -> Self {
        Self::in_order(Vec::new())
    }
}

impl<V> Sorted<V> {
    /// Of paths that rise, each once.
    pub fn in_order(whole: Vec<(RelPath, V)>) -> Self {
        debug_assert!(whole.is_sorted_by(|a, b| a.0 < b.0));
        Self {
            len: whole.len(),
            whole: Arc::new(whole),
            since: BTreeMap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, path: &RelPath) -> Option<&V> {
        match self.since.get(path) {
            Some(later) => later.as_ref(),
            None => self.at_first(path),
        }
    }

    fn at_first(&self, path: &RelPath) -> Option<&V> {
        let found = self.whole.binary_search_by(|(p, _)| p.cmp(path)).ok()?;
        Some(&self.whole[found].1)
    }

    pub fn contains_key(&self, path: &RelPath) -> bool {
        self.get(path).is_some()
    }

    pub fn insert(&mut self, path: RelPath, value: V)
    where
        V: Clone,
    {
        self.len += usize::from(!self.contains_key(&path));
        self.since.insert(path, Some(value));
        self.settle_many();
    }

    pub fn remove(&mut self, path: &RelPath)
    where
        V: Clone,
    {
        self.len -= usize::from(self.contains_key(path));
        match self.at_first(path) {
            Some(_) => self.since.insert(path.clone(), None),
            None => self.since.remove(path),
        };
        self.settle_many();
    }

    fn settle_many(&mut self)
    where
        V: Clone,
    {
        if is_many(self.since.len(), self.whole.len()) {
            self.settle();
        }
    }

    /// How many paths come before one that is there, as long as nothing was changed since.
    pub fn position(&self, path: &RelPath) -> Option<usize> {
        debug_assert!(self.since.is_empty());
        self.whole.binary_search_by(|(p, _)| p.cmp(path)).ok()
    }

    /// Makes one piece of all.
    pub fn settle(&mut self)
    where
        V: Clone,
    {
        if !self.since.is_empty() {
            let mut all = Vec::with_capacity(self.len);
            all.extend(self.iter().map(|(p, v)| (p.clone(), v.clone())));
            *self = Self::in_order(all);
        }
    }

    /// From now on a path that the other one holds too is held once.
    pub fn share<W>(&mut self, other: &Sorted<W>) {
        let Some(whole) = Arc::get_mut(&mut self.whole) else {
            return;
        };
        let mut held = other.keys().peekable();
        for (path, _) in whole {
            while held.next_if(|p| *p < path).is_some() {}
            if let Some(same) = held.next_if(|p| *p == path) {
                path.clone_from(same);
            }
        }
    }

    pub fn iter(&self) -> Iter<'_, V> {
        Iter {
            whole: self.whole.iter(),
            since: self.since.range::<RelPath, _>(..).peekable(),
        }
    }

    /// From a path on, which need not be there.
    pub fn from(&self, path: &RelPath) -> Iter<'_, V> {
        let first = self.whole.partition_point(|(p, _)| p < path);
        let since = (Bound::Included(path), Bound::Unbounded);
        Iter {
            whole: self.whole[first..].iter(),
            since: self.since.range::<RelPath, _>(since).peekable(),
        }
    }

    pub fn keys(&self) -> impl Iterator<Item = &RelPath> + Clone {
        self.iter().map(|(path, _)| path)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

/// Of lines of which the last one of a path holds, in whatever order.
impl<V> FromIterator<(RelPath, V)> for Sorted<V> {
    fn from_iter<I: IntoIterator<Item = (RelPath, V)>>(lines: I) -> Self {
        let mut lines: Vec<_> = lines.into_iter().collect();
        settle(&mut lines);
        Self::in_order(lines)
    }
}

/// Sorts lines and keeps the last one of each path.
pub fn settle<V>(lines: &mut Vec<(RelPath, V)>) {
    if lines.is_sorted_by(|a, b| a.0 < b.0) {
        return;
    }
    // Stable, and cheap for what is nearly in order.
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    lines.reverse();
    lines.dedup_by(|later, first| later.0 == first.0);
    lines.reverse();
}

impl<V, const N: usize> From<[(RelPath, V); N]> for Sorted<V> {
    fn from(lines: [(RelPath, V); N]) -> Self {
        lines.into_iter().collect()
    }
}

impl<V> Index<&RelPath> for Sorted<V> {
    type Output = V;

    fn index(&self, path: &RelPath) -> &V {
        self.get(path).expect("a path that is there")
    }
}

impl<V: PartialEq> PartialEq for Sorted<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other)
    }
}

impl<V: Eq> Eq for Sorted<V> {}

impl<V: std::fmt::Debug> std::fmt::Debug for Sorted<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

/// In the order of the paths.
pub struct Iter<'m, V> {
    whole: std::slice::Iter<'m, (RelPath, V)>,
    since: Peekable<btree_map::Range<'m, RelPath, Option<V>>>,
}

impl<V> Clone for Iter<'_, V> {
    fn clone(&self) -> Self {
        Self {
            whole: self.whole.clone(),
            since: self.since.clone(),
        }
    }
}

impl<'m, V> Iterator for Iter<'m, V> {
    type Item = (&'m RelPath, &'m V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let first = self.whole.as_slice().first();
            let Some((later, value)) = self.since.peek() else {
                return self.whole.next().map(|(p, v)| (p, v));
            };
            if first.is_some_and(|(p, _)| p < later) {
                return self.whole.next().map(|(p, v)| (p, v));
            }
            if first.is_some_and(|(p, _)| p == *later) {
                self.whole.next();
            }
            let found = value.as_ref().map(|v| (*later, v));
            self.since.next();
            if found.is_some() {
                return found;
            }
        }
    }
}

impl<'m, V> IntoIterator for &'m Sorted<V> {
    type Item = (&'m RelPath, &'m V);
    type IntoIter = Iter<'m, V>;

    fn into_iter(self) -> Iter<'m, V> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path() -> impl Strategy<Value = RelPath> {
        "[ab]{1,3}".prop_map(|p| RelPath::new(p).unwrap())
    }

    proptest! {
        #[test]
        fn it_answers_as_a_tree_would(
            first in proptest::collection::vec((path(), any::<u8>()), 0..12),
            later in proptest::collection::vec((path(), any::<Option<u8>>()), 0..12),
            from in path(),
        ) {
            let mut tree: BTreeMap<RelPath, u8> = first.clone().into_iter().collect();
            let mut sorted: Sorted<u8> = first.into_iter().collect();
            for (p, v) in later {
                match v {
                    Some(v) => {
                        tree.insert(p.clone(), v);
                        sorted.insert(p, v);
                    }
                    None => {
                        tree.remove(&p);
                        sorted.remove(&p);
                    }
                }
                prop_assert_eq!(sorted.len(), tree.len());
            }
            prop_assert!(sorted.iter().eq(&tree));
            prop_assert!(sorted.from(&from).eq(tree.range(from.clone()..)));
            prop_assert_eq!(sorted.get(&from), tree.get(&from));
            prop_assert_eq!(&sorted, &tree.into_iter().collect::<Sorted<_>>());
        }
    }
}
