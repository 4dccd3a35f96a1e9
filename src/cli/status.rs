//! `status`: one screen: each peer and lane, what is pending, the last run, who holds the lock. Leaves no record.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::args::Global;
use super::documents::{self, LastRun, StatusLane, StatusPeer};
use super::failure::Failure;
use super::live;
use super::out;
use super::render::status;
use super::worker_state;
use crate::audit::store::Store;
use crate::host::{clock, policy_file, signals};
use crate::lanes::flow;
use crate::lanes::installed;
use crate::lanes::memory;
use crate::lanes::peers::{self, Carry, Order};
use crate::lanes::truth::hosts::held_here;
use crate::model::exit;
use crate::model::overview::{self, Standing};
use crate::model::policy::Policy;
use crate::model::record::{Lane, Outcome, Record, SCHEMA};

/// Show each peer and lane: in sync, pending, conflicts, offline; the last run; who holds the lock
#[derive(Debug, Args)]
pub struct Status {
    /// Do not connect to any peer
    #[arg(long)]
    offline: bool,
    /// A live screen of what is known here: lanes, the run under way, the last runs; keys for a dry run and for reading a run
    #[arg(long)]
    watch: bool,
}

/// How many of the newest runs are looked through for the last one of the lanes.
const NEWEST: usize = 50;

impl Status {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        if self.watch {
            return live::run(global);
        }
        let policy = policy_file::load(global.policy.as_deref())?;
        let store = Store::open(&policy.audit.dir).map_err(|e| Failure::failed(e.to_string()))?;
        let (lanes, lock) = match self.offline {
            true => (Vec::new(), None),
            false => self.look(&policy, global)?,
        };
        // The newest records, read once for all that is told of them.
        let applied = store.applied(NEWEST).unwrap_or_default();
        let standings = overview::standings(&policy, &applied);
        let units = installed::all(&policy);
        let worker = worker_state::read(&policy);
        let lives = worker.as_ref().filter(|w| w.alive);
        let of_worker = lives.and_then(|w| w.doc.next_run.clone());
        let of_timer = || units.iter().find_map(|u| u.told.next_run.clone());
        let overdue = worker.as_ref().map(|w| is_overdue(&policy, w));
        let doc = documents::Status {
            schema: SCHEMA,
            command: "status",
            site: &policy.site.name,
            peers: policy
                .peers
                .iter()
                .map(|p| peer(&policy, &p.name, &lanes))
                .collect(),
            lock,
            pause: (),
            worker: worker.as_ref(),
            last_run: applied.first().map(last_run),
            next_run: of_worker.or_else(of_timer),
            overdue: overdue.or_else(|| is_timer_late(&policy, &units, &standings)),
            offline: self.offline,
            lanes: standings,
            now: crate::model::time::rfc3339(clock::now()),
            streak: memory::streak(&policy),
            service: units,
        };
        if global.json {
            out::json(&doc);
        } else {
            out::text(&status::screen(&json!(doc), &out::style(global, false)));
        }
        Ok(exit::DONE)
    }

    /// A dry run of all lanes; or who holds the lock.
    fn look(
        &self,
        policy: &Policy,
        global: &Global,
    ) -> Result<(Vec<Lane>, Option<String>), Failure> {
        signals::listen();
        let progress = out::progress(global);
        let order = Order {
            policy,
            peers: policy
                .peers
                .iter()
                .filter(|p| p.truth || !p.logs.is_empty())
                .collect(),
            command: "status",
            truth: Some(Carry::Show),
            logs: Some(Carry::Show),
            paths: Vec::new(),
            allow: global.allow.clone(),
            wait: Duration::ZERO,
            full: false,
            progress: progress.as_ref(),
            kept: None,
        };
        let looked = flow::looked(policy, "status", |run| peers::run(&order, run))
            .map_err(|e| Failure::failed(format!("{e:#}")))?;
        progress.done();
        Ok(match looked {
            Ok(ended) => (ended.lanes, None),
            Err(words) => (Vec::new(), Some(words)),
        })
    }
}

