//! Taking runs of the two-way lane back: both replicas, and what the pair remembers of each other.
//!
//! Invariants: a path that was edited since the run is never overwritten (with `force` the edit moves aside under a name of its
//! own); before the first effect both hosts hold the pair and know what is being taken back, so that no other run takes a
//! half-restored tree for anybody's wish; what the rollback itself replaces is kept in its own run folder, so that it can be
//! rolled back too; an interrupted rollback is simply run again.

pub mod history;
mod report;
mod restore;
mod survey;

use crate::host::link::LinkError;
use crate::host::{clock, process};
use crate::lanes::flow::{Ended, Run};
use crate::lanes::reach::Reach;
use crate::lanes::truth::base::Base;
use crate::lanes::truth::hosts::{self, Need, OpenError, Pair};
use crate::lanes::truth::{calm, content, facts, pause, room};
use crate::model::finding::{Finding, Severity};
use crate::model::guards;
use crate::model::policy::{Peer, Policy};
use crate::model::progress::Progress;
use crate::model::record::{Lane, Outcome, TruthLane};
use crate::model::text::neutral;
use crate::model::time;
use report::{describe, tell};
use restore::{Mark, forget, mark, restore};
use survey::{Known, Step, subject, survey};

/// A run that is taken back, and what it did with the peer.
#[derive(Debug, Clone, Copy)]
pub struct Undone<'a> {
    pub run: &'a str,
    pub lane: &'a TruthLane,
    /// It broke off, so nobody knows which of its changes were made.
    pub died: bool,
}

/// What is asked for.
pub struct Request<'a> {
    pub policy: &'a Policy,
    pub peer: &'a Peer,
    pub reach: &'a Reach,
    /// Newest first.
    pub runs: Vec<Undone<'a>>,
    pub allow: &'a [String],
    pub apply: bool,
    /// Edits since the run move aside instead of being left.
    pub force: bool,
    pub progress: &'a dyn Progress,
}

impl Request<'_> {
    /// The run that names the rollback: before it is where things go back to.
    fn oldest(&self) -> &str {
        self.runs.last().map_or("", |r| r.run)
    }

    fn again(&self) -> String {
        let to = if self.runs.len() > 1 { "--to " } else { "" };
        format!("ubos-sync rollback {to}{} --apply", self.oldest())
    }
}

/// Why there is nothing to show.
enum Stop {
    Refused(Vec<Finding>),
    Link(LinkError),
    Locked(String, String),
}

impl From<LinkError> for Stop {
    fn from(e: LinkError) -> Self {
        Stop::Link(e)
    }
}

impl From<OpenError> for Stop {
    fn from(e: OpenError) -> Self {
        match e {
            OpenError::Locked(holder) => Stop::Locked(holder.on, holder.words),
            OpenError::Offline { message, hint } => {
                Stop::Link(LinkError::Offline { message, hint })
            }
            OpenError::Failed { message, hint } | OpenError::NoLock { message, hint } => {
                Stop::Link(LinkError::Failed { message, hint })
            }
            OpenError::Lost { message, hint } => Stop::Link(LinkError::Lost { message, hint }),
            OpenError::Stopped => Stop::Link(LinkError::Stopped),
        }
    }
}

pub fn run(request: &Request, run: &Run) -> Ended {
    let mut lane = TruthLane::new(&request.peer.name);
    lane.undoes = request.runs.iter().map(|r| r.run.to_owned()).collect();
    let mut findings = Vec::new();
    match roll(request, run, &mut lane) {
        Ok(warned) => findings = warned,
        Err(Stop::Refused(why)) => {
            lane.outcome = Outcome::Refused;
            findings = why;
        }
        Err(Stop::Locked(on, words)) => {
            lane.outcome = Outcome::Locked;
            findings.push(crate::lanes::lock::locked(&on, &words));
        }
        Err(Stop::Link(e)) => {
            let (outcome, hint) = match &e {
                LinkError::Offline { hint, .. } => (Outcome::Offline, hint.clone()),
                LinkError::Failed { .. } | LinkError::Lost { .. } => {
                    (Outcome::Failed, request.again())
                }
                LinkError::Stopped => (Outcome::Interrupted, request.again()),
            };
            lane.outcome = outcome;
            lane.message = Some(format!(
                "{e}; every file is whole, and the same command goes on from here"
            ));
            lane.hint = Some(hint);
        }
    }
    Ended {
        lanes: vec![Lane::Truth(lane)],
        findings,
        ..Ended::default()
    }
}

