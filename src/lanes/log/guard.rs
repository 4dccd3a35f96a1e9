//! The guards of the append-only lane: held pairs, unmounted roots, room.
//!
//! Invariant: all of them report; each can be waived for one run by its name.

use std::collections::BTreeMap;
use std::path::Path;

use crate::host::log_files;
use crate::lanes::log::plan::Step;
use crate::lanes::log::run::Request;
use crate::lanes::log::survey::Survey;
use crate::lanes::truth::hosts::held_here;
use crate::model::finding::{Finding, Severity};
use crate::model::text::size;

/// Bytes that a step would bring.
pub fn coming(step: &Step) -> u64 {
    match step {
        Step::First { size } | Step::Rotated { size, .. } | Step::Aside { size } => *size,
        Step::Append { at, size } => size - at,
        _ => 0,
    }
}

pub fn guards(request: &Request, survey: &Survey, steps: &[Step]) -> Vec<Finding> {
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
    if let Some(why) = held_here(site, &peer.name) {
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