fn peer<'a>(policy: &Policy, name: &'a str, lanes: &'a [Lane]) -> StatusPeer<'a> {
    let own: Vec<&Lane> = lanes.iter().filter(|l| l.subject() == name).collect();
    let is_away = own.iter().all(|l| l.outcome() == Outcome::Offline);
    StatusPeer {
        name,
        reachable: (!own.is_empty()).then_some(!is_away),
        pending: own.iter().map(|l| pending(l)).sum(),
        conflicts: own.iter().map(|l| conflicts(l)).sum(),
        lanes: own.into_iter().map(lane).collect(),
        held: held_here(&policy.site, name),
        librarian: memory::passed(policy, name),
    }
}

fn last_run(record: &Record) -> LastRun<'_> {
    let started = chrono::DateTime::parse_from_rfc3339(&record.started).ok();
    LastRun {
        run: &record.run,
        command: &record.command,
        mode: record.mode,
        outcome: record.outcome,
        started: &record.started,
        age_seconds: started.map(|at| (clock::now() - at.to_utc()).num_seconds()),
    }
}

/// A worker that was not asked to end is overdue when its last success, or its start, is three turns old.
fn is_overdue(policy: &Policy, worker: &worker_state::Worker) -> bool {
    if worker.doc.ended.is_some() {
        return false;
    }
    let since = worker
        .doc
        .last_success
        .as_ref()
        .unwrap_or(&worker.doc.started);
    let most = worker.doc.interval_seconds * 3 + policy.schedule.jitter.as_secs();
    let at = chrono::DateTime::parse_from_rfc3339(since).map(|at| at.to_utc());
    let age = at.ok().and_then(|at| (clock::now() - at).to_std().ok());
    !worker.alive || age.is_none_or(|age| age.as_secs() > most)
}

/// A timer that is on is overdue by the same measure; `None`: no timer is.
fn is_timer_late(
    policy: &Policy,
    units: &[installed::Standing],
    standings: &[Standing],
) -> Option<bool> {
    let on =
        |u: &&installed::Standing| u.mode == "timer" && u.applies && u.told.enabled == Some(true);
    let late = |u: &installed::Standing| {
        let most = Duration::from_secs(u.interval_seconds) * 3 + policy.schedule.jitter;
        overview::is_late(standings, &u.lane, most, clock::now())
    };
    units.iter().filter(on).map(late).reduce(|a, b| a || b)
}

fn lane(lane: &Lane) -> StatusLane<'_> {
    let message = lane.message();
    match lane {
        Lane::Truth(t) => StatusLane::Truth {
            outcome: t.outcome,
            pending: pending(lane),
            conflicts: conflicts(lane),
            to_peer: t.changes.iter().filter(|c| c.to == "peer").count(),
            to_local: t.changes.iter().filter(|c| c.to == "local").count(),
            message,
        },
        Lane::Log(l) => StatusLane::Log {
            log: &l.log,
            outcome: l.outcome,
            action: l.action,
            pending: pending(lane),
            bytes: l.bytes,
            have: l.have,
            message,
        },
        Lane::Publish(p) => StatusLane::Publish {
            target: &p.target,
            outcome: p.outcome,
            commit: p.commit.as_deref(),
            message,
        },
    }
}

fn pending(lane: &Lane) -> usize {
    match lane {
        Lane::Truth(t) => t.changes.len(),
        Lane::Log(_) | Lane::Publish(_) => usize::from(lane.outcome() == Outcome::Pending),
    }
}

fn conflicts(lane: &Lane) -> usize {
    match lane {
        Lane::Truth(t) => t.left.iter().filter(|l| l.conflict).count(),
        Lane::Log(_) | Lane::Publish(_) => 0,
    }
}
