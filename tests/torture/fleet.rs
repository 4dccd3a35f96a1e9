//! The one-way lane in a sequence: the user of mac commits, and the commit goes to a target on which somebody else works, too.
//!
//! Invariant: of a target, what is told apart is what a commit wants, what publishes have brought, and what is the target's own; all
//! three are known from what was done, never from the program's lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::check;
use super::model::{What, is_below, show, upwards, what};
use super::runs::{cure, doc, guards, restless, spoil};
use super::script::{Deed, Fault, Host, How, Ill, Layout, Place};
use super::users::Ground;
use super::world::{Checked, World};
use crate::lab::{Disk, Entry, Kind, Lab, Output, Side, Snapshot};

const PUBLISH: [&str; 5] = ["publish", "--json", "--wait", "20s", "--apply"];
const OWN: &str = ".ubos-sync.publish";

/// What a commit wants at a path: the content, and whether it can be run.
type Wanted = BTreeMap<Vec<u8>, (What, bool)>;

pub struct Fleet {
    pub policy: String,
    pub root: PathBuf,
    layout: Layout,
    commits: BTreeMap<String, Wanted>,
    head: Option<String>,
    /// Paths that a publish has brought, and those that one which broke off may have.
    ours: BTreeSet<Vec<u8>>,
    maybe: BTreeSet<Vec<u8>>,
    /// Every value that was ever wanted at a path or put there by somebody on the target.
    history: BTreeMap<Vec<u8>, BTreeSet<What>>,
    owed: BTreeSet<What>,
    /// The publish that can be taken back, and the commit that was there before it.
    last: Option<(String, String)>,
}

/// What a publish or git keeps beside what is published.
fn is_ours(path: &[u8]) -> bool {
    let mut names = path.split(|b| *b == b'/');
    names.any(|n| n.starts_with(b".ubos-sync.") || n == b".sync_rev" || n == b".git")
}

/// What publishing keeps its hands off.
fn is_apart(path: &[u8]) -> bool {
    let mut names = path.split(|b| *b == b'/');
    names.any(|n| n.ends_with(b"_state.json") || n.ends_with(b".tmp"))
}

