//! `verify`: is everything where it should be? Changes nothing.

use std::time::Duration;

use clap::Args;

use super::args::Global;
use super::failure::Failure;
use super::publish::chosen;
use super::{out, render};
use crate::host::{policy_file, signals};
use crate::lanes::flow::{self, Setup};
use crate::lanes::publish::check;
use crate::model::exit;
use crate::model::record::Mode;

/// Check which commit each target holds, and whether its files are those of that commit
#[derive(Debug, Args)]
pub struct Verify {
    /// Only these targets
    names: Vec<String>,
    /// Read every file again instead of trusting what is known of unchanged ones
    #[arg(long)]
    full: bool,
    /// Show every path
    #[arg(long)]
    all: bool,
}

impl Verify {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let section = policy
            .publish
            .as_ref()
            .ok_or_else(|| Failure::usage("the policy has no [publish] section"))?;
        let targets = chosen(section, &self.names)?;
        signals::listen();
        let progress = out::progress(global);
        let setup = Setup {
            policy: &policy,
            command: "verify",
            mode: Mode::DryRun,
            reason: "manual",
            wait: global.wait.unwrap_or(Duration::ZERO),
            repeat: Vec::new(),
        };
        let work = |_: &flow::Run| check::check(&policy, &targets, self.full, progress.as_ref());
        let record = flow::recorded(&setup, work).map_err(|e| Failure::failed(format!("{e:#}")))?;
        progress.done();
        if global.json {
            out::line(&render::json(&record));
        } else if !global.quiet || record.exit_code != exit::DONE {
            out::text(&render::run(&record, &out::style(global, self.all)));
        }
        Ok(record.exit_code)
    }
}
