//! `publish`: the fan-out lane, dry unless `--apply`.

use std::time::Duration;

use clap::Args;

use super::args::Global;
use super::complete;
use super::failure::Failure;
use super::out;
use super::sync::tell;
use crate::host::{policy_file, signals};
use crate::lanes::flow::{self, Setup};
use crate::lanes::publish::run::{self, Order};
use crate::model::policy::{Publish as Section, Target};
use crate::model::progress::Progress as _;
use crate::model::record::Mode;
use crate::model::text::{nearest, neutral};
use crate::model::words::word;

/// Publish the tree of a commit to the targets (a dry run unless --apply is given)
#[derive(Debug, Args)]
pub struct Publish {
    /// Only these targets
    #[arg(add = complete::targets())]
    targets: Vec<String>,
    /// Carry it out
    #[arg(long)]
    apply: bool,
    /// Show what would change and stop (the default)
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
    /// Exactly this commit (a hash or a tag) instead of the newest of the branch
    #[arg(long, value_name = "COMMIT")]
    rev: Option<String>,
    /// Reset the branch to what is published, also where it has diverged (uncommitted work is never touched)
    #[arg(long)]
    force: bool,
    /// Exit with 7 when a dry run found pending changes
    #[arg(long)]
    exit_code: bool,
    /// Show every path instead of folding long lists
    #[arg(long)]
    all: bool,
}

/// The targets that are meant, all when none is named.
pub fn chosen<'a>(section: &'a Section, names: &[String]) -> Result<Vec<&'a Target>, Failure> {
    if names.is_empty() {
        return Ok(section.targets.iter().collect());
    }
    let known = || section.targets.iter().map(|t| t.name.as_str());
    let find = |name: &String| {
        section
            .targets
            .iter()
            .find(|t| t.name == *name)
            .ok_or_else(|| {
                let near = nearest(name, known()).map(|n| format!("; did you mean {n}?"));
                Failure::usage(format!(
                    "the policy has no target {}{}; nothing was touched",
                    neutral(name),
                    near.unwrap_or_default()
                ))
            })
    };
    let mut all: Vec<&Target> = Vec::new();
    for name in names {
        let target = find(name)?;
        if !all.iter().any(|t| t.name == target.name) {
            all.push(target);
        }
    }
    Ok(all)
}

impl Publish {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let section = policy.publish.as_ref().ok_or_else(|| {
            Failure::usage("the policy has no [publish] section; nothing was touched")
        })?;
        let targets = chosen(section, &self.targets)?;
        if targets.is_empty() {
            return Err(Failure::usage(
                "the policy has no [[publish.target]]; nothing was touched",
            ));
        }
        signals::listen();
        let progress = out::told(global, &policy.site.state_dir, "publish");
        let repeat = self.repeat(global);
        let order = Order {
            policy: &policy,
            publish: section,
            targets,
            apply: self.apply,
            rev: self.rev.as_deref(),
            force: self.force,
            allow: &global.allow,
            progress: &progress,
            again: self.again(&repeat),
            is_back: false,
            releases: Default::default(),
        };
        let setup = Setup {
            policy: &policy,
            command: "publish",
            mode: if self.apply {
                Mode::Apply
            } else {
                Mode::DryRun
            },
            reason: "manual",
            wait: global.wait.unwrap_or(Duration::ZERO),
            is_check: false,
            repeat,
        };
        let record = flow::recorded(&setup, |r| run::run(&order, r))
            .map_err(|e| Failure::failed(format!("{e:#}; nothing was touched")))?;
        progress.done();
        Ok(tell(&record, global, self.exit_code, self.all))
    }

    fn repeat(&self, global: &Global) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(policy) = &global.policy {
            words.extend(["--policy".to_owned(), policy.display().to_string()]);
        }
        if let Some(rev) = &self.rev {
            words.extend(["--rev".to_owned(), rev.clone()]);
        }
        if self.force {
            words.push("--force".to_owned());
        }
        words
    }

    fn again(&self, repeat: &[String]) -> String {
        let mut line = "ubos-sync publish".to_owned();
        for text in repeat {
            line += &format!(" {}", word(text));
        }
        if self.apply {
            line += " --apply";
        }
        line
    }
}
