//! One run from beginning to end: lock, open the record, each peer through its lane, close the record.
//!
//! Invariants: a dry run is the same run stopped after the guards; there is no effect without an open record; the record is
//! closed on every way out.

use std::time::Duration;

use crate::audit::store::{self, OpenRun, Store};
use crate::host::link::Link;
use crate::host::{clock, process, signals};
use crate::lanes::lock::{NoLock, locked, no_lock, site_lock};
use crate::lanes::overtaken;
use crate::lanes::truth::apply::{self, Applied, Broke};
use crate::lanes::truth::commit;
use crate::lanes::truth::hosts::{CONNECT_TIMEOUT, OpenError, Pair};
use crate::lanes::truth::propose::{self, Proposal, ProposeError, Request, Verdicts, save_index};
use crate::model::exit;
use crate::model::finding::{Finding, Severity};
use crate::model::path::RelPath;
use crate::model::plan::TruthPlan;
use crate::model::policy::{Peer, Policy};
use crate::model::progress::Progress;
use crate::model::record::{
    ChangeDoc, Lane, LeftDoc, Mode, Outcome, PolicyRef, Record, ResultWord, SCHEMA, TruthLane, Who,
};
use crate::model::time;

/// What the command line asks for.
pub struct Order<'a> {
    pub policy: &'a Policy,
    pub peers: Vec<&'a Peer>,
    pub command: &'a str,
    pub reason: &'a str,
    /// `None`: stop after the guards. `Some`: carry it out; with an id, only that very plan.
    pub carry: Option<Carry>,
    pub paths: Vec<RelPath>,
    pub allow: Vec<String>,
    pub wait: Duration,
    pub full: bool,
    /// Words of the command line that the next command must repeat.
    pub repeat: Vec<String>,
    pub progress: &'a dyn Progress,
}

/// The wish to carry a plan out.
pub struct Carry {
    pub plan: Option<String>,
}

/// How often a plan that was overtaken by a change is made anew.
const AGAIN: usize = 3;

/// Runs the two-way lane with each peer and records it.
pub fn truth(order: &Order) -> anyhow::Result<Record> {
    let store = Store::open(&order.policy.audit.dir)?;
    let started = clock::monotonic();
    let at = clock::now();
    let run = store::new_run_id(at, order.command)?;
    let mut record = blank(order, &run, at);
    match site_lock(&order.policy.site, order.command, order.wait) {
        Ok(lock) => {
            store.mark_dead(&is_alive)?;
            let open = store.begin(record.clone())?;
            let away = unreachable(order);
            for peer in &order.peers {
                let lane = match away.iter().find(|(name, _, _)| *name == peer.name) {
                    Some((_, message, hint)) => offline(&peer.name, message, hint),
                    None => one_peer(order, peer, &run, &open, &mut record),
                };
                record.lanes.push(Lane::Truth(lane));
            }
            finish(&mut record, started.elapsed());
            drop(lock);
            open.close(record.clone())?;
            let _ = store.prune(order.policy.audit.keep, clock::now(), &[]);
        }
        Err(why) => {
            let open = store.begin(record.clone())?;
            let site = &order.policy.site.name;
            let (outcome, finding) = match why {
                NoLock::Held(words) => (Outcome::Locked, locked(site, &words)),
                NoLock::Unusable(e) => (
                    Outcome::Refused,
                    no_lock(
                        None,
                        format!("the lock on {site} cannot be taken: {e}"),
                        format!("ls -la {}", order.policy.site.state_dir.display()),
                    ),
                ),
            };
            record.outcome = outcome;
            record.exit_code = exit::code_of(outcome, false);
            record.seconds = started.elapsed().as_secs_f64();
            record.findings.push(finding);
            open.close(record.clone())?;
        }
    }
    record.complete = true;
    Ok(record)
}

fn blank(order: &Order, run: &str, at: chrono::DateTime<chrono::Utc>) -> Record {
    Record {
        schema: SCHEMA,
        run: run.to_owned(),
        command: order.command.to_owned(),
        mode: if order.carry.is_some() {
            Mode::Apply
        } else {
            Mode::DryRun
        },
        outcome: Outcome::Interrupted,
        exit_code: exit::INTERRUPTED,
        started: time::rfc3339(at),
        seconds: 0.0,
        plan: None,
        lanes: Vec::new(),
        findings: Vec::new(),
        complete: false,
        who: Who {
            user: process::user(),
            host: process::host_name(),
            site: order.policy.site.name.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            reason: order.reason.to_owned(),
        },
        policy: PolicyRef {
            file: order.policy.file.display().to_string(),
            digest: order.policy.digest.clone(),
        },
        sequence: 0,
        repeat: order.repeat.clone(),
        previous: String::new(),
    }
}

