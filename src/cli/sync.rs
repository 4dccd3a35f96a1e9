//! What `truth`, `logs`, `full` and `verify` share: from the words of the command line to a recorded run and its screen.

use std::time::Duration;

use super::args::Global;
use super::failure::Failure;
use super::{out, render};
use crate::host::signals;
use crate::lanes::flow::{self, Ended, Setup};
use crate::lanes::peers::{self, Carry, Order};
use crate::model::exit;
use crate::model::path::RelPath;
use crate::model::policy::{Peer, Policy};
use crate::model::progress::Progress;
use crate::model::record::{Mode, Outcome, Record};

/// Work of a lane that has no peers.
pub type Beside<'a> = dyn Fn(&dyn Progress) -> Ended + 'a;

/// A run of the lanes, as a command asks for it.
pub struct Wish<'a> {
    pub global: &'a Global,
    pub policy: &'a Policy,
    pub command: &'a str,
    pub peers: Vec<&'a Peer>,
    pub truth: Option<Carry>,
    pub logs: Option<Carry>,
    pub paths: Vec<RelPath>,
    /// Every file is read again.
    pub full: bool,
    /// Words that the next command must say again, beside where the policy is.
    pub repeat: Vec<String>,
    /// Exit with 7 when a dry run found something to do.
    pub exit_code: bool,
    pub all: bool,
    /// Work of another lane that belongs into the same record.
    pub beside: Option<&'a Beside<'a>>,
}

impl Wish<'_> {
    /// Runs, records and shows it; the exit code.
    pub fn run(self) -> Result<u8, Failure> {
        signals::listen();
        let progress = out::told(self.global, &self.policy.site.state_dir, self.command);
        let setup = Setup {
            policy: self.policy,
            command: self.command,
            mode: self.mode(),
            reason: "manual",
            wait: self.global.wait.unwrap_or(Duration::ZERO),
            is_check: self.command == "verify",
            repeat: self.all_repeat(),
        };
        let order = Order {
            policy: self.policy,
            peers: self.peers,
            command: self.command,
            truth: self.truth,
            logs: self.logs,
            paths: self.paths,
            allow: self.global.allow.clone(),
            wait: setup.wait,
            full: self.full,
            progress: &progress,
            kept: None,
        };
        let work = |run: &flow::Run| {
            let mut ended = match order.peers.is_empty() {
                true => Ended::default(),
                false => peers::run(&order, run),
            };
            if let Some(beside) = self.beside {
                ended.extend(beside(order.progress));
            }
            ended
        };
        let record = flow::recorded(&setup, work)
            .map_err(|e| Failure::failed(format!("{e:#}; nothing was touched")))?;
        progress.done();
        Ok(tell(&record, self.global, self.exit_code, self.all))
    }

    fn mode(&self) -> Mode {
        let applies = |c: &Option<Carry>| matches!(c, Some(Carry::Apply { .. }));
        match applies(&self.truth) || applies(&self.logs) {
            true => Mode::Apply,
            false => Mode::DryRun,
        }
    }

    fn all_repeat(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(policy) = &self.global.policy {
            words.extend(["--policy".to_owned(), policy.display().to_string()]);
        }
        words.extend(self.repeat.iter().cloned());
        words
    }
}

/// How far a lane goes: `--apply`, tied to a plan when one is named.
pub fn carry(apply: bool, plan: Option<&String>) -> Carry {
    match apply {
        true => Carry::Apply {
            plan: plan.cloned(),
        },
        false => Carry::Show,
    }
}

/// Shows a run; the exit code of the command.
pub fn tell(record: &Record, global: &Global, wants_pending: bool, all: bool) -> u8 {
    let pending = wants_pending && record.outcome == Outcome::Pending;
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
        out::text(&render::run(record, &out::style(global, all)));
    }
    code
}
