//! `rollback`: puts both replicas back to how they were before a run; dry unless `--apply`.

use std::collections::HashSet;
use std::time::Duration;

use clap::Args;

use super::args::Global;
use super::failure::Failure;
use super::out;
use super::sync::tell;
use crate::audit::store::{AuditError, Store};
use crate::host::{policy_file, signals};
use crate::lanes::flow::{self, Ended, Setup};
use crate::lanes::{peers, truth, undo};
use crate::model::exit;
use crate::model::policy::Policy;
use crate::model::record::{Lane, Mode, Outcome, Record, ResultWord, TruthLane};
use crate::model::words::word;

/// Put every replica back to its state before a run (a dry run unless --apply is given)
#[derive(Debug, Args)]
pub struct Rollback {
    /// The run: its name, a beginning of it, its last part, or `last`
    #[arg(value_name = "RUN", required_unless_present = "to")]
    run: Option<String>,
    /// Roll back every run down to and including this one, newest first
    #[arg(long, value_name = "RUN", conflicts_with = "run")]
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
        let asked = self
            .to
            .as_ref()
            .or(self.run.as_ref())
            .map_or("last", String::as_str);
        let chosen = store.get(asked).map_err(|e| match e {
            AuditError::Unknown { .. } | AuditError::Ambiguous { .. } => {
                Failure::usage(format!("{e}; nothing was touched"))
            }
            other => Failure::failed(other.to_string()),
        })?;
        let chosen = match self.run.as_deref() {
            Some("last") => last_applied(&store, chosen)?,
            _ => chosen,
        };
        can_be(&chosen)?;
        let newer = newer_than(&store, &chosen)?;
        let runs = match (&self.to, newer.is_empty()) {
            (Some(_), _) => newer.into_iter().chain([chosen]).collect(),
            (None, true) => vec![chosen],
            (None, false) => return Err(Failure::refused(in_the_way(&newer, &chosen))),
        };
        signals::listen();
        let mut code = exit::DONE;
        for record in &runs {
            code = self.one(&policy, record, global)?;
            if code != exit::DONE {
                break;
            }
        }
        Ok(code)
    }

    fn one(&self, policy: &Policy, record: &Record, global: &Global) -> Result<u8, Failure> {
        let progress = out::progress(global);
        let mut repeat = Vec::new();
        if let Some(policy) = &global.policy {
            repeat.extend(["--policy".to_owned(), policy.display().to_string()]);
        }
        let setup = Setup {
            policy,
            command: "rollback",
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
        let record = flow::recorded(&setup, |run| {
            let mut all = Ended::default();
            for lane in lanes_of(record) {
                let Some(peer) = policy.peers.iter().find(|p| p.name == lane.peer) else {
                    let mut lost = TruthLane::new(&lane.peer);
                    lost.message =
                        Some("the policy has no such peer any more; nothing was touched".into());
                    all.lanes.push(Lane::Truth(lost));
                    continue;
                };
                match peers::reach(policy, peer, run.id, false) {
                    Ok(reach) => all.extend(undo::run(
                        &undo::Request {
                            policy,
                            peer,
                            reach: &reach,
                            undone: &record.run,
                            lane,
                            allow: &global.allow,
                            apply: self.apply,
                            force: self.force,
                            progress: progress.as_ref(),
                        },
                        run,
                    )),
                    Err(e) => all.extend(truth::run::not_begun(peer, &e)),
                }
            }
            all
        })
        .map_err(|e| Failure::failed(format!("{e:#}")))?;
        progress.done();
        Ok(tell(&record, global, false, self.all))
    }
}

/// The lanes of a run that changed something.
fn lanes_of(record: &Record) -> impl Iterator<Item = &TruthLane> {
    record.lanes.iter().filter_map(|l| match l {
        Lane::Truth(t) if t.changes.iter().any(|c| c.result == ResultWord::Done) => Some(t),
        _ => None,
    })
}

fn can_be(record: &Record) -> Result<(), Failure> {
    let run = word(&record.run);
    if record.mode == Mode::DryRun {
        return Err(Failure::refused(format!(
            "{run} was a dry run: there is nothing to roll back"
        )));
    }
    if lanes_of(record).next().is_some() {
        return Ok(());
    }
    let logs = record
        .lanes
        .iter()
        .any(|l| matches!(l, Lane::Log(l) if l.outcome == Outcome::Applied));
    Err(Failure::refused(match logs {
        true => format!(
            "{run} only pulled logs, which keep every byte they ever had; nothing was touched"
        ),
        false => format!("{run} changed no file: there is nothing to roll back"),
    }))
}

/// The newest run that changed something, when `last` is asked for.
fn last_applied(store: &Store, newest: Record) -> Result<Record, Failure> {
    let summaries = store.list().map_err(|e| Failure::failed(e.to_string()))?;
    for s in summaries {
        let applied = s
            .facts
            .as_ref()
            .is_some_and(|f| f.mode == Mode::Apply && f.changes > 0);
        if applied
            && let Ok(record) = store.read(&s.run)
            && lanes_of(&record).next().is_some()
        {
            return Ok(record);
        }
    }
    Ok(newest)
}

/// Runs after this one that changed something with the same peers and were not rolled back, newest first.
fn newer_than(store: &Store, chosen: &Record) -> Result<Vec<Record>, Failure> {
    let summaries = store.list().map_err(|e| Failure::failed(e.to_string()))?;
    // Runs of one second are told apart by their place in the chain, not by their names.
    let stamp = |run: &str| run.split('-').next().unwrap_or_default().to_owned();
    let mut later = Vec::new();
    for s in summaries {
        if stamp(&s.run) < stamp(&chosen.run) {
            break;
        }
        let applied = s
            .facts
            .as_ref()
            .is_some_and(|f| f.mode == Mode::Apply && f.changes > 0);
        let record = applied.then(|| store.read(&s.run).ok()).flatten();
        later.extend(record.filter(|r| r.sequence > chosen.sequence));
    }
    later.sort_by_key(|r| std::cmp::Reverse(r.sequence));
    let mut undone: HashSet<String> = HashSet::new();
    let mut newer = Vec::new();
    for record in later {
        let taken_back = undone.contains(&record.run);
        let whole = matches!(record.outcome, Outcome::Applied | Outcome::InSync);
        let undoes: Vec<String> = lanes_of(&record).filter_map(|t| t.undoes.clone()).collect();
        if !undoes.is_empty() && whole {
            // A rollback and what it undid cancel out; one that was itself undone counts as never made.
            if !taken_back {
                undone.extend(undoes);
            }
            continue;
        }
        let peers: Vec<&str> = lanes_of(chosen).map(|t| t.peer.as_str()).collect();
        if !taken_back && lanes_of(&record).any(|t| peers.contains(&t.peer.as_str())) {
            newer.push(record);
        }
    }
    if undone.contains(&chosen.run) {
        return Err(Failure::refused(format!(
            "{} has been rolled back already; nothing was touched",
            word(&chosen.run)
        )));
    }
    Ok(newer)
}

fn in_the_way(newer: &[Record], chosen: &Record) -> String {
    let names: Vec<String> = newer
        .iter()
        .take(10)
        .map(|r| format!("  {}", word(&r.run)))
        .collect();
    format!(
        "runs after {0} changed the same replicas:\n{1}\nroll all of them back in one go: ubos-sync rollback --to {0}",
        word(&chosen.run),
        names.join("\n")
    )
}
