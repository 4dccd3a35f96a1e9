//! Carries a publish out on one target: announce, stage, put in place, prove, and only then name the commit.
//!
//! Invariants: the sentinel names a commit only after every published path was looked at again (after a few changes: every path
//! they touched, the others were looked at when the run began) and what had travelled was hashed where it lies; whatever stood
//! there before lies in the target's trash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::host::link::LinkError;
use crate::host::{export as lay, process, signals};
use crate::lanes::publish::export::{Export, subset};
use crate::lanes::publish::target::{Opened, layout_word};
use crate::lanes::truth::content;
use crate::model::entry::{ContentHash, Entry};
use crate::model::index::Index;
use crate::model::manifest::{Manifest, write_entry};
use crate::model::path::RelPath;
use crate::model::plan::{Kind, Side};
use crate::model::policy::{Layout, Policy, Publish};
use crate::model::publish_plan::{PublishPlan, same};
use crate::model::sorted::Sorted;
use crate::model::tree::{Stat, What};
use crate::model::walk::Walk;
use crate::tool::{facts, publish_scripts as scripts, remote, rsync_push};

/// A push that moves nothing for three minutes ends by itself; this is for one that never ends.
const PUSH: Duration = Duration::from_secs(6 * 3600);
/// From this size on only the differences of a changed file travel.
const BIG: u64 = 256 << 10;

pub struct Job<'a> {
    pub policy: &'a Policy,
    pub publish: &'a Publish,
    pub export: &'a Export,
    pub commit: &'a str,
    pub run: &'a str,
    pub scratch: &'a Path,
}

#[derive(Debug, Default)]
pub struct Done {
    pub backup: Option<String>,
    pub release: Option<String>,
    pub previous: Option<String>,
    pub list: Vec<u8>,
}

/// Why it ended early: what is still safe is said by the caller, from whether files were put in place.
pub struct Broke {
    pub why: String,
    pub touched: bool,
}

impl From<LinkError> for Broke {
    fn from(e: LinkError) -> Self {
        Broke {
            why: e.to_string(),
            touched: true,
        }
    }
}

fn broke(why: impl Into<String>, touched: bool) -> Broke {
    Broke {
        why: why.into(),
        touched,
    }
}

