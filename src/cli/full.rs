//! `full`: truth, then logs, of each peer; dry unless `--apply`.

use clap::Args;

use super::args::Global;
use super::complete;
use super::failure::Failure;
use super::profile::chosen;
use super::sync::{Wish, carry};
use crate::host::policy_file;
use crate::lanes::peers::Carry;

/// Sync truth, then pull logs, with each peer (a dry run unless --apply is given)
#[derive(Debug, Args)]
pub struct Full {
    /// Only these peers
    #[arg(add = complete::peers())]
    peers: Vec<String>,
    /// Carry it out
    #[arg(long)]
    apply: bool,
    /// Show the plan and stop (the default)
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
    /// Carry out truth, but only look at the logs
    #[arg(long)]
    dry_run_logs: bool,
    /// Apply truth only if its plan is still this one
    #[arg(long, value_name = "ID", requires = "apply", add = complete::plans())]
    plan: Option<String>,
    /// Exit with 7 when a dry run found something to do
    #[arg(long)]
    exit_code: bool,
    /// Read every file again instead of trusting what is known of unchanged ones
    #[arg(long)]
    full_scan: bool,
    /// Show every path instead of folding long lists by directory
    #[arg(long)]
    all: bool,
}

impl Full {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let peers: Vec<_> = chosen(&policy, &self.peers)?
            .into_iter()
            .filter(|p| p.truth || !p.logs.is_empty())
            .collect();
        if peers.is_empty() {
            return Err(Failure::usage(
                "the policy has no [[peer]] with truth or logs; nothing was touched",
            ));
        }
        let logs = match self.dry_run_logs {
            true => Carry::Show,
            false => carry(self.apply, None),
        };
        let repeat = match self.dry_run_logs {
            true => vec!["--dry-run-logs".to_owned()],
            false => Vec::new(),
        };
        Wish {
            global,
            policy: &policy,
            command: "full",
            peers,
            truth: Some(carry(self.apply, self.plan.as_ref())),
            logs: Some(logs),
            paths: Vec::new(),
            full: self.full_scan,
            repeat,
            exit_code: self.exit_code,
            all: self.all,
            beside: None,
        }
        .run()
    }
}
