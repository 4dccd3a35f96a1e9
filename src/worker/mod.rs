//! The loop that runs by itself: decide, one cycle, wait for the turn or for changed files.
//!
//! Invariants: one worker for each state directory; the site's lock is held only during a cycle, so people are let in between; a
//! bad policy never replaces a good one; a stop ends the loop by its own code, with its last word written.

mod cycle;
mod echo;
mod wait;

use std::path::PathBuf;
use std::time::Duration;

use crate::audit::store::Store;
use crate::host::{clock, events, files, policy_file, process, signals, supervisor};
use crate::lanes::kept::Kept;
use crate::lanes::reach;
use crate::model::policy::Policy;
use crate::model::record::{Mode, Outcome, Record, SCHEMA};
use crate::model::retry;
use crate::model::time;
use crate::model::turn::{Decision, Known, Reason, decide};
use crate::model::worker_doc::WorkerDoc;

use cycle::{Scope, cycle};
use echo::Brought;
use wait::{Wait, Woken};

/// What is asked of the worker.
pub struct Order {
    /// As it was given on the command line, so that it is found again.
    pub policy: Option<PathBuf>,
    pub apply: bool,
    /// Instead of the policy's.
    pub interval: Option<Duration>,
    pub once: bool,
    pub allow: Vec<String>,
}

/// How it ended.
pub enum End {
    /// One cycle was wanted: its record.
    Once(Box<Record>),
    /// Asked to stop.
    Stopped,
    /// So many cycles failed in a row.
    GaveUp(u64),
    /// Another worker lives: who, in words.
    Other(String),
}

struct Worker<'a> {
    order: &'a Order,
    policy: Policy,
    doc: WorkerDoc,
    /// Early tries since the last cycle that did not fail for a passing reason.
    tries: u32,
    /// The last cycle did not come to an end with every peer: what it was about has to be looked at again.
    unfinished: bool,
}

/// Runs until it is stopped, gives up, or has done its one cycle.
pub fn watch(order: &Order, policy: Policy) -> anyhow::Result<End> {
    let dir = policy.site.state_dir.clone();
    files::private_dir(&dir)?;
    let words = format!(
        "pid {} on {}, since {}",
        std::process::id(),
        policy.site.name,
        time::rfc3339(clock::now())
    );
    let _lock = match files::try_lock(&dir.join(WorkerDoc::LOCK), &words)? {
        files::Locked::Ours(file) => file,
        files::Locked::Theirs(words) => return Ok(End::Other(words.trim().to_owned())),
    };
    signals::listen();
    let mut worker = Worker {
        order,
        doc: WorkerDoc {
            schema: SCHEMA,
            pid: std::process::id(),
            host: process::host_name(),
            started: time::rfc3339(clock::now()),
            applies: order.apply,
            ..WorkerDoc::default()
        },
        policy,
        tries: 0,
        unfinished: false,
    };
    worker.doc.interval_seconds = worker.interval().as_secs();
    if order.once {
        let record = cycle(
            &worker.policy,
            order,
            Reason::Manual.word(),
            &Scope::All,
            None,
        )?;
        worker.count(&record);
        worker.say_ended("one cycle was wanted");
        return Ok(End::Once(Box::new(record)));
    }
    reach::sweep_workers(&dir);
    let kept = Kept::new(&dir).map_err(|e| anyhow::anyhow!("{e}"))?;
    worker.save();
    supervisor::ready();
    tracing::info!(
        site = worker.policy.site.name,
        interval = worker.doc.interval_seconds,
        applies = order.apply,
        "the worker has started"
    );
    let end = worker.run(&kept)?;
    supervisor::stopping();
    worker.say_ended(match &end {
        End::GaveUp(_) => "too many failures in a row",
        _ => "asked to stop",
    });
    Ok(end)
}

