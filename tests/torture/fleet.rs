//! A target as the model knows it: what commits want there, what somebody on it did, and what must be true after a publish.
//!
//! Invariant: of a target, what is told apart is what a commit wants, what publishes have brought, and what is the target's own; all
//! three are known from what was done, never from the program's lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use super::model::{What, is_below, show, upwards, what};
use super::script::{Deed, How, Layout};
use super::users::Ground;
use super::world::Checked;
use crate::lab::{Entry, Kind, Lab, Snapshot};

const OWN: &str = ".ubos-sync.publish";

/// What a commit wants at a path: the content, and whether it can be run.
pub type Wanted = BTreeMap<Vec<u8>, (What, bool)>;

pub struct Fleet {
    pub policy: String,
    pub root: PathBuf,
    pub layout: Layout,
    pub commits: BTreeMap<String, Wanted>,
    pub head: Option<String>,
    /// Paths that a publish has brought, and those that one which broke off may have.
    pub ours: BTreeSet<Vec<u8>>,
    pub maybe: BTreeSet<Vec<u8>>,
    /// Every value that was ever wanted at a path or put there by somebody on the target.
    pub history: BTreeMap<Vec<u8>, BTreeSet<What>>,
    pub owed: BTreeSet<What>,
    /// What somebody has made while the publish was under way that is judged next.
    made: BTreeSet<What>,
    /// The publish that can be taken back, and the commit that was there before it.
    pub last: Option<(String, String)>,
}

/// What a publish or git keeps beside what is published.
pub fn is_ours(path: &[u8]) -> bool {
    let mut names = path.split(|b| *b == b'/');
    names.any(|n| n.starts_with(b".ubos-sync.") || n == b".sync_rev" || n == b".git")
}

/// What publishing keeps its hands off.
pub fn is_apart(path: &[u8]) -> bool {
    let mut names = path.split(|b| *b == b'/');
    names.any(|n| n.ends_with(b"_state.json") || n.ends_with(b".tmp"))
}

pub fn wants(entry: &Entry) -> (What, bool) {
    (
        what(entry),
        entry.kind == Kind::File && entry.mode & 0o100 != 0,
    )
}

impl Fleet {
    pub fn new(lab: &Lab, layout: Layout, ssh: bool) -> Fleet {
        let root = lab.root().join("target");
        let far = match ssh {
            true => format!("host = \"balaur\"\nssh_config = {:?}\n", lab.ssh_config()),
            false => String::new(),
        };
        let policy = format!(
            "[publish]\nremote = \"\"\nscan = \"off\"\nlayout = \"{}\"\nexclude = [\".git\", \"*.tmp\"]\n\
             [[publish.target]]\nname = \"vm\"\npath = {root:?}\n{far}",
            layout.word()
        );
        let aside = format!("--separate-git-dir={}", lab.root().join("git").display());
        lab.git(&["init", "-q", "-b", "main", &aside, "."]);
        Fleet {
            policy,
            root,
            layout,
            commits: BTreeMap::new(),
            head: None,
            ours: BTreeSet::new(),
            maybe: BTreeSet::new(),
            history: BTreeMap::new(),
            owed: BTreeSet::new(),
            made: BTreeSet::new(),
            last: None,
        }
    }

    /// The tree that whoever uses the target sees.
    fn live(&self) -> PathBuf {
        match self.layout {
            Layout::InPlace => self.root.clone(),
            Layout::Releases => {
                let current = self.root.join("current");
                current.canonicalize().unwrap_or(current)
            }
        }
    }

    pub fn look(&self) -> Snapshot {
        let mut all = Snapshot::of(&self.live());
        all.entries.retain(|p, _| !p.is_empty() && !is_ours(p));
        all
    }

    /// What the sentinel says, when it names a commit.
    pub fn rev(&self) -> Option<String> {
        let said = fs::read_to_string(self.live().join(".sync_rev")).ok()?;
        let rev = said.trim_end_matches('\n').to_owned();
        self.commits.contains_key(&rev).then_some(rev)
    }

    pub fn want(&self) -> &Wanted {
        &self.commits[self.head.as_ref().unwrap()]
    }

