//! `truth`: the two-way lane, dry unless `--apply`.

use clap::Args;

use super::args::Global;
use super::complete;
use super::failure::Failure;
use super::out;
use super::profile::chosen;
use super::sync::{Wish, carry};
use crate::host::policy_file;
use crate::lanes::memory;
use crate::model::exit;
use crate::model::path::RelPath;

/// Sync truth both ways with each peer (a dry run unless --apply is given)
#[derive(Debug, Args)]
pub struct Truth {
    /// Only these peers
    #[arg(add = complete::peers())]
    peers: Vec<String>,
    /// Carry the plan out
    #[arg(long)]
    apply: bool,
    /// Show the plan and stop (the default)
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
    /// Apply only if the plan is still this one
    #[arg(long, value_name = "ID", requires = "apply", add = complete::plans())]
    plan: Option<String>,
    /// Only these paths and what is below them (repeatable)
    #[arg(long, value_name = "PATH", num_args = 1.., add = complete::paths())]
    path: Vec<std::ffi::OsString>,
    /// Exit with 7 when a dry run found pending changes
    #[arg(long)]
    exit_code: bool,
    /// Read every file again instead of trusting what is known of unchanged ones
    #[arg(long)]
    full_scan: bool,
    /// Show every path instead of folding long lists by directory
    #[arg(long)]
    all: bool,
}

impl Truth {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let peers: Vec<_> = chosen(&policy, &self.peers)?
            .into_iter()
            .filter(|p| p.truth || self.peers.contains(&p.name))
            .collect();
        if let Some(none) = peers.iter().find(|p| !p.truth) {
            return Err(Failure::usage(format!(
                "{} takes no part in truth (truth = false in the policy); nothing was touched",
                none.name
            )));
        }
        if peers.is_empty() {
            return Err(Failure::usage(
                "the policy has no [[peer]] that takes part in truth; nothing was touched",
            ));
        }
        let told: Vec<String> = peers.iter().map(|p| p.name.clone()).collect();
        let code = Wish {
            global,
            policy: &policy,
            command: "truth",
            peers,
            truth: Some(carry(self.apply, self.plan.as_ref())),
            logs: None,
            paths: self.paths()?,
            full: self.full_scan,
            repeat: self.repeat(),
            exit_code: self.exit_code,
            all: self.all,
            beside: None,
        }
        .run()?;
        for peer in told.iter().filter(|_| self.apply && code == exit::DONE) {
            if memory::is_to_be_told(&policy, peer) {
                out::note(&format!(
                    "the pair with {peer} has never been through the acceptance tests: ubos-sync librarian {peer} --apply"
                ));
            }
        }
        Ok(code)
    }

    /// What the next command must say again: which paths were meant.
    fn repeat(&self) -> Vec<String> {
        let mut words = Vec::new();
        for path in &self.path {
            words.extend(["--path".to_owned(), path.to_string_lossy().into_owned()]);
        }
        words
    }

    fn paths(&self) -> Result<Vec<RelPath>, Failure> {
        use std::os::unix::ffi::OsStrExt;
        self.path
            .iter()
            .map(|p| {
                let bytes = p.as_bytes();
                let bytes = bytes.strip_prefix(b"./").unwrap_or(bytes);
                let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
                RelPath::new(bytes).filter(|p| !p.is_root()).ok_or_else(|| {
                    Failure::usage(format!(
                        "--path {}: wanted a path below the root, such as docs/a.md; nothing was touched",
                        crate::model::text::neutral_bytes(p.as_bytes())
                    ))
                })
            })
            .collect()
    }
}
