//! `verify`: is everything as it should be? Reads every byte on both sides, changes nothing.

use clap::Args;

use super::args::Global;
use super::complete;
use super::failure::Failure;
use super::sync::Wish;
use crate::host::policy_file;
use crate::lanes::peers::Carry;
use crate::lanes::publish::check;
use crate::model::policy::{Peer, Policy, Target};
use crate::model::progress::Progress;
use crate::model::text::{nearest, neutral};

/// Compare truth on both sides by content, held logs with the peers', targets with their commit (0: all as it should be, 1: not)
#[derive(Debug, Args)]
pub struct Verify {
    /// Only these peers, targets and logs (as the policy names them), or `truth`, `logs` or `targets`
    #[arg(add = complete::all())]
    names: Vec<String>,
    /// Read every file of a target again instead of trusting what is known of unchanged ones
    #[arg(long)]
    full: bool,
    /// Show every path instead of folding long lists by directory
    #[arg(long)]
    all: bool,
}

const LANES: [&str; 3] = ["truth", "logs", "targets"];

impl Verify {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let mut policy = policy_file::load(global.policy.as_deref())?;
        self.names_are_known(&policy)?;
        self.only_named_logs(&mut policy);
        let peers: Vec<&Peer> = policy
            .peers
            .iter()
            .filter(|p| self.means(&p.name) || self.has_named_log(p))
            .filter(|p| {
                (self.lane("truth") && p.truth) || (self.lane("logs") && !p.logs.is_empty())
            })
            .collect();
        let targets: Vec<&Target> = policy
            .publish
            .iter()
            .flat_map(|p| &p.targets)
            .filter(|t| self.lane("targets") && self.means(&t.name))
            .collect();
        if peers.is_empty() && targets.is_empty() {
            return Err(Failure::usage(
                "nothing of that kind in the policy to verify; nothing was touched",
            ));
        }
        let publish =
            |progress: &dyn Progress| check::check(&policy, &targets, self.full, progress);
        Wish {
            global,
            policy: &policy,
            command: "verify",
            peers,
            truth: self.lane("truth").then_some(Carry::Compare),
            logs: self.lane("logs").then_some(Carry::Compare),
            paths: Vec::new(),
            full: true,
            repeat: Vec::new(),
            exit_code: false,
            all: self.all,
            beside: (!targets.is_empty()).then_some(&publish),
        }
        .run()
    }

    fn has_named_log(&self, peer: &Peer) -> bool {
        let mut logs = peer.logs.iter();
        logs.any(|l| self.names.contains(&l.remote))
    }

    /// Of a peer that is only here for a log of its own, only that log counts.
    fn only_named_logs(&self, policy: &mut Policy) {
        for peer in &mut policy.peers {
            if self.has_named_log(peer) && !self.names.contains(&peer.name) {
                peer.truth = false;
                peer.logs.retain(|l| self.names.contains(&l.remote));
            }
        }
    }

    /// Whether a lane is meant: it is named, or none is.
    fn lane(&self, word: &str) -> bool {
        let mut named = self
            .names
            .iter()
            .filter(|n| LANES.contains(&n.as_str()))
            .peekable();
        named.peek().is_none() || named.any(|n| n == word)
    }

    /// Whether a peer or target is meant: it is named, or none is.
    fn means(&self, name: &str) -> bool {
        let mut named = self
            .names
            .iter()
            .filter(|n| !LANES.contains(&n.as_str()))
            .peekable();
        named.peek().is_none() || named.any(|n| n == name)
    }

    fn names_are_known(&self, policy: &Policy) -> Result<(), Failure> {
        let peers = policy.peers.iter().map(|p| p.name.as_str());
        let targets = policy.publish.iter().flat_map(|p| &p.targets);
        let logs = policy.peers.iter().flat_map(|p| &p.logs);
        let known: Vec<&str> = peers
            .chain(targets.map(|t| t.name.as_str()))
            .chain(logs.map(|l| l.remote.as_str()))
            .chain(LANES)
            .collect();
        match self.names.iter().find(|n| !known.contains(&n.as_str())) {
            None => Ok(()),
            Some(name) => {
                let near = nearest(name, known.iter().copied());
                Err(Failure::usage(format!(
                    "the policy has no peer, target or log {}{}; nothing was touched",
                    neutral(name),
                    near.map(|n| format!("; did you mean {n}?"))
                        .unwrap_or_default()
                )))
            }
        }
    }
}
