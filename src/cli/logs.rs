//! `logs`: the append-only lane, dry unless `--apply`.

use clap::Args;

use super::args::Global;
use super::complete;
use super::failure::Failure;
use super::profile::chosen;
use super::sync::{Wish, carry};
use crate::host::policy_file;

/// Pull what the peers' logs gained (a dry run unless --apply is given)
#[derive(Debug, Args)]
pub struct Logs {
    /// Only these peers
    #[arg(add = complete::peers())]
    peers: Vec<String>,
    /// Carry it out
    #[arg(long)]
    apply: bool,
    /// Look and stop (the default)
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
    /// Exit with 7 when a dry run found something to pull
    #[arg(long)]
    exit_code: bool,
    /// Show everything instead of folding long lists
    #[arg(long)]
    all: bool,
}

impl Logs {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let peers: Vec<_> = chosen(&policy, &self.peers)?
            .into_iter()
            .filter(|p| !p.logs.is_empty() || self.peers.contains(&p.name))
            .collect();
        let without = peers.iter().find(|p| p.logs.is_empty());
        if let Some(none) = without {
            return Err(Failure::usage(format!(
                "{} has no [[peer.log]] in the policy; nothing was touched",
                none.name
            )));
        }
        if peers.is_empty() {
            return Err(Failure::usage(
                "the policy has no [[peer.log]]; nothing was touched",
            ));
        }
        Wish {
            global,
            policy: &policy,
            command: "logs",
            peers,
            truth: None,
            logs: Some(carry(self.apply, None)),
            paths: Vec::new(),
            full: false,
            repeat: Vec::new(),
            exit_code: self.exit_code,
            all: self.all,
            beside: None,
        }
        .run()
    }
}
