//! Putting pulled logs back to the bytes they had before a run. What the run brought is set aside under names of its own.
//!
//! Invariants: what lay there is written down before a run's first effect on it; nothing is cut before its copy is on disk; a log
//! that somebody changed since is left unless that is asked for, and then the change is in what is set aside.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::host::link::Link;
use crate::host::{clock, files, log_files, process};
use crate::lanes::flow::{Ended, Run};
use crate::lanes::log::held::{self, Log};
use crate::lanes::truth::hosts::pair_id;
use crate::model::finding::{Finding, Severity};
use crate::model::log_state::State;
use crate::model::log_undo::{ASIDE, Before, Member, Move, Plan, SCHEMA, plan};
use crate::model::policy::Policy;
use crate::model::progress::Progress;
use crate::model::record::{Action, Lane, LogLane, Outcome};
use crate::model::text::{count, hex, neutral, neutral_bytes, size, unhex};
use crate::model::time;
use crate::tool::remote;

/// Of a note that is read.
const MOST: u64 = 64 << 20;

fn notes(state_dir: &Path) -> PathBuf {
    state_dir.join("logs-undo")
}

fn path(hexed: &str) -> Option<PathBuf> {
    Some(PathBuf::from(OsString::from_vec(unhex(hexed)?)))
}

fn members(local: &Path) -> std::io::Result<Vec<Member>> {
    let all = log_files::family(local)?.into_iter();
    let ours = all.filter(|(name, _)| !is_aside(local, name));
    Ok(ours
        .map(|(name, facts)| Member {
            name: hex(name.as_bytes()),
            facts,
        })
        .collect())
}

fn is_aside(local: &Path, name: &OsStr) -> bool {
    let own = local.file_name().map_or(0, OsStr::len);
    let rest = name.as_bytes().get(own..).unwrap_or_default();
    rest.windows(ASIDE.len()).any(|w| w == ASIDE)
}

/// What was written down before one log was pulled.
pub struct Note {
    at: PathBuf,
    before: Before,
    local: PathBuf,
}

/// Writes down how a log is, before a run changes it.
pub fn begin(
    state_dir: &Path,
    run: &str,
    peer: &str,
    log: &Log,
    state: Option<&State>,
) -> std::io::Result<Note> {
    let own = held::state_path(state_dir, peer, log);
    let dir = notes(state_dir).join(run);
    let at = dir.join(own.file_name().unwrap_or_default());
    // A second look within one run: how it was before the first is what counts.
    let local = log.local.clone();
    if let Some(before) = read(&at) {
        return Ok(Note { at, before, local });
    }
    let before = Before {
        schema: SCHEMA,
        run: run.to_owned(),
        peer: peer.to_owned(),
        remote: hex(&log.remote),
        local: hex(log.local.as_os_str().as_bytes()),
        state: state.cloned(),
        members: members(&log.local)?,
        after: None,
    };
    let note = Note { at, before, local };
    files::private_dir(&notes(state_dir)).map_err(std::io::Error::other)?;
    files::private_dir(&dir).map_err(std::io::Error::other)?;
    note.save()?;
    Ok(note)
}

impl Note {
    fn save(&self) -> std::io::Result<()> {
        let text = serde_json::to_string(&self.before)?;
        files::write_atomic(&self.at, text.as_bytes(), files::Sync::Content)
            .map_err(std::io::Error::other)
    }

    /// Writes down what the run left; a note of nothing goes away.
    pub fn end(self) {
        let Ok(after) = members(&self.local) else {
            return;
        };
        if after == self.before.members {
            let _ = files::remove_file(&self.at);
            return;
        }
        // Without it a rollback only knows less of what was changed since, so nothing waits for the disk.
        let text = serde_json::to_string(&after).unwrap_or_default();
        let _ = files::write_atomic(&after_of(&self.at), text.as_bytes(), files::Sync::Later);
    }
}

/// Where it stands what the run left.
fn after_of(at: &Path) -> PathBuf {
    at.with_extension("after")
}

fn read(at: &Path) -> Option<Before> {
    let mut note: Before = serde_json::from_slice(&files::read_bounded(at, MOST).ok()?).ok()?;
    let after = files::read_bounded(&after_of(at), MOST).ok();
    note.after = after.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    (note.schema <= SCHEMA).then_some(note)
}

/// What a run wrote down of the logs that it changed.
pub fn of_run(state_dir: &Path, run: &str) -> Vec<Before> {
    // A name and nothing that could lead elsewhere.
    if !run.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    let dir = notes(state_dir).join(run);
    let mut names = files::names(&dir).unwrap_or_default();
    names.sort();
    let notes = names.iter().map(|n| dir.join(n));
    let notes = notes.filter(|n| n.extension().is_some_and(|x| x == "json"));
    notes.filter_map(|n| read(&n)).collect()
}