impl Job<'_> {
    fn call(
        &self,
        on: &Opened,
        script: &str,
        more: &[&str],
        data: &[u8],
    ) -> Result<(Vec<u8>, String), Broke> {
        let root = on.root.as_deref().unwrap_or_default();
        let mut all = vec![
            root,
            self.run,
            on.agent.nonce(),
            layout_word(self.publish.layout),
        ];
        all.extend(more);
        let (body, nonce) = on.link.call_with_nonce(script, &all, data)?;
        match remote::value(&body, "failed") {
            Some(why) => Err(broke(crate::model::text::neutral(why), true)),
            None => Ok((body, nonce)),
        }
    }

    /// All of it. `repair`: nothing differs, only the sentinel and the list have to be written.
    pub fn carry_out(
        &self,
        on: &mut Opened,
        plan: &PublishPlan,
        index: &mut Index,
    ) -> Result<Done, Broke> {
        let fresh_release =
            self.publish.layout == Layout::Releases && (!plan.is_empty() || on.release.is_none());
        let name = match fresh_release {
            true => format!(
                "{}-{}",
                self.run.split('-').next().unwrap_or(self.run),
                &self.commit[..12.min(self.commit.len())]
            ),
            false => String::new(),
        };
        if !plan.is_empty() || fresh_release {
            self.arm(on, plan).map_err(|b| broke(b.why, false))?;
            stop_wish()?;
            self.push(on, plan)?;
            stop_wish()?;
            let after = self.commit(on, plan)?;
            self.prove(on, plan, &after, index)?;
        }
        self.finish(on, plan, &name)
    }

    fn arm(&self, on: &Opened, plan: &PublishPlan) -> Result<(), Broke> {
        let mut data = Vec::new();
        let mut basis = 0;
        for step in plan
            .steps
            .iter()
            .filter(|s| s.kind == Kind::Update && s.bytes >= BIG)
        {
            if on
                .stats
                .get(&step.path)
                .is_some_and(|s| s.what == What::File)
            {
                data.extend_from_slice(step.path.as_bytes());
                data.push(b'\n');
                basis += 1;
            }
        }
        for path in plan.placed() {
            if let Some(entry) = self.export.want.get(path) {
                write_entry(&mut data, path, entry);
            }
        }
        self.call(on, scripts::ARM, &[self.commit, &basis.to_string()], &data)
            .map(|_| ())
    }

    fn push(&self, on: &Opened, plan: &PublishPlan) -> Result<(), Broke> {
        let placed: Vec<&RelPath> = plan.placed().collect();
        if placed.is_empty() {
            return Ok(());
        }
        let fail =
            |e: std::io::Error| broke(format!("what is to be sent cannot be laid out: {e}"), true);
        let send = match placed.len() == self.export.want.len() {
            true => self.export.dir.clone(),
            false => {
                let dir = self.scratch.join("send");
                subset(self.export, &placed, &dir).map_err(fail)?;
                dir
            }
        };
        let starter = on
            .link
            .rsync_starter(on.root.as_deref().unwrap_or_default().as_bytes(), &on.rsync);
        lay::write_script(&self.scratch.join(rsync_push::STARTER), &starter).map_err(fail)?;
        let rsync =
            process::which("rsync").ok_or_else(|| broke("rsync is not installed here", true))?;
        let stage = format!("{}/stage.{}", scripts::OWN, self.run);
        let call = rsync_push::push(&rsync, &send, &stage, self.scratch, process::search_path());
        let out =
            process::run_within(&call, b"", &self.scratch.join("rsync.err"), PUSH).map_err(fail)?;
        match rsync_push::explain(out.code, &String::from_utf8_lossy(&out.stderr)) {
            None => Ok(()),
            // rsync does not always live to tell; what was free before does.
            Some(why) if on.free.is_some_and(|free| free < plan.arriving()) => {
                Err(broke(format!("the target's disk is full ({why})"), true))
            }
            Some(why) => Err(broke(why, true)),
        }
    }

    /// The order for the script that puts things in place, by directory, so that one program call serves many files.
    fn order(&self, on: &Opened, plan: &PublishPlan) -> Vec<u8> {
        let mut steps: Vec<(u8, RelPath, u8, Vec<u8>)> = Vec::new();
        let releases = self.publish.layout == Layout::Releases;
        let mut gone: BTreeMap<&RelPath, bool> = BTreeMap::new();
        for step in &plan.steps {
            let dir = step.path.parent().unwrap_or_default();
            let name = step.path.name().to_vec();
            match step.kind {
                Kind::Delete => {
                    gone.insert(&step.path, step.edited);
                    if !releases {
                        steps.push((1, dir, b'-', name));
                    }
                }
                Kind::Meta => {
                    let exec = self
                        .export
                        .want
                        .get(&step.path)
                        .and_then(Entry::mode)
                        .is_some_and(|m| m & 0o100 != 0);
                    steps.push((0, dir, if exec { b'x' } else { b'n' }, name));
                }
                _ => {
                    gone.insert(&step.path, step.edited);
                    steps.push((0, dir, b'+', name));
                }
            }
        }
        if releases {
            for (path, stat) in &on.stats {
                if path.is_root() || path.as_bytes() == scripts::SENTINEL.as_bytes() {
                    continue;
                }
                let op = match stat.what {
                    What::File => b'=',
                    What::Link(_) => b'~',
                    _ => continue,
                };
                let above = || {
                    (path.ancestors())
                        .any(|a| RelPath::new(a).is_some_and(|a| gone.contains_key(&a)))
                };
                // What no publish has brought lies in this release alone, and releases go.
                match gone.get(path).copied().or_else(|| above().then_some(true)) {
                    Some(true) => steps.push((0, RelPath::root(), b'k', path.as_bytes().to_vec())),
                    Some(false) => {}
                    None => steps.push((
                        0,
                        path.parent().unwrap_or_default(),
                        op,
                        path.name().to_vec(),
                    )),
                }
            }
        } else {
            for dir in &plan.empty_dirs {
                let depth = dir.as_bytes().iter().filter(|b| **b == b'/').count();
                steps.push((
                    u8::try_from(255 - depth.min(255)).unwrap_or(0),
                    dir.parent().unwrap_or_default(),
                    b'r',
                    dir.name().to_vec(),
                ));
            }
        }
        // Carried files first, because their modes may change; removals before what is placed, because a file may become a directory.
        steps.sort_by(|a, b| (rank(a), &a.1, a.2).cmp(&(rank(b), &b.1, b.2)));
        lines(&steps)
    }

    /// Puts things in place. What is answered: the facts of the whole tree afterwards, or of what few changes touched.
    fn commit(&self, on: &Opened, plan: &PublishPlan) -> Result<Sorted<Stat>, Broke> {
        let few = is_few(on, plan);
        let mut data = format!("{}\n{}\n", self.commit, flag(few)).into_bytes();
        data.extend(self.order(on, plan));
        let (body, nonce) = self.call(on, scripts::COMMIT, &[], &data)?;
        if few {
            let touched: Vec<RelPath> = plan.steps.iter().map(|s| s.path.clone()).collect();
            let root = on.root.as_deref().unwrap_or_default();
            let found = content::look(&on.link, root, &on.style, false, &touched)?;
            return Ok(found.into_iter().collect());
        }
        let swept = facts::parse_sweep_beside(&body, &nonce, &self.export.want)
            .ok_or_else(|| broke("the list of files after the transfer was cut", true))?;
        Ok(Sorted::in_order(swept.stats))
    }

    /// Looks at every published path where it lies now (after few changes: at those they touched, the others were looked at a moment
    /// ago); hashes what travelled and what anybody could have touched meanwhile.
    fn prove(
        &self,
        on: &Opened,
        plan: &PublishPlan,
        after: &Sorted<Stat>,
        index: &mut Index,
    ) -> Result<(), Broke> {
        let few = is_few(on, plan);
        let touched = plan
            .steps
            .iter()
            .filter_map(|s| Some((&s.path, self.export.want.get(&s.path)?)));
        let to_prove: Vec<(&RelPath, &Entry)> = match few {
            true => touched.collect::<BTreeMap<_, _>>().into_iter().collect(),
            false => self.export.want.iter().collect(),
        };
        let placed: BTreeSet<&RelPath> = plan.placed().collect();
        let mut doubtful = Vec::new();
        let mut known: BTreeMap<RelPath, ContentHash> = BTreeMap::new();
        let (mut now, mut before) = (Walk::of(after), Walk::of(&on.stats));
        for (path, wanted) in &to_prove {
            let Some(now) = now.at(path) else {
                return Err(broke(format!("{path} is missing after the transfer"), true));
            };
            let Entry::File(file) = wanted else { continue };
            let before = before
                .at(path)
                .filter(|b| b.size == now.size && b.mtime_ns == now.mtime_ns && b.ino == now.ino);
            match before {
                Some(_) if !placed.contains(path) => {
                    known.insert((*path).clone(), file.hash);
                }
                _ => doubtful.push((*path).clone()),
            }
        }
        let root = on.root.as_deref().unwrap_or_default();
        let tree = match self.publish.layout {
            Layout::InPlace => root.to_owned(),
            Layout::Releases => format!("{root}/releases/.ubos-sync.{}", self.run),
        };
        let read = content::hash(&on.link, &tree, &doubtful)?;
        known.extend(read.iter().map(|(p, h)| (p.clone(), *h)));
        let looked = crate::host::clock::now_ns();
        for (path, wanted) in to_prove {
            let now = &after[path];
            let found = now.entry(known.get(path).copied());
            if !found.as_ref().is_some_and(|f| same(f, wanted)) {
                return Err(broke(
                    format!(
                        "{path} is not what was sent; somebody on the target writes at the same time"
                    ),
                    true,
                ));
            }
            if let Some(hash) = known.get(path) {
                index.remember(Side::Peer, path, now, *hash, on.swept_at.min(looked));
            }
        }
        if few {
            let gone = plan.steps.iter().map(|s| &s.path);
            gone.filter(|p| !after.contains_key(p))
                .for_each(|p| index.forget(Side::Peer, p));
        } else {
            index.keep(Side::Peer, None, after.keys());
        }
        Ok(())
    }

    fn finish(&self, on: &Opened, plan: &PublishPlan, name: &str) -> Result<Done, Broke> {
        let mut next = Manifest {
            entries: self.export.want.clone(),
            facts: BTreeMap::new(),
        };
        next.facts.insert("commit".into(), self.commit.to_owned());
        next.facts.insert("run".into(), self.run.to_owned());
        let whole = || Manifest::default().delta(&next);
        let (how, data, list) = match &on.base {
            Some((base, bytes)) => {
                let delta = base.delta(&next);
                let both = [bytes.as_slice(), &delta].concat();
                // Deltas are not let grow beyond what they save.
                if both.len() > 2 * self.export.want.len() * 160 + 65536 {
                    ("whole", whole(), whole())
                } else {
                    ("delta", delta, both)
                }
            }
            None => ("whole", whole(), whole()),
        };
        let edited = plan.steps.iter().any(|s| s.edited);
        let days = self.policy.snapshots.keep_losers.as_secs() / 86_400;
        let more = [
            self.commit,
            how,
            on.release.as_deref().unwrap_or_default(),
            name,
            &self.policy.snapshots.keep.to_string(),
            &days.to_string(),
            flag(edited),
            &self.publish.keep_releases.to_string(),
            flag(is_few(on, plan)),
        ];
        let (body, _) = self.call(on, scripts::FINISH, &more, &data)?;
        if remote::value(&body, "finished").is_none() {
            return Err(broke("the end of the publish was cut off", true));
        }
        Ok(Done {
            backup: remote::value(&body, "trash").map(str::to_owned),
            previous: remote::value(&body, "previous")
                .filter(|p| !p.is_empty())
                .map(str::to_owned),
            release: remote::value(&body, "release")
                .filter(|r| !r.is_empty())
                .map(str::to_owned),
            list,
        })
    }
}

