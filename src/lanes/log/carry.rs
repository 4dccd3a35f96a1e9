//! Carrying one log's step out, and trying again what may pass.
//!
//! Invariant: each attempt keeps what it proved; what is on disk is always a prefix of a real generation.

use std::path::Path;
use std::time::Duration;

use crate::host::clock;
use crate::host::log_files::{self, Found};
use crate::lanes::log::held::{self, Log, Mine};
use crate::lanes::log::plan::Step;
use crate::lanes::log::pull::{self, PullError, Way};
use crate::lanes::log::rotate;
use crate::model::log_state::State;
use crate::model::record::{LogLane, Outcome};
use crate::model::time;

/// How often a broken transfer is tried again, and how long the first pause is.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(400);

/// What carrying out needs to know of one log.
pub struct Job<'a> {
    pub log: &'a Log,
    pub mine: &'a Mine,
    pub state: Option<State>,
    pub state_path: &'a Path,
    /// Its size and time when it was looked at.
    pub size: u64,
    pub mtime_ns: i128,
}

/// Carries a step out and writes down in the lane what came of it. An error leaves what is held as it was, or longer.
pub fn carry(way: &Way, job: &mut Job, step: &Step, lane: &mut LogLane) -> Result<(), PullError> {
    match step {
        Step::Nothing { .. } => keep_time(way, job)?,
        Step::Append { at, .. } => grow(way, job, *at, lane)?,
        Step::First { .. } => {
            note_gone(job, lane);
            grow(way, job, 0, lane)?;
        }
        Step::Aside { .. } => {
            set_aside(job, lane)?;
            lane.outcome = Outcome::Partial;
            grow(way, job, 0, lane)?;
        }
        Step::Rotated { .. } => {
            if turn(way, job, lane)? {
                lane.outcome = Outcome::Partial;
            }
            grow(way, job, 0, lane)?;
        }
        Step::Refused { .. } | Step::Missing | Step::Failed(_) => return Ok(()),
    }
    lane.outcome = match (lane.outcome, step) {
        (Outcome::Partial, _) => Outcome::Partial,
        (_, Step::Nothing { .. }) => Outcome::InSync,
        (_, Step::Append { at, size }) if at == size && lane.bytes == 0 => Outcome::InSync,
        _ => Outcome::Applied,
    };
    Ok(())
}

fn io(e: std::io::Error) -> PullError {
    PullError::Failed(e.to_string())
}

fn turn(way: &Way, job: &mut Job, lane: &mut LogLane) -> Result<bool, PullError> {
    let Some(state) = job.state.clone() else {
        return Ok(false);
    };
    let stamp = time::run_stamp(clock::now());
    let turned = rotate::turn(way, job.log, job.mine, &state, job.state_path, &stamp)?;
    lane.notes.extend(turned.notes);
    lane.bytes += turned.bytes;
    job.state = held::load(job.state_path);
    Ok(turned.has_gap || turned.has_edit)
}

/// Our copy is not where it was left: perhaps a run died after it had archived it, otherwise somebody took it away.
fn note_gone(job: &mut Job, lane: &mut LogLane) {
    let Some(state) = job.state.as_mut() else {
        return;
    };
    if state.local.size == 0 && state.local.ino == 0 {
        return;
    }
    let newest = log_files::generations(&job.log.local)
        .iter()
        .map(|(n, _)| *n)
        .max();
    match newest {
        Some(n) if n >= state.generation => state.generation = n + 1,
        _ => lane.notes.push(
            "the file that was held here had gone; it was fetched again from its beginning".into(),
        ),
    }
    state.local = Default::default();
    state.chunks.clear();
    state.tail = None;
}

