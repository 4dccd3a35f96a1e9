//! Carrying a guarded plan out: arm, let the engine proceed, verify, commit.
//!
//! Invariants: apply takes the guarded plan by value, with proof of both locks (the [`Pair`] inside the proposal), of the
//! snapshot ([`Armed`]) and of an open record; what was done is committed even when something failed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::audit::store::OpenRun;
use crate::host::link::LinkError;
use crate::lanes::truth::arm::{Armed, arm};
use crate::lanes::truth::begin::{self, Work};
use crate::lanes::truth::bulk;
use crate::lanes::truth::commit::{self, Generation};
use crate::lanes::truth::engine::{Engine, EngineError};
use crate::lanes::truth::hosts::Pair;
use crate::lanes::truth::pause::{self, Paused};
use crate::lanes::truth::propose::{Proposal, Request, save_index};
use crate::lanes::truth::room::{self, Short};
use crate::lanes::truth::still::unmoved;
use crate::lanes::truth::verify::{self, Verified};
use crate::lanes::truth::{calm, content, facts};
use crate::model::entry::Entry;
use crate::model::guards::GuardedPlan;
use crate::model::path::RelPath;
use crate::model::plan::{Change, Side, TruthPlan};
use crate::model::policy::Snapshots;
use crate::model::record::{KeptDoc, ResultWord};
use crate::model::scope::scope;
use crate::model::thread::joined;
use crate::model::tree::What;
use crate::tool::remote;

/// What came of an apply.
#[derive(Default)]
pub struct Applied {
    pub results: Vec<Verified>,
    pub kept: Vec<KeptDoc>,
    pub generation: Option<String>,
    pub engine_said: Vec<String>,
    pub notes: Vec<(RelPath, String)>,
    /// The engine or the connection broke off: what was said, and whether it was a wish of ours.
    pub broke: Option<Broke>,
    /// A writer did not hold still, and the policy wants the run skipped then.
    pub skipped: Option<String>,
    /// What came of asking the writers to hold still, when there are any.
    pub writer: Option<String>,
    /// Disks that were too small for it.
    pub short: Vec<Short>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broke {
    Stopped,
    Lost(String),
    Failed(String),
    /// Something changed between the plan and its execution; nothing was touched.
    Moved(String),
}

/// Carries the plan out. `record` is the open record of this run: there is no effect without one. When it is overtaken and may be
/// made anew, the writers keep holding still for the next one.
pub fn apply<'w>(
    mut p: Proposal,
    guarded: GuardedPlan,
    request: &Request<'w>,
    record: &OpenRun,
    pause: &mut Option<Paused<'w>>,
    may_again: bool,
) -> Applied {
    let _ = record;
    let (plan, _) = guarded.into_parts();
    let mut out = carry_out(&mut p, &plan, request, pause);
    let failed = out.results.iter().any(|r| r.result == ResultWord::Failed);
    if failed || matches!(out.broke, Some(Broke::Failed(_) | Broke::Lost(_))) {
        out.short = room::short(&p.pair, room::needs(&plan.changes, &out.results));
    }
    if !(may_again && matches!(out.broke, Some(Broke::Moved(_)))) {
        // While the connection is there.
        pause.take();
    }
    let_go(p);
    out
}

/// Lets both hosts go; the memory that a large tree took is given back meanwhile.
fn let_go(p: Proposal) {
    let Proposal {
        work,
        pair,
        base,
        local,
        peer,
        index,
        ..
    } = p;
    std::thread::scope(|s| {
        s.spawn(move || drop((base, local, peer, index)));
        // The engine ends before the locks are let go.
        drop(work);
        drop(pair);
    });
}

