//! `truth`: the two-way lane, dry unless `--apply`.

use std::time::Duration;

use clap::Args;

use super::args::Global;
use super::failure::Failure;
use super::out;
use super::profile::chosen;
use super::render;
use crate::host::{policy_file, signals};
use crate::lanes::flow::{self, Setup};
use crate::lanes::peers::{self, Carry, Order};
use crate::model::exit;
use crate::model::path::RelPath;
use crate::model::record::{Mode, Outcome, Record};

/// Sync truth both ways with each peer (a dry run unless --apply is given)
#[derive(Debug, Args)]
pub struct Truth {
    /// Only these peers
    peers: Vec<String>,
    /// Carry the plan out
    #[arg(long)]
    apply: bool,
    /// Show the plan and stop (the default)
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
    /// Apply only if the plan is still this one
    #[arg(long, value_name = "ID", requires = "apply")]
    plan: Option<String>,
    /// Only these paths and what is below them (repeatable)
    #[arg(long, value_name = "PATH", num_args = 1..)]
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
        signals::listen();
        let progress = out::progress(global);
        let order = Order {
            policy: &policy,
            peers,
            command: "truth",
            truth: Some(match self.apply {
                true => Carry::Apply {
                    plan: self.plan.clone(),
                },
                false => Carry::Show,
            }),
            paths: self.paths()?,
            allow: global.allow.clone(),
            wait: global.wait.unwrap_or(Duration::ZERO),
            full: self.full_scan,
            progress: progress.as_ref(),
        };
        let setup = Setup {
            policy: &policy,
            command: order.command,
            mode: match self.apply {
                true => Mode::Apply,
                false => Mode::DryRun,
            },
            reason: "manual",
            wait: order.wait,
            repeat: self.repeat(global),
        };
        let record = flow::recorded(&setup, |run| peers::run(&order, run))
            .map_err(|e| Failure::failed(format!("{e:#}; nothing was touched")))?;
        progress.done();
        Ok(self.tell(&record, global))
    }

    fn tell(&self, record: &Record, global: &Global) -> u8 {
        let pending = self.exit_code && record.outcome == Outcome::Pending;
        let code = if pending {
            exit::PENDING
        } else {
            record.exit_code
        };
        if global.json {
            let mut shown = record.clone();
            shown.exit_code = code;
            out::line(&render::json(&shown));
        } else if !global.quiet || code != exit::DONE {
            out::text(&render::run(record, &out::style(global, self.all)));
        }
        code
    }

    /// What the next command must say again: where the policy is, and which paths were meant.
    fn repeat(&self, global: &Global) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(policy) = &global.policy {
            words.extend(["--policy".to_owned(), policy.display().to_string()]);
        }
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