    /// Somebody on the target takes note of what there is.
    pub fn remember(&mut self) {
        for (path, entry) in self.look().entries {
            self.history.entry(path).or_default().insert(what(&entry));
        }
    }

    pub fn deed(&mut self, deed: &Deed, mac: PathBuf) {
        let live = self.live();
        // Nobody works where nothing was published.
        if !live.join(".sync_rev").exists() {
            return;
        }
        let deed = match (self.layout, deed) {
            // Releases share files, so they are replaced and never written into.
            (Layout::Releases, Deed::Touch { .. } | Deed::Chmod { .. }) => return,
            (
                Layout::Releases,
                Deed::Write {
                    path,
                    tag,
                    len,
                    when,
                    ..
                },
            ) => Deed::Write {
                path: path.clone(),
                tag: *tag,
                len: *len,
                how: How::Rename,
                when: *when,
            },
            _ => deed.clone(),
        };
        let ground = Ground {
            root: live,
            others: vec![mac],
        };
        ground.deed(&deed);
        self.remember();
    }

    /// What somebody has made in a release in the middle of a publish is not to go with that release. Where files are replaced in place,
    /// there is a moment between the second name and the rename that nobody can close.
    pub fn made_meanwhile(&mut self, paths: &dyn Fn(&[u8]) -> bool) {
        if self.layout == Layout::Releases {
            let all = self.look().entries.into_iter();
            let made = all.filter(|(p, e)| paths(p) && e.kind != Kind::Dir);
            self.made.extend(made.map(|(_, e)| what(&e)));
        }
    }

    /// Every value that can be had on the target: live, in an earlier release, or in the trash.
    fn retrievable(&self) -> BTreeSet<What> {
        let trash = self.root.join(OWN).join("trash");
        let places = [self.live(), trash, self.root.join("releases")];
        let all = places.iter().flat_map(|p| Snapshot::of(p).entries);
        all.filter(|(_, e)| e.kind != Kind::Dir)
            .map(|(_, e)| what(&e))
            .collect()
    }

    /// What holds after every run, also one that broke off.
    pub fn common(&mut self, before: &Snapshot, restless: &dyn Fn(&[u8]) -> bool) -> Checked {
        let after = self.look();
        for (path, entry) in &after.entries {
            let value = what(entry);
            let is_new = before.entries.get(path).map(what) != Some(value.clone());
            let is_file = entry.kind != Kind::Dir;
            if is_apart(path) && is_new && is_file && !restless(path) {
                return Err(format!("I2: {} has come or changed", show(path)));
            }
            let known = self.history.get(path).is_some_and(|h| h.contains(&value));
            if is_file && !known {
                return Err(format!(
                    "I1: {} on the target holds what nobody put there: {value:?}, {} bytes",
                    show(path),
                    entry.size
                ));
            }
        }
        let files = before.entries.iter().filter(|(_, e)| e.kind != Kind::Dir);
        for (path, entry) in files.filter(|(p, _)| !restless(p)) {
            let value = what(entry);
            if after.entries.get(path).map(what) == Some(value.clone()) {
                continue;
            }
            // A state file may be in the way of what is published, and be kept; it may not just go.
            self.owed.insert(value);
        }
        let live: BTreeSet<What> = after.entries.values().map(what).collect();
        let made = std::mem::take(&mut self.made).into_iter();
        self.owed.extend(made.filter(|v| !live.contains(v)));
        if self.owed.is_empty() {
            return Ok(());
        }
        // What is in a commit can be published again; older releases with nothing but that may go.
        let committed: BTreeSet<&What> = match self.layout {
            Layout::Releases => {
                let wanted = self.commits.values().flat_map(BTreeMap::values);
                wanted.map(|(w, _)| w).collect()
            }
            Layout::InPlace => BTreeSet::new(),
        };
        let kept = self.retrievable();
        let mut lost = self.owed.iter().filter(|v| !kept.contains(v));
        match lost.find(|v| !committed.contains(v)) {
            Some(value) => Err(format!(
                "I12: lost on the target, and nowhere kept: {value:?}"
            )),
            None => Ok(()),
        }
    }

