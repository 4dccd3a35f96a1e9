//! The logs of one peer: one probe, one step per log, the guards, then each step shown or carried out.
//!
//! Invariants: one log's trouble stops no other; a local file is the copy of one remote log only; what a guard refuses is
//! refused before the first byte moves.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::host::link::LinkError;
use crate::host::{clock, process, signals};
use crate::lanes::flow::{Ended, Run};
use crate::lanes::log::carry::{self, Job};
use crate::lanes::log::guard::{coming, guards};
use crate::lanes::log::held::{self, Mine};
use crate::lanes::log::plan::{self, Step};
use crate::lanes::log::probe::There;
use crate::lanes::log::pull::{PullError, Way};
use crate::lanes::log::survey::{Seen, Survey, survey};
use crate::lanes::log::undo;
use crate::lanes::peers::Carry;
use crate::lanes::reach::Reach;
use crate::model::finding::Severity;
use crate::model::invocation::Invocation;
use crate::model::policy::{Peer, Policy};
use crate::model::progress::Progress;
use crate::model::record::{Action, Lane, LogLane, Outcome};
use crate::model::thread::joined;
use crate::tool::rsync::{self, Flavour, together};

/// What is asked of the lane for one peer.
pub struct Request<'a> {
    pub policy: &'a Policy,
    pub peer: &'a Peer,
    pub reach: &'a Reach,
    pub command: &'a str,
    pub allow: &'a [String],
    pub progress: &'a dyn Progress,
}

/// What is known before anything moves.
pub struct Look {
    survey: Result<Survey, LinkError>,
    /// Asked for when there will be something to carry.
    here: Option<Result<Here, String>>,
    since: Instant,
}

/// A look that is older says too little of logs that are being written.
const FRESH: Duration = Duration::from_secs(2);

/// Looks at the logs here and there, which may be done while another lane is at work.
pub fn look(request: &Request, carry: &Carry) -> Look {
    let since = clock::monotonic();
    // What our own rsync can do is found out while the peer is asked.
    std::thread::scope(|s| {
        let here = matches!(carry, Carry::Apply { .. }).then(|| s.spawn(here));
        let survey = survey(request);
        let here = here.map(joined);
        Look {
            survey,
            here,
            since,
        }
    })
}

impl Look {
    /// Whether it still holds: it is young, and how long it took matters to nobody, since the other lane was in its way.
    fn holds(&self) -> bool {
        let comes = |seen: &Seen| coming(&step(seen)) > 0;
        self.since.elapsed() < FRESH
            && self
                .survey
                .as_ref()
                .is_ok_and(|s| !s.is_slow || !s.seen.iter().any(comes))
    }
}

/// `early`: a look that was had while another lane was at work.
pub fn run(request: &Request, carry: &Carry, run: &Run, early: Option<Look>) -> Ended {
    let peer = request.peer;
    request
        .progress
        .phase(&format!("looking at the logs of {}", peer.name), None);
    let look = early
        .filter(Look::holds)
        .unwrap_or_else(|| look(request, carry));
    let survey = match look.survey {
        Ok(survey) => survey,
        Err(e) => return not_begun(peer, &e),
    };
    let here = look.here;
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
    } else if let (Some(here), true) = (here, run.open.is_some()) {
        carry_all(request, run.id, here, &survey, &steps, &mut lanes);
    }
    request.progress.done();
    Ended {
        lanes: lanes.into_iter().map(Lane::Log).collect(),
        findings,
        ..Ended::default()
    }
}

/// The lanes of a peer whose logs could not even be looked at.
pub fn not_begun(peer: &Peer, e: &LinkError) -> Ended {
    let (outcome, hint) = match e {
        LinkError::Offline { hint, .. } => (Outcome::Offline, Some(hint.clone())),
        LinkError::Failed { hint, .. } | LinkError::Lost { hint, .. } => {
            (Outcome::Failed, Some(hint.clone()))
        }
        LinkError::Stopped => (Outcome::Interrupted, None),
    };
    let lanes = peer.logs.iter().map(|pull| {
        Lane::Log(LogLane {
            outcome,
            transient: matches!(e, LinkError::Lost { .. }),
            message: Some(format!("{e}; nothing was touched")),
            hint: hint.clone(),
            ..LogLane::new(&peer.name, &pull.remote)
        })
    });
    Ended {
        lanes: lanes.collect(),
        findings: Vec::new(),
        ..Ended::default()
    }
}