fn is_alive(who: &Who) -> bool {
    who.host == process::host_name() && process::is_running(who.pid)
}

/// With several peers, those that are away are found at the same time instead of one after the other.
fn unreachable(order: &Order) -> Vec<(String, String, String)> {
    let remote: Vec<_> = order
        .peers
        .iter()
        .filter_map(|p| Some((p, p.remote.as_ref()?)))
        .collect();
    if remote.len() < 2 {
        return Vec::new();
    }
    std::thread::scope(|s| {
        let asked: Vec<_> = remote
            .iter()
            .map(|(peer, r)| {
                s.spawn(|| {
                    let link = Link::ssh(
                        &peer.name,
                        r,
                        std::path::PathBuf::from("none"),
                        0,
                        CONNECT_TIMEOUT,
                    );
                    match link.probe() {
                        Err(crate::host::link::LinkError::Offline { message, hint }) => {
                            Some((peer.name.clone(), message, hint))
                        }
                        _ => None,
                    }
                })
            })
            .collect();
        asked
            .into_iter()
            .filter_map(|t| t.join().ok().flatten())
            .collect()
    })
}

fn offline(peer: &str, message: &str, hint: &str) -> TruthLane {
    TruthLane {
        outcome: Outcome::Offline,
        message: Some(format!("{message}; nothing was touched")),
        hint: Some(hint.to_owned()),
        ..TruthLane::new(peer)
    }
}

fn one_peer(
    order: &Order,
    peer: &Peer,
    run: &str,
    open: &OpenRun,
    record: &mut Record,
) -> TruthLane {
    let request = Request {
        policy: order.policy,
        peer,
        run,
        command: order.command,
        allow: &order.allow,
        paths: &order.paths,
        progress: order.progress,
        full: order.full,
    };
    let until = clock::monotonic() + order.wait;
    let mut tries = 0;
    let said_before = record.findings.len();
    loop {
        // What an overtaken plan was told is told again of the new one, or does not hold any more.
        record.findings.truncate(said_before);
        let proposal = match propose::propose(&request) {
            Ok(p) => p,
            Err(ProposeError::Open(OpenError::Locked(_)))
                if clock::monotonic() < until && signals::stop_wish().is_none() =>
            {
                clock::sleep(Duration::from_millis(200));
                continue;
            }
            Err(e) => return failed(peer, &e, record),
        };
        tries += 1;
        let (lane, again) = carry_or_show(order, &request, proposal, open, record);
        if !again || tries >= AGAIN {
            return lane;
        }
    }
}

/// The stages after the plan. The flag asks for another round: the plan was overtaken by a change.
fn carry_or_show(
    order: &Order,
    request: &Request,
    mut proposal: Proposal,
    open: &OpenRun,
    record: &mut Record,
) -> (TruthLane, bool) {
    let mut lane = TruthLane::new(&request.peer.name);
    describe(&mut lane, &proposal, record);
    let verdicts = std::mem::replace(
        &mut proposal.verdicts,
        Verdicts::Refused(TruthPlan::default(), Vec::new()),
    );
    let guarded = match verdicts {
        Verdicts::Refused(plan, findings) => {
            record.findings.extend(findings);
            show(&mut lane, &plan);
            lane.outcome = Outcome::Refused;
            put_away(&proposal, request.run);
            return (lane, false);
        }
        Verdicts::Passed(guarded) => guarded,
    };
    let plan = guarded.plan().clone();
    record
        .findings
        .extend(guards_said(&guarded, &proposal.pair));
    show(&mut lane, &plan);
    let Some(carry) = &order.carry else {
        lane.outcome = settled(&plan);
        put_away(&proposal, request.run);
        return (lane, false);
    };
    if let Some(id) = &carry.plan
        && *id != plan.id()
    {
        let store = Store::open(&order.policy.audit.dir).ok();
        let finding = overtaken::refuse(store.as_ref(), order.command, id, &mut lane);
        record.findings.push(finding);
        lane.outcome = Outcome::Refused;
        put_away(&proposal, request.run);
        return (lane, false);
    }
    let id_given = carry.plan.is_some();
    let applied = apply::apply(proposal, guarded, request, open);
    let moved = matches!(applied.broke, Some(Broke::Moved(_)));
    tell(&mut lane, &plan, applied);
    (lane, moved && !id_given)
}

