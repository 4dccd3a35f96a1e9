//! `verify`: is everything as it should be? Reads every byte on both sides, changes nothing.

use clap::Args;

use super::args::Global;
use super::failure::Failure;
use super::sync::Wish;
use crate::host::policy_file;
use crate::lanes::peers::Carry;
use crate::model::policy::Peer;
use crate::model::text::{nearest, neutral};

/// Compare truth on both sides by content, and held logs with the peers' (0: all as it should be, 1: not)
#[derive(Debug, Args)]
pub struct Verify {
    /// Only these peers, or `truth`, or `logs`
    names: Vec<String>,
    /// Show every path instead of folding long lists by directory
    #[arg(long)]
    all: bool,
}

const LANES: [&str; 2] = ["truth", "logs"];

impl Verify {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let lane = |word: &str| {
            let named = self.names.iter().filter(|n| LANES.contains(&n.as_str()));
            named.clone().count() == 0 || named.clone().any(|n| n == word)
        };
        let names: Vec<&String> = self
            .names
            .iter()
            .filter(|n| !LANES.contains(&n.as_str()))
            .collect();
        for name in &names {
            if !policy.peers.iter().any(|p| p.name == **name) {
                let known = policy.peers.iter().map(|p| p.name.as_str()).chain(LANES);
                let near = nearest(name, known).map(|n| format!("; did you mean {n}?"));
                return Err(Failure::usage(format!(
                    "the policy has no peer {}{}",
                    neutral(name),
                    near.unwrap_or_default()
                )));
            }
        }
        let wanted = |p: &&Peer| names.is_empty() || names.contains(&&p.name);
        let has_part =
            |p: &&Peer| (lane("truth") && p.truth) || (lane("logs") && !p.logs.is_empty());
        let peers: Vec<&Peer> = policy
            .peers
            .iter()
            .filter(wanted)
            .filter(has_part)
            .collect();
        if peers.is_empty() {
            return Err(Failure::usage(
                "nothing of that kind in the policy to verify; nothing was touched",
            ));
        }
        Wish {
            global,
            policy: &policy,
            command: "verify",
            peers,
            truth: lane("truth").then_some(Carry::Compare),
            logs: lane("logs").then_some(Carry::Compare),
            paths: Vec::new(),
            full: true,
            repeat: Vec::new(),
            exit_code: false,
            all: self.all,
        }
        .run()
    }
}