fn wants(entry: &Entry) -> (What, bool) {
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
    fn rev(&self) -> Option<String> {
        let said = fs::read_to_string(self.live().join(".sync_rev")).ok()?;
        let rev = said.trim_end_matches('\n').to_owned();
        self.commits.contains_key(&rev).then_some(rev)
    }

    fn want(&self) -> &Wanted {
        &self.commits[self.head.as_ref().unwrap()]
    }

    /// Somebody on the target takes note of what there is.
    pub fn remember(&mut self) {
        for (path, entry) in self.look().entries {
            self.history.entry(path).or_default().insert(what(&entry));
        }
    }

    fn deed(&mut self, deed: &Deed, mac: PathBuf) {
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
    fn common(&mut self, before: &Snapshot, restless: &dyn Fn(&[u8]) -> bool) -> Checked {
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
    fn complete(
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
    fn broke_off(
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

impl World {
    fn mac(&self) -> PathBuf {
        self.lab.tree(Side::Laptop)
    }

    pub fn target_deed(&mut self, deed: &Deed) {
        let mac = self.mac();
        if let Some(fleet) = &mut self.fleet {
            fleet.deed(deed, mac);
        }
    }

    pub fn commit(&mut self) {
        let Some(fleet) = &mut self.fleet else { return };
        // Git believes times, and users here set them as they like: it is to read every file.
        self.lab.git(&["read-tree", "--empty"]);
        self.lab.git(&["add", "-A"]);
        self.lab.git(&["commit", "-q", "--allow-empty", "-m", "m"]);
        let head = self.lab.git(&["rev-parse", "HEAD"]);
        let tree = self.lab.snapshot(Side::Laptop).entries;
        let wanted: Wanted = tree
            .iter()
            .filter(|(p, e)| e.kind != Kind::Dir && !is_apart(p) && !is_ours(p))
            .map(|(p, e)| (p.clone(), wants(e)))
            .collect();
        for (path, (what, _)) in &wanted {
            let known = fleet.history.entry(path.clone()).or_default();
            known.insert(what.clone());
        }
        fleet.commits.insert(head.clone(), wanted);
        fleet.head = Some(head);
    }

    pub fn publish(&mut self, dry: bool, fault: Option<&Fault>) -> Checked {
        if self.fleet.is_none() {
            return Ok(());
        }
        if self.fleet.as_ref().is_some_and(|f| f.head.is_none()) {
            self.commit();
        }
        if let Some(Fault::Disk { place, ill, .. }) = fault {
            return self.publish_on_an_ill_disk(*place, *ill);
        }
        let args = if dry { &PUBLISH[..4] } else { &PUBLISH };
        self.publish_with(args, fault)?;
        Ok(())
    }

    fn fleet(&mut self) -> &mut Fleet {
        self.fleet.as_mut().unwrap()
    }

    /// One run, and what has to be true afterwards; its exit code.
    fn publish_with(&mut self, args: &[&str], fault: Option<&Fault>) -> Result<i32, String> {
        let all = self.look();
        let (before, rev) = (self.fleet().look(), self.fleet().rev());
        let out = self.endure_publish(args, fault);
        let is_source = |f: &Fault| {
            matches!(
                f,
                Fault::Edit {
                    host: Host::Mac,
                    ..
                }
            )
        };
        if fault.is_some_and(is_source) {
            self.remember();
        } else {
            let after = self.look();
            check::untouched(&all, &after, true, "I3: a publish")?;
        }
        let outside = self.outside.diff(&self.beside());
        if !outside.is_empty() {
            return Err(format!("I2: outside of the roots\n{outside}"));
        }
        let restless = restless(fault.filter(|f| !is_source(f)));
        let failed = |why: String| format!("{why}\n{out}");
        let head = self.fleet().head.clone().unwrap();
        self.fleet().common(&before, &restless).map_err(failed)?;
        let is_dry = !args.contains(&"--apply");
        let said = doc(&out);
        let same = |fleet: &Fleet| match before.diff(&fleet.look()) {
            diff if diff.is_empty() => Ok(()),
            diff => Err(format!(
                "I4: a publish that was not carried out changed\n{diff}"
            )),
        };
        match out.code {
            0 if is_dry => same(self.fleet()).map_err(failed)?,
            0 => {
                let fleet = self.fleet();
                fleet.complete(&head, &before, &restless).map_err(failed)?;
                let run = said["run"].as_str().unwrap_or_default().to_owned();
                if said["outcome"] != "in-sync" {
                    fleet.last = rev.map(|rev| (run, rev));
                }
            }
            3 => {
                if fault.is_none() {
                    same(self.fleet()).map_err(failed)?;
                }
                let why = self.may_refuse_publish(&guards(&said)).map_err(failed)?;
                if let (Some(guard), false) = (why, is_dry || args.contains(&"--allow")) {
                    let args = [args, &["--allow", guard]].concat();
                    return self.publish_with(&args, None);
                }
            }
            1.. if fault.is_some() => {
                let before = (&before, rev.as_deref());
                let fleet = self.fleet();
                fleet.broke_off(&head, before, &restless).map_err(failed)?;
            }
            code => return Err(failed(format!("a publish ended with {code}"))),
        }
        Ok(out.code)
    }

    fn endure_publish(&mut self, args: &[&str], fault: Option<&Fault>) -> Output {
        let began = Instant::now();
        loop {
            let mut run = self.lab.spawn(args);
            match fault {
                Some(Fault::Kill { who, blow, at }) => {
                    self.moment(&mut run, *at);
                    self.strike(&run, Host::Mac, *who, *blow);
                }
                Some(Fault::Edit { host, deed, at }) => {
                    self.moment(&mut run, *at);
                    match host {
                        Host::Mac => self.deed(*host, deed),
                        _ => self.target_deed(deed),
                    }
                }
                _ => {}
            }
            let out = run.wait();
            if fault.is_some() {
                self.settle();
            }
            // The lock of a dead run is let go by the session that holds it, which may take a moment.
            if out.code != 6 || began.elapsed() > Duration::from_secs(20) {
                return out;
            }
        }
    }

    /// The guard that has to be waived, if there is one that may be.
    fn may_refuse_publish(&mut self, guards: &[String]) -> Result<Option<&'static str>, String> {
        let fleet = self.fleet();
        let is_broken_name = fleet.want().keys().any(|p| p.contains(&b'\n'));
        let going = fleet.ours.union(&fleet.maybe);
        let going = going.filter(|p| !fleet.want().contains_key(*p)).count();
        match guards {
            [g] if g == "max_delete" && going > 8 => Ok(Some("max_delete")),
            _ if is_broken_name => Ok(None),
            _ => Err(format!("a guard without a reason: {guards:?}")),
        }
    }

    fn publish_on_an_ill_disk(&mut self, place: Place, ill: Ill) -> Checked {
        let at = match place {
            Place::Tree => self.fleet().root.clone(),
            Place::State => self.lab.state_dir(Side::Laptop),
            Place::Records => self.lab.home(Side::Laptop).join("logs"),
        };
        let Some(disk) = at.exists().then(|| Disk::under(&at)).flatten() else {
            return self.publish(false, None);
        };
        spoil(&disk, ill);
        for allow in [None, Some("free_space")] {
            let mut args = PUBLISH.to_vec();
            args.extend(allow.iter().flat_map(|a| ["--allow", a]));
            let (before, rev) = (self.fleet().look(), self.fleet().rev());
            let out = self.lab.run(&args);
            let failed = |why: String| format!("{place:?} {ill:?}: {why}\n{out}");
            let fleet = self.fleet();
            fleet.common(&before, &|_| false).map_err(failed)?;
            let head = fleet.head.clone().unwrap();
            let rev = (&before, rev.as_deref());
            match out.code {
                0 => fleet.complete(&head, &before, &|_| false).map_err(failed)?,
                1 | 3 => fleet.broke_off(&head, rev, &|_| false).map_err(failed)?,
                _ => return Err(failed("that is no way to end".into())),
            }
        }
        cure(&disk, ill);
        let judged = self.publish_with(&PUBLISH, None);
        drop(disk);
        judged.map(|_| ())
    }

    /// The last publish goes back to the commit that was there before it.
    pub fn unpublish(&mut self, at: Option<u64>) -> Checked {
        let Some((run, commit)) = self.fleet.as_mut().and_then(|f| f.last.take()) else {
            return Ok(());
        };
        let mut back = vec!["rollback", &run, "--apply", "--json", "--wait", "20s"];
        let (all, mut before) = (self.look(), self.fleet().look());
        if let Some(at) = at {
            let rev = self.fleet().rev();
            self.killed(Host::Mac, &back, at);
            let fleet = self.fleet();
            let failed = |why| format!("a rollback was killed: {why}");
            fleet.common(&before, &|_| false).map_err(failed)?;
            let rev = (&before, rev.as_deref());
            fleet.broke_off(&commit, rev, &|_| false).map_err(failed)?;
            before = fleet.look();
        }
        let mut out = self.endure_publish(&back, None);
        if out.code == 3 && guards(&doc(&out)) == ["max_delete"] {
            back.extend(["--allow", "max_delete"]);
            out = self.endure_publish(&back, None);
        }
        let is_done_already = at.is_some() && out.stderr.contains("already");
        if out.code != 0 && !is_done_already {
            return Err(format!("I19: the rollback of a publish failed\n{out}"));
        }
        check::untouched(&all, &self.look(), false, "I3: a rollback of a publish")?;
        let failed = |why| format!("I19: {why}\n{out}");
        let fleet = self.fleet();
        fleet.common(&before, &|_| false).map_err(failed)?;
        fleet.complete(&commit, &before, &|_| false).map_err(failed)
    }

    /// Everything that mac has arrives, and is proven to be there.
    pub fn publish_at_last(&mut self) -> Checked {
        if self.fleet.is_none() {
            return Ok(());
        }
        self.commit();
        if self.publish_with(&PUBLISH, None)? != 0 {
            return Ok(());
        }
        let before = self.fleet().look();
        let again = self.lab.run(&PUBLISH);
        let diff = before.diff(&self.fleet().look());
        if again.code != 0 || doc(&again)["outcome"] != "in-sync" || !diff.is_empty() {
            return Err(format!("I6: a second publish\n{diff}\n{again}"));
        }
        let verified = self.lab.run(&["verify", "vm", "--full"]);
        match verified.code {
            0 => Ok(()),
            _ => Err(format!("I11: published, and yet verify says\n{verified}")),
        }
    }
}
