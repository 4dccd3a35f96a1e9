//! A publish from its source to every target: the commit, the scan, then all targets at the same time, a few at once.
//!
//! Invariants: nothing goes anywhere before the scan was clean; what one target comes to does not stop another; a dry run stops
//! after the guards.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::host::link::{Link, LinkError};
use crate::host::{clock, files, signals};
use crate::lanes::flow::{Ended, Run};
use crate::lanes::publish::apply::{Broke, Job};
use crate::lanes::publish::export::{self, Export};
use crate::lanes::publish::plan::{guards, plan_of, refuse, show};
use crate::lanes::publish::scan;
use crate::lanes::publish::source::{self, Source, Stop, Wish};
use crate::lanes::publish::target::{self, Opened};
use crate::lanes::publish::undo;
use crate::lanes::reach::{self, Sockets};
use crate::model::finding::{Finding, Severity};
use crate::model::plan::Kind;
use crate::model::policy::{Layout, Policy, Publish, Target};
use crate::model::progress::Progress;
use crate::model::record::{Lane, Outcome, PublishLane, ResultWord};
use crate::model::text::count;
use crate::tool::{publish_scripts as scripts, remote};

/// What is asked for.
pub struct Order<'a> {
    pub policy: &'a Policy,
    pub publish: &'a Publish,
    pub targets: Vec<&'a Target>,
    pub apply: bool,
    pub rev: Option<&'a str>,
    pub force: bool,
    pub allow: &'a [String],
    pub progress: &'a dyn Progress,
    /// The command that does the same for the targets named behind it.
    pub again: String,
    /// Targets go back to an earlier commit: neither the checkout nor its branch is moved for that.
    pub is_back: bool,
    /// By target: the release to which it goes back, if that is still there.
    pub releases: std::collections::BTreeMap<String, String>,
}

/// Runs work for every target, at most `parallel` at the same time, in their order.
pub fn each<T: Send>(
    targets: &[&Target],
    parallel: u64,
    work: impl Fn(&Target) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::new());
    let workers = targets.len().min(usize::try_from(parallel).unwrap_or(8));
    std::thread::scope(|s| {
        for _ in 0..workers {
            s.spawn(|| {
                while let Some(target) = {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    targets.get(i).map(|t| (i, t))
                } {
                    let result = work(target.1);
                    done.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push((target.0, result));
                }
            });
        }
    });
    let mut all = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    all.sort_by_key(|(i, _)| *i);
    all.into_iter().map(|(_, t)| t).collect()
}

/// A private folder of this run on this machine, short enough for the sockets of connections.
pub fn scratch(policy: &Policy) -> Result<tempfile::TempDir, Stop> {
    let state = &policy.site.state_dir;
    let fail = |e: String| {
        Stop::failed(
            format!("the state directory cannot be used: {e}"),
            format!("ls -ld {}", state.display()),
        )
    };
    files::private_dir(state).map_err(|e| fail(e.to_string()))?;
    reach::sweep(state);
    reach::scratch(state).map_err(|e| fail(e.to_string()))
}

/// The same ending for every target: nothing was begun.
pub fn not_begun(targets: &[&Target], stop: &Stop) -> Ended {
    let lane = |t: &&Target| {
        let mut lane = PublishLane::new(&t.name);
        lane.outcome = stop.outcome;
        lane.message = Some(format!("{}; nothing was touched", stop.message));
        lane.hint = Some(stop.hint.clone()).filter(|h| !h.is_empty());
        Lane::Publish(lane)
    };
    Ended {
        lanes: targets.iter().map(lane).collect(),
        findings: Vec::new(),
        ..Ended::default()
    }
}

pub fn run(order: &Order, run: &Run) -> Ended {
    let scratch = match scratch(order.policy) {
        Ok(dir) => dir,
        Err(stop) => return not_begun(&order.targets, &stop),
    };
    match prepare(order, run, scratch.path()) {
        Err((stop, findings)) => {
            let mut ended = not_begun(&order.targets, &stop);
            ended.findings = findings;
            ended
        }
        // What is swept away takes as long as laying it out did; nobody has to wait for it.
        Ok((source, export, findings)) => std::thread::scope(|s| {
            s.spawn(|| export::sweep(&export));
            fan_out(order, run, scratch.path(), &source, &export, findings)
        }),
    }
}

type Ready = (Source, Export, Vec<Finding>);