/// As the scripts read it.
fn flag(yes: bool) -> &'static str {
    if yes { "1" } else { "0" }
}

/// How many changes go to a target's disk one by one.
const FEW: usize = 64;

/// Whether writing just the changes to the disk leaves nothing out: what they are added to was vouched for, thus written, before.
fn is_few(on: &Opened, plan: &PublishPlan) -> bool {
    let vouched = on.base.is_some()
        && on.pending.is_empty()
        && on
            .rev
            .as_deref()
            .is_some_and(|r| !r.starts_with("INCOMPLETE"));
    vouched && on.release.is_none() && plan.steps.len() <= FEW
}

fn stop_wish() -> Result<(), Broke> {
    match signals::stop_wish() {
        Some(_) => Err(broke("stopped on request", true)),
        None => Ok(()),
    }
}

/// The phase of a step: carry, remove, place and set modes, then drop empty directories from the deepest up.
fn rank(step: &(u8, RelPath, u8, Vec<u8>)) -> (u8, u8) {
    match step.2 {
        b'=' | b'~' | b'k' => (0, 0),
        b'-' => (1, 0),
        b'r' => (3, step.0),
        _ => (2, 0),
    }
}

fn lines(steps: &[(u8, RelPath, u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at: Option<(&RelPath, bool)> = None;
    for step in steps {
        // Where something is taken away, nothing is made for it.
        let leaving = matches!(step.2, b'-' | b'r');
        if at != Some((&step.1, leaving)) {
            if at.is_none_or(|(_, l)| l != leaving) {
                out.extend_from_slice(if leaving { b"L1\n" } else { b"L0\n" });
            }
            line(&mut out, b'/', step.1.as_bytes());
            at = Some((&step.1, leaving));
        }
        line(&mut out, step.2, &step.3);
    }
    out
}

/// One line of the order. What the target made itself may have a name with a line break: then the line comes escaped.
fn line(out: &mut Vec<u8>, op: u8, name: &[u8]) {
    match name.contains(&b'\n') {
        true => {
            let whole = [&[op], name].concat();
            out.push(b'\\');
            out.extend_from_slice(remote::escaped(&whole).as_bytes());
        }
        false => {
            out.push(op);
            out.extend_from_slice(name);
        }
    }
    out.push(b'\n');
}
