//! One cycle: the lanes of every peer in one recorded run.

use std::time::Duration;

use super::Order;
use crate::host::supervisor;
use crate::lanes::flow::{self, Setup};
use crate::lanes::kept::Kept;
use crate::lanes::peers::{self, Carry};
use crate::lanes::telling::Telling;
use crate::model::path::RelPath;
use crate::model::policy::Policy;
use crate::model::progress::Progress;
use crate::model::record::{Lane, Mode, Outcome, Record};

/// How much of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    All,
    /// Truth at these paths; logs have turns of their own.
    Paths(Vec<RelPath>),
}

pub fn cycle(
    policy: &Policy,
    order: &Order,
    reason: &str,
    scope: &Scope,
    kept: Option<&Kept>,
) -> anyhow::Result<Record> {
    let carry = || match order.apply {
        true => Carry::Apply { plan: None },
        false => Carry::Show,
    };
    let (paths, logs) = match scope {
        Scope::All => (Vec::new(), Some(carry())),
        Scope::Paths(paths) => (paths.clone(), None),
    };
    let setup = Setup {
        policy,
        command: "full",
        mode: if order.apply {
            Mode::Apply
        } else {
            Mode::DryRun
        },
        reason,
        wait: Duration::ZERO,
        is_check: false,
        repeat: Vec::new(),
    };
    let progress = Telling::new(Box::new(Fed), &policy.site.state_dir, "full");
    let order = peers::Order {
        policy,
        peers: policy
            .peers
            .iter()
            .filter(|p| p.truth || (!p.logs.is_empty() && logs.is_some()))
            .collect(),
        command: "full",
        truth: Some(carry()),
        logs,
        paths,
        allow: order.allow.clone(),
        wait: Duration::ZERO,
        full: false,
        progress: &progress,
        kept,
    };
    if let Some(kept) = kept {
        kept.begin();
    }
    flow::recorded(&setup, |run| peers::run(&order, run))
}

/// Whether a lane has done what there was to do, or left it to a person.
pub fn is_finished(lane: &Lane) -> bool {
    matches!(
        lane.outcome(),
        Outcome::InSync | Outcome::Applied | Outcome::Partial | Outcome::Pending
    )
}

/// Nobody looks on, but the watchdog is fed by whatever really moves.
struct Fed;

impl Progress for Fed {
    fn phase(&self, _: &str, _: Option<u64>) {
        supervisor::alive();
    }
    fn advance(&self, _: u64) {
        supervisor::alive();
    }
    fn message(&self, _: &str) {
        supervisor::alive();
    }
    fn done(&self) {
        supervisor::alive();
    }
    fn beside(&self, _: &str) -> Box<dyn Progress> {
        Box::new(Fed)
    }
}
