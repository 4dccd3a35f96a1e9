//! What a publish would do to one target: three versions of each path (wanted, published before, found) give one decision.
//!
//! Invariants: only what a published commit held is ever removed; what no published commit held is the target's own and stays;
//! content decides, never a time.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{ContentHash, Entry};
use super::path::RelPath;
use super::plan::Kind;
use super::sorted::Sorted;
use super::walk::Walk;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub path: RelPath,
    pub kind: Kind,
    pub bytes: u64,
    /// What stands there was written by somebody on the target.
    pub edited: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishPlan {
    pub steps: Vec<Step>,
    /// Directories that held nothing but published files which now go.
    pub empty_dirs: Vec<RelPath>,
    /// Deletes whose content does not come back under another name.
    pub deletes: usize,
    pub base_files: usize,
}

/// What is known before there is a plan.
pub struct Seen<'a> {
    pub want: &'a Sorted<Entry>,
    /// Every version that a publish has put, or begun to put, at a path.
    pub base: &'a BTreeMap<RelPath, Vec<Entry>>,
    pub have: &'a Sorted<Entry>,
    /// Things that are neither file, directory nor link.
    pub odd: &'a BTreeSet<RelPath>,
    /// Whether a path is one that publishing keeps its hands off now.
    pub is_apart: &'a dyn Fn(&RelPath) -> bool,
}

/// Whether two entries are the same thing to a target: content and executable bit.
pub fn same(a: &Entry, b: &Entry) -> bool {
    match (a, b) {
        (Entry::File(a), Entry::File(b)) => a.hash == b.hash && is_exec(a.mode) == is_exec(b.mode),
        (Entry::Link { target: a, .. }, Entry::Link { target: b, .. }) => a == b,
        (Entry::Dir { .. }, Entry::Dir { .. }) => true,
        _ => false,
    }
}

pub fn is_exec(mode: u32) -> bool {
    mode & 0o100 != 0
}

impl Seen<'_> {
    pub fn plan(&self) -> PublishPlan {
        let mut plan = PublishPlan::default();
        let mut have = Walk::of(self.have);
        for (path, wanted) in self.want {
            if let Some(step) = self.place(path, wanted, have.at(path)) {
                plan.steps.push(step);
            }
        }
        let coming: BTreeSet<ContentHash> = plan
            .steps
            .iter()
            .filter(|s| s.kind == Kind::Create)
            .filter_map(|s| hash(self.want.get(&s.path)))
            .collect();
        let (mut have, mut want) = (Walk::of(self.have), Walk::of(self.want));
        for (path, versions) in self.base {
            plan.base_files += 1;
            let Some(found) = have.at(path) else {
                continue;
            };
            if want.at(path).is_some() || found.is_dir() || (self.is_apart)(path) {
                continue;
            }
            if !hash(Some(found)).is_some_and(|h| coming.contains(&h)) {
                plan.deletes += 1;
            }
            plan.steps.push(Step {
                path: path.clone(),
                kind: Kind::Delete,
                bytes: found.bytes(),
                edited: !versions.iter().any(|v| same(v, found)),
            });
        }
        plan.empty_dirs = self.emptied(&plan);
        plan
    }

    fn place(&self, path: &RelPath, wanted: &Entry, found: Option<&Entry>) -> Option<Step> {
        let step = |kind, edited| {
            Some(Step {
                path: path.clone(),
                kind,
                bytes: wanted.bytes(),
                edited,
            })
        };
        let Some(found) = found else {
            let kind = if self.odd.contains(path) {
                Kind::Replace
            } else {
                Kind::Create
            };
            return step(kind, false);
        };
        if same(wanted, found) {
            return None;
        }
        let ours = self
            .base
            .get(path)
            .is_some_and(|v| v.iter().any(|v| same(v, found)));
        let kind = match (wanted, found) {
            (Entry::File(w), Entry::File(f)) if w.hash == f.hash => Kind::Meta,
            (Entry::File(_), Entry::File(_)) | (Entry::Link { .. }, Entry::Link { .. }) => {
                Kind::Update
            }
            _ => Kind::Replace,
        };
        // A directory in the place of a file is not an edit of that file; what it holds is judged by itself.
        step(kind, !ours && !found.is_dir())
    }

    /// Directories above removed files that nothing wanted lies in, deepest first.
    fn emptied(&self, plan: &PublishPlan) -> Vec<RelPath> {
        if !plan.steps.iter().any(|s| s.kind == Kind::Delete) {
            return Vec::new();
        }
        let kept: BTreeSet<&[u8]> = self.want.keys().flat_map(RelPath::ancestors).collect();
        let mut out: BTreeSet<RelPath> = BTreeSet::new();
        for step in plan.steps.iter().filter(|s| s.kind == Kind::Delete) {
            for dir in step.path.ancestors().filter(|d| !kept.contains(d)) {
                out.extend(RelPath::new(dir));
            }
        }
        let mut out: Vec<RelPath> = out
            .into_iter()
            .filter(|d| !self.want.contains_key(d))
            .collect();
        out.sort_by_key(|d| std::cmp::Reverse(d.as_bytes().iter().filter(|b| **b == b'/').count()));
        out
    }
}

