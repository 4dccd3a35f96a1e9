//! What is to be taken back, and what stands at each path now.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Request, Stop, refuse};
use crate::host::link::LinkError;
use crate::lanes::truth::hosts::{Host, Pair};
use crate::lanes::truth::said::Held;
use crate::lanes::truth::{base, content};
use crate::model::manifest::Manifest;
use crate::model::path::RelPath;
use crate::model::plan::Side;
use crate::model::thread::joined;
use crate::model::tree::What;
use crate::model::undo::{self, Back, Fate, Now};

/// Everything to take back, and what the pair remembered before and remembers now.
pub(super) struct Subject {
    pub(super) backs: Vec<Back>,
    /// The generation that was current before (`None`: there was none).
    pub(super) before: Option<Held>,
    pub(super) then: Manifest,
    pub(super) now: Manifest,
}

pub(super) fn subject(request: &Request, pair: &Pair) -> Result<Subject, Stop> {
    let backs = backs(request)?;
    let gone = || {
        refuse(
            &request.peer.name,
            "snapshot",
            format!(
                "what the pair remembered before {} is no longer kept on both hosts",
                request.oldest()
            ),
            "ubos-sync runs list".into(),
        )
    };
    foreign(request, pair)?;
    let all = base::common(pair);
    let made = |i: usize| {
        let of = &request.runs[i];
        let name = of.lane.generation.as_deref().unwrap_or(of.run);
        all.iter().find(|g| g.name == name).copied()
    };
    let newest = all.last().copied();
    let before = match made(request.runs.len() - 1) {
        Some(g) => match base::made_from(&all, g) {
            Some(before) => Some(before.clone()),
            None if g.serial == 1 || g.from.as_deref() == Some("-") => None,
            None => return Err(gone()),
        },
        // It died, and no run since has recorded what it had delivered.
        None if is_pending(pair, request.oldest()) => newest.cloned(),
        None => return Err(gone()),
    };
    let manifest = |g: Option<&Held>| match g {
        None => Ok(Manifest::default()),
        Some(g) => base::manifest(pair, g).map(|r| r.manifest).ok_or_else(gone),
    };
    let subject = Subject {
        then: manifest(before.as_ref())?,
        now: manifest(newest)?,
        backs,
        before,
    };
    if let Some(made) = made(0)
        && newest.is_some_and(|n| n.name != made.name)
    {
        let left = manifest(Some(made))?;
        no_newer(request, &subject, &left, newest.map_or("", |n| &n.name))?;
    }
    Ok(subject)
}

fn backs(request: &Request) -> Result<Vec<Back>, Stop> {
    let mut all = Vec::new();
    for of in &request.runs {
        let own = undo::of_lane(of.run, of.lane, of.died).ok_or_else(|| {
            refuse(
                &request.peer.name,
                "snapshot",
                format!(
                    "the record of {} names a path that leads out of the root",
                    of.run
                ),
                "ubos-sync runs verify".into(),
            )
        })?;
        all.push(own);
    }
    Ok(undo::compose(all))
}

fn is_pending(pair: &Pair, run: &str) -> bool {
    let hosts = [&pair.local, &pair.peer];
    hosts
        .iter()
        .any(|h| h.said.pending.iter().any(|p| p == run))
}

/// What another run that died had delivered would be forgotten with its plan.
fn foreign(request: &Request, pair: &Pair) -> Result<(), Stop> {
    let mut pending = pair
        .local
        .said
        .pending
        .iter()
        .chain(&pair.peer.said.pending);
    let ours = |run: &String| request.runs.iter().any(|r| r.run == run);
    match pending.find(|run| !ours(run)) {
        None => Ok(()),
        Some(run) => Err(refuse(
            &request.peer.name,
            "unfinished",
            format!("{run} died, and what it had delivered is not recorded yet"),
            format!("ubos-sync truth {} --allow held", request.peer.name),
        )),
    }
}

/// A path that a run after those of the request changed again has to be taken back by that run first.
fn no_newer(
    request: &Request,
    subject: &Subject,
    left: &Manifest,
    newest: &str,
) -> Result<(), Stop> {
    let moved = subject.backs.iter().find(|b| {
        let now = subject.now.entries.get(&b.path);
        now != left.entries.get(&b.path) && now != subject.then.entries.get(&b.path)
    });
    match moved {
        None => Ok(()),
        Some(b) => Err(refuse(
            &request.peer.name,
            "newer_run",
            format!(
                "{} was changed again by a run after {} (generation {newest})",
                b.path, request.runs[0].run
            ),
            format!(
                "roll back the newer ones too: ubos-sync rollback --to {}",
                request.oldest()
            ),
        )),
    }
}

/// One path of the rollback: what it is now, and what is to be done.
pub(super) struct Step<'a> {
    pub(super) back: &'a Back,
    pub(super) fate: Fate,
    pub(super) now: Option<Now>,
    /// Of the earlier version, as the run's folder holds it.
    pub(super) kept: Option<Now>,
    /// Why it cannot be put back although nobody edited it.
    pub(super) trouble: Option<String>,
}

