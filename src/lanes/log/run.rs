//! The logs of one peer: one probe, one step per log, the guards, then each step shown or carried out.
//!
//! Invariants: one log's trouble stops no other; a local file is the copy of one remote log only; what a guard refuses is
//! refused before the first byte moves.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::host::link::LinkError;
use crate::host::{clock, log_files, process, signals};
use crate::lanes::flow::Ended;
use crate::lanes::log::carry::{self, Job};
use crate::lanes::log::held::{self, Log, Mine};
use crate::lanes::log::plan::{self, Step};
use crate::lanes::log::probe::{self, Item, Members, There};
use crate::lanes::log::pull::{PullError, Way};
use crate::lanes::peers::{Carry, Reach};
use crate::lanes::truth::hosts::pair_id;
use crate::model::finding::{Finding, Severity};
use crate::model::log_state::{Range, State};
use crate::model::path::RelPath;
use crate::model::policy::{LogPull, Peer, Policy};
use crate::model::progress::Progress;
use crate::model::record::{Action, Lane, LogLane, Outcome};
use crate::model::rules::Verdict;
use crate::model::text::{neutral_bytes, size};
use crate::tool::rsync::{Flavour, parse_rsync_version, together};

/// What is asked of the lane for one peer.
pub struct Request<'a> {
    pub policy: &'a Policy,
    pub peer: &'a Peer,
    pub reach: &'a Reach,
    pub command: &'a str,
    pub allow: &'a [String],
    pub progress: &'a dyn Progress,
}

/// A log with everything that is known of it.
pub struct Seen {
    pub log: Log,
    pub mine: Mine,
    pub state: Option<State>,
    pub there: There,
    pub local: HashMap<Range, String>,
    /// Why it cannot be looked at on this host.
    pub trouble: Option<String>,
}

/// Everything the probe found.
pub struct Survey {
    pub seen: Vec<Seen>,
    pub notes: Vec<(String, String)>,
    pub rsync: Option<Flavour>,
    /// Whether the line is slow enough for compression to pay.
    pub is_slow: bool,
}

/// An answer that takes longer than this came over a slow line.
const SLOW: Duration = Duration::from_millis(150);

pub fn run(request: &Request, carry: &Carry) -> Ended {
    let peer = request.peer;
    if peer.logs.is_empty() {
        return Ended::default();
    }
    request
        .progress
        .phase(&format!("looking at the logs of {}", peer.name), None);
    let survey = match survey(request) {
        Ok(survey) => survey,
        Err(e) => return not_begun(peer, &e),
    };
    let steps: Vec<Step> = survey.seen.iter().map(step).collect();
    let findings = guards(request, &survey, &steps);
    let refused = findings.iter().any(|f| f.severity == Severity::Refuse);
    let mut lanes: Vec<LogLane> = survey
        .seen
        .iter()
        .zip(&steps)
        .map(|(seen, step)| document(peer, seen, step))
        .collect();
    for (log, note) in &survey.notes {
        let mut lane = LogLane::new(&peer.name, log);
        lane.outcome = Outcome::InSync;
        lane.notes.push(note.clone());
        lanes.push(lane);
    }
    if refused {
        for lane in &mut lanes {
            lane.outcome = Outcome::Refused;
        }
    } else if matches!(carry, Carry::Apply { .. }) {
        carry_all(request, &survey, &steps, &mut lanes);
    }
    request.progress.done();
    Ended {
        lanes: lanes.into_iter().map(Lane::Log).collect(),
        findings,
    }
}

/// The lanes of a peer whose logs could not even be looked at.
pub fn not_begun(peer: &Peer, e: &LinkError) -> Ended {
    let (outcome, hint) = match e {
        LinkError::Offline { hint, .. } => (Outcome::Offline, Some(hint.clone())),
        LinkError::Failed { hint, .. } => (Outcome::Failed, Some(hint.clone())),
        LinkError::Stopped => (Outcome::Interrupted, None),
    };
    let lanes = peer.logs.iter().map(|pull| {
        Lane::Log(LogLane {
            outcome,
            message: Some(format!("{e}; nothing was touched")),
            hint: hint.clone(),
            ..LogLane::new(&peer.name, &pull.remote)
        })
    });
    Ended {
        lanes: lanes.collect(),
        findings: Vec::new(),
    }
}

