//! The two-way lane with one peer, from the proposal to its document: show it, refuse it, or carry it out.
//!
//! Invariant: whatever happens, the lane's document says it, with the next command to type.

use std::time::{Duration, Instant};

use crate::audit::store::{OpenRun, Store};
use crate::host::{clock, signals};
use crate::lanes::flow::{Ended, Run};
use crate::lanes::lock::{locked, no_lock};
use crate::lanes::overtaken;
use crate::lanes::peers::Carry;
use crate::lanes::truth::apply::{self, Applied, Broke};
use crate::lanes::truth::commit;
use crate::lanes::truth::engine::EngineError;
use crate::lanes::truth::hosts::{Holder, OpenError, Pair};
use crate::lanes::truth::pause::Paused;
use crate::lanes::truth::propose::{self, Proposal, ProposeError, Request, Verdicts, save_index};
use crate::lanes::truth::room;
use crate::model::finding::{Finding, Severity};
use crate::model::guards::GuardedPlan;
use crate::model::plan::{Note, TruthPlan};
use crate::model::policy::Peer;
use crate::model::record::{ChangeDoc, Lane, LeftDoc, Outcome, ResultWord, TruthLane};

/// How often a plan that was overtaken by a change is made anew.
const AGAIN: usize = 3;

fn ended(lane: TruthLane, findings: Vec<Finding>) -> Ended {
    Ended {
        lanes: vec![Lane::Truth(lane)],
        findings,
        ..Ended::default()
    }
}

/// How long a run stands by a tie: the other one has to reach this host before it sees that it lost, and a busy host is slow.
const TIE: Duration = Duration::from_secs(10);

/// Both hosts began at the same moment, and each has its own lock and wants the other's. One of them has to stay: the one whose
/// name comes first. A run of the peer that has both locks is met at our own, and no tie.
fn is_tie(request: &Request, holder: &Holder) -> bool {
    let (site, peer) = (&request.policy.site.name, &request.peer.name);
    site < peer && holder.on == *peer && holder.words.contains(&format!(" on {peer}, "))
}

/// Runs the lane with one peer; waits until `until` for a lock that another run holds.
pub fn run(request: &Request, carry: &Carry, run: &Run, until: Instant) -> Ended {
    let mut tries = 0;
    // Writers hold still through all of them: they would overtake every plan.
    let mut pause = None;
    let tie = clock::monotonic() + TIE;
    loop {
        // What an overtaken plan was told is told again of the new one, or does not hold any more.
        let mut findings = Vec::new();
        let proposal = match propose::propose(request) {
            Ok(p) => p,
            Err(ProposeError::Open(OpenError::Locked(holder)))
                if signals::stop_wish().is_none()
                    && (clock::monotonic() < until
                        || (clock::monotonic() < tie && is_tie(request, &holder))) =>
            {
                clock::sleep(Duration::from_millis(200));
                continue;
            }
            Err(e) => {
                let lane = failed(request.peer, &e, &mut findings);
                return ended(lane, findings);
            }
        };
        tries += 1;
        let may_again = tries < AGAIN;
        let said = &mut findings;
        let (lane, again) = carry_or_show(
            request, carry, proposal, run.open, said, &mut pause, may_again,
        );
        if !(again && may_again) {
            return ended(lane, findings);
        }
    }
}

/// The lane of a peer that could not be reached at all.
pub fn not_begun(peer: &Peer, why: &ProposeError) -> Ended {
    let mut findings = Vec::new();
    let lane = failed(peer, why, &mut findings);
    ended(lane, findings)
}

