//! Telling what a cycle did itself from somebody's work.
//!
//! Invariant: only what was heard before a mark that was set behind the cycle can be its echo; where a mark gets lost, the echo ends
//! by time.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use crate::host::clock;
use crate::model::path::RelPath;
use crate::model::record::{Lane, Record, ResultWord};

/// A mark that is not heard by then is not waited for any longer.
const MOST: Duration = Duration::from_secs(5);

/// Whose tree: this site's (`None`) or that of a peer.
pub type Tree = Option<String>;

/// What a cycle brought to each tree.
#[derive(Debug, Default)]
pub struct Brought(BTreeMap<Tree, Vec<RelPath>>);

impl Brought {
    pub fn by(record: &Record) -> Self {
        let mut brought = BTreeMap::<Tree, Vec<RelPath>>::new();
        let truth = record.lanes.iter().filter_map(|l| match l {
            Lane::Truth(t) => Some(t),
            _ => None,
        });
        for lane in truth {
            for change in lane.changes.iter().filter(|c| c.result == ResultWord::Done) {
                let tree = (change.to != "local").then(|| lane.peer.clone());
                brought
                    .entry(tree)
                    .or_default()
                    .extend(RelPath::new(change.path.as_bytes()));
            }
        }
        Self(brought)
    }
}

/// The echoes that may still come, by tree.
#[derive(Debug, Default)]
pub struct Echoes(BTreeMap<Tree, Echo>);

#[derive(Debug)]
struct Echo {
    ours: HashSet<Vec<u8>>,
    mark: u64,
    until: Instant,
}

impl Echoes {
    /// Echoes of what was brought; `marks`: the mark that was set in each tree behind it. A tree without one is not heard.
    pub fn of(brought: Brought, marks: &BTreeMap<Tree, u64>) -> Self {
        let until = clock::monotonic() + MOST;
        let echo = |(tree, paths): (Tree, Vec<RelPath>)| {
            let mark = *marks.get(&tree)?;
            let with_parents = paths
                .iter()
                .flat_map(|p| p.ancestors().chain([p.as_bytes()]));
            let ours = with_parents.map(<[u8]>::to_vec).collect();
            Some((tree, Echo { ours, mark, until }))
        };
        Self(brought.0.into_iter().filter_map(echo).collect())
    }

    /// Whether a change of this path is no news.
    pub fn is_echo(&mut self, tree: &Tree, path: &RelPath) -> bool {
        let Some(echo) = self.0.get(tree) else {
            return false;
        };
        if clock::monotonic() > echo.until {
            self.0.remove(tree);
            return false;
        }
        echo.ours.contains(path.as_bytes())
    }

    /// A mark was heard: what comes now happened behind it.
    pub fn heard(&mut self, tree: &Tree, mark: u64) {
        if self.0.get(tree).is_some_and(|e| mark >= e.mark) {
            self.0.remove(tree);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_brought_is_no_news_until_the_mark_behind_it_is_heard() {
        let path = |p: &str| RelPath::new(p).unwrap();
        let peer: Tree = Some("balaur".into());
        let brought = Brought(BTreeMap::from([
            (None, vec![path("docs/new/a")]),
            (peer.clone(), vec![path("docs/b")]),
        ]));
        let mut echoes = Echoes::of(brought, &BTreeMap::from([(None, 7), (peer.clone(), 3)]));
        assert!(
            echoes.is_echo(&None, &path("docs/new/a")) && echoes.is_echo(&None, &path("docs/new"))
        );
        assert!(!echoes.is_echo(&None, &path("docs/b")));
        echoes.heard(&None, 6);
        assert!(echoes.is_echo(&None, &path("docs")));
        echoes.heard(&None, 7);
        assert!(!echoes.is_echo(&None, &path("docs/new/a")));
        assert!(echoes.is_echo(&peer, &path("docs/b")));
    }
}