/// Looks at all logs of the peer, here and there.
pub fn survey(request: &Request) -> Result<Survey, LinkError> {
    let (policy, peer) = (request.policy, request.peer);
    let mut logs = known(policy, peer);
    let globs: Vec<&LogPull> = peer.logs.iter().filter(|p| p.is_glob).collect();
    let dirs: Vec<(Vec<u8>, usize)> = globs
        .iter()
        .map(|p| (base_of(p).as_bytes().to_vec(), p.depth()))
        .collect();
    let salt = u64::try_from(clock::now_ns() / 1_000_000).unwrap_or(0);
    let mut seen: Vec<Seen> = logs
        .drain(..)
        .map(|log| near(policy, peer, log, salt))
        .collect();
    let items: Vec<Item> = seen.iter().map(item).collect();
    let begun = clock::monotonic();
    let link = &request.reach.link;
    let answer = probe::ask(link, &peer.root, &peer.rsync, &dirs, &items)?;
    let is_slow = link.is_remote() && begun.elapsed() > SLOW;
    for (s, there) in seen.iter_mut().zip(answer.items) {
        s.there = there;
    }
    let mut notes = Vec::new();
    let fresh = members(
        policy,
        peer,
        &globs,
        &answer.globs,
        &mut seen,
        &mut notes,
        salt,
    );
    ask_again(request, fresh, &mut seen)?;
    let mut taken = HashSet::new();
    for s in &mut seen {
        if !taken.insert(s.log.local.clone()) {
            s.trouble = Some("another log of this peer goes to the same local file".into());
        }
    }
    Ok(Survey {
        seen,
        notes,
        rsync: answer.rsync,
        is_slow,
    })
}

/// What is known before anybody was asked: the named logs, and the members of globs that were pulled before.
fn known(policy: &Policy, peer: &Peer) -> Vec<Log> {
    let mut all: Vec<Log> = peer
        .logs
        .iter()
        .filter(|p| !p.is_glob)
        .map(|p| Log {
            remote: p.remote.as_bytes().to_vec(),
            local: p.local.clone(),
            is_named: true,
        })
        .collect();
    for remote in held::remembered(&policy.site.state_dir, &peer.name) {
        let of = peer.logs.iter().filter(|p| p.is_glob).find_map(|p| {
            let base = base_of(p);
            let below = match base {
                "." => remote.as_slice(),
                base => remote.strip_prefix(base.as_bytes())?.strip_prefix(b"/")?,
            };
            let below = RelPath::new(below)?;
            p.is_member(&below).then(|| member(p, &below))
        });
        if let Some(log) = of
            && !all.iter().any(|l| l.remote == log.remote)
        {
            all.push(log);
        }
    }
    all
}

/// The directory of a glob, as the script reads it.
fn base_of(pull: &LogPull) -> &str {
    match pull.base_and_tail().0 {
        "" if pull.remote.starts_with('/') => "/",
        "" => ".",
        base => base,
    }
}

fn member(pull: &LogPull, below: &RelPath) -> Log {
    let remote = match base_of(pull) {
        "." => below.as_bytes().to_vec(),
        "/" => [b"/", below.as_bytes()].concat(),
        base => [base.as_bytes(), b"/", below.as_bytes()].concat(),
    };
    Log {
        remote,
        local: pull.local.join(OsStr::from_bytes(below.as_bytes())),
        is_named: false,
    }
}

/// This host's half.
fn near(policy: &Policy, peer: &Peer, log: Log, salt: u64) -> Seen {
    let state = held::load(&held::state_path(&policy.site.state_dir, &peer.name, &log));
    let (mine, trouble) = match held::look(&log, state.as_ref()) {
        Ok(mine) => (mine, None),
        Err(e) => (
            Mine::Nothing,
            Some(format!("{} cannot be read: {e}", log.local.display())),
        ),
    };
    let mut local = HashMap::new();
    for (offset, len) in plan::wanted(&mine, salt) {
        if let Ok(Some(sum)) = log_files::hash(&log.local, offset, len) {
            local.insert((offset, len), sum);
        }
    }
    Seen {
        log,
        mine,
        state,
        there: There::Missing,
        local,
        trouble,
    }
}

fn item(seen: &Seen) -> Item {
    Item {
        path: seen.log.remote.clone(),
        ranges: seen.local.keys().copied().collect(),
        tail: Some(seen.mine.held()),
        packed: false,
    }
}