fn guards_said(guarded: &crate::model::guards::GuardedPlan, pair: &Pair) -> Vec<Finding> {
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

fn describe(lane: &mut TruthLane, p: &Proposal, record: &mut Record) {
    lane.versions = vec![
        format!("{}: {}", p.pair.local.name, p.pair.local.said.unison),
        format!("{}: {}", p.pair.peer.name, p.pair.peer.said.unison),
    ];
    lane.skew_ms = Some(p.skew_ms);
    if let Some(work) = &p.work {
        lane.engine_argv.clone_from(&work.engine.argv);
    }
    let mut note = |guard: &str, message: String| {
        record.findings.push(Finding {
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
    for (doc, result) in lane.changes.iter_mut().zip(&applied.results) {
        doc.result = result.result;
        doc.error.clone_from(&result.error);
    }
    let nothing_done = applied.results.is_empty();
    lane.kept = applied.kept;
    lane.generation = applied.generation;
    lane.engine_output = applied.engine_said;
    lane.notes.extend(applied.notes.iter().map(|(p, t)| {
        LeftDoc::note(&crate::model::plan::Note {
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
    lane.message = Some(message);
    lane.hint = Some(hint);
}

fn failed(peer: &Peer, e: &ProposeError, record: &mut Record) -> TruthLane {
    let mut lane = TruthLane::new(&peer.name);
    let (outcome, hint) = match e {
        ProposeError::Open(OpenError::Offline { hint, .. }) => (Outcome::Offline, hint.clone()),
        ProposeError::Open(OpenError::Failed { hint, .. }) | ProposeError::Failed { hint, .. } => {
            (Outcome::Failed, hint.clone())
        }
        ProposeError::Open(OpenError::Locked(holder)) => {
            record.findings.push(locked(&holder.on, &holder.words));
            (Outcome::Locked, String::new())
        }
        ProposeError::Open(OpenError::NoLock { message, hint }) => {
            let peer = Some(peer.name.clone());
            record
                .findings
                .push(no_lock(peer, message.clone(), hint.clone()));
            (Outcome::Refused, String::new())
        }
        ProposeError::Open(OpenError::Stopped)
        | ProposeError::Engine(crate::lanes::truth::engine::EngineError::Stopped) => {
            (Outcome::Interrupted, String::new())
        }
        ProposeError::Engine(_) => (Outcome::Failed, format!("ubos-sync truth {}", peer.name)),
    };
    lane.outcome = outcome;
    lane.message = Some(format!("{e}; nothing was touched"));
    lane.hint = Some(hint).filter(|h| !h.is_empty());
    lane
}

/// The run's outcome is its worst lane; peers that are away do not spoil the others.
fn finish(record: &mut Record, took: Duration) {
    let outcomes: Vec<Outcome> = record.lanes.iter().map(Lane::outcome).collect();
    let has = |o: Outcome| outcomes.contains(&o);
    let outcome = [
        Outcome::Interrupted,
        Outcome::Failed,
        Outcome::Refused,
        Outcome::Locked,
        Outcome::Partial,
        Outcome::Applied,
        Outcome::Pending,
        Outcome::InSync,
        Outcome::Offline,
    ]
    .into_iter()
    .find(|o| has(*o))
    .unwrap_or(Outcome::InSync);
    let left = record.lanes.iter().any(|l| match l {
        Lane::Truth(t) => !t.left.is_empty(),
    });
    record.outcome = outcome;
    record.exit_code = match (outcome, signals::stop_wish()) {
        (Outcome::Interrupted, Some(15 | 1)) => exit::TERMINATED,
        _ => exit::code_of(outcome, left),
    };
    record.plan = match record.lanes.as_slice() {
        [Lane::Truth(t)] => t.plan.clone(),
        _ => None,
    };
    record.seconds = took.as_secs_f64();
}
