//! Once a second, in a thread of its own: what is known on this host, for the live screen.
//!
//! Invariants: nothing is changed and no peer is asked; no lock of a run is touched, not even to see whether it is held (for that
//! moment the run that wants it would not get it); what has not changed is not read again.

use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::News;
use crate::audit::catalog::Summary;
use crate::audit::store::Store;
use crate::cli::render::live::Facts;
use crate::cli::worker_state;
use crate::host::{clock, events, files, policy_file, process};
use crate::lanes::truth::hosts::held_here;
use crate::lanes::{installed, memory};
use crate::model::conflict::{State, conflicts};
use crate::model::overview::{self, Standing};
use crate::model::policy::Policy;
use crate::model::record::Record;
use crate::model::under_way::UnderWay;
use crate::model::verdict::{Known, verdict};

const EVERY: Duration = Duration::from_secs(1);
/// The service manager is a program that has to be started.
const UNITS_EVERY: Duration = Duration::from_secs(30);
/// Runs on the screen: as many as the widest has columns.
const NEWEST: usize = 240;
/// Of these, the applied ones are read whole, to see how the lanes stand.
const READ: usize = 50;

struct Looking {
    /// As the command line named it.
    named: Option<PathBuf>,
    policy: Policy,
    stamp: Option<(u64, i128)>,
    /// What is wrong with the policy, and with the records.
    trouble: Option<String>,
    unread: Option<String>,
    runs: Vec<Summary>,
    standings: Vec<Standing>,
    /// Conflicts that wait for a person.
    open: usize,
    units: Option<Vec<Value>>,
    units_at: Option<Instant>,
}

/// Looks for as long as somebody listens.
pub fn start(named: Option<PathBuf>, policy: Policy, news: Sender<News>) {
    let mut looking = Looking {
        named,
        stamp: events::stamp(&policy.file),
        policy,
        trouble: None,
        unread: None,
        runs: Vec::new(),
        standings: Vec::new(),
        open: 0,
        units: None,
        units_at: None,
    };
    // The records and the policy's lanes come first, because they are there at once.
    std::thread::spawn(move || {
        looking.read_runs(true);
        while news.send(News::Facts(Box::new(looking.facts()))).is_ok() {
            looking.again();
            clock::sleep(EVERY);
        }
    });
}

impl Looking {
    fn again(&mut self) {
        let stamp = events::stamp(&self.policy.file);
        let is_new = stamp != self.stamp;
        if is_new {
            self.stamp = stamp;
            match policy_file::load(self.named.as_deref()) {
                Ok(policy) => (self.policy, self.trouble) = (policy, None),
                Err(_) => {
                    let said =
                        "The policy is not valid any more, this is by the old one: ubos-sync check";
                    self.trouble = Some(said.into());
                }
            }
        }
        self.read_runs(is_new);
        let now = clock::monotonic();
        let is_time = |at: Instant| now.duration_since(at) >= UNITS_EVERY;
        if is_new || self.units_at.is_none_or(is_time) {
            self.units_at = Some(now);
            let all = installed::all(&self.policy);
            self.units = Some(all.iter().map(|u| json!(u)).collect());
        }
    }

    fn read_runs(&mut self, anew: bool) {
        let read = Store::open(&self.policy.audit.dir)
            .and_then(|store| Ok((store.newest_beside(NEWEST, &self.runs)?, store)));
        let (runs, store) = match read {
            Ok(read) => {
                self.unread = None;
                read
            }
            Err(e) => {
                self.unread = Some(format!("The records cannot be read: {e}"));
                return;
            }
        };
        if runs == self.runs && !anew {
            return;
        }
        self.runs = runs;
        let applied = self.runs.iter().take(READ).filter(|s| s.is_applied());
        let records: Vec<Record> = applied.filter_map(|s| store.read(&s.run).ok()).collect();
        self.standings = overview::standings(&self.policy, &records);
        let all = conflicts(&records).into_iter();
        self.open = all.filter(|c| c.state == State::Open).count();
    }

    fn facts(&self) -> Facts {
        let policy = &self.policy;
        let held = policy.peers.iter().filter_map(|p| {
            let why = held_here(&policy.site, &p.name)?;
            Some((p.name.clone(), why))
        });
        let worker = worker_state::read_by_process(policy).map(|w| (w.alive, w.doc));
        let died = |(alive, doc): &(bool, _)| {
            let doc: &crate::model::worker_doc::WorkerDoc = doc;
            !alive && doc.ended.is_none()
        };
        let told = |u: &Value| u["next_run"].as_str().map(str::to_owned);
        let of_worker = worker.as_ref().and_then(|(_, doc)| doc.next_run.clone());
        Facts {
            site: policy.site.name.clone(),
            verdict: verdict(&Known {
                now: clock::now(),
                most: policy.schedule.interval * 3 + policy.schedule.jitter,
                standings: &self.standings,
                open: self.open,
                worker_died: worker.as_ref().is_some_and(died),
            }),
            standings: self.standings.clone(),
            held: held.collect(),
            streak: memory::streak(policy),
            next_run: of_worker.or_else(|| self.units.iter().flatten().find_map(told)),
            worker,
            units: self.units.clone(),
            runs: self.runs.clone(),
            under_way: under_way(policy),
            looked: clock::now(),
            trouble: self.trouble.clone().or_else(|| self.unread.clone()),
        }
    }
}

/// The run under way, if the process that told of it still lives.
fn under_way(policy: &Policy) -> Option<UnderWay> {
    let file = policy.site.state_dir.join(UnderWay::FILE);
    let bytes = files::read_bounded(&file, 1 << 20).ok()?;
    let doc: UnderWay = serde_json::from_slice(&bytes).ok()?;
    process::is_running(doc.pid).then_some(doc)
}