fn prepare(
    order: &Order,
    run: &Run,
    scratch: &std::path::Path,
) -> Result<Ready, (Stop, Vec<Finding>)> {
    let wish = Wish {
        rev: order.rev,
        force: order.force,
        // The commit to go back to is known here; a remote that is away does not keep anybody from it.
        lenient: order.is_back,
    };
    let none = |s: Stop| (s, Vec::new());
    order.progress.phase("looking for the commit", None);
    let source = source::resolve(order.policy, order.publish, &wish, scratch).map_err(none)?;
    let export = export::export(order.policy, order.publish, &source, scratch).map_err(none)?;
    let mut findings = source.findings.clone();
    findings.extend(export.findings.clone());
    if export.want.is_empty() {
        let stop = Stop::refused(
            format!("commit {} holds no file to publish", source.commit),
            "git ls-tree -r HEAD; look at [publish] exclude",
        );
        findings.push(refuse("max_delete", None, stop.message.clone(), &stop.hint));
        return Err((stop, findings));
    }
    order.progress.phase("scanning for secrets", None);
    let scanned = scan::scan(order.policy, order.publish, &export, scratch);
    let bad: Vec<&Finding> = scanned
        .iter()
        .filter(|f| f.severity == Severity::Refuse)
        .collect();
    let blocked = bad.first().map(|first| match bad.len() {
        1 => first.message.clone(),
        n => format!("{}, and {} more", first.message, n - 1),
    });
    findings.extend(scanned);
    if let Some(why) = blocked {
        // What may hold a secret does not lie about.
        export::discard(&export);
        let why = format!("every target is blocked: {why}");
        return Err((Stop::refused(why, ""), findings));
    }
    findings.extend(match order.apply && !order.is_back {
        true => source::update(order.publish, &source, &wish, run.id, scratch),
        false => source::uncommitted(order.publish, scratch)
            .into_iter()
            .collect(),
    });
    Ok((source, export, findings))
}

fn fan_out(
    order: &Order,
    run: &Run,
    scratch: &std::path::Path,
    source: &Source,
    export: &Export,
    findings: Vec<Finding>,
) -> Ended {
    let sockets = Sockets::beside(scratch).ok();
    let done = each(&order.targets, order.publish.parallel, |target| {
        let progress = order.progress.beside(&target.name);
        let mut said = Vec::new();
        let lane = one(
            order,
            run,
            target,
            source,
            export,
            scratch,
            sockets.as_ref(),
            progress.as_ref(),
            &mut said,
        );
        progress.done();
        (lane, said)
    });
    let mut ended = Ended {
        lanes: Vec::new(),
        findings,
        ..Ended::default()
    };
    let bad: Vec<String> = done
        .iter()
        .filter(|(l, _)| is_bad(l.outcome))
        .map(|(l, _)| crate::model::words::word(&l.target))
        .collect();
    let retry = format!("{} {}", order.again, bad.join(" "));
    for (mut lane, said) in done {
        if is_bad(lane.outcome) && lane.hint.is_none() {
            lane.hint = Some(retry.clone());
        }
        ended.lanes.push(Lane::Publish(lane));
        ended.findings.extend(said);
    }
    ended
}

fn is_bad(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Failed | Outcome::Unreachable | Outcome::Locked | Outcome::Interrupted
    )
}

/// What a failed connection makes of a lane.
pub fn not_reached(lane: &mut PublishLane, e: LinkError) {
    let (outcome, message, hint) = match e {
        LinkError::Offline { message, hint } => (Outcome::Unreachable, message, hint),
        LinkError::Failed { message, hint } | LinkError::Lost { message, hint } => {
            (Outcome::Failed, message, hint)
        }
        LinkError::Stopped => (
            Outcome::Interrupted,
            "stopped on request".into(),
            String::new(),
        ),
    };
    lane.outcome = outcome;
    lane.message = Some(match hint.is_empty() {
        true => format!("{message}; nothing was touched"),
        false => format!("{message}; nothing was touched; look with: {hint}"),
    });
}

#[expect(
    clippy::too_many_arguments,
    reason = "what one target's work needs, handed down once"
)]
fn one(
    order: &Order,
    run: &Run,
    target: &Target,
    source: &Source,
    export: &Export,
    scratch: &std::path::Path,
    sockets: Option<&Sockets>,
    progress: &dyn Progress,
    said: &mut Vec<Finding>,
) -> PublishLane {
    let mut lane = PublishLane::new(&target.name);
    lane.commit = Some(source.commit.clone());
    if signals::stop_wish().is_some() {
        not_reached(&mut lane, LinkError::Stopped);
        return lane;
    }
    let own = match tempfile::Builder::new().prefix("t").tempdir_in(scratch) {
        Ok(dir) => dir,
        Err(e) => {
            lane.message = Some(format!(
                "no room for a run in {}: {e}; nothing was touched",
                scratch.display()
            ));
            return lane;
        }
    };
    let socket = sockets.and_then(|s| {
        tempfile::Builder::new()
            .prefix("")
            .rand_bytes(4)
            .tempdir_in(s.dir())
            .ok()
    });
    let link = target::link(target, socket.as_ref().map_or(own.path(), |s| s.path()));
    progress.phase("looking", None);
    let opened = target::open(
        order.policy,
        order.publish,
        target,
        &link,
        order.apply,
        &who(order, run),
        own.path(),
    );
    let opened = match opened {
        Ok(opened) => opened,
        Err(e) => {
            not_reached(&mut lane, e);
            return lane;
        }
    };
    let job = Job {
        policy: order.policy,
        publish: order.publish,
        export,
        commit: &source.commit,
        run: run.id,
        scratch: own.path(),
    };
    if let Err(e) = plan_and_carry(
        order, run, target, &link, opened, &job, source, &mut lane, said, progress,
    ) {
        not_reached(&mut lane, e);
    }
    lane
}