impl Worker<'_> {
    fn interval(&self) -> Duration {
        self.order.interval.unwrap_or(self.policy.schedule.interval)
    }

    fn run(&mut self, kept: &Kept) -> anyhow::Result<End> {
        let mut waiting = Wait::new(&self.policy, kept);
        let mut reason = Reason::Startup;
        let mut scope = Scope::All;
        let mut changed = 0;
        loop {
            let mut brought = Brought::default();
            match self.decision(reason, changed) {
                Decision::Skip(why, later) => {
                    self.doc.skipped += 1;
                    tracing::info!(reason = reason.word(), "skipped: {why}");
                    waiting.not_before(later);
                }
                Decision::Sync(word) => {
                    waiting.taken();
                    let mut again = None;
                    match cycle(&self.policy, self.order, word, &scope, Some(kept)) {
                        Ok(record) => {
                            brought = Brought::by(&record);
                            again = self.count(&record);
                        }
                        Err(e) => {
                            self.unfinished = true;
                            self.doc.cycles += 1;
                            self.doc.failed += 1;
                            self.doc.failures_in_row += 1;
                            tracing::error!("the cycle could not even begin: {e:#}");
                        }
                    }
                    match again {
                        Some(pause) => waiting.next_turn(pause, Duration::ZERO),
                        None => waiting.next_turn(self.interval(), self.policy.schedule.jitter),
                    }
                }
            }
            if signals::stop_wish().is_some() {
                return Ok(End::Stopped);
            }
            let most = self.policy.schedule.max_failures;
            if most > 0 && self.doc.failures_in_row >= most {
                tracing::error!(failures = most, "giving up");
                return Ok(End::GaveUp(most));
            }
            self.doc.next_run = Some(time::rfc3339(waiting.turn()));
            self.save();
            supervisor::status(&format!(
                "{} cycles, last {}, next at {}",
                self.doc.cycles,
                self.doc.last_outcome.as_deref().unwrap_or("none"),
                self.doc.next_run.as_deref().unwrap_or_default()
            ));
            match waiting.wait(&self.policy, kept, brought) {
                Woken::Stop => return self.last_cycle(kept),
                Woken::Wake => {
                    // What a connection was before the sleep says nothing about what it is now.
                    kept.lose();
                    (reason, scope, changed) = (Reason::Wake, Scope::All, waiting.pending());
                }
                Woken::Turn => {
                    reason = match self.tries {
                        0 => Reason::Scheduled,
                        _ => Reason::Retry,
                    };
                    (scope, changed) = (Scope::All, waiting.pending());
                }
                Woken::Changes(paths) => {
                    changed = waiting.pending();
                    scope = match self.unfinished {
                        false => paths.map_or(Scope::All, Scope::Paths),
                        true => Scope::All,
                    };
                    reason = Reason::Changes;
                }
                Woken::Policy => {
                    self.reload(&mut waiting, kept);
                    (reason, scope, changed) = (Reason::Scheduled, Scope::All, waiting.pending());
                }
            }
        }
    }

    /// The policy may want one more when the worker is asked to stop.
    fn last_cycle(&mut self, kept: &Kept) -> anyhow::Result<End> {
        if let Decision::Sync(word) = self.decision(Reason::Exit, 0) {
            signals::forget();
            match cycle(&self.policy, self.order, word, &Scope::All, Some(kept)) {
                Ok(record) => {
                    self.count(&record);
                }
                Err(e) => tracing::error!("the last cycle could not begin: {e:#}"),
            }
        }
        Ok(End::Stopped)
    }

    fn decision(&self, reason: Reason, changed: u64) -> Decision {
        let known = Known {
            since_last: self.since_last(),
            changed,
            force: false,
        };
        let mut schedule = self.policy.schedule.clone();
        schedule.interval = self.interval();
        if self.order.interval.is_some() {
            // Who gives an interval by hand wants that one.
            schedule.min_interval = schedule.min_interval.min(schedule.interval);
        }
        decide(&schedule, reason, &known)
    }

    /// Since the last run of any kind that carried something out, by whomever.
    fn since_last(&self) -> Option<Duration> {
        let store = Store::open(&self.policy.audit.dir).ok()?;
        let mode = if self.order.apply {
            Mode::Apply
        } else {
            Mode::DryRun
        };
        let newest = store.newest(50).ok()?.into_iter().find_map(|s| {
            s.facts.filter(|f| {
                f.mode == mode
                    && f.complete
                    && ["full", "truth", "logs"].contains(&f.command.as_str())
                    && !matches!(
                        f.outcome,
                        Outcome::Locked | Outcome::Offline | Outcome::Interrupted
                    )
            })
        })?;
        let at = chrono::DateTime::parse_from_rfc3339(&newest.started).ok()?;
        (clock::now() - at.to_utc()).to_std().ok()
    }

    /// Counts what a cycle came to; when it failed for a passing reason, how soon to try again.
    fn count(&mut self, record: &Record) -> Option<Duration> {
        self.doc.cycles += 1;
        self.doc.add(record);
        self.doc.last_run = Some(record.run.clone());
        self.doc.last_outcome = Some(record.outcome.word().to_owned());
        self.unfinished = !record.lanes.iter().all(cycle::is_finished) || record.lanes.is_empty();
        let mut again = None;
        match record.outcome {
            Outcome::Failed | Outcome::Refused => {
                self.doc.failed += 1;
                again = self.again(record);
                match again {
                    Some(_) => self.tries += 1,
                    None => {
                        self.doc.failures_in_row += 1;
                        self.tries = 0;
                    }
                }
            }
            // Nobody's fault, and no success either.
            Outcome::Offline | Outcome::Locked | Outcome::Skipped | Outcome::Interrupted => {}
            _ => {
                self.doc.succeeded += 1;
                self.doc.failures_in_row = 0;
                self.tries = 0;
                self.doc.last_success = Some(time::rfc3339(clock::now()));
            }
        }
        let said = format!(
            "{}: {} in {:.1} s",
            record.run,
            record.outcome.word(),
            record.seconds
        );
        match record.exit_code {
            0 | 5 | 6 => tracing::info!(reason = record.who.reason, "{said}"),
            _ => tracing::warn!(
                reason = record.who.reason,
                "{said}; ubos-sync runs show {}",
                record.run
            ),
        }
        again
    }

    fn again(&self, record: &Record) -> Option<Duration> {
        let dice = u64::try_from(clock::now_ns() / 1000).unwrap_or(0);
        let pause = || retry::pause(self.tries, self.interval(), dice);
        retry::is_transient(record).then(pause).flatten()
    }

    fn reload(&mut self, waiting: &mut Wait, kept: &Kept) {
        match policy_file::load(self.order.policy.as_deref()) {
            Ok(new) if new.site.state_dir != self.policy.site.state_dir => tracing::warn!(
                "the changed policy has another state_dir: that needs a new worker; the old policy stays"
            ),
            Ok(new) => {
                tracing::info!(digest = new.digest, "the changed policy is valid and taken");
                self.policy = new;
                self.doc.interval_seconds = self.interval().as_secs();
                // Peers, ways to them and what is listened to may all be others now.
                kept.clear();
                *waiting = Wait::new(&self.policy, kept);
            }
            Err(e) => tracing::warn!("the changed policy is not valid, the old one stays: {e}"),
        }
    }

    fn save(&self) {
        let text = serde_json::to_string_pretty(&self.doc).unwrap_or_default();
        let file = self.policy.site.state_dir.join(WorkerDoc::FILE);
        if let Err(e) = files::write_atomic(&file, text.as_bytes(), files::Sync::Content) {
            tracing::warn!("{e}");
        }
    }

    fn say_ended(&mut self, why: &str) {
        self.doc.ended = Some(format!("{} ({why})", time::rfc3339(clock::now())));
        self.doc.next_run = None;
        self.save();
        tracing::info!("the worker has ended ({why}): {}", self.doc.sum());
    }
}

/// Whether the policy file is another than before.
fn changed_stamp(policy: &Policy, before: &mut Option<(u64, i128)>) -> bool {
    let now = events::stamp(&policy.file);
    let changed = now.is_some() && now != *before;
    *before = now.or(*before);
    changed
}
