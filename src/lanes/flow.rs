//! One run from beginning to end: the site's lock, an open record, the work, the record closed.
//!
//! Invariants: a dry run is the same run stopped after the guards; there is no effect without an open record; the record is
//! closed on every way out. Every command that plans or changes something comes through [`recorded`].

use std::time::Duration;

use crate::audit::store::{self, OpenRun, Store};
use crate::host::{clock, files, process, signals};
use crate::lanes::lock::{NoLock, locked, no_lock, site_lock};
use crate::lanes::{memory, outside};
use crate::model::exit;
use crate::model::finding::{Finding, Severity};
use crate::model::policy::Policy;
use crate::model::record::{Lane, Mode, Outcome, PolicyRef, Record, Who};
use crate::model::time;
use crate::tool::units::{AGENT_LOG, AGENT_LOG_MOST};

/// What a run is, before it does anything.
pub struct Setup<'a> {
    pub policy: &'a Policy,
    pub command: &'a str,
    pub mode: Mode,
    /// Why it runs: `manual`, `scheduled`, …
    pub reason: &'a str,
    /// How long to wait for the lock.
    pub wait: Duration,
    /// Whether it only says if all is as it should be: something to do is a failure then.
    pub is_check: bool,
    /// Words of the command line that the next command must repeat.
    pub repeat: Vec<String>,
}

/// A run under way: its name, and the proof that its record is open. A mere look has none, and can therefore change nothing.
pub struct Run<'a> {
    pub id: &'a str,
    pub open: Option<&'a OpenRun>,
}

/// What the work of a run, or a part of it, came to.
#[derive(Debug, Default)]
pub struct Ended {
    pub lanes: Vec<Lane>,
    pub findings: Vec<Finding>,
    /// Of work that belongs to no lane.
    pub outcome: Option<Outcome>,
}

impl Ended {
    pub fn extend(&mut self, more: Ended) {
        self.lanes.extend(more.lanes);
        self.outcome = self.outcome.or(more.outcome);
        self.findings.extend(more.findings);
    }
}

/// Does `work` under the site's lock and with an open record; returns the record as it was closed.
pub fn recorded(setup: &Setup, work: impl FnOnce(&Run) -> Ended) -> anyhow::Result<Record> {
    let store = Store::open(&setup.policy.audit.dir)?;
    let started = clock::monotonic();
    let at = clock::now();
    let id = store::new_run_id(at, setup.command)?;
    let mut record = blank(setup, &id, at);
    match site_lock(&setup.policy.site, setup.command, setup.wait) {
        Ok(lock) => {
            store.mark_dead(&is_alive)?;
            let open = store.begin(record.clone())?;
            let ended = work(&Run {
                id: &id,
                open: Some(&open),
            });
            record.lanes = ended.lanes;
            record.findings = ended.findings;
            finish(&mut record, setup, ended.outcome, started.elapsed());
            drop(lock);
            record = closed(open, record)?;
            let _ = store.prune(setup.policy.audit.keep, clock::now(), &[]);
            // launchd appends to it for ever.
            let _ = files::turn_over(&setup.policy.audit.dir.join(AGENT_LOG), AGENT_LOG_MOST);
        }
        Err(why) => {
            let open = store.begin(record.clone())?;
            let (outcome, finding) = not_locked(setup, why);
            record.outcome = outcome;
            record.exit_code = exit::code_of(outcome, false);
            record.seconds = started.elapsed().as_secs_f64();
            record.findings.push(finding);
            record = closed(open, record)?;
        }
    }
    record.complete = true;
    if setup.mode == Mode::Apply {
        memory::remember(setup.policy, &record);
        // After the record is closed and the lock is let go: whoever is told may take their time.
        for trouble in outside::tell(setup.policy, &store, &record) {
            tracing::warn!("{trouble}");
            record.findings.push(Finding {
                guard: "notify".into(),
                severity: Severity::Warn,
                peer: None,
                message: trouble,
                hint: "ubos-sync check".into(),
            });
        }
    }
    Ok(record)
}

/// Its place in the chain is told by the store alone.
fn closed(open: OpenRun, record: Record) -> anyhow::Result<Record> {
    Ok(Record {
        previous: String::new(),
        sequence: 0,
        ..open.close(record)?
    })
}