fn who(order: &Order, run: &Run) -> String {
    format!(
        "driver={}\u{1f}run={}\u{1f}since={}",
        order.policy.site.name,
        run.id,
        crate::model::time::rfc3339(clock::now())
    )
}

#[expect(
    clippy::too_many_arguments,
    reason = "what one target's work needs, handed down once"
)]
fn plan_and_carry(
    order: &Order,
    run: &Run,
    target: &Target,
    link: &Link,
    mut on: Opened,
    job: &Job,
    source: &Source,
    lane: &mut PublishLane,
    said: &mut Vec<Finding>,
    progress: &dyn Progress,
) -> Result<(), LinkError> {
    let mut index = target::index(order.policy, target);
    lane.found = on.rev.clone();
    if let Some(rev) = &on.rev
        && *rev != source.commit
    {
        lane.behind = source::behind(source, rev, job.scratch);
    }
    let plan = plan_of(order, &on, job.export, &mut index)?;
    show(lane, &plan, &on);
    let refusals = guards(order, target, &on, &plan, lane);
    said.extend(refusals.iter().cloned());
    if refusals.iter().any(|f| f.severity == Severity::Refuse) {
        lane.outcome = Outcome::Refused;
        return Ok(());
    }
    if on.base.is_none() && on.rev.is_some() {
        lane.notes
            .push("what was published here before is not known, so nothing is removed".into());
    }
    let settled = plan.is_empty() && on.rev.as_deref() == Some(&source.commit) && on.base.is_some();
    if settled || !order.apply {
        target::remember(
            order.policy,
            target,
            &index,
            on.base.as_ref().map(|(_, b)| b.as_slice()),
        );
        lane.outcome = if settled {
            Outcome::Current
        } else {
            Outcome::Pending
        };
        return Ok(());
    }
    if let Some(why) = &on.unlockable {
        lane.message = Some(format!(
            "the lock of {} cannot be taken: {why}; nothing was touched",
            target.name
        ));
        return Ok(());
    }
    if on.ours && !on.locked {
        lane.outcome = Outcome::Locked;
        lane.message = Some(format!(
            "another run holds the lock of {}: {}; nothing was touched",
            target.name,
            on.holder.as_deref().unwrap_or("somebody")
        ));
        return Ok(());
    }
    let mut first = None;
    let plan = if on.locked {
        plan
    } else {
        let body = link.call(scripts::MAKE, &[&target.path], b"")?;
        if let Some(why) = remote::value(&body, "failed") {
            lane.message = Some(format!(
                "the directory cannot be made: {}; nothing was published",
                crate::model::text::neutral(why)
            ));
            return Ok(());
        }
        // The first session carries the connection: it stays while the second holds the lock.
        first = Some(on);
        on = target::open(
            order.policy,
            order.publish,
            target,
            link,
            true,
            &who(order, run),
            job.scratch,
        )?;
        if !on.locked {
            lane.outcome = Outcome::Locked;
            lane.message =
                Some("another run has taken this target meanwhile; nothing was touched".into());
            return Ok(());
        }
        plan_of(order, &on, job.export, &mut index)?
    };
    let (mut on, plan) = undo::live_again(order, target, job, on, plan, &mut index, lane)?;
    progress.phase("publishing", None);
    let result = job.carry_out(&mut on, &plan, &mut index);
    finish(order, target, lane, result, &index);
    drop(on);
    drop(first);
    Ok(())
}

fn finish(
    order: &Order,
    target: &Target,
    lane: &mut PublishLane,
    result: Result<crate::lanes::publish::apply::Done, Broke>,
    index: &crate::model::index::Index,
) {
    match result {
        Ok(done) => {
            lane.outcome = Outcome::Applied;
            lane.changes
                .iter_mut()
                .for_each(|c| c.result = ResultWord::Done);
            lane.backup = done.backup;
            lane.release = done.release;
            lane.previous = done.previous.or(lane.previous.take());
            target::remember(order.policy, target, index, Some(&done.list));
        }
        Err(Broke { why, touched }) => {
            lane.outcome = match signals::stop_wish() {
                Some(_) => Outcome::Interrupted,
                None => Outcome::Failed,
            };
            lane.changes
                .iter_mut()
                .for_each(|c| c.result = ResultWord::Failed);
            let safe = match (touched, order.publish.layout) {
                (false, _) => "the tree there is as it was",
                (true, Layout::Releases) => "the old release is live",
                (true, Layout::InPlace) => {
                    "every file there is whole (old or new), and its .sync_rev names no commit until a publish completes"
                }
            };
            lane.message = Some(format!("{why}; {safe}"));
        }
    }
    let deletes = lane
        .changes
        .iter()
        .filter(|c| c.kind == Kind::Delete.word())
        .count();
    if deletes > 0 && lane.outcome == Outcome::Applied {
        lane.notes.push(format!(
            "{} removed; kept on the target for a while",
            count(deletes, "file")
        ));
    }
}
