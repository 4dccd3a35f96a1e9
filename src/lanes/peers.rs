//! The lanes of each peer: all peers at the same time, each over one connection that its lanes share.
//!
//! Invariants: what one peer's work comes to does not stop another's; only one peer at a time works on the local replica,
//! because each must plan against what the one before has brought.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::host::clock;
use crate::lanes::flow::{Ended, Run};
use crate::lanes::kept::Kept;
use crate::lanes::reach::{is_left, reach, sweep};
use crate::lanes::truth::propose::{ProposeError, Request};
use crate::lanes::{log, truth};
use crate::model::path::RelPath;
use crate::model::policy::{Peer, Policy};
use crate::model::progress::Progress;
use crate::model::thread::joined;

/// How far a lane goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carry {
    /// Stop after the guards.
    Show,
    /// Carry it out; with an id, only that very plan.
    Apply { plan: Option<String> },
    /// Say whether all is as it should be, by every byte.
    Compare,
}

/// What is asked of the lanes.
pub struct Order<'a> {
    pub policy: &'a Policy,
    pub peers: Vec<&'a Peer>,
    pub command: &'a str,
    /// The two-way lane; `None`: not asked for.
    pub truth: Option<Carry>,
    /// The append-only lane; `None`: not asked for.
    pub logs: Option<Carry>,
    pub paths: Vec<RelPath>,
    pub allow: Vec<String>,
    /// How long to wait for the lock on a peer.
    pub wait: Duration,
    /// Every file is read again, whatever the memory of content says.
    pub full: bool,
    pub progress: &'a dyn Progress,
    /// Connections that outlive the run; `None`: it makes its own.
    pub kept: Option<&'a Kept>,
}

/// Runs the lanes that are asked for with every peer.
pub fn run(order: &Order, run: &Run) -> Ended {
    sweep(&order.policy.site.state_dir);
    if run.open.is_some() && matches!(order.logs, Some(Carry::Apply { .. })) {
        for peer in &order.peers {
            log::survey::sweep_stages(order.policy, peer);
        }
    }
    let turn = Mutex::new(());
    let until = clock::monotonic() + order.wait;
    let several = order.peers.len() > 1;
    let ended: Vec<Ended> = std::thread::scope(|s| {
        let started: Vec<_> = order
            .peers
            .iter()
            .map(|peer| {
                let turn = &turn;
                s.spawn(move || {
                    let aside = several.then(|| order.progress.beside(&peer.name));
                    let progress = aside.as_deref().unwrap_or(order.progress);
                    one_peer(order, peer, run, progress, turn, until)
                })
            })
            .collect();
        started.into_iter().map(joined).collect()
    });
    let mut all = Ended::default();
    ended.into_iter().for_each(|e| all.extend(e));
    all
}

fn one_peer(
    order: &Order,
    peer: &Peer,
    run: &Run,
    progress: &dyn Progress,
    turn: &Mutex<()>,
    until: Instant,
) -> Ended {
    // With several peers each connects before its turn, so that those that are away are found out at the same time.
    // So does one whose connection several lanes share.
    let logs = order.logs.as_ref().filter(|_| !peer.logs.is_empty());
    let shares = logs.is_some() && !is_left(order.policy, peer);
    let connect = order.peers.len() > 1 || shares;
    let reach = match order.kept {
        Some(kept) => kept.reach(order.policy, peer),
        None => reach(order.policy, peer, connect),
    };
    let reach = match &reach {
        Ok(reach) => reach,
        Err(e) => return not_begun(order, peer, e),
    };
    let of_logs = log::run::Request {
        policy: order.policy,
        peer,
        reach,
        command: order.command,
        allow: &order.allow,
        progress,
    };
    let mut all = Ended::default();
    let mut early = None;
    if let Some(carry) = order.truth.as_ref().filter(|_| takes_part(order, peer)) {
        let request = Request {
            policy: order.policy,
            peer,
            reach,
            run: run.id,
            command: order.command,
            allow: &order.allow,
            paths: &order.paths,
            progress,
            full: order.full,
        };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        // The logs are looked at meanwhile: neither lane reads what the other one writes.
        std::thread::scope(|s| {
            let pulls = logs.filter(|carry| **carry != Carry::Compare);
            let look = pulls.map(|carry| s.spawn(|| log::run::look(&of_logs, carry)));
            all.extend(truth::run::run(&request, carry, run, until));
            early = look.map(joined);
        });
    }
    match logs {
        Some(Carry::Compare) => all.extend(log::verify::run(&of_logs)),
        Some(carry) => all.extend(log::run::run(&of_logs, carry, run, early)),
        None => {}
    }
    all
}

/// The lanes of a peer that could not be reached at all.
fn not_begun(order: &Order, peer: &Peer, why: &ProposeError) -> Ended {
    let mut all = Ended::default();
    if order.truth.is_some() && takes_part(order, peer) {
        all.extend(truth::run::not_begun(peer, why));
    }
    if order.logs.is_some() {
        all.extend(log::run::not_begun(peer, &why.as_link()));
    }
    all
}

/// A peer that takes no part in truth may still have logs.
fn takes_part(order: &Order, peer: &Peer) -> bool {
    peer.truth || order.command == "truth"
}
