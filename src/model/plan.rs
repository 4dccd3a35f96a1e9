//! A plan is a value: every file that would change, in which direction, and why.
//!
//! Invariants: `changes` is sorted by path and holds each path at most once per plan; a path in `left` is not in
//! `changes`. Nothing in a plan depends on when it was made, so the same trees give the same id.

use sha2::{Digest, Sha256};

use super::entry::Entry;
use super::path::RelPath;

/// One of the two replicas of a pair, seen from this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Local,
    Peer,
}

impl Side {
    pub const BOTH: [Side; 2] = [Side::Local, Side::Peer];

    pub fn other(self) -> Side {
        match self {
            Side::Local => Side::Peer,
            Side::Peer => Side::Local,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Side::Local => "local",
            Side::Peer => "peer",
        }
    }
}

/// What happens to a path on the side it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Create,
    Update,
    Delete,
    /// Mode or time only.
    Meta,
    /// The type changes (file, directory, link).
    Replace,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Kind::Create => "create",
            Kind::Update => "update",
            Kind::Delete => "delete",
            Kind::Meta => "meta",
            Kind::Replace => "replace",
        }
    }
}

/// Who decided a path that both sides changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    Newer,
    Local,
    Peer,
    Manual,
}

impl Decided {
    pub fn word(self) -> &'static str {
        match self {
            Decided::Newer => "newer",
            Decided::Local => "local",
            Decided::Peer => "peer",
            Decided::Manual => "manual",
        }
    }
}

/// One path that will be made, on side `to`, what it is on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub path: RelPath,
    pub kind: Kind,
    /// The side that changes.
    pub to: Side,
    /// What the other side has now (`None`: nothing, so this is a delete).
    pub source: Option<Entry>,
    /// What the changing side has now (`None`: nothing, so this is a create).
    pub target: Option<Entry>,
    /// Present when both sides had changed: how it was decided, and in words why.
    pub conflict: Option<(Decided, String)>,
    /// A delete whose content appears under another name in the same plan.
    pub moved: bool,
}

impl Change {
    /// Bytes that travel (or vanish, for a delete).
    pub fn bytes(&self) -> u64 {
        let of = |e: &Option<Entry>| e.as_ref().map_or(0, Entry::bytes);
        match self.kind {
            Kind::Delete => of(&self.target),
            Kind::Meta => 0,
            _ => of(&self.source),
        }
    }
}

/// A path that is not decided without a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub path: RelPath,
    pub why: String,
    /// A true conflict (both sides changed it), as opposed to something unreadable or unsyncable.
    pub conflict: bool,
}

/// Something worth saying that needs nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub path: RelPath,
    pub text: String,
}

/// The whole plan of a two-way run on one pair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TruthPlan {
    pub changes: Vec<Change>,
    pub left: Vec<Left>,
    pub notes: Vec<Note>,
}

impl TruthPlan {
    /// A plan of some of the changes, without what is left and what is noted.
    pub fn only(&self, wanted: impl Fn(&Change) -> bool) -> TruthPlan {
        TruthPlan {
            changes: self.changes.iter().filter(|c| wanted(c)).cloned().collect(),
            ..TruthPlan::default()
        }
    }