fn carry_out<'w>(
    p: &mut Proposal,
    plan: &TruthPlan,
    request: &Request<'w>,
    pause: &mut Option<Paused<'w>>,
) -> Applied {
    let mut out = Applied::default();
    let writer = request.policy.writer.as_ref();
    if let Some(writer) = writer.filter(|_| p.work.is_none()) {
        pause::clear(&p.pair, writer, request.run);
    }
    if p.calm {
        return out;
    }
    let keep = &request.policy.snapshots;
    let Some(mut work) = p.work.take() else {
        // Nothing travels, but both sides may have come to agree by themselves.
        if !p.agreed.is_empty()
            || p.base.generation.is_none()
            || p.base.worn
            || facts::moved(&p.pair.ends(), request.policy, &p.base.manifest)
        {
            // Nobody asks for the trees any more, and to write a whole base takes room.
            (p.local, p.peer) = Default::default();
            let agreed = std::mem::take(&mut p.agreed);
            match advance(p, agreed, request, plan, &[], false, keep) {
                Ok(()) => out.generation = Some(request.run.to_owned()),
                Err(e) => out.broke = Some(Broke::Failed(e.to_string())),
            }
        }
        save_index(&p.pair, &p.index);
        return out;
    };
    calm::forget(request.policy, &p.pair);
    if let (Some(writer), None) = (writer, &pause) {
        match pause::ask(&p.pair, writer, request.run, request.command) {
            Ok(asked) => *pause = Some(asked),
            Err(e) => {
                commit::discard(&p.pair, request.run);
                out.broke = Some(Broke::Failed(format!(
                    "the writers could not be asked to hold still: {e}"
                )));
                return out;
            }
        }
    }
    let mut is_still = false;
    if let Some(pause) = pause {
        let silent = pause.silent.join(" and ");
        let still = silent.is_empty();
        is_still = still;
        let said = format!("did not hold still on {silent}");
        if !still && !pause.proceeds() {
            out.skipped = Some(format!("the writer {said}"));
            commit::discard(&p.pair, request.run);
            return out;
        }
        out.writer = Some(if still { "held still".into() } else { said });
    }
    calm::forget(request.policy, &p.pair);
    request
        .progress
        .phase("carrying it out", Some(plan.changes.len() as u64));
    content::sweep_up(&p.pair.local, &p.local.tree.litter);
    content::sweep_up(&p.pair.peer, &p.peer.tree.litter);
    // Both at once: a plan that was laid down and then proves to be overtaken goes with the folder of the run.
    let mut first = work.asks.scope.part(0).to_vec();
    // What comes in bulk is looked at behind the stream, but writers who hold still are asked for what they wrote before.
    if is_still {
        first.extend(bulk::items(&work.bulk));
    }
    let writer = out.writer.as_deref();
    let (still, armed) = std::thread::scope(|s| {
        let armed = s.spawn(|| arm(p, request, plan, &work, writer));
        let still = unmoved(p, &first, request.policy.writer.as_ref(), is_still);
        (still, joined(armed))
    });
    let broke = match (still, armed) {
        (Ok(()), Ok(armed)) => Ok(armed),
        (Err(why), _) => Err(Broke::Moved(why)),
        (Ok(()), Err(e)) => Err(Broke::Failed(e.to_string())),
    };
    let armed = match broke {
        Ok(armed) => armed,
        Err(broke) => {
            commit::discard(&p.pair, request.run);
            out.broke = Some(broke);
            return out;
        }
    };
    let said = proceed(p, &mut work, request, plan, &mut out, &armed);
    put_back(&p.pair, &work, &plan.changes, &mut out.notes);
    request.progress.phase("verifying both sides", None);
    let mut notes = Vec::new();
    let (verified, kept) = {
        let (pair, index) = (&p.pair, &mut p.index);
        let (work, changes, notes) = (&work, &plan.changes, &mut notes);
        std::thread::scope(|s| {
            let kept = s.spawn(|| kept(pair, work, changes, notes));
            let verified = verify::verify(pair, &p.judge, changes, &said, index);
            (verified, joined(kept))
        })
    };
    out.kept = kept;
    out.notes.append(&mut notes);
    match verified {
        Ok(results) => out.results = results,
        Err(e) => {
            out.broke = Some(Broke::Lost(e.to_string()));
            return out;
        }
    }
    let with_archives = out.broke.is_none() && work.asks.remembers;
    let agreed = std::mem::take(&mut p.agreed);
    let advanced = std::thread::scope(|s| {
        s.spawn(|| save_index(&p.pair, &p.index));
        advance(p, agreed, request, plan, &out.results, with_archives, keep)
    });
    match advanced {
        Ok(()) => out.generation = Some(request.run.to_owned()),
        Err(e) => out.broke = Some(Broke::Lost(e.to_string())),
    }
    for (c, v) in plan.changes.iter().zip(&out.results) {
        if let Some(note) = &v.note {
            out.notes.push((c.path.clone(), note.clone()));
        }
    }
    request.progress.done();
    out
}