/// Sorts the members of globs: those known already, new ones, and those that went away.
fn members(
    policy: &Policy,
    peer: &Peer,
    globs: &[&LogPull],
    answers: &[Members],
    seen: &mut Vec<Seen>,
    notes: &mut Vec<(String, String)>,
    salt: u64,
) -> Vec<usize> {
    let mut again = Vec::new();
    for (pull, answer) in globs.iter().zip(answers) {
        let listed = match answer {
            Members::All(all) => all,
            Members::Missing | Members::Outside => {
                let why = match answer {
                    Members::Outside => "is reached through a link that leads out of the root",
                    _ => "is not there",
                };
                let mut lost = Seen {
                    log: Log {
                        remote: pull.remote.as_bytes().to_vec(),
                        local: pull.local.join(".ubos-sync.none"),
                        is_named: true,
                    },
                    mine: Mine::Nothing,
                    state: None,
                    there: There::Missing,
                    local: HashMap::new(),
                    trouble: None,
                };
                lost.trouble = Some(format!(
                    "the directory {} {why} on {}",
                    base_of(pull),
                    peer.name
                ));
                seen.push(lost);
                continue;
            }
        };
        for (below, stat) in listed.iter().filter(|(below, _)| pull.is_member(below)) {
            let log = member(pull, below);
            if is_state(policy, peer, &log) {
                notes.push((
                    neutral_bytes(&log.remote),
                    "state never crosses; it was left alone".into(),
                ));
                continue;
            }
            if seen.iter().any(|s| s.log.remote == log.remote) {
                continue;
            }
            let mut fresh = near(policy, peer, log, salt);
            fresh.there = probe::there(stat);
            if !fresh.local.is_empty() {
                again.push(seen.len());
            }
            seen.push(fresh);
        }
    }
    // A member that is gone stays here, and that is all there is to say.
    seen.retain(|s| {
        let gone = !s.log.is_named && s.there == There::Missing;
        if gone {
            let note = format!(
                "it is no longer on {}; what was pulled of it stays",
                peer.name
            );
            notes.push((neutral_bytes(&s.log.remote), note));
        }
        !gone
    });
    let unsure = |n: &usize| seen.get(*n).is_some_and(|s| !s.local.is_empty());
    match notes.is_empty() {
        true => again.into_iter().filter(unsure).collect(),
        // Places may have moved: whatever has ranges and no hashes yet.
        false => (0..seen.len()).filter(|n| is_unasked(&seen[*n])).collect(),
    }
}

fn is_unasked(seen: &Seen) -> bool {
    matches!(&seen.there, There::File(f) if f.hashes.is_empty() && !seen.local.is_empty() && !seen.log.is_named)
}

/// State never crosses, in no lane.
fn is_state(policy: &Policy, peer: &Peer, log: &Log) -> bool {
    let inside = match log.remote.strip_prefix(peer.root.as_bytes()) {
        Some(rest) if log.remote.starts_with(b"/") => rest.strip_prefix(b"/").unwrap_or(rest),
        _ => log.remote.strip_prefix(b"/").unwrap_or(&log.remote),
    };
    RelPath::new(inside)
        .is_some_and(|p| matches!(policy.truth.rules.verdict(&p, false), Verdict::State(_)))
}

/// New members for which something lies here already are asked about once more, with what has to be compared.
fn ask_again(request: &Request, which: Vec<usize>, seen: &mut [Seen]) -> Result<(), LinkError> {
    if which.is_empty() {
        return Ok(());
    }
    let items: Vec<Item> = which.iter().map(|n| item(&seen[*n])).collect();
    let link = &request.reach.link;
    let answer = probe::ask(link, &request.peer.root, "", &[], &items)?;
    for (n, there) in which.into_iter().zip(answer.items) {
        seen[n].there = there;
    }
    Ok(())
}

fn step(seen: &Seen) -> Step {
    match &seen.trouble {
        Some(why) => Step::Failed(why.clone()),
        None => plan::decide(&seen.mine, &seen.there, &seen.local),
    }
}

/// Bytes that a step would bring.
fn coming(step: &Step) -> u64 {
    match step {
        Step::First { size } | Step::Rotated { size, .. } | Step::Aside { size } => *size,
        Step::Append { at, size } => size - at,
        _ => 0,
    }
}