fn refuse(peer: &str, guard: &str, message: String, hint: String) -> Stop {
    Stop::Refused(vec![Finding {
        guard: guard.into(),
        severity: Severity::Refuse,
        peer: Some(peer.to_owned()),
        message,
        hint,
    }])
}

fn roll(request: &Request, run: &Run, lane: &mut TruthLane) -> Result<Vec<Finding>, Stop> {
    let (policy, peer) = (request.policy, request.peer);
    request.progress.phase(
        &format!("looking at {} and {}", policy.site.name, peer.name),
        None,
    );
    let mut pair = hosts::open(
        policy,
        peer,
        request.reach,
        run.id,
        "rollback",
        &Need::default(),
    )?;
    let warned = guard(request, &mut pair)?;
    let subject = subject(request, &pair)?;
    let shown = survey(request, &pair, &subject.backs, &Known::default())?;
    describe(lane, &shown, &pair);
    restore::room(request, &pair, &shown)?;
    if run.open.is_none() || !request.apply {
        lane.outcome = match (shown.iter().any(Step::is_open), lane.left.is_empty()) {
            (true, true) => Outcome::Pending,
            (_, false) => Outcome::Partial,
            (false, true) => Outcome::InSync,
        };
        return Ok(warned);
    }
    let writer = policy.writer.as_ref();
    let asked = writer.map(|w| pause::ask(&pair, w, run.id, "rollback"));
    // Held until both sides are back.
    let pause = asked.transpose()?;
    if let Some(pause) = &pause
        && !pause.silent.is_empty()
        && !pause.proceeds()
    {
        return Err(refuse(
            &peer.name,
            "writer",
            format!(
                "the writer did not hold still on {}",
                pause.silent.join(" and ")
            ),
            "let it end, or try again".into(),
        ));
    }
    request.progress.phase("putting both sides back", None);
    let under_way = format!(
        "the rollback of {} is under way, or broke off: {}",
        request.oldest(),
        request.again()
    );
    mark(&pair, Mark::Begin, &under_way, request.oldest())?;
    calm::forget(policy, &pair);
    hosts::sort_trees(&mut pair, policy)?;
    for host in [&pair.local, &pair.peer] {
        content::sweep_up(host, &host.tree.litter);
    }
    // Looked at again, now that whatever changes from here on is younger than the mark.
    let steps = survey(request, &pair, &subject.backs, &Known::of(&shown))?;
    let bad = restore(request, &pair, run.id, &steps)?;
    let after = survey(request, &pair, &subject.backs, &Known::of(&steps))?;
    tell(lane, &steps, &after, &bad);
    if lane.outcome == Outcome::Failed {
        let short = room::short(&pair, restore::needs(&after));
        lane.message = Some(room::said(
            &short,
            "not everything could be put back; every file is whole, and the pair stays held until the rollback is done",
        ));
        lane.hint = Some(request.again());
        return Ok(warned);
    }
    forget(request, &pair, run.id, &subject, &after)?;
    lane.generation = Some(run.id.to_owned());
    let done = format!(
        "{} rolled {} back at {}; released, the next run would do it again",
        neutral(&process::user()),
        request.oldest(),
        time::rfc3339(clock::now())
    );
    mark(&pair, Mark::End, &done, "")?;
    request.progress.done();
    lane.hint = Some(format!("ubos-sync release {}", peer.name));
    Ok(warned)
}

/// The guards that need no plan. A held pair may be rolled back, and rules do not matter for what is put back by name.
fn guard(request: &Request, pair: &mut Pair) -> Result<Vec<Finding>, Stop> {
    let waived = request.allow.iter().any(|a| a == "clock_skew");
    let (clocks, _) = facts::clocks(request.policy, pair, waived);
    let base = Base {
        generation: Some(String::new()),
        ..Base::default()
    };
    let known = facts::before(request.policy, pair, &base, &clocks);
    let mut found = guards::before_plan(&known);
    found.retain(|f| ["marker", "roots", "root_mode"].contains(&f.guard.as_str()));
    let mut found = guards::waive(found, request.allow, &known);
    for host in [&pair.local, &pair.peer] {
        if let Some(other) = host
            .said
            .undoing
            .as_ref()
            .filter(|u| *u != request.oldest())
        {
            return Err(refuse(
                &request.peer.name,
                "rollback",
                format!("a rollback of {other} broke off half-way on {}", host.name),
                format!("ubos-sync rollback {other} --apply"),
            ));
        }
    }
    for f in &mut found {
        f.peer = Some(request.peer.name.clone());
    }
    match found.iter().any(|f| f.severity == Severity::Refuse) {
        true => Err(Stop::Refused(found)),
        false => Ok(found),
    }
}
