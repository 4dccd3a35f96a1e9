//! What really stands on a disk, and what is seen of it.

use super::*;
use crate::model::entry::File;

/// What really stands on a disk, readable or not.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    File(u32, i128, u32),
    Dir(u32),
    Link(u8),
    Fifo,
}

impl Node {
    pub(super) fn is_dir(&self) -> bool {
        matches!(self, Node::Dir(_))
    }

    pub(super) fn entry(&self) -> Option<Entry> {
        match self {
            Node::File(content, mtime_ns, mode) => Some(Entry::File(File {
                size: 1,
                mode: *mode,
                mtime_ns: *mtime_ns,
                hash: content.to_string().as_str().into(),
            })),
            Node::Dir(mode) => Some(Entry::Dir { mode: *mode }),
            Node::Link(t) => Some(Entry::Link {
                target: vec![b'a' + *t],
                mtime_ns: i128::from(*t) * 1_000_000,
            }),
            Node::Fifo => None,
        }
    }

    pub(super) fn of(entry: &Entry) -> Node {
        match entry {
            Entry::File(f) => Node::File(number(&f.hash), f.mtime_ns, f.mode),
            Entry::Dir { mode } => Node::Dir(*mode),
            Entry::Link { target, .. } => Node::Link(target[0] - b'a'),
        }
    }
}

/// The content behind a hash of this test.
fn number(hash: &ContentHash) -> u32 {
    let digits = hash.as_bytes().split(|b| *b == 0).next().unwrap();
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

/// One disk. Names decide what is apart: `*_state.json` is state, a *directory* `cache` is excluded.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    pub(super) nodes: BTreeMap<RelPath, Node>,
    pub(super) unread: BTreeSet<RelPath>,
    pub(super) unreadable: BTreeSet<RelPath>,
}

impl Disk {
    pub(super) fn is_dir(&self, path: &RelPath) -> bool {
        path.is_root() || self.nodes.get(path).is_some_and(Node::is_dir)
    }

    pub(super) fn below(&self, dir: &RelPath) -> Vec<RelPath> {
        let inside = |p: &&RelPath| *p != dir && p.is_within(dir.as_bytes());
        self.nodes.keys().filter(inside).cloned().collect()
    }

    fn verdict(&self, path: &RelPath, is_dir: bool) -> Verdict {
        let parts: Vec<&[u8]> = path.as_bytes().split(|b| *b == b'/').collect();
        for (i, part) in parts.iter().enumerate() {
            if part.ends_with(b"_state.json") {
                return Verdict::State("*_state.json".into());
            }
            if *part == b"cache" && (is_dir || i + 1 < parts.len()) {
                return Verdict::Excluded("cache/".into());
            }
        }
        Verdict::Truth(None)
    }

    pub(super) fn is_apart(&self, path: &RelPath) -> bool {
        let is_dir = self.nodes.get(path).is_some_and(Node::is_dir);
        !matches!(self.verdict(path, is_dir), Verdict::Truth(_))
    }

    pub(super) fn is_hidden(&self, path: &RelPath) -> bool {
        path.ancestors()
            .any(|a| self.unreadable.iter().any(|u| u.as_bytes() == a))
    }

    pub(super) fn seen(&self) -> Replica {
        self.seen_of(|_| true)
    }

    /// As the sweep and the hashing would tell it.
    pub(super) fn seen_of(&self, is_asked: impl Fn(&RelPath) -> bool) -> Replica {
        let mut r = Replica::default();
        for (path, node) in &self.nodes {
            if self.is_hidden(path) || !is_asked(path) {
                continue;
            }
            let verdict = self.verdict(path, node.is_dir());
            if !matches!(verdict, Verdict::Truth(_)) {
                r.tree.apart.insert(path.clone(), (verdict, node.is_dir()));
                continue;
            }
            let (what, mtime_ns, mode) = match node {
                Node::File(_, mtime_ns, mode) => (What::File, *mtime_ns, *mode),
                Node::Dir(mode) => (What::Dir, 0, *mode),
                Node::Link(t) => (What::Link(vec![b'a' + *t]), i128::from(*t) * 1_000_000, 0),
                Node::Fifo => (What::Other, 0, 0),
            };
            let stat = Stat {
                what,
                size: 1,
                mtime_ns,
                ctime_ns: 0,
                ino: 0,
                mode,
            };
            r.tree.truth.insert(path.clone(), stat);
            if self.unreadable.contains(path) {
                r.tree.unreadable.insert(path.clone());
            }
        }
        Replica::of(r.tree, |path, _| match self.nodes[path].entry() {
            Some(Entry::File(f)) if !self.unread.contains(path) => Some(f.hash),
            _ => None,
        })
    }

    pub(super) fn put(&mut self, path: RelPath, node: Node) {
        let parent = path.parent().unwrap();
        if !self.is_dir(&parent) || self.nodes.contains_key(&path) {
            return;
        }
        self.nodes.insert(path, node);
    }

    pub(super) fn remove(&mut self, path: &RelPath) {
        for p in self.below(path) {
            self.nodes.remove(&p);
        }
        self.nodes.remove(path);
    }
}