/// What goes in bulk, then the engine that waits at its question, then further ones: for the parts of a large plan, and for what
/// did not go in bulk.
fn proceed(
    p: &mut Proposal,
    work: &mut Work,
    request: &Request,
    plan: &TruthPlan,
    out: &mut Applied,
    _armed: &Armed,
) -> HashMap<Vec<u8>, String> {
    let biggest = plan.changes.iter().map(Change::bytes).max().unwrap_or(0);
    // Ten minutes, and for a huge file the time it takes at 100 kB/s: one file shows no progress of its own.
    let patience = Duration::from_secs(600 + biggest / 100_000);
    let left = bulk::carry(p, &work.bulk, request);
    let mut said = HashMap::new();
    let mut number = begin::LAST_NUMBER;
    let mut start = match work.engine.take() {
        Some(engine) => {
            if !attend(p, engine, patience, request, out, &mut said) {
                return said;
            }
            work.asks.scope.part(0).len()
        }
        None => 0,
    };
    let mut rest = (!left.is_empty()).then(|| {
        let rest = plan.only(|c| left.contains(&c.path));
        scope(&rest, &p.local, &p.peer)
    });
    loop {
        if start >= work.asks.scope.items.len() {
            let Some(rest) = rest.take() else { return said };
            (work.asks.scope, start) = (rest, 0);
        }
        number += 1;
        let engine = match work.ask(&p.pair.ends(), number, start, request.progress) {
            Ok(engine) => engine,
            Err(e) => {
                out.broke = Some(broke(e));
                return said;
            }
        };
        let part = work.asks.scope.part(start);
        if let Err(why) = unmoved(p, part, request.policy.writer.as_ref(), false) {
            out.broke = Some(Broke::Failed(format!(
                "{why}; the rest is left to the next run"
            )));
            return said;
        }
        start += part.len();
        if !attend(p, engine, patience, request, out, &mut said) {
            return said;
        }
    }
}

/// Lets an engine go on to its end; whether it came there.
fn attend(
    p: &mut Proposal,
    mut engine: Engine,
    patience: Duration,
    request: &Request,
    out: &mut Applied,
    said: &mut HashMap<Vec<u8>, String>,
) -> bool {
    let locks = (&mut p.pair.local.agent, &mut p.pair.peer.agent);
    let mut still_locked = || locks.0.is_open() && locks.1.is_open();
    let ended = engine.proceed(patience, request.progress, &mut still_locked);
    let lines = engine.said();
    let lines = lines.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    out.engine_said
        .extend(lines.map(crate::model::text::neutral_bytes));
    match ended {
        Ok(ended) => said.extend(ended.failures),
        Err(e) => out.broke = Some(broke(e)),
    }
    out.broke.is_none()
}

fn broke(e: EngineError) -> Broke {
    match e {
        EngineError::Stopped => Broke::Stopped,
        EngineError::Lost(s) => Broke::Lost(s),
        e => Broke::Failed(e.to_string()),
    }
}

