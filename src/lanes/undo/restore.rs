//! The effects of a rollback: the mark on both hosts, the paths put back, the memory of the pair set back.

use super::survey::{Step, Subject, host};
use super::{Request, Stop, refuse};
use crate::host::clock;
use crate::host::link::LinkError;
use crate::lanes::truth::commit::{self, Generation};
use crate::lanes::truth::hosts::Pair;
use crate::lanes::truth::room::Need;
use crate::model::manifest::Manifest;
use crate::model::path::RelPath;
use crate::model::plan::Side;
use crate::model::text::{neutral, size};
use crate::model::thread::joined;
use crate::model::time;
use crate::model::undo::{self, Action, Back, Fate};
use crate::tool::remote;

/// How far a rollback is, as both hosts know it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    Begin,
    End,
}

/// Holds the pair on both hosts, and says which run is being taken back, or that it has been.
pub(super) fn mark(pair: &Pair, mark: Mark, why: &str, undoing: &str) -> Result<(), LinkError> {
    let step = match mark {
        Mark::Begin => "begin",
        Mark::End => "end",
    };
    for host in [&pair.local, &pair.peer] {
        host.link.call(
            remote::HOLD,
            &[&host.state_given, &pair.id, step, &neutral(why), undoing],
            &[],
        )?;
    }
    Ok(())
}

/// What is put back needs room where the tree lies, and what stands there is kept where our own files lie.
pub(super) fn needs(steps: &[Step]) -> [Need; 2] {
    Side::BOTH.map(|side| {
        let open = steps.iter().filter(|s| s.back.side == side && s.is_open());
        open.fold(Need::default(), |need, s| {
            let of = |n: &Option<undo::Now>| n.as_ref().map_or(0, |n| n.stat.size);
            Need {
                tree: need.tree.saturating_add(of(&s.kept)),
                state: need.state.saturating_add(of(&s.now)),
            }
        })
    })
}

pub(super) fn room(request: &Request, pair: &Pair, steps: &[Step]) -> Result<(), Stop> {
    if request.allow.iter().any(|a| a == "free_space") {
        return Ok(());
    }
    let left = request.policy.guards.min_free_space;
    for (side, need) in Side::BOTH.into_iter().zip(needs(steps)) {
        let host = host(pair, side);
        let said = &host.said;
        let root = said.root.as_deref().unwrap_or(&host.root_given);
        let (tree, state) = need.by_disk(said.state_free.is_some());
        for (need, free, at) in [
            (tree, said.free_bytes, root),
            (state, said.state_free, said.state.as_str()),
        ] {
            if let Some(free) = free
                && need > 0
                && need.saturating_add(left) > free
            {
                return Err(refuse(
                    &request.peer.name,
                    "free_space",
                    format!(
                        "the rollback needs {} under {} on {}, where {} are free and {} must stay free",
                        size(need),
                        neutral(at),
                        host.name,
                        size(free),
                        size(left)
                    ),
                    "make room there, or --allow free_space".into(),
                ));
            }
        }
    }
    Ok(())
}

/// Puts everything back, on both hosts at once; the paths of which a host says that it could not.
pub(super) fn restore(
    request: &Request,
    pair: &Pair,
    run: &str,
    steps: &[Step],
) -> Result<Vec<RelPath>, LinkError> {
    std::thread::scope(|s| {
        let far = s.spawn(|| on_side(request, pair, run, steps, Side::Peer));
        let mut bad = on_side(request, pair, run, steps, Side::Local)?;
        bad.extend(joined(far)?);
        Ok(bad)
    })
}

fn on_side(
    request: &Request,
    pair: &Pair,
    run: &str,
    steps: &[Step],
    side: Side,
) -> Result<Vec<RelPath>, LinkError> {
    let host = host(pair, side);
    let actions = planned(request, &host.name, host.said.clock, steps, side);
    if actions.is_empty() {
        return Ok(Vec::new());
    }
    let n = actions.len().to_string();
    let mut parameters: Vec<String> = vec![
        host.state_given.clone(),
        host.root_given.clone(),
        pair.id.clone(),
        run.to_owned(),
        n,
    ];
    for a in &actions {
        parameters.extend([
            a.what.to_owned(),
            a.mode.clone(),
            a.time.clone(),
            a.from.clone(),
            remote::escaped(a.path.as_bytes()),
        ]);
    }
    let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
    let body = host.link.call(remote::RESTORE, &parameters, &[])?;
    let bad = remote::values(&body, "bad").filter_map(|i| i.parse::<usize>().ok());
    Ok(bad
        .filter_map(|i| Some(actions.get(i)?.path.clone()))
        .collect())
}

/// The lines for one side.
fn planned(
    request: &Request,
    name: &str,
    clock: Option<i128>,
    steps: &[Step],
    side: Side,
) -> Vec<Action> {
    let own = || {
        steps
            .iter()
            .filter(|s| s.back.side == side && s.trouble.is_none())
    };
    let forced = |s: &&Step| request.force && s.fate == Fate::Edited;
    let open: Vec<&Back> = own()
        .filter(|s| s.fate == Fate::Restore || forced(s))
        .map(|s| s.back)
        .collect();
    let stamp = time::run_stamp(clock::now());
    let aside = own()
        .filter(|s| forced(s) && s.now.is_some())
        .map(|s| Action {
            what: "aside",
            mode: format!("{name}-{stamp}"),
            time: String::new(),
            from: String::new(),
            path: s.back.path.clone(),
        });
    let mut actions: Vec<Action> = aside.collect();
    let kept = |b: &Back| {
        let step = own().find(|s| std::ptr::eq(s.back, b))?;
        step.kept.as_ref()
    };
    actions.extend(undo::actions(&open, &kept));
    // A file dated in the future would look as if it had been changed just now.
    let late: std::collections::HashSet<&RelPath> = own()
        .filter(|s| {
            s.now
                .as_ref()
                .zip(clock)
                .is_none_or(|(n, clock)| n.stat.mtime_ns > clock - 2_000_000_000)
        })
        .map(|s| &s.back.path)
        .collect();
    for a in &mut actions {
        a.what = match a.what {
            "lay" if late.contains(&a.path) => "lay-late",
            "remove" if late.contains(&a.path) => "remove-late",
            other => other,
        };
    }
    actions
}

/// The pair forgets the runs: of what is back, what it remembered before becomes current on both hosts. What was left because
/// somebody changed it since is still remembered as the runs had left it.
pub(super) fn forget(
    request: &Request,
    pair: &Pair,
    run: &str,
    subject: &Subject,
    after: &[Step],
) -> Result<(), Stop> {
    let mut next = subject.now.clone();
    for step in after.iter().filter(|s| s.fate == Fate::Already) {
        let path = &step.back.path;
        match subject.then.entries.get(path) {
            Some(entry) => next.entries.insert(path.clone(), entry.clone()),
            None => next.entries.remove(path),
        };
    }
    next.facts.clone_from(&subject.then.facts);
    if subject.before.is_none() && next.entries.is_empty() {
        next = Manifest::default();
    }
    let all = pair
        .local
        .said
        .generations
        .iter()
        .chain(&pair.peer.said.generations);
    let generation = Generation {
        run,
        from: subject.before.as_ref().map(|g| g.name.as_str()),
        serial: all.map(|g| g.serial).max().unwrap_or(0) + 1,
        old: &subject.then,
        new: &next,
        with_run_archives: false,
        whole: true,
    };
    Ok(commit::commit(
        pair,
        &generation,
        &request.policy.snapshots,
    )?)
}
