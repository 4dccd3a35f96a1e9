//! `rollback`: puts both replicas back to how they were before a run; dry unless `--apply`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;

use super::args::Global;
use super::complete;
use super::failure::Failure;
use super::out;
use super::sync::tell;
use crate::audit::store::Store;
use crate::host::{policy_file, signals};
use crate::lanes::flow::{self, Ended, Run, Setup};
use crate::lanes::log::undo as log_undo;
use crate::lanes::publish::undo::{self as publish_undo, Way};
use crate::lanes::undo::history::{self, No};
use crate::lanes::undo::{self, Undone};
use crate::lanes::{reach, truth};
use crate::model::log_undo::Before;
use crate::model::policy::Policy;
use crate::model::progress::Progress;
use crate::model::record::{Lane, Mode, Outcome, Record, TruthLane};

/// Put every replica back to its state before a run (a dry run unless --apply is given)
#[derive(Debug, Args)]
pub struct Rollback {
    /// The run: its name, a beginning of it, its last part, or `last`
    #[arg(value_name = "RUN", required_unless_present = "to", add = complete::runs())]
    run: Option<String>,
    /// Roll back every run down to and including this one, newest first
    #[arg(long, value_name = "RUN", conflicts_with = "run", add = complete::runs())]
    to: Option<String>,
    /// Carry it out
    #[arg(long)]
    apply: bool,
    /// Show what would be put back and stop (the default)
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
    /// Files that were changed since keep the change beside them, under a name of its own
    #[arg(long)]
    force: bool,
    /// Show every path instead of folding long lists by directory
    #[arg(long)]
    all: bool,
}

impl Rollback {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let store = Store::open(&policy.audit.dir).map_err(|e| Failure::failed(e.to_string()))?;
        let wish = history::Wish {
            run: self
                .to
                .as_ref()
                .or(self.run.as_ref())
                .map_or("last", String::as_str),
            down_to: self.to.is_some(),
            force: self.force,
        };
        let runs = history::choose(&store, &policy, wish).map_err(|no| match no {
            No::Unknown(why) => Failure::usage(why),
            No::Refused(why) => Failure::refused(why),
            No::Unreadable(e) => Failure::failed(e.to_string()),
        })?;
        signals::listen();
        let progress = out::told(global, &policy.site.state_dir, "rollback");
        let setup = Setup {
            policy: &policy,
            command: "rollback",
            mode: if self.apply {
                Mode::Apply
            } else {
                Mode::DryRun
            },
            reason: "manual",
            wait: global.wait.unwrap_or(Duration::ZERO),
            is_check: false,
            repeat: self.repeat(global),
        };
        let work = |run: &Run| {
            let job = Job {
                policy: &policy,
                runs: &runs,
                allow: &global.allow,
                apply: self.apply,
                force: self.force,
                progress: &progress,
                run,
            };
            let mut all = job.logs();
            all.extend(job.truth());
            all.extend(job.targets());
            all
        };
        let record = flow::recorded(&setup, work).map_err(|e| Failure::failed(format!("{e:#}")))?;
        progress.done();
        Ok(tell(&record, global, false, self.all))
    }

    fn repeat(&self, global: &Global) -> Vec<String> {
        let policy = global.policy.iter();
        let mut words: Vec<String> = policy
            .flat_map(|p| ["--policy".to_owned(), p.display().to_string()])
            .collect();
        match &self.to {
            Some(to) => words.extend(["--to".to_owned(), to.clone()]),
            None => words.extend(self.run.clone()),
        }
        if self.force {
            words.push("--force".to_owned());
        }
        words
    }
}

/// What is taken back, and how: logs first, then truth, peer by peer, then the targets.
struct Job<'a> {
    policy: &'a Policy,
    runs: &'a [Record],
    allow: &'a [String],
    apply: bool,
    force: bool,
    progress: &'a dyn Progress,
    run: &'a Run<'a>,
}

impl Job<'_> {
    fn logs(&self) -> Ended {
        let mut by_log: BTreeMap<String, Vec<Before>> = BTreeMap::new();
        for record in self.runs {
            for note in log_undo::of_run(&self.policy.site.state_dir, &record.run) {
                by_log.entry(note.local.clone()).or_default().push(note);
            }
        }
        let mut all = Ended::default();
        for notes in by_log.into_values() {
            all.extend(log_undo::run(
                &log_undo::Request {
                    policy: self.policy,
                    notes,
                    allow: self.allow,
                    apply: self.apply,
                    force: self.force,
                    progress: self.progress,
                },
                self.run,
            ));
        }
        all
    }

    fn truth(&self) -> Ended {
        let mut by_peer: BTreeMap<&str, Vec<Undone>> = BTreeMap::new();
        for record in self.runs {
            for lane in history::lanes_of(record) {
                by_peer.entry(&lane.peer).or_default().push(Undone {
                    run: &record.run,
                    lane,
                    died: history::died(record),
                });
            }
        }
        let mut all = Ended::default();
        for (name, runs) in by_peer {
            let Some(peer) = self.policy.peers.iter().find(|p| p.name == name) else {
                let mut lost = TruthLane::new(name);
                lost.outcome = Outcome::Failed;
                lost.message =
                    Some("the policy has no such peer any more; nothing was touched".into());
                all.lanes.push(Lane::Truth(lost));
                continue;
            };
            match reach::reach(self.policy, peer, false) {
                Ok(reach) => all.extend(undo::run(
                    &undo::Request {
                        policy: self.policy,
                        peer,
                        reach: &reach,
                        runs,
                        allow: self.allow,
                        apply: self.apply,
                        force: self.force,
                        progress: self.progress,
                    },
                    self.run,
                )),
                Err(e) => all.extend(truth::run::not_begun(peer, &e)),
            }
        }
        all
    }

    fn targets(&self) -> Ended {
        // Newest first, so that the oldest run has the last word on where a target goes back to.
        let mut ways: BTreeMap<&str, Way> = BTreeMap::new();
        for record in self.runs {
            for lane in history::published(record) {
                let way = ways.entry(&lane.target).or_default();
                way.undoes.push(record.run.clone());
                way.commit.clone_from(&lane.found);
                way.release.clone_from(&lane.previous);
            }
        }
        publish_undo::run(
            &publish_undo::Request {
                policy: self.policy,
                ways,
                allow: self.allow,
                apply: self.apply,
                progress: self.progress,
            },
            self.run,
        )
    }
}