impl Step<'_> {
    pub(super) fn is_open(&self) -> bool {
        self.fate == Fate::Restore && self.trouble.is_none()
    }
}

pub(super) fn host(pair: &Pair, side: Side) -> &Host {
    match side {
        Side::Local => &pair.local,
        Side::Peer => &pair.peer,
    }
}

/// What a survey before this one has read: what has not changed since is not read again.
#[derive(Default)]
pub(super) struct Known<'a> {
    read: HashMap<(Side, &'a RelPath), &'a Step<'a>>,
}

impl<'a> Known<'a> {
    pub(super) fn of(steps: &'a [Step<'a>]) -> Self {
        let all = steps.iter().map(|s| ((s.back.side, &s.back.path), s));
        Self {
            read: all.collect(),
        }
    }

    fn now(&self, side: Side, path: &RelPath) -> Option<&Now> {
        self.read.get(&(side, path))?.now.as_ref()
    }

    fn kept(&self, side: Side, path: &RelPath) -> Option<&Now> {
        self.read.get(&(side, path))?.kept.as_ref()
    }
}

pub(super) fn survey<'a>(
    request: &Request,
    pair: &Pair,
    backs: &'a [Back],
    known: &Known,
) -> Result<Vec<Step<'a>>, Stop> {
    std::thread::scope(|s| {
        let far = s.spawn(|| of_side(request, pair, backs, known, Side::Peer));
        let mut steps = of_side(request, pair, backs, known, Side::Local)?;
        let far = joined(far);
        steps.extend(far?);
        Ok(steps)
    })
    .map_err(Stop::Link)
}

fn of_side<'a>(
    request: &Request,
    pair: &Pair,
    backs: &'a [Back],
    known: &Known,
    side: Side,
) -> Result<Vec<Step<'a>>, LinkError> {
    let host = host(pair, side);
    let resumed = host.said.undoing.as_deref() == Some(request.oldest());
    let own: Vec<&Back> = backs.iter().filter(|b| b.side == side).collect();
    let paths: Vec<RelPath> = own.iter().map(|b| b.path.clone()).collect();
    let now = seen(host, &host.root_given, &paths, &|p| known.now(side, p))?;
    let mut kept = BTreeMap::new();
    for of in &request.runs {
        let folder = format!(
            "{}/pairs/{}/runs/{}/backup",
            host.said.state, pair.id, of.run
        );
        let wanted: Vec<RelPath> = own
            .iter()
            .filter(|b| b.from == of.run && needs_content(b))
            .map(|b| b.path.clone())
            .collect();
        // A folder that is not there any more holds nothing.
        let found = seen(host, &folder, &wanted, &|p| known.kept(side, p));
        kept.append(&mut found.unwrap_or_default());
    }
    let step = |back: &'a Back| {
        let now = now.get(&back.path).cloned();
        let fate = undo::fate(back, now.as_ref(), resumed);
        let kept = kept.get(&back.path).cloned();
        let lost = fate != Fate::Already && needs_content(back) && !is_kept(back, kept.as_ref());
        let trouble = lost.then(|| {
            format!(
                "its earlier version is not in the run's folder on {}",
                host.name
            )
        });
        Step {
            back,
            fate,
            now,
            kept,
            trouble,
        }
    };
    Ok(own.into_iter().map(step).collect())
}

/// Whether the earlier version is more than an entry in a list.
fn needs_content(back: &Back) -> bool {
    let Some(before) = &back.before else {
        return false;
    };
    let same = back.after.as_ref().is_some_and(|a| {
        a.r#type == before.r#type && a.hash == before.hash && a.link == before.link
    });
    before.r#type != "directory" && !same
}

fn is_kept(back: &Back, kept: Option<&Now>) -> bool {
    let (Some(before), Some(kept)) = (&back.before, kept) else {
        return false;
    };
    match &kept.stat.what {
        What::File => {
            before.r#type == "file" && kept.hash.is_some_and(|h| h.is(before.hash.as_deref()))
        }
        What::Link(_) => before.r#type == "link",
        _ => false,
    }
}

fn seen<'k>(
    host: &Host,
    root: &str,
    paths: &[RelPath],
    known: &dyn Fn(&RelPath) -> Option<&'k Now>,
) -> Result<BTreeMap<RelPath, Now>, LinkError> {
    let stats = content::look(&host.link, root, &host.said.style, false, paths)?;
    let mut hashes = HashMap::new();
    let mut files = Vec::new();
    for (path, stat) in stats.iter().filter(|(_, s)| s.what == What::File) {
        match known(path).filter(|k| k.stat == *stat) {
            Some(known) => {
                hashes.insert(path.clone(), known.hash);
            }
            None => files.push(path.clone()),
        }
    }
    let read = content::hash(&host.link, root, &files)?;
    hashes.extend(read.iter().map(|(p, h)| (p.clone(), Some(*h))));
    let wanted: HashSet<&RelPath> = paths.iter().collect();
    Ok(stats
        .into_iter()
        .filter(|(p, _)| wanted.contains(p))
        .map(|(path, stat)| {
            let hash = hashes.get(&path).cloned().flatten();
            (path, Now { stat, hash })
        })
        .collect())
}