fn guards(request: &Request, survey: &Survey, steps: &[Step]) -> Vec<Finding> {
    let (policy, peer) = (request.policy, request.peer);
    let mut out = Vec::new();
    let mut refuse = |guard: &str, message: String, hint: String| {
        out.push(Finding {
            guard: guard.into(),
            severity: match request.allow.iter().any(|a| a == guard) {
                true => Severity::Waived,
                false => Severity::Refuse,
            },
            peer: Some(peer.name.clone()),
            message,
            hint,
        });
    };
    let site = &policy.site;
    let pair = site
        .state_dir
        .join("pairs")
        .join(pair_id(&site.name, &peer.name));
    if let Ok(why) = crate::host::files::read_bounded(&pair.join("held"), 4096) {
        let why = neutral_bytes(why.split(|b| *b == b'\n').next().unwrap_or_default());
        refuse(
            "held",
            format!("{} and {} are held: {why}", site.name, peer.name),
            format!("when it is settled: ubos-sync release {}", peer.name),
        );
    }
    let inside = survey
        .seen
        .iter()
        .any(|s| s.log.local.starts_with(&site.root));
    if inside
        && log_files::look(&site.root.join(&policy.guards.marker)).ok()
            == Some(log_files::Found::Nothing)
    {
        refuse(
            "marker",
            format!(
                "{} has no {} in {}: the disk may not be mounted, and logs would be started anew beside it",
                site.name,
                policy.guards.marker,
                site.root.display()
            ),
            format!(
                "look at {} first; only if your files are there: touch {}/{}",
                site.root.display(),
                site.root.display(),
                policy.guards.marker
            ),
        );
    }
    for (dir, need, free) in room(survey, steps) {
        let left = policy.guards.min_free_space;
        if need > 0 && need.saturating_add(left) > free {
            refuse(
                "free_space",
                format!(
                    "the logs of {} need {} in {} on {}, where {} are free and {} must stay free",
                    peer.name,
                    size(need),
                    dir,
                    site.name,
                    size(free),
                    size(left)
                ),
                format!("df -h {dir}"),
            );
        }
    }
    out
}

/// Room that is needed and free, by directory. New bytes lie in the stage and behind the log for a moment.
fn room(survey: &Survey, steps: &[Step]) -> Vec<(String, u64, u64)> {
    let mut all: BTreeMap<&Path, (u64, u64)> = BTreeMap::new();
    for (seen, step) in survey.seen.iter().zip(steps) {
        let Some(dir) = seen.log.local.parent() else {
            continue;
        };
        let Some(free) = log_files::free(&seen.log.local) else {
            continue;
        };
        let twice = match step {
            Step::Append { .. } => 2,
            _ => 1,
        };
        let entry = all.entry(dir).or_insert((0, free));
        entry.0 = entry.0.saturating_add(coming(step).saturating_mul(twice));
    }
    all.into_iter()
        .map(|(d, (n, f))| (d.display().to_string(), n, f))
        .collect()
}

fn document(peer: &Peer, seen: &Seen, step: &Step) -> LogLane {
    let shown = String::from_utf8_lossy(&seen.log.remote).into_owned();
    let mut lane = LogLane::new(&peer.name, &shown);
    if std::str::from_utf8(&seen.log.remote).is_err() {
        lane.log_hex = Some(crate::model::text::hex(&seen.log.remote));
    }
    lane.local = seen.log.local.to_string_lossy().into_owned();
    lane.have = seen.mine.held();
    lane.bytes = coming(step);
    if let There::File(file) = &seen.there {
        lane.lines = file.lines.filter(|_| lane.bytes > 0);
    }
    (lane.outcome, lane.action) = match step {
        Step::Nothing { .. } => (Outcome::InSync, Action::None),
        Step::First { .. } | Step::Aside { .. } => (Outcome::Pending, Action::First),
        Step::Append { at, size } if at == size => (Outcome::InSync, Action::None),
        Step::Append { .. } => (Outcome::Pending, Action::Append),
        Step::Rotated { .. } => (Outcome::Pending, Action::Rotated),
        Step::Refused { .. } => (Outcome::Partial, Action::Refused),
        Step::Missing | Step::Failed(_) => (Outcome::Failed, Action::None),
    };
    explain(&mut lane, peer, step);
    lane
}

