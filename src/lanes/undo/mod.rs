//! Rolling one run of the two-way lane back: both replicas, and what the pair remembers of each other.
//!
//! Invariants: a path that was edited since the run is never overwritten (with `force` the edit moves aside under a name of its
//! own); the pair is held before the first effect, so that no other run takes a half-restored tree for anybody's wish; what the
//! rollback itself replaces is kept in its own run folder, so that it can be rolled back too; an interrupted rollback is simply
//! run again.

use crate::host::link::LinkError;
use crate::host::{clock, process};
use crate::lanes::flow::{Ended, Run};
use crate::lanes::peers::Reach;
use crate::lanes::truth::base::Base;
use crate::lanes::truth::hosts::{self, OpenError, Pair};
use crate::lanes::truth::{calm, facts};
use crate::model::finding::{Finding, Severity};
use crate::model::guards;
use crate::model::policy::{Peer, Policy};
use crate::model::progress::Progress;
use crate::model::record::{Lane, Outcome, TruthLane};
use crate::model::time;

/// What is asked for.
pub struct Request<'a> {
    pub policy: &'a Policy,
    pub peer: &'a Peer,
    pub reach: &'a Reach,
    /// The run that is taken back, and what it did with this peer.
    pub undone: &'a str,
    pub lane: &'a TruthLane,
    pub allow: &'a [String],
    pub apply: bool,
    /// Edits since the run move aside instead of being left.
    pub force: bool,
    pub progress: &'a dyn Progress,
}

mod report;
mod restore;
mod survey;

use report::{describe, tell};
use restore::{forget, hold, restore};
use survey::{Step, subject, survey};

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

pub fn run(request: &Request, run: &Run) -> Ended {
    let mut lane = TruthLane::new(&request.peer.name);
    lane.undoes = Some(request.undone.to_owned());
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
                LinkError::Offline { hint, .. } => (Outcome::Offline, Some(hint.clone())),
                LinkError::Failed { .. } => (Outcome::Failed, None),
                LinkError::Stopped => (Outcome::Interrupted, None),
            };
            lane.outcome = outcome;
            lane.message = Some(format!(
                "{e}; every file is whole, and the same command goes on from here"
            ));
            lane.hint = hint.or_else(|| Some(again(request)));
        }
    }
    Ended {
        lanes: vec![Lane::Truth(lane)],
        findings,
    }
}

fn again(request: &Request) -> String {
    format!("ubos-sync rollback {} --apply", request.undone)
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
    let mut pair =
        hosts::open(policy, peer, request.reach, run.id, "rollback").map_err(|e| match e {
            OpenError::Locked(holder) => Stop::Locked(holder.on, holder.words),
            OpenError::Offline { message, hint } => {
                Stop::Link(LinkError::Offline { message, hint })
            }
            OpenError::Failed { message, hint } | OpenError::NoLock { message, hint } => {
                Stop::Link(LinkError::Failed { message, hint })
            }
            OpenError::Stopped => Stop::Link(LinkError::Stopped),
        })?;
    let warned = guard(request, &mut pair)?;
    let (backs, before) = subject(request, &pair)?;
    let steps = survey(request, &pair, &backs)?;
    describe(lane, &steps, &pair);
    let (Some(_record), true) = (run.open, request.apply) else {
        lane.outcome = match (steps.iter().any(Step::is_open), lane.left.is_empty()) {
            (true, true) => Outcome::Pending,
            (_, false) => Outcome::Partial,
            (false, true) => Outcome::InSync,
        };
        return Ok(warned);
    };
    request.progress.phase("putting both sides back", None);
    hold(
        &pair,
        &format!(
            "the rollback of {} is under way, or broke off: {}",
            request.undone,
            again(request)
        ),
    )?;
    calm::forget(policy, &pair);
    let bad = restore(request, &pair, run.id, &steps)?;
    let after = survey(request, &pair, &backs)?;
    tell(lane, &steps, &after, &bad);
    forget(request, &pair, run.id, before.as_ref())?;
    lane.generation = Some(run.id.to_owned());
    let at = time::rfc3339(clock::now());
    hold(
        &pair,
        &format!(
            "{} rolled {} back at {at}; released, the next run would do it again",
            process::user(),
            request.undone
        ),
    )?;
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
    let found = guards::waive(found, request.allow, &known);
    match found.iter().any(|f| f.severity == Severity::Refuse) {
        true => Err(Stop::Refused(found)),
        false => Ok(found),
    }
}
