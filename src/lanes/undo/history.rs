//! Which runs a rollback is about: the one that is named, and those after it that stand in the way. Reads records only.

use std::collections::{HashMap, HashSet};

use crate::audit::store::{AuditError, Store};
use crate::host::files;
use crate::lanes::log::undo as log_undo;
use crate::model::policy::Policy;
use crate::model::record::{Lane, Mode, Outcome, PublishLane, Record, ResultWord, TruthLane};
use crate::model::snapshot::{FILE, Snapshot};
use crate::model::words::word;

/// Of a snapshot that is read.
const MOST: u64 = 256 << 20;

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// A run's name, the beginning of one, or `last`.
    pub run: &'a str,
    /// Everything down to it, instead of it alone.
    pub down_to: bool,
    pub force: bool,
}

/// Why no run can be taken back.
#[derive(Debug)]
pub enum No {
    Unknown(String),
    Refused(String),
    Unreadable(AuditError),
}

impl From<AuditError> for No {
    fn from(e: AuditError) -> Self {
        match e {
            AuditError::Unknown { .. } | AuditError::Ambiguous { .. } => {
                No::Unknown(format!("{e}; nothing was touched"))
            }
            other => No::Unreadable(other),
        }
    }
}

/// The runs to take back, newest first.
pub fn choose(store: &Store, policy: &Policy, wish: Wish) -> Result<Vec<Record>, No> {
    let named = match store.get(wish.run) {
        // Perhaps the peer drove it: then its record is there, and what it was about to do lies here too.
        Err(e @ AuditError::Unknown { .. }) => snapshot(policy, wish.run)
            .and_then(|s| s.record(&policy.site.name))
            .ok_or(No::from(e))?,
        other => other?,
    };
    let named = filled(policy, named);
    let chosen = match wish.run {
        "last" => last_applied(store, policy, named)?,
        _ => named,
    };
    can_be(policy, &chosen)?;
    let newer = newer_than(store, policy, &chosen, wish.force)?;
    match (wish.down_to, newer.is_empty()) {
        (true, _) => Ok(newer.into_iter().chain([chosen]).collect()),
        (false, true) => Ok(vec![chosen]),
        (false, false) => Err(No::Refused(in_the_way(&newer, &chosen))),
    }
}

/// The record of a run that died is empty; what it was about to do stands in its snapshot.
fn filled(policy: &Policy, mut record: Record) -> Record {
    if died(&record) && record.lanes.is_empty() {
        let known = snapshot(policy, &record.run).and_then(|s| s.lane(&policy.site.name));
        record.lanes.extend(known.map(Lane::Truth));
    }
    record
}

/// What a run wrote down on this host before its first effect.
fn snapshot(policy: &Policy, run: &str) -> Option<Snapshot> {
    // A name and nothing that could lead elsewhere.
    if !run.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return None;
    }
    let pairs = policy.site.state_dir.join("pairs");
    files::names(&pairs).ok()?.iter().find_map(|pair| {
        let file = pairs.join(pair).join("runs").join(run).join(FILE);
        serde_json::from_slice(&files::read_bounded(&file, MOST).ok()?).ok()
    })
}

/// A run that broke off: nobody knows which of its changes were made.
pub fn died(record: &Record) -> bool {
    !record.complete || matches!(record.outcome, Outcome::Interrupted | Outcome::Failed)
}

/// The two-way lanes of a run that may have changed something.
pub fn lanes_of(record: &Record) -> impl Iterator<Item = &TruthLane> {
    let died = died(record);
    let changed = move |t: &&TruthLane| {
        let made = |r: ResultWord| r == ResultWord::Done || (died && r != ResultWord::Skipped);
        t.changes.iter().any(|c| made(c.result))
    };
    let truth = record.lanes.iter().filter_map(|l| match l {
        Lane::Truth(t) => Some(t),
        _ => None,
    });
    truth.filter(changed)
}

/// The targets that a run has published to, or begun to.
pub fn published(record: &Record) -> impl Iterator<Item = &PublishLane> {
    let begun = |p: &&PublishLane| p.changes.iter().any(|c| c.result != ResultWord::Planned);
    record
        .lanes
        .iter()
        .filter_map(|l| match l {
            Lane::Publish(p) => Some(p),
            _ => None,
        })
        .filter(move |p| match p.outcome {
            Outcome::Applied => true,
            Outcome::Failed | Outcome::Interrupted => begun(p),
            _ => false,
        })
}

/// What a run changed, by names that runs share when they changed the same thing.
fn subjects(policy: &Policy, record: &Record) -> HashSet<String> {
    let mut all: HashSet<String> = lanes_of(record)
        .map(|t| format!("truth {}", t.peer))
        .collect();
    let notes = log_undo::of_run(&policy.site.state_dir, &record.run);
    all.extend(notes.iter().map(|n| format!("log {}", n.local)));
    all.extend(published(record).map(|p| format!("target {}", p.target)));
    all
}