/// Does `work` under the site's lock without leaving a record: it can only look. `None`: another run holds the lock (who, in
/// words).
pub fn looked(
    policy: &Policy,
    command: &str,
    work: impl FnOnce(&Run) -> Ended,
) -> anyhow::Result<Result<Ended, String>> {
    let id = store::new_run_id(clock::now(), command)?;
    match site_lock(&policy.site, command, Duration::ZERO) {
        Ok(_lock) => Ok(Ok(work(&Run {
            id: &id,
            open: None,
        }))),
        Err(NoLock::Held(words)) => Ok(Err(words)),
        Err(NoLock::Unusable(e)) => anyhow::bail!("the lock cannot be taken: {e}"),
    }
}

fn not_locked(setup: &Setup, why: NoLock) -> (Outcome, Finding) {
    let site = &setup.policy.site;
    match why {
        NoLock::Held(words) => (Outcome::Locked, locked(&site.name, &words)),
        NoLock::Unusable(e) => (
            Outcome::Refused,
            no_lock(
                None,
                format!("the lock on {} cannot be taken: {e}", site.name),
                format!("ls -la {}", site.state_dir.display()),
            ),
        ),
    }
}

fn blank(setup: &Setup, run: &str, at: chrono::DateTime<chrono::Utc>) -> Record {
    let mut record = Record::open(run, setup.command, setup.mode, &time::rfc3339(at));
    record.who = Who {
        user: process::user(),
        host: process::host_name(),
        site: setup.policy.site.name.clone(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        reason: setup.reason.to_owned(),
    };
    record.policy = PolicyRef {
        file: setup.policy.file.display().to_string(),
        digest: setup.policy.digest.clone(),
    };
    record.repeat.clone_from(&setup.repeat);
    record
}

fn is_alive(who: &Who) -> bool {
    who.host == process::host_name() && process::is_running(who.pid)
}

/// The run's outcome is its worst lane; peers that are away do not spoil the others.
fn finish(record: &mut Record, setup: &Setup, beside: Option<Outcome>, took: Duration) {
    let lanes = record.lanes.iter().map(Lane::outcome);
    let mut outcomes: Vec<Outcome> = lanes.chain(beside).collect();
    let away = |o: &Outcome| *o == Outcome::Unreachable;
    let all_away = outcomes.iter().all(away);
    for outcome in &mut outcomes {
        // A fan-out is whole or it is not: a target that is away while others were reached makes it a failure in part.
        *outcome = match *outcome {
            Outcome::Unreachable if all_away => Outcome::Offline,
            Outcome::Unreachable | Outcome::Behind | Outcome::Missing | Outcome::Modified => {
                Outcome::Failed
            }
            Outcome::Current => Outcome::InSync,
            other => other,
        };
    }
    let outcome = [
        Outcome::Interrupted,
        Outcome::Failed,
        Outcome::Refused,
        Outcome::Locked,
        Outcome::Partial,
        Outcome::Applied,
        Outcome::Pending,
        Outcome::InSync,
        Outcome::Skipped,
        Outcome::Offline,
    ]
    .into_iter()
    .find(|o| outcomes.contains(o))
    .unwrap_or(Outcome::InSync);
    let outcome = match outcome {
        // Of a refused run a script believes that nothing was touched.
        Outcome::Refused | Outcome::Locked if outcomes.contains(&Outcome::Applied) => {
            Outcome::Failed
        }
        other => other,
    };
    let left = record.lanes.iter().any(Lane::has_left);
    record.outcome = outcome;
    record.exit_code = match (outcome, signals::stop_wish()) {
        (Outcome::Interrupted, Some(15 | 1)) => exit::TERMINATED,
        (Outcome::Pending | Outcome::Partial, _) if setup.is_check => exit::FAILED,
        _ => exit::code_of(outcome, left),
    };
    let mut plans = record.lanes.iter().filter_map(Lane::plan);
    record.plan = match (plans.next(), plans.next()) {
        (Some(only), None) => Some(only.to_owned()),
        _ => None,
    };
    record.seconds = took.as_secs_f64();
}