fn hash(entry: Option<&Entry>) -> Option<ContentHash> {
    match entry {
        Some(Entry::File(f)) => Some(f.hash),
        _ => None,
    }
}

impl PublishPlan {
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub fn arriving(&self) -> u64 {
        let comes = |s: &&Step| !matches!(s.kind, Kind::Delete | Kind::Meta);
        self.steps
            .iter()
            .filter(comes)
            .fold(0, |n, s| n.saturating_add(s.bytes))
    }

    /// What has to travel.
    pub fn placed(&self) -> impl Iterator<Item = &RelPath> {
        self.steps
            .iter()
            .filter(|s| !matches!(s.kind, Kind::Delete | Kind::Meta))
            .map(|s| &s.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::File;

    fn file(text: &str) -> Entry {
        Entry::File(File {
            size: text.len() as u64,
            mode: 0o644,
            mtime_ns: 0,
            hash: text.into(),
        })
    }

    fn map(all: &[(&str, &str)]) -> Sorted<Entry> {
        all.iter()
            .map(|(p, t)| (RelPath::new(*p).unwrap(), file(t)))
            .collect()
    }

    fn plan(want: &[(&str, &str)], base: &[(&str, &str)], have: &[(&str, &str)]) -> Vec<String> {
        let base = map(base);
        let base = base
            .iter()
            .map(|(p, e)| (p.clone(), vec![e.clone()]))
            .collect();
        let (want, have) = (map(want), map(have));
        let seen = Seen {
            want: &want,
            base: &base,
            have: &have,
            odd: &BTreeSet::new(),
            is_apart: &|p| p.name().ends_with(b"_state.json"),
        };
        let tell = |s: &Step| {
            format!(
                "{} {}{}",
                s.kind.word(),
                s.path,
                if s.edited { " edited" } else { "" }
            )
        };
        seen.plan().steps.iter().map(tell).collect()
    }

    #[test]
    fn what_the_target_made_itself_stays_and_what_was_published_goes() {
        let got = plan(
            &[("a", "1"), ("new", "n")],
            &[("a", "1"), ("gone", "g")],
            &[("a", "1"), ("gone", "g"), ("own", "o")],
        );
        assert_eq!(got, ["create new", "delete gone"]);
    }

    #[test]
    fn an_edit_on_the_target_is_told_and_an_old_version_is_not_one() {
        let got = plan(
            &[("a", "2"), ("b", "2")],
            &[("a", "1"), ("b", "1")],
            &[("a", "1"), ("b", "mine")],
        );
        assert_eq!(got, ["update a", "update b edited"]);
    }

    #[test]
    fn state_is_never_removed() {
        let got = plan(
            &[("a", "1")],
            &[("x_state.json", "s")],
            &[("a", "1"), ("x_state.json", "s")],
        );
        assert!(got.is_empty());
    }
}