/// What a person has to know of a step that is not simply more of the same.
fn explain(lane: &mut LogLane, peer: &Peer, step: &Step) {
    match step {
        Step::Missing => {
            lane.message = Some(format!("it is not on {}; what was pulled of it stays", peer.name));
            lane.hint = Some(format!("ubos-sync explain {}", lane.log));
        }
        Step::Failed(why) => lane.message = Some(why.clone()),
        Step::Refused { held } => {
            lane.message = Some(format!(
                "its history was rewritten on {}: the end of the {held} bytes held here is still there, what comes before is not the same; nothing was touched",
                peer.name
            ));
            lane.hint = Some(format!("ubos-sync verify {}", peer.name));
        }
        Step::Rotated { held, size } => lane.notes.push(format!(
            "another generation began on {} ({size} bytes); the {held} bytes of the old one stay, under a name of their own",
            peer.name
        )),
        Step::Aside { .. } => lane.notes.push(
            "the file here is not what was pulled: it keeps its bytes under another name, and the log is fetched anew".into(),
        ),
        _ => {}
    }
}

fn carry_all(request: &Request, survey: &Survey, steps: &[Step], lanes: &mut [LogLane]) {
    let peer = request.peer;
    let way = match way(request, survey) {
        Ok(way) => way,
        Err(why) => {
            for (lane, step) in lanes.iter_mut().zip(steps) {
                if coming(step) > 0 {
                    (lane.outcome, lane.message) = (Outcome::Failed, Some(why.clone()));
                    lane.hint = Some(format!(
                        "install rsync 3 on both hosts, then: ubos-sync {} {}",
                        request.command, peer.name
                    ));
                }
            }
            return;
        }
    };
    let total: u64 = steps.iter().map(coming).sum();
    request
        .progress
        .phase(&format!("pulling the logs of {}", peer.name), Some(total));
    for ((seen, step), lane) in survey.seen.iter().zip(steps).zip(lanes) {
        let There::File(file) = &seen.there else {
            continue;
        };
        if seen.trouble.is_some() {
            continue;
        }
        let state_path = held::state_path(&request.policy.site.state_dir, &peer.name, &seen.log);
        let mut job = Job {
            log: &seen.log,
            mine: &seen.mine,
            state: seen.state.clone(),
            state_path: &state_path,
            size: file.size,
            mtime_ns: file.mtime_ns,
        };
        if signals::stop_wish().is_some() {
            broke(lane, peer, request.command, &PullError::Stopped);
            continue;
        }
        request.progress.message(&lane.log);
        if coming(step) > 0 {
            log_files::sweep_stages(&seen.log.local);
        }
        (lane.bytes, lane.lines) = (0, None);
        lane.notes.clear();
        if let Err(e) = carry::carry(&way, &mut job, step, lane) {
            broke(lane, peer, request.command, &e);
        }
    }
}

fn broke(lane: &mut LogLane, peer: &Peer, command: &str, e: &PullError) {
    let (outcome, why) = match e {
        PullError::Stopped => (Outcome::Interrupted, "stopped on request".to_owned()),
        PullError::Moved(why) | PullError::Broke(why) | PullError::Failed(why) => {
            (Outcome::Failed, why.clone())
        }
    };
    lane.outcome = outcome;
    lane.message = Some(format!(
        "{why}; what is held here is whole, {} new bytes came, the next pull goes on from there",
        lane.bytes
    ));
    lane.hint = Some(format!("ubos-sync {command} {} --apply", peer.name));
}

/// Which rsyncs there are and how they are used; or why there is no way.
fn way<'a>(request: &Request<'a>, survey: &Survey) -> Result<Way<'a>, String> {
    let program =
        process::which("rsync").ok_or("there is no rsync on this host; nothing was touched")?;
    let here = process::run(
        &crate::model::invocation::Invocation::new(&program).args(["--version"]),
        Vec::new(),
    )
    .map_err(|e| format!("{} cannot be started: {e}", program.display()))?;
    let text = String::from_utf8_lossy(&here.stdout).into_owned();
    let here = parse_rsync_version(
        text.lines().next().unwrap_or_default(),
        text.contains("zstd"),
    )
    .ok_or_else(|| {
        format!(
            "{} on this host is no rsync that can append",
            program.display()
        )
    })?;
    let there = survey.rsync.ok_or_else(|| {
        format!(
            "there is no rsync that can append on {} ({})",
            request.peer.name, request.peer.rsync
        )
    })?;
    Ok(Way {
        peer: request.peer,
        reach: request.reach,
        program,
        flavour: together(here, there),
        is_slow: survey.is_slow,
        progress: request.progress,
    })
}