/// The newest runs keep their notes.
pub fn prune(state_dir: &Path, keep: u64) {
    let dir = notes(state_dir);
    let mut names = files::names(&dir).unwrap_or_default();
    names.sort_by(|a, b| {
        time::run_order(&b.to_string_lossy()).cmp(&time::run_order(&a.to_string_lossy()))
    });
    for old in names
        .iter()
        .skip(usize::try_from(keep).unwrap_or(usize::MAX))
    {
        let _ = files::remove_tree(&dir.join(old));
    }
}

/// What is asked for: runs that pulled one log, newest first.
pub struct Request<'a> {
    pub policy: &'a Policy,
    pub notes: Vec<Before>,
    pub allow: &'a [String],
    pub apply: bool,
    /// What was changed since goes aside too, instead of being left.
    pub force: bool,
    pub progress: &'a dyn Progress,
}

pub fn run(request: &Request, run: &Run) -> Ended {
    let (Some(newest), Some(oldest)) = (request.notes.first(), request.notes.last()) else {
        return Ended::default();
    };
    let name = unhex(&oldest.remote).unwrap_or_default();
    let mut lane = LogLane::new(&oldest.peer, &String::from_utf8_lossy(&name));
    if std::str::from_utf8(&name).is_err() {
        lane.log_hex = Some(oldest.remote.clone());
    }
    lane.undoes = request.notes.iter().map(|n| n.run.clone()).collect();
    lane.action = Action::Back;
    lane.have = oldest.state.as_ref().map_or(0, |s| s.local.size);
    let mut findings = Vec::new();
    request
        .progress
        .phase(&format!("putting {} back", lane.log), None);
    match back(request, newest, oldest, run, &mut lane) {
        Ok(None) => {}
        Ok(Some(refused)) => {
            lane.outcome = Outcome::Refused;
            findings.push(refused);
        }
        Err(e) => {
            lane.outcome = Outcome::Failed;
            lane.message = Some(format!(
                "{e}; what it held and what was pulled are both still there, and the same command goes on from here"
            ));
            lane.hint = Some(format!("ubos-sync rollback {} --apply", oldest.run));
        }
    }
    Ended {
        lanes: vec![Lane::Log(lane)],
        findings,
        ..Ended::default()
    }
}

fn back(
    request: &Request,
    newest: &Before,
    oldest: &Before,
    run: &Run,
    lane: &mut LogLane,
) -> std::io::Result<Option<Finding>> {
    let bad = || std::io::Error::other("what was written down before that run is damaged");
    let log = Log {
        remote: unhex(&oldest.remote).ok_or_else(bad)?,
        local: path(&oldest.local).ok_or_else(bad)?,
        is_named: true,
    };
    lane.local = log.local.to_string_lossy().into_owned();
    let now = members(&log.local)?;
    let way = plan(&oldest.members, newest.after.as_deref(), &now);
    lane.bytes = way.bytes();
    if let Some(why) = left(&way, oldest, &log, request.force)? {
        lane.outcome = Outcome::Partial;
        lane.message = Some(why);
        lane.bytes = 0;
        return Ok(None);
    }
    let state_path = held::state_path(&request.policy.site.state_dir, &oldest.peer, &log);
    let is_back = way.moves.is_empty() && held::load(&state_path) == oldest.state;
    lane.outcome = match is_back {
        true => Outcome::InSync,
        false => Outcome::Pending,
    };
    if is_back {
        return Ok(None);
    }
    if let Some(refused) = no_room(request, &log, &way, &oldest.peer) {
        return Ok(Some(refused));
    }
    if run.open.is_none() || !request.apply {
        lane.notes.push(format!(
            "{} would be set aside beside it, {} stay",
            size(lane.bytes),
            size(lane.have)
        ));
        return Ok(None);
    }
    // No pull is under way while the site is locked: what a killed rollback had staged can go.
    log_files::sweep_stages(&log.local);
    hold(
        request.policy,
        &oldest.peer,
        &format!(
            "the rollback of {0} is under way, or broke off: ubos-sync rollback {0} --apply",
            oldest.run
        ),
    )?;
    for step in &way.moves {
        lane.notes.extend(carry(&log, step, &oldest.run)?);
    }
    match &oldest.state {
        // What is remembered of the other files is by inode, so it holds for them wherever they were in between.
        Some(state) => held::save(&state_path, state).map_err(std::io::Error::other)?,
        None => {
            let _ = files::remove_file(&state_path);
        }
    }
    lane.outcome = Outcome::Applied;
    lane.hint = Some(format!("ubos-sync release {}", oldest.peer));
    hold(
        request.policy,
        &oldest.peer,
        &format!(
            "{} rolled {} back at {}; released, the next run would do it again",
            neutral(&process::user()),
            oldest.run,
            time::rfc3339(clock::now())
        ),
    )?;
    Ok(None)
}

