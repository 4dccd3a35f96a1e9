//! `health`: one answer for monitors: has every lane of every peer succeeded recently, and does the worker live?

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;

use super::args::{Global, duration};
use super::documents::{self, HealthLane};
use super::failure::Failure;
use super::out;
use super::worker_state;
use crate::audit::catalog::Facts;
use crate::audit::store::Store;
use crate::host::{clock, policy_file};
use crate::model::exit;
use crate::model::overview;
use crate::model::policy::Policy;
use crate::model::record::{Record, SCHEMA};
use crate::model::text::age;

/// Exit 0 only if every lane of every peer succeeded recently
#[derive(Debug, Args)]
pub struct Health {
    /// How old the last success of a lane may be [default: three intervals and the jitter]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_age: Option<Duration>,
    /// A live worker is asked for too
    #[arg(long)]
    worker: bool,
}

/// One lane of one peer.
struct Row {
    peer: String,
    lane: &'static str,
    last: Option<DateTime<Utc>>,
}

impl Health {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let most = self
            .max_age
            .unwrap_or(policy.schedule.interval * 3 + policy.schedule.jitter);
        let rows = rows(&policy, most)?;
        let worker = worker_state::read(&policy);
        let old = |r: &Row| {
            r.last
                .and_then(|at| (clock::now() - at).to_std().ok())
                .is_none_or(|age| age > most)
        };
        let alive = !self.worker || worker.as_ref().is_some_and(|w| w.alive);
        let healthy = alive && !rows.iter().any(old);
        let code = if healthy { exit::DONE } else { exit::FAILED };
        if global.json {
            let lanes: Vec<_> = rows
                .iter()
                .map(|r| HealthLane {
                    peer: &r.peer,
                    lane: r.lane,
                    healthy: !old(r),
                    last_success: r.last.map(crate::model::time::rfc3339),
                })
                .collect();
            out::json(&documents::Health {
                schema: SCHEMA,
                command: "health",
                healthy,
                exit_code: code,
                max_age_seconds: most.as_secs(),
                lanes,
                worker: worker.as_ref(),
            });
            return Ok(code);
        }
        for r in &rows {
            let said = match r.last {
                None => "has not succeeded in any record that is kept".to_owned(),
                Some(at) => format!(
                    "last succeeded {} ago",
                    age((clock::now() - at).num_seconds())
                ),
            };
            let word = if old(r) { "OLD" } else { "ok" };
            out::line(&format!("{word:<4} {} of {} {said}", r.lane, r.peer));
        }
        if self.worker {
            match &worker {
                Some(w) if w.alive => {
                    out::line(&format!("ok   the worker lives, process {}", w.doc.pid))
                }
                _ => out::line("DOWN no worker lives; to start one: ubos-sync watch --apply"),
            }
        }
        if !healthy {
            out::note("not healthy; to see why: ubos-sync status, ubos-sync runs list");
        }
        Ok(code)
    }
}

/// The last success of each lane that the policy asks for. Records that are older than what is asked are not opened.
fn rows(policy: &Policy, most: Duration) -> Result<Vec<Row>, Failure> {
    let wanted = overview::wanted(policy).into_iter();
    let mut rows: Vec<Row> = wanted
        .filter(|(_, lane)| *lane != "publish")
        .map(|(peer, lane)| Row {
            peer,
            lane,
            last: None,
        })
        .collect();
    let store = Store::open(&policy.audit.dir).map_err(|e| Failure::failed(e.to_string()))?;
    let all = store.list().map_err(|e| Failure::failed(e.to_string()))?;
    for s in all {
        let Some(f) = s.facts.filter(Facts::is_applied) else {
            continue;
        };
        let Ok(at) = DateTime::parse_from_rfc3339(&f.started) else {
            continue;
        };
        let at = at.to_utc();
        let too_old = (clock::now() - at)
            .to_std()
            .is_ok_and(|age| age > most * 20);
        if rows.iter().all(|r| r.last.is_some()) || too_old {
            break;
        }
        let Ok(record) = store.read(&s.run) else {
            continue;
        };
        for row in rows.iter_mut().filter(|r| r.last.is_none()) {
            if has_succeeded(&record, row) {
                row.last = Some(at);
            }
        }
    }
    Ok(rows)
}

fn has_succeeded(record: &Record, row: &Row) -> bool {
    let own = || overview::worst(record, &row.peer, row.lane);
    record.command != "librarian" && own().is_some_and(|l| overview::is_good(l.outcome()))
}