/// What went with a whole directory although it was not in the plan (state born there after the last look) comes back.
fn put_back(pair: &Pair, work: &Work, changes: &[Change], notes: &mut Vec<(RelPath, String)>) {
    let planned: HashSet<&RelPath> = changes.iter().map(|c| &c.path).collect();
    for (side, host, rundir) in [
        (Side::Local, &pair.local, &work.rundir.display().to_string()),
        (Side::Peer, &pair.peer, &work.peer_rundir),
    ] {
        let taken = |c: &&Change| c.to == side && c.target.as_ref().is_some_and(Entry::is_dir);
        let dirs: Vec<RelPath> = changes
            .iter()
            .filter(taken)
            .map(|c| c.path.clone())
            .collect();
        let backup = format!("{rundir}/backup");
        let style = &host.said.style;
        let found = content::look(&host.link, &backup, style, true, &dirs).unwrap_or_default();
        let lost: Vec<RelPath> = found
            .into_iter()
            .filter(|(path, stat)| stat.what != What::Dir && !planned.contains(path))
            .map(|(path, _)| path)
            .collect();
        if lost.is_empty() {
            continue;
        }
        let said = host.link.call(
            remote::PUT_BACK,
            &[&host.root_given, &backup],
            &content::listed(&lost),
        );
        let back = said.is_ok_and(|body| !body.starts_with(b"left"));
        for path in lost {
            let what = if back {
                format!(
                    "born on {} in a directory that was being deleted; it was put back",
                    host.name
                )
            } else {
                format!(
                    "born on {} in a directory that was being deleted; it lies in {backup}",
                    host.name
                )
            };
            notes.push((path, what));
        }
    }
}

/// Where the versions lie that were replaced or deleted. One that is missing is said, loudly.
fn kept(
    pair: &Pair,
    work: &Work,
    changes: &[Change],
    notes: &mut Vec<(RelPath, String)>,
) -> Vec<KeptDoc> {
    let mut out = Vec::new();
    let local = work.rundir.display().to_string();
    for (side, host, rundir) in [
        (Side::Local, &pair.local, local.as_str()),
        (Side::Peer, &pair.peer, work.peer_rundir.as_str()),
    ] {
        let folder = format!("{rundir}/backup");
        let wanted = verify::replaced(side, changes);
        // Where they are told to lie, somebody will look for them; of what is told nowhere, nobody would know.
        let found = verify::kept(host, &folder, &wanted).unwrap_or_else(|e| {
            let why = format!(
                "the kept versions on {} could not be listed, they should lie in {folder}: {e}",
                host.name
            );
            notes.push((RelPath::root(), why));
            wanted
        });
        out.extend(found.iter().map(|path| KeptDoc::of(path, side, &folder)));
    }
    out
}

/// The base after this run: what both sides agree on now becomes current on both hosts.
fn advance(
    p: &Proposal,
    agreed: Vec<(RelPath, Option<Entry>)>,
    request: &Request,
    plan: &TruthPlan,
    results: &[Verified],
    with_archives: bool,
    keep: &Snapshots,
) -> Result<(), LinkError> {
    let mut next = p.base.manifest.clone();
    for (path, entry) in agreed {
        match entry {
            Some(e) => next.entries.insert(path, e),
            None => next.entries.remove(&path),
        }
    }
    for (c, v) in plan.changes.iter().zip(results) {
        if v.result == ResultWord::Done {
            match &v.now {
                Some(e) => next.entries.insert(c.path.clone(), e.clone()),
                None => next.entries.remove(&c.path),
            }
        }
    }
    facts::set(&mut next, &p.pair.ends(), request.policy);
    let generation = Generation {
        run: request.run,
        from: p.base.generation.as_deref(),
        serial: p.base.serial + 1,
        old: &p.base.manifest,
        new: &next,
        with_run_archives: with_archives,
        whole: p.base.worn,
    };
    commit::commit(&p.pair, &generation, keep)
}