fn can_be(policy: &Policy, record: &Record) -> Result<(), No> {
    let run = word(&record.run);
    if record.mode == Mode::DryRun {
        return Err(No::Refused(format!(
            "{run} was a dry run: there is nothing to roll back"
        )));
    }
    if !subjects(policy, record).is_empty() {
        return Ok(());
    }
    let of_log = |l: &&Lane| matches!(l, Lane::Log(_)) && l.outcome() == Outcome::Applied;
    Err(No::Refused(match record.lanes.iter().find(of_log) {
        Some(l) if !l.undoes().is_empty() => format!(
            "{run} put logs back; the next pull brings what was set aside again, once the pair is released: ubos-sync release {}",
            word(l.subject())
        ),
        Some(_) => format!(
            "how the logs were before {run} is no longer kept ([snapshots] keep); nothing was touched"
        ),
        None => format!("{run} changed no file: there is nothing to roll back"),
    }))
}

/// The newest run that changed something, when `last` is asked for.
fn last_applied(store: &Store, policy: &Policy, newest: Record) -> Result<Record, No> {
    for s in store.list()? {
        let pulled = || !log_undo::of_run(&policy.site.state_dir, &s.run).is_empty();
        let applied = s
            .facts
            .as_ref()
            .is_some_and(|f| f.mode == Mode::Apply && (f.changes > 0 || !f.complete || pulled()));
        if applied
            && let Ok(record) = store.read(&s.run).map(|r| filled(policy, r))
            && !subjects(policy, &record).is_empty()
        {
            return Ok(record);
        }
    }
    Ok(newest)
}

/// How far a run has been taken back already.
#[derive(Clone, Copy, PartialEq)]
enum Taken {
    Whole,
    /// Edits were left.
    Part,
}

/// Runs after this one that changed something with the same peers and were not taken back, newest first.
fn newer_than(
    store: &Store,
    policy: &Policy,
    chosen: &Record,
    force: bool,
) -> Result<Vec<Record>, No> {
    let mut taken: HashMap<String, Taken> = HashMap::new();
    let mut standing = Vec::new();
    for record in later(store, policy, chosen)? {
        let undoes: Vec<&String> = record.lanes.iter().flat_map(Lane::undoes).collect();
        let is_taken = taken.contains_key(&record.run);
        if !undoes.is_empty() {
            // A rollback and what it took back cancel out; one that was itself taken back counts as never made, and one
            // that broke off is neither here nor there: the pair waits for it to be run again.
            let how = match record.outcome {
                Outcome::Applied | Outcome::InSync => Taken::Whole,
                Outcome::Partial => Taken::Part,
                _ => continue,
            };
            if !is_taken {
                taken.extend(undoes.into_iter().map(|r| (r.clone(), how)));
            }
            continue;
        }
        if !is_taken {
            standing.push(record);
        }
    }
    // From the oldest on: what a run in the way changed beside has to go back from its newest run on as well.
    let mut touched = subjects(policy, chosen);
    let mut newer = Vec::new();
    for record in standing.into_iter().rev() {
        let own = subjects(policy, &record);
        if own.intersection(&touched).next().is_some() {
            touched.extend(own);
            newer.insert(0, record);
        }
    }
    match taken.get(&chosen.run) {
        Some(Taken::Whole) => Err(No::Refused(format!(
            "{} has been rolled back already; nothing was touched",
            word(&chosen.run)
        ))),
        Some(Taken::Part) if !force => Err(No::Refused(format!(
            "{0} has been rolled back but for what was edited since; to put that back too and keep the edits beside it: ubos-sync rollback {0} --force --apply",
            word(&chosen.run)
        ))),
        _ => Ok(newer),
    }
}

/// Applied runs after this one, newest first; their place in the chain tells, since clocks are set back.
fn later(store: &Store, policy: &Policy, chosen: &Record) -> Result<Vec<Record>, No> {
    let stamp = |run: &str| run.split('-').next().unwrap_or_default().to_owned();
    let mut later = Vec::new();
    for s in store.list()? {
        if stamp(&s.run) < stamp(&chosen.run) {
            break;
        }
        let applied = s.facts.as_ref().is_some_and(|f| f.mode == Mode::Apply);
        let record = applied.then(|| store.read(&s.run).ok()).flatten();
        let record = record.filter(|r| r.sequence > chosen.sequence);
        later.extend(record.map(|r| filled(policy, r)));
    }
    later.sort_by_key(|r| std::cmp::Reverse(r.sequence));
    Ok(later)
}

fn in_the_way(newer: &[Record], chosen: &Record) -> String {
    let names: Vec<String> = newer
        .iter()
        .take(10)
        .map(|r| format!("  {}", word(&r.run)))
        .collect();
    let more = match newer.len() {
        0..=10 => String::new(),
        n => format!("\n  and {} more", n - 10),
    };
    format!(
        "runs after {0} changed the same replicas:\n{1}{more}\nroll all of them back in one go: ubos-sync rollback --to {0}",
        word(&chosen.run),
        names.join("\n")
    )
}