/// Why a log is left as it is, when it is.
fn left(way: &Plan, oldest: &Before, log: &Log, force: bool) -> std::io::Result<Option<String>> {
    let names = |all: &[String]| {
        let shown = all.iter().filter_map(|n| unhex(n));
        let shown: Vec<String> = shown.map(|n| neutral_bytes(&n)).collect();
        shown.join(", ")
    };
    if !way.lost.is_empty() {
        return Ok(Some(format!(
            "{} no longer {} the bytes from before that run; nothing was touched",
            names(&way.lost),
            if way.lost.len() == 1 { "has" } else { "have" }
        )));
    }
    if !way.edited.is_empty() && !force {
        return Ok(Some(format!(
            "{} changed here since that run; --force sets the change aside with what was pulled",
            match way.edited.len() {
                1 => format!("{} was", names(&way.edited)),
                n => format!("{} ({}) were", count(n, "file"), names(&way.edited)),
            }
        )));
    }
    // The bytes themselves: the live file begins with what was left before the run, wherever it lies now.
    let live = log.local.file_name().map(|n| hex(n.as_bytes()));
    let own = oldest
        .members
        .iter()
        .find(|m| Some(&m.name) == live.as_ref());
    let (Some(own), Some(state)) = (own, &oldest.state) else {
        return Ok(None);
    };
    let lies = way.moves.iter().find_map(|m| match m {
        Move::Rename { from, to } if *to == own.name => path(from),
        _ => None,
    });
    let at = lies.map_or_else(|| log.local.clone(), |n| log.local.with_file_name(n));
    if own.facts == state.local && !held::starts_as(&at, state)? {
        return Ok(Some(format!(
            "the {} that it held before that run were changed here; nothing was touched",
            size(state.local.size)
        )));
    }
    Ok(None)
}

fn no_room(request: &Request, log: &Log, way: &Plan, peer: &str) -> Option<Finding> {
    let (need, least) = (way.room(), request.policy.guards.min_free_space);
    let free = log_files::free(&log.local)?;
    let waived = request.allow.iter().any(|a| a == "free_space");
    (need > 0 && need.saturating_add(least) > free && !waived).then(|| Finding {
        guard: "free_space".into(),
        severity: Severity::Refuse,
        peer: Some(peer.to_owned()),
        message: format!(
            "setting aside what was pulled needs {} beside {} on {}, where {} are free and {} must stay free",
            size(need),
            neutral(&log.local.to_string_lossy()),
            request.policy.site.name,
            size(free),
            size(least)
        ),
        hint: "make room there, or --allow free_space".into(),
    })
}

/// Carries one move out; what is worth knowing of it.
fn carry(log: &Log, step: &Move, run: &str) -> std::io::Result<Option<String>> {
    let bad = || std::io::Error::other("a file's name was not written down whole");
    let at = |name: &String| {
        Ok::<_, std::io::Error>(log.local.with_file_name(path(name).ok_or_else(bad)?))
    };
    let kept = |from: &Path, to: &Path, bytes: u64| {
        Some(format!(
            "{} of {} are kept as {}",
            size(bytes),
            neutral(&from.to_string_lossy()),
            neutral(&to.to_string_lossy())
        ))
    };
    Ok(match step {
        Move::Drop { name } => {
            files::remove_file(&at(name)?).map_err(std::io::Error::other)?;
            None
        }
        Move::Rename { from, to } => {
            log_files::move_aside(&at(from)?, &at(to)?)?;
            None
        }
        Move::Aside { name, bytes } => {
            let from = at(name)?;
            let to = log_files::free_name(&from, &aside_suffix(run));
            log_files::move_aside(&from, &to)?;
            kept(&from, &to, *bytes)
        }
        Move::Cut { name, size, bytes } => {
            let from = at(name)?;
            let to = log_files::cut(&from, *size, &aside_suffix(run))?;
            kept(&from, &to, *bytes)
        }
        Move::Time { name, mtime_ns } => {
            log_files::set_time(&at(name)?, *mtime_ns)?;
            None
        }
    })
}

fn aside_suffix(run: &str) -> String {
    format!("{}{run}", String::from_utf8_lossy(ASIDE))
}

/// Keeps the next run from pulling it all again.
fn hold(policy: &Policy, peer: &str, why: &str) -> std::io::Result<()> {
    let state = policy.site.state_dir.display().to_string();
    let pair = pair_id(&policy.site.name, peer);
    let here = Link::local(&policy.site.name);
    let parameters = [state.as_str(), &pair, "hold", why, ""];
    here.call(remote::HOLD, &parameters, &[])
        .map(|_| ())
        .map_err(|e| std::io::Error::other(e.to_string()))
}