    /// What has to be true when the sentinel names a commit at the end of a run.
    pub fn complete(
        &mut self,
        commit: &str,
        before: &Snapshot,
        restless: &dyn Fn(&[u8]) -> bool,
    ) -> Checked {
        let (want, after) = (&self.commits[commit], self.look());
        for (path, wanted) in want {
            let found = after.entries.get(path).map(wants);
            if found.as_ref() != Some(wanted) && !restless(path) {
                return Err(format!(
                    "I5: {} on the target is {found:?}, wanted {wanted:?}",
                    show(path)
                ));
            }
        }
        let files = |tree: &Snapshot| -> BTreeMap<Vec<u8>, What> {
            let all = tree.entries.iter().filter(|(_, e)| e.kind != Kind::Dir);
            all.map(|(p, e)| (p.clone(), what(e))).collect()
        };
        let (was, is) = (files(before), files(&after));
        let in_the_way = |path: &[u8]| {
            upwards(path).any(|p| want.contains_key(p)) || want.keys().any(|w| is_below(w, path))
        };
        for path in was.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
            if want.contains_key(path) || restless(path) || in_the_way(path) {
                continue;
            }
            let name = show(path);
            match (was.get(path), is.get(path)) {
                (None, Some(_)) => return Err(format!("I10: {name} has come from nowhere")),
                (Some(_), None) if !self.ours.contains(path) && !self.maybe.contains(path) => {
                    return Err(format!("I2: {name} was the target's own, and is gone"));
                }
                (Some(_), None) if is_apart(path) => return Err(format!("I2: {name} is gone")),
                (Some(x), Some(y)) if x != y => {
                    return Err(format!("I2: {name} is the target's own, and has changed"));
                }
                (_, Some(_)) if self.ours.contains(path) && !is_apart(path) => {
                    return Err(format!(
                        "I8: {name} was published, is wanted no more, and stays"
                    ));
                }
                _ => {}
            }
        }
        self.ours = want.keys().cloned().collect();
        self.maybe.clear();
        match self.rev().as_deref() == Some(commit) {
            true => Ok(()),
            false => Err(format!("I11: done, and the sentinel says {:?}", self.rev())),
        }
    }

    /// All that has to be true after a publish of the newest commit, when nobody did anything meanwhile.
    pub fn judge(&mut self, before: &Snapshot) -> Checked {
        self.common(before, &|_| false)?;
        let head = self.head.clone().unwrap();
        self.complete(&head, before, &|_| false)
    }

    /// What is there after a run that broke off may be ours, and its sentinel tells the truth.
    pub fn broke_off(
        &mut self,
        commit: &str,
        before: (&Snapshot, Option<&str>),
        restless: &dyn Fn(&[u8]) -> bool,
    ) -> Checked {
        self.last = None;
        let more = self.commits[commit].keys().cloned();
        self.maybe.extend(more.filter(|p| !self.ours.contains(p)));
        let (rev, known) = (self.rev(), (self.ours.clone(), self.maybe.clone()));
        match rev.as_deref() {
            None => Ok(()),
            Some(rev) if Some(rev) == before.1 && rev != commit => {
                let now = self.look();
                let still = |tree: &Snapshot| -> Vec<_> {
                    let all = tree.entries.iter().filter(|(p, _)| !restless(p));
                    all.map(|(p, e)| (p.clone(), wants(e))).collect()
                };
                match still(before.0) == still(&now) {
                    true => Ok(()),
                    false => Err(format!(
                        "I11: it broke off, and the sentinel still says {rev}\n{}",
                        before.0.diff(&now)
                    )),
                }
            }
            // Nothing has begun: what somebody changed there is as it was.
            Some(rev) if Some(rev) == before.1 && before.0.diff(&self.look()).is_empty() => Ok(()),
            Some(rev) => {
                let judged = self.complete(rev, before.0, restless);
                (self.ours, self.maybe) = known;
                judged.map_err(|why| format!("it broke off, and the sentinel says {rev}; {why}"))
            }
        }
    }
}