/// The stages after the plan. The flag asks for another round: the plan was overtaken by a change.
fn carry_or_show<'w>(
    request: &Request<'w>,
    carry: &Carry,
    mut proposal: Proposal,
    open: Option<&OpenRun>,
    said: &mut Vec<Finding>,
    pause: &mut Option<Paused<'w>>,
    may_again: bool,
) -> (TruthLane, bool) {
    let mut lane = TruthLane::new(&request.peer.name);
    lane.limited = !request.paths.is_empty();
    describe(&mut lane, &proposal, said);
    let verdicts = std::mem::replace(
        &mut proposal.verdicts,
        Verdicts::Refused(TruthPlan::default(), Vec::new()),
    );
    let guarded = match verdicts {
        Verdicts::Refused(plan, findings) => {
            said.extend(findings);
            show(&mut lane, &plan);
            lane.outcome = Outcome::Refused;
            // While the connection is there.
            pause.take();
            put_away(&proposal, request.run);
            return (lane, false);
        }
        Verdicts::Passed(guarded) => guarded,
    };
    let plan = guarded.plan().clone();
    said.extend(guards_said(&guarded, &proposal.pair));
    show(&mut lane, &plan);
    let (Carry::Apply { plan: wanted }, Some(open)) = (carry, open) else {
        lane.outcome = settled(&plan);
        put_away(&proposal, request.run);
        return (lane, false);
    };
    if let Some(id) = wanted
        && *id != plan.id()
    {
        let store = Store::open(&request.policy.audit.dir).ok();
        let finding = overtaken::refuse(store.as_ref(), request.command, id, &mut lane);
        said.push(finding);
        lane.outcome = Outcome::Refused;
        put_away(&proposal, request.run);
        return (lane, false);
    }
    let id_given = wanted.is_some();
    let may_again = may_again && !id_given;
    let applied = apply::apply(proposal, guarded, request, open, pause, may_again);
    lane.writer.clone_from(&applied.writer);
    if let Some(why) = &applied.skipped {
        lane.outcome = Outcome::Skipped;
        lane.message = Some(format!("{why}; nothing was touched"));
        return (lane, false);
    }
    let moved = matches!(applied.broke, Some(Broke::Moved(_)));
    tell(&mut lane, &plan, applied);
    (lane, moved && may_again)
}

fn guards_said(guarded: &GuardedPlan, pair: &Pair) -> Vec<Finding> {
    let mut all = guarded.findings().to_vec();
    for f in &mut all {
        f.peer.get_or_insert_with(|| pair.peer.name.clone());
    }
    all
}

/// A run that stops before its effects leaves nothing but what it learnt about content.
fn put_away(proposal: &Proposal, run: &str) {
    save_index(&proposal.pair, &proposal.index);
    if proposal.work.is_some() {
        commit::discard(&proposal.pair, run);
    }
}

fn describe(lane: &mut TruthLane, p: &Proposal, said: &mut Vec<Finding>) {
    lane.versions = vec![
        format!("{}: {}", p.pair.local.name, p.pair.local.said.unison),
        format!("{}: {}", p.pair.peer.name, p.pair.peer.said.unison),
    ];
    lane.skew_ms = Some(p.skew_ms);
    if let Some(engine) = p.work.as_ref().and_then(|w| w.engine.as_ref()) {
        lane.engine_argv.clone_from(&engine.argv);
    }
    let mut note = |guard: &str, message: String| {
        said.push(Finding {
            guard: guard.into(),
            severity: Severity::Note,
            peer: Some(lane.peer.clone()),
            message,
            hint: String::new(),
        });
    };
    for (run, n) in &p.recovered {
        note(
            "recovery",
            format!("run {run} had died; the {n} changes it had delivered were recorded as done"),
        );
    }
    for host in [&p.pair.local, &p.pair.peer] {
        if let Some(run) = &host.said.cleared {
            note(
                "recovery",
                format!(
                    "the lock of run {run}, which died, was taken over on {}",
                    host.name
                ),
            );
        }
    }
}

fn show(lane: &mut TruthLane, plan: &TruthPlan) {
    lane.plan = Some(plan.id());
    lane.changes = plan
        .changes
        .iter()
        .map(|c| ChangeDoc::of(c, ResultWord::Planned))
        .collect();
    lane.left = plan.left.iter().map(LeftDoc::of).collect();
    lane.notes = plan.notes.iter().map(LeftDoc::note).collect();
}

fn settled(plan: &TruthPlan) -> Outcome {
    match (plan.changes.is_empty(), plan.left.is_empty()) {
        (_, false) => Outcome::Partial,
        (true, true) => Outcome::InSync,
        (false, true) => Outcome::Pending,
    }
}