/// A file that is not what was left here gets another name; nothing of it is lost.
fn set_aside(job: &mut Job, lane: &mut LogLane) -> Result<(), PullError> {
    let stamp = time::run_stamp(clock::now());
    let aside = log_files::edit_name(&job.log.local, &stamp).map_err(io)?;
    log_files::move_aside(&job.log.local, &aside).map_err(io)?;
    lane.notes.push(format!(
        "the file here is not what was pulled; it is kept as {}, and the log was fetched anew",
        aside.display()
    ));
    if let Some(state) = job.state.as_mut() {
        state.local = Default::default();
        state.chunks.clear();
        state.tail = None;
    }
    Ok(())
}

/// The copy's time follows the other side's.
fn keep_time(way: &Way, job: &mut Job) -> Result<(), PullError> {
    match log_files::look(&job.log.local).map_err(io)? {
        Found::File(now) if now.mtime_ns != job.mtime_ns && job.mtime_ns > 0 => {
            let now = log_files::set_time(&job.log.local, job.mtime_ns).map_err(io)?;
            remember(way, job, now, Vec::new())
        }
        // Touched, or moved to another disk and back: the same bytes, which are remembered as they are now.
        Found::File(now) if job.state.as_ref().is_none_or(|s| s.local != now) => {
            remember(way, job, now, Vec::new())
        }
        _ => Ok(()),
    }
}

fn remember(
    way: &Way,
    job: &mut Job,
    now: crate::model::log_state::Facts,
    chunks: Vec<String>,
) -> Result<(), PullError> {
    let before = job.state.as_ref();
    let generation = before.map_or(1, |s| s.generation);
    let state =
        held::state_of(&way.peer.name, job.log, generation, now, before, chunks).map_err(io)?;
    held::save(job.state_path, &state).map_err(|e| PullError::Failed(e.to_string()))?;
    job.state = Some(state);
    Ok(())
}

/// Gets everything behind `at`, in as many attempts as it takes.
fn grow(way: &Way, job: &mut Job, at: u64, lane: &mut LogLane) -> Result<(), PullError> {
    let mut at = at;
    let mut tries = 0;
    if at >= job.size && at > 0 {
        // Already all there: an unfinished commit of ours, or a file that was adopted.
        return keep_time(way, job);
    }
    loop {
        tries += 1;
        let why = match pull::pull(way, job.log, &job.log.remote, at) {
            Ok(staged) => {
                let (end, cut) = (staged.end, staged.why_cut.clone());
                commit(way, job, staged, lane)?;
                at = end;
                match cut {
                    None => return Ok(()),
                    Some(why) => PullError::Broke(why),
                }
            }
            Err(e @ PullError::Broke(_)) => e,
            Err(e) => return Err(e),
        };
        if tries >= TRIES || crate::host::signals::stop_wish().is_some() {
            return Err(why);
        }
        // Not all at the same moment when a server comes back.
        let jitter = u64::from(std::process::id() % 100);
        clock::sleep(PAUSE * 2_u32.pow(tries - 1) + Duration::from_millis(jitter));
    }
}

fn commit(
    way: &Way,
    job: &mut Job,
    staged: pull::Staged,
    lane: &mut LogLane,
) -> Result<(), PullError> {
    let log = job.log;
    let unwritten = |e| pull::unwritten(log, &e);
    let exists = log_files::look(&job.log.local).map_err(io)? != Found::Nothing;
    let (now, lines, chunks) = if staged.at == 0 && !exists {
        let now =
            log_files::put(&staged.file, &job.log.local, staged.mtime_ns).map_err(unwritten)?;
        let sums = staged.sums.unwrap_or_default();
        (now, sums.lines, sums.chunks)
    } else {
        let (now, lines) = log_files::append(
            &job.log.local,
            &staged.file,
            staged.at,
            staged.end,
            staged.mtime_ns,
        )
        .map_err(unwritten)?;
        (now, lines, Vec::new())
    };
    lane.bytes += staged.end - staged.at;
    *lane.lines.get_or_insert(0) += lines;
    remember(way, job, now, chunks)
}