    /// Digest of the plan's meaning (12 hex digits): what changes, where, from what to what.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        for c in &self.changes {
            hash.update(c.kind.word());
            hash.update(c.to.word());
            hash.update(c.conflict.as_ref().map_or("", |(d, _)| d.word()));
            hash.update((c.path.as_bytes().len() as u64).to_le_bytes());
            hash.update(c.path.as_bytes());
            for e in [&c.source, &c.target] {
                hash.update(e.as_ref().map_or_else(String::new, Entry::meaning));
                hash.update([0]);
            }
        }
        for l in &self.left {
            hash.update(b"left");
            hash.update((l.path.as_bytes().len() as u64).to_le_bytes());
            hash.update(l.path.as_bytes());
        }
        hash.finalize()
            .iter()
            .take(6)
            .map(|b| format!("{b:02x}"))
            .collect()
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.left.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::File;

    fn file(content: &str, size: u64, at: i128) -> Option<Entry> {
        Some(Entry::File(File {
            size,
            mode: 0o644,
            mtime_ns: at,
            hash: content.into(),
        }))
    }

    fn change(path: &str, kind: Kind) -> Change {
        Change {
            path: RelPath::new(path).unwrap(),
            kind,
            to: Side::Peer,
            source: file("new", 30, 1),
            target: file("old", 7, 1),
            conflict: None,
            moved: false,
        }
    }

    fn left(path: &str) -> Left {
        Left {
            path: RelPath::new(path).unwrap(),
            why: "why".into(),
            conflict: true,
        }
    }

    /// Changes `a` and `b`, and `z` is left.
    fn plan() -> TruthPlan {
        TruthPlan {
            changes: vec![change("a", Kind::Update), change("b", Kind::Update)],
            left: vec![left("z")],
            notes: Vec::new(),
        }
    }

    #[test]
    fn every_word_is_its_own() {
        assert_eq!(Side::BOTH.map(Side::word), ["local", "peer"]);
        let all = [Kind::Create, Kind::Update, Kind::Delete, Kind::Meta];
        assert_eq!(all.map(Kind::word), ["create", "update", "delete", "meta"]);
        assert_eq!(Kind::Replace.word(), "replace");
        use Decided::{Local, Manual, Newer, Peer};
        let how = [Newer, Local, Peer, Manual].map(Decided::word);
        assert_eq!(how, ["newer", "local", "peer", "manual"]);
    }

    #[test]
    fn what_travels_is_the_source_and_what_vanishes_the_target() {
        for (kind, bytes) in [
            (Kind::Create, 30),
            (Kind::Update, 30),
            (Kind::Replace, 30),
            (Kind::Meta, 0),
            (Kind::Delete, 7),
        ] {
            assert_eq!(change("a", kind).bytes(), bytes, "{kind:?}");
        }
    }

    #[test]
    fn the_id_changes_with_whatever_the_plan_means_and_with_nothing_else() {
        let id = plan().id();
        assert!(id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        let bent: [fn(&mut TruthPlan); 11] = [
            |p| p.changes[0].kind = Kind::Replace,
            |p| p.changes[0].to = Side::Local,
            |p| p.changes[0].path = RelPath::new("aa").unwrap(),
            |p| p.changes[0].source = file("newer", 30, 1),
            |p| p.changes[0].source = file("new", 30, 2),
            |p| p.changes[0].target = file("older", 7, 1),
            |p| p.changes[0].target = None,
            |p| p.changes[0].conflict = Some((Decided::Newer, "why".into())),
            |p| drop(p.changes.pop()),
            |p| p.left[0] = left("zz"),
            |p| p.left.clear(),
        ];
        let mut ids = std::collections::BTreeSet::from([id.clone()]);
        for bend in bent {
            let mut other = plan();
            bend(&mut other);
            ids.insert(other.id());
        }
        assert_eq!(ids.len(), bent.len() + 1, "each has an id of its own");
        // Words for people and what needs nobody are no part of it.
        let mut same = plan();
        same.left[0].why = "in other words".into();
        same.notes.push(Note {
            path: RelPath::new("n").unwrap(),
            text: "kept".into(),
        });
        assert_eq!(same.id(), id);
    }

    #[test]
    fn a_plan_of_some_changes_leaves_and_notes_nothing() {
        let some = plan().only(|c| c.path.as_bytes() == b"b");
        assert_eq!(some.changes, [change("b", Kind::Update)]);
        assert!(some.left.is_empty() && some.notes.is_empty());
    }

    #[test]
    fn a_plan_is_empty_when_nothing_changes_and_nothing_is_left() {
        let (mut changes_only, mut left_only) = (plan(), plan());
        changes_only.left.clear();
        left_only.changes.clear();
        assert!(!changes_only.is_empty() && !left_only.is_empty());
        assert!(TruthPlan::default().is_empty());
    }
}