fn step(seen: &Seen) -> Step {
    match &seen.trouble {
        Some(why) => Step::Failed(why.clone()),
        None => plan::decide(&seen.mine, &seen.there, &seen.local),
    }
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

fn carry_all(
    request: &Request,
    run: &str,
    here: Result<Here, String>,
    survey: &Survey,
    steps: &[Step],
    lanes: &mut [LogLane],
) {
    let peer = request.peer;
    let way = match here.and_then(|here| way(request, run, here, survey)) {
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
    undo::prune(
        &request.policy.site.state_dir,
        request.policy.snapshots.keep,
    );
    let total: u64 = steps.iter().map(coming).sum();
    request
        .progress
        .phase(&format!("pulling the logs of {}", peer.name), Some(total));
    for lane in lanes.iter_mut().take(steps.len()) {
        (lane.bytes, lane.lines) = (0, None);
        lane.notes.clear();
    }
    let mut moved = carry_each(request, &way, survey, steps, lanes, TIMES == 1);
    for time in 2..=TIMES {
        if moved.is_empty() || signals::stop_wish().is_some() {
            break;
        }
        // It was rotated or rewritten while it was being pulled: what it is now decides anew.
        let again = match self::survey(request) {
            Ok(again) => again,
            Err(e) => {
                for n in moved {
                    broke(
                        &mut lanes[n],
                        peer,
                        request.command,
                        &PullError::Broke(e.to_string()),
                    );
                }
                return;
            }
        };
        let is_moved = |s: &Seen| {
            let mut all = moved.iter().map(|n| &survey.seen[*n].log);
            all.any(|log| *log == s.log)
        };
        let again = Survey {
            seen: again.seen.into_iter().filter(is_moved).collect(),
            ..again
        };
        let steps: Vec<Step> = again.seen.iter().map(step).collect();
        let place = |s: &Seen| moved.iter().copied().find(|n| survey.seen[*n].log == s.log);
        let places: Vec<usize> = again.seen.iter().filter_map(place).collect();
        let looks = places.iter().zip(&again.seen).zip(&steps);
        let mut own: Vec<LogLane> = looks
            .map(|((n, seen), step)| looked_again(&lanes[*n], document(peer, seen, step)))
            .collect();
        let still = carry_each(request, &way, &again, &steps, &mut own, time == TIMES);
        for (n, lane) in places.iter().zip(own) {
            lanes[*n] = lane;
        }
        moved = still.into_iter().map(|n| places[n]).collect();
    }
}

/// What the second look found, with what the first has brought and said.
fn looked_again(first: &LogLane, mut second: LogLane) -> LogLane {
    (second.bytes, second.lines) = (first.bytes, first.lines);
    second.notes.clone_from(&first.notes);
    if first.outcome == Outcome::Partial {
        second.outcome = Outcome::Partial;
    }
    second
}

/// How often a log that moves under the pull is looked at anew.
const TIMES: u32 = 3;

/// Carries each step out; the places of those that have moved meanwhile, unless this was the last time.
fn carry_each(
    request: &Request,
    way: &Way,
    survey: &Survey,
    steps: &[Step],
    lanes: &mut [LogLane],
    is_last: bool,
) -> Vec<usize> {
    let peer = request.peer;
    let mut moved = Vec::new();
    for (n, ((seen, step), lane)) in survey.seen.iter().zip(steps).zip(lanes).enumerate() {
        let There::File(file) = &seen.there else {
            // Its lane says so already; or it went away between two looks, and the next pull finds out where to.
            if lane.outcome == Outcome::Pending {
                let gone = PullError::Moved("it went away while it was being pulled".into());
                broke(lane, peer, request.command, &gone);
            }
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
        let result = with_note(request, way.run, &mut job, step, |job| {
            carry::carry(way, job, step, lane)
        });
        match result {
            Ok(()) => {}
            Err(PullError::Moved(_)) if !is_last => moved.push(n),
            Err(e) => broke(lane, peer, request.command, &e),
        }
    }
    moved
}

/// Does it between two notes by which it can be taken back.
fn with_note(
    request: &Request,
    run: &str,
    job: &mut Job,
    step: &Step,
    work: impl FnOnce(&mut Job) -> Result<(), PullError>,
) -> Result<(), PullError> {
    let changes = match step {
        Step::Append { at, size } => at < size || matches!(job.mine, Mine::Longer { .. }),
        Step::First { .. } | Step::Rotated { .. } | Step::Aside { .. } => true,
        _ => false,
    };
    if !changes {
        return work(job);
    }
    let state_dir = &request.policy.site.state_dir;
    let note = undo::begin(
        state_dir,
        run,
        &request.peer.name,
        job.log,
        job.state.as_ref(),
    )
    .map_err(|e| PullError::Failed(format!("how it was before cannot be written down: {e}")))?;
    let result = work(job);
    note.end();
    result
}

fn broke(lane: &mut LogLane, peer: &Peer, command: &str, e: &PullError) {
    let (outcome, why) = match e {
        PullError::Stopped => (Outcome::Interrupted, "stopped on request".to_owned()),
        PullError::Moved(why) | PullError::Broke(why) | PullError::Failed(why) => {
            (Outcome::Failed, why.clone())
        }
    };
    lane.outcome = outcome;
    lane.transient = matches!(e, PullError::Moved(_) | PullError::Broke(_));
    lane.message = Some(format!(
        "{why}; what is held here is whole, {} new bytes came, the next pull goes on from there",
        lane.bytes
    ));
    lane.hint = Some(format!("ubos-sync {command} {} --apply", peer.name));
}

/// What this host's rsync can do.
pub fn ours(program: &std::path::Path) -> Option<Flavour> {
    let ask = |more: &[&str]| {
        let call = Invocation::new(program).args(rsync::NEEDED).args(more);
        let out = process::run(&call.args(["--version"]), &[]).ok()?;
        (out.code == Some(0)).then(|| String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let modern = ask(&[rsync::MODERN]);
    let old = modern.is_none() && ask(&[]).is_some();
    rsync::flavour(modern.as_deref(), old)
}

/// The rsync of this host.
struct Here {
    program: PathBuf,
    flavour: Flavour,
}

fn here() -> Result<Here, String> {
    let program =
        process::which("rsync").ok_or("there is no rsync on this host; nothing was touched")?;
    match ours(&program) {
        Some(flavour) => Ok(Here { program, flavour }),
        None => Err(format!(
            "{} on this host is no rsync that can append",
            program.display()
        )),
    }
}

/// Which rsyncs there are and how they are used; or why there is no way.
fn way<'a>(
    request: &Request<'a>,
    run: &'a str,
    here: Here,
    survey: &Survey,
) -> Result<Way<'a>, String> {
    let there = survey.rsync.ok_or_else(|| {
        format!(
            "there is no rsync that can append on {} ({})",
            request.peer.name, request.peer.rsync
        )
    })?;
    Ok(Way {
        run,
        peer: request.peer,
        reach: request.reach,
        program: here.program,
        flavour: together(here.flavour, there),
        is_slow: survey.is_slow,
        progress: request.progress,
    })
}