/// What the apply did, in the lane's document.
fn tell(lane: &mut TruthLane, plan: &TruthPlan, applied: Applied) {
    let planned = plan.changes.iter().zip(&applied.results);
    for (doc, (change, result)) in lane.changes.iter_mut().zip(planned) {
        if let (Some(expected), Some(now)) = (&change.source, &result.now)
            && !expected.same_content(now)
        {
            // It was edited under the run: what arrived is what the record holds, and what a rollback looks for.
            let mut carried = change.clone();
            carried.source = Some(now.clone());
            *doc = ChangeDoc::of(&carried, result.result);
        }
        doc.result = result.result;
        doc.error.clone_from(&result.error);
    }
    let nothing_done = applied.results.is_empty();
    lane.kept = applied.kept;
    lane.generation = applied.generation;
    lane.engine_output = applied.engine_said;
    lane.notes.extend(applied.notes.iter().map(|(p, t)| {
        LeftDoc::note(&Note {
            path: p.clone(),
            text: t.clone(),
        })
    }));
    let failed = applied
        .results
        .iter()
        .filter(|r| r.result == ResultWord::Failed)
        .count();
    lane.outcome = match (&applied.broke, failed) {
        (Some(Broke::Stopped), _) => Outcome::Interrupted,
        (Some(_), _) | (None, 1..) => Outcome::Failed,
        (None, 0) if !plan.left.is_empty() => Outcome::Partial,
        (None, 0) if plan.changes.is_empty() => Outcome::InSync,
        (None, 0) => Outcome::Applied,
    };
    for (doc, change) in lane.changes.iter_mut().zip(&plan.changes) {
        // What the engine said of it came from the disk.
        if let Some(short) = applied.short.iter().find(|s| s.side == change.to)
            && doc.result == ResultWord::Failed
        {
            doc.error = Some(format!("no room for it: {}", short.words));
        }
    }
    lane.transient =
        matches!(applied.broke, Some(Broke::Lost(_) | Broke::Moved(_))) && applied.short.is_empty();
    let again = format!("ubos-sync truth {} --apply", lane.peer);
    let (message, hint) = match applied.broke {
        Some(Broke::Stopped) => (
            "stopped on request; every file is whole, what was delivered is recorded".into(),
            again,
        ),
        Some(Broke::Lost(why)) => (
            format!(
                "the run broke off: {why}; every file is whole (old or new), and the next run picks up from here"
            ),
            again,
        ),
        Some(Broke::Failed(why)) => (format!("{why}; every file is whole (old or new)"), again),
        Some(Broke::Moved(why)) => (format!("{why}; nothing was touched"), again),
        None if failed > 0 => (
            format!(
                "{} could not be carried out; see each for its reason",
                crate::model::text::count(failed, "change")
            ),
            again,
        ),
        None => return,
    };
    if nothing_done && lane.outcome != Outcome::Interrupted {
        lane.outcome = Outcome::Failed;
    }
    lane.message = Some(room::said(&applied.short, &message));
    lane.hint = Some(hint);
}

fn failed(peer: &Peer, e: &ProposeError, said: &mut Vec<Finding>) -> TruthLane {
    let mut lane = TruthLane::new(&peer.name);
    let (outcome, hint) = match e {
        ProposeError::Open(OpenError::Offline { hint, .. }) => (Outcome::Offline, hint.clone()),
        ProposeError::Open(OpenError::Failed { hint, .. } | OpenError::Lost { hint, .. })
        | ProposeError::Failed { hint, .. } => (Outcome::Failed, hint.clone()),
        ProposeError::Open(OpenError::Locked(holder)) => {
            said.push(locked(&holder.on, &holder.words));
            (Outcome::Locked, String::new())
        }
        ProposeError::Open(OpenError::NoLock { message, hint }) => {
            let peer = Some(peer.name.clone());
            said.push(no_lock(peer, message.clone(), hint.clone()));
            (Outcome::Refused, String::new())
        }
        ProposeError::Open(OpenError::Stopped) | ProposeError::Engine(EngineError::Stopped) => {
            (Outcome::Interrupted, String::new())
        }
        ProposeError::Engine(_) => (Outcome::Failed, format!("ubos-sync truth {}", peer.name)),
    };
    lane.outcome = outcome;
    lane.transient = matches!(
        e,
        ProposeError::Open(OpenError::Lost { .. }) | ProposeError::Engine(EngineError::Lost(_))
    );
    lane.message = Some(format!("{e}; nothing was touched"));
    lane.hint = Some(hint).filter(|h| !h.is_empty());
    lane
}
