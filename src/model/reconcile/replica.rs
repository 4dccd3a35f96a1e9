//! One side as it was seen, with content.
//!
//! Invariant: what stands at a path is made of its facts and its hash when it is asked for: a tree of many files holds neither twice.

use std::collections::BTreeSet;

use crate::model::entry::{ContentHash, Entry};
use crate::model::path::RelPath;
use crate::model::tree::{Stat, Tree, What};
use crate::model::walk::Walk;

#[derive(Debug, Clone, Default)]
pub struct Replica {
    pub tree: Tree,
    /// As many as there is truth in the tree, in its order.
    hashes: Vec<Option<ContentHash>>,
    /// Files whose content could not be read.
    pub unread: BTreeSet<RelPath>,
}

impl Replica {
    /// `hash` is asked for each file, in the order of the paths.
    pub fn of(
        mut tree: Tree,
        mut hash: impl FnMut(&RelPath, &Stat) -> Option<ContentHash>,
    ) -> Self {
        tree.truth.settle();
        let mut hashes = Vec::with_capacity(tree.truth.len());
        let mut unread = BTreeSet::new();
        for (path, stat) in &tree.truth {
            let is_file = stat.what == What::File;
            let found = if is_file { hash(path, stat) } else { None };
            if is_file && found.is_none() {
                unread.insert(path.clone());
            }
            hashes.push(found);
        }
        Self {
            tree,
            hashes,
            unread,
        }
    }

    /// What stands at a path. None also for what could not be read, and for what cannot be synced.
    pub fn entry(&self, path: &RelPath) -> Option<Entry> {
        let at = self.tree.truth.position(path)?;
        self.tree.truth.get(path)?.entry(self.hashes[at])
    }

    /// Of a file that could be read.
    pub fn hash(&self, path: &RelPath) -> Option<ContentHash> {
        self.hashes[self.tree.truth.position(path)?]
    }

    pub fn has(&self, path: &RelPath) -> bool {
        self.entry(path).is_some()
    }

    pub fn is_dir(&self, path: &RelPath) -> bool {
        self.tree
            .truth
            .get(path)
            .is_some_and(|s| s.what == What::Dir)
    }

    /// As [`Replica::entry`], for paths in rising order, each once.
    pub fn walk(&self) -> impl FnMut(&RelPath) -> Option<Entry> {
        let all = self.tree.truth.iter().zip(&self.hashes);
        let mut seen = Walk::of(all.map(|((path, stat), hash)| (path, (stat, *hash))));
        move |path| {
            let (stat, hash) = seen.at(path)?;
            stat.entry(hash)
        }
    }

    /// Everything that could be synced.
    pub fn entries(&self) -> impl Iterator<Item = (&RelPath, Entry)> {
        let all = self.tree.truth.iter().zip(&self.hashes);
        all.filter_map(|((path, stat), hash)| Some((path, stat.entry(*hash)?)))
    }
}
