//! Guards: predicates over plain data that say no before anything is touched. All of them report, none stops at the first.
//!
//! Invariants: apply takes a [`GuardedPlan`], and [`guard`] is its only constructor; `state_leak` cannot be waived.

use super::back_in_time::back_in_time;
use super::finding::{Finding, Severity};
pub use super::guard_facts::{Facts, HostFacts};
use super::plan::{Kind, Side, TruthPlan};
use super::policy::{DeleteLimit, Guards};
use super::text::{count, neutral, size};

/// A plan that the guards let pass. There is no other way to get one.
#[derive(Debug)]
pub struct GuardedPlan {
    plan: TruthPlan,
    findings: Vec<Finding>,
}

impl GuardedPlan {
    pub fn plan(&self) -> &TruthPlan {
        &self.plan
    }

    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub fn into_parts(self) -> (TruthPlan, Vec<Finding>) {
        (self.plan, self.findings)
    }
}

/// The names of the guards, as `--allow` takes them (for `state_leak` in vain).
pub const NAMES: [&str; 12] = [
    "marker",
    "roots",
    "max_delete",
    "all_changed",
    "first_sync",
    "clock_skew",
    "free_space",
    "engine_version",
    "state_leak",
    "root_mode",
    "rules_changed",
    "held",
];

/// These no `--allow` waives.
const LEAK: &str = "state_leak";
const UNDOING: &str = "rollback";

/// Looks at everything; either the plan may be applied, or all the reasons why not.
pub fn guard(
    plan: TruthPlan,
    facts: &Facts,
    limits: &Guards,
    allow: &[String],
) -> Result<GuardedPlan, Vec<Finding>> {
    let mut findings = before_plan(facts);
    findings.extend(max_delete(&plan, facts, limits));
    findings.extend(all_changed(facts));
    findings.extend(free_space(&plan, facts, limits));
    findings.extend(state_leak(facts));
    findings.extend(back_in_time(&plan, &facts.local.name, &facts.remote.name));
    let findings = waive(findings, allow, facts);
    if findings.iter().any(|f| f.severity == Severity::Refuse) {
        return Err(findings);
    }
    Ok(GuardedPlan { plan, findings })
}

/// The guards that need no plan: when one of these refuses, planning would be meaningless.
pub fn before_plan(facts: &Facts) -> Vec<Finding> {
    let mut f = Vec::new();
    f.extend(marker(facts));
    f.extend(roots(facts));
    f.extend(root_mode(facts));
    f.extend(engine_version(facts));
    f.extend(first_sync(facts));
    f.extend(clock_skew(facts));
    f.extend(rules_changed(facts));
    f.extend(undoing(facts));
    f.extend(held(facts));
    f
}

/// Turns refusals that `--allow` names into waived ones, and says for whom they are. A root that is not there stays
/// refused: waived, it would count as empty, and everything on the other side as deleted.
pub fn waive(mut findings: Vec<Finding>, allow: &[String], facts: &Facts) -> Vec<Finding> {
    let absent = hosts(facts).iter().any(|h| h.real_root.is_none());
    for f in &mut findings {
        f.peer = Some(facts.peer.clone());
        let stays = [LEAK, UNDOING].contains(&f.guard.as_str()) || (absent && f.guard == "roots");
        if f.severity == Severity::Refuse && !stays && allow.contains(&f.guard) {
            f.severity = Severity::Waived;
        }
    }
    findings
}

fn refuse(guard: &str, message: String, hint: String) -> Finding {
    Finding {
        guard: guard.to_owned(),
        severity: Severity::Refuse,
        peer: None,
        message,
        hint,
    }
}

fn warn(guard: &str, message: String, hint: &str) -> Finding {
    Finding {
        severity: Severity::Warn,
        ..refuse(guard, message, hint.to_owned())
    }
}

fn hosts(facts: &Facts) -> [&HostFacts; 2] {
    [&facts.local, &facts.remote]
}

pub fn marker(facts: &Facts) -> Vec<Finding> {
    hosts(facts)
        .into_iter()
        .filter(|h| h.real_root.is_some() && !h.marker)
        .map(|h| {
            refuse(
                "marker",
                format!(
                    "{} has no {} in {}: the disk may not be mounted, and syncing now would carry its emptiness to the other side",
                    h.name, facts.marker_name, h.root
                ),
                format!(
                    "look at {} on {} first; only if your files are there: touch {}/{}",
                    h.root, h.name, h.root, facts.marker_name
                ),
            )
        })
        .collect()
}

fn roots(facts: &Facts) -> Vec<Finding> {
    let mut out = Vec::new();
    for h in hosts(facts) {
        match (&h.real_root, &h.root_problem) {
            (None, problem) => out.push(refuse(
                "roots",
                format!(
                    "{} on {} is {}",
                    h.root,
                    h.name,
                    problem.as_deref().unwrap_or("missing")
                ),
                format!(
                    "mount it, or correct `root` in the policy; on {}: ls -ld {}",
                    h.name, h.root
                ),
            )),
            (Some(_), _) => {
                if let Some(before) = &h.root_identity_before
                    && *before != h.root_identity
                {
                    out.push(refuse(
                        "roots",
                        format!(
                            "{} on {} is another directory than at the last applied run ({} then, {} now)",
                            h.root, h.name, before, h.root_identity
                        ),
                        "if you moved or restored the tree on purpose, run once with --allow roots".into(),
                    ));
                }
            }
        }
        if h.before > 0 && h.files == 0 && h.real_root.is_some() {
            out.push(refuse(
                "roots",
                format!("{} on {} is empty, and held {} at the last sync", h.root, h.name, count(h.before, "file")),
                "if everything was deleted on purpose, run once with --allow roots --allow max_delete --allow all_changed".into(),
            ));
        }
    }
    if facts.same_machine
        && let (Some(a), Some(b)) = (&facts.local.real_root, &facts.remote.real_root)
    {
        let nested = |x: &str, y: &str| {
            // Without the slash, so that `/` holds everything.
            y.strip_prefix(x.trim_end_matches('/'))
                .is_some_and(|r| r.is_empty() || r.starts_with('/'))
        };
        if nested(a, b) || nested(b, a) {
            out.push(refuse(
                "roots",
                format!("the two roots are the same or lie within each other: {a} and {b}"),
                "give each replica a directory of its own".into(),
            ));
        }
    }
    out
}

fn root_mode(facts: &Facts) -> Vec<Finding> {
    hosts(facts)
        .into_iter()
        .filter(|h| h.real_root.is_some() && !h.root_is_usable)
        .map(|h| {
            refuse(
                "root_mode",
                format!(
                    "{} on {} may not be read, written and entered by this user",
                    h.root, h.name
                ),
                format!("on {}: chmod u+rwx {}", h.name, h.root),
            )
        })
        .collect()
}

/// `(major, minor)` of a line such as `unison version 2.52.1 (ocaml 4.13.1)`.
pub fn engine_release(line: &str) -> Option<(u32, u32)> {
    let version = line
        .strip_prefix("unison version ")?
        .split_whitespace()
        .next()?;
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn engine_version(facts: &Facts) -> Vec<Finding> {
    let mut out = Vec::new();
    for h in hosts(facts) {
        if !h.tools_missing.is_empty() {
            out.push(refuse(
                "engine_version",
                format!("{} lacks {}", h.name, h.tools_missing.join(", ")),
                if h.tools_missing
                    .iter()
                    .any(|m| m.starts_with("a quiet login shell"))
                {
                    format!(
                        "on {}: let start-up files print only when `case $- in *i*)` matches",
                        h.name
                    )
                } else {
                    format!("install them on {}", h.name)
                },
            ));
        }
        match engine_release(&h.unison) {
            None => out.push(refuse(
                "engine_version",
                match h.unison.trim() {
                    "" => format!("unison was not found on {}", h.name),
                    line => format!(
                        "unison on {} does not tell its version: {}",
                        h.name,
                        neutral(line)
                    ),
                },
                format!(
                    "on {}: apt-get install unison   (macOS: brew install unison)",
                    h.name
                ),
            )),
            Some(v) if v < (2, 51) => out.push(refuse(
                "engine_version",
                format!(
                    "unison {}.{} on {} is too old; 2.51 is the oldest that is safe here",
                    v.0, v.1, h.name
                ),
                format!("install unison 2.52 or newer on {}", h.name),
            )),
            Some(_) => {}
        }
    }
    if let (Some(a), Some(b)) = (
        engine_release(&facts.local.unison),
        engine_release(&facts.remote.unison),
    ) {
        let (old, new) = (a.min(b), a.max(b));
        if old < (2, 52) && new >= (2, 54) {
            out.push(refuse(
                "engine_version",
                format!(
                    "unison {}.{} on {} and {}.{} on {} cannot talk to each other",
                    a.0, a.1, facts.local.name, b.0, b.1, facts.remote.name
                ),
                "bring both to 2.52 or newer".into(),
            ));
        }
    }
    out
}

fn first_sync(facts: &Facts) -> Vec<Finding> {
    let Some(evidence) = &facts.base_lost else {
        return Vec::new();
    };
    vec![refuse(
        "first_sync",
        format!(
            "this pair has synced before ({evidence}), but what both sides last had in common is gone; deleted files would come back"
        ),
        "restore the state directory; or, if files that come back are fine, run once with --allow first_sync".into(),
    )]
}

fn clock_skew(facts: &Facts) -> Vec<Finding> {
    facts
        .clocks_apart
        .iter()
        .map(|apart| {
            warn(
                "clock_skew",
                format!("{apart}; conflicts are left to you instead of being decided by time"),
                "set the clocks (chrony, ntp), or run once with --allow clock_skew",
            )
        })
        .collect()
}

fn rules_changed(facts: &Facts) -> Vec<Finding> {
    match &facts.rules_before {
        Some(before) if *before != facts.rules_now => vec![warn(
            "rules_changed",
            "what counts as truth has changed since the last applied run; nothing is deleted because of that, but look at the plan".into(),
            "ubos-sync explain PATH",
        )],
        _ => Vec::new(),
    }
}

/// A tree that is half rolled back must not be taken for what somebody wanted.
fn undoing(facts: &Facts) -> Vec<Finding> {
    let unfinished = |run: &String| {
        refuse(
            UNDOING,
            format!("a rollback of {run} broke off half-way"),
            format!("ubos-sync rollback {run} --apply"),
        )
    };
    facts.undoing.iter().map(unfinished).collect()
}

fn held(facts: &Facts) -> Vec<Finding> {
    facts
        .held
        .iter()
        .map(|why| {
            refuse(
                "held",
                format!("the pair is held: {why}"),
                format!("ubos-sync release {}", facts.peer),
            )
        })
        .collect()
}

fn max_delete(plan: &TruthPlan, facts: &Facts, limits: &Guards) -> Vec<Finding> {
    let deletes: Vec<_> = plan
        .changes
        .iter()
        .filter(|c| {
            c.kind == Kind::Delete && !c.moved && !c.target.as_ref().is_some_and(|t| t.is_dir())
        })
        .collect();
    let n = deletes.len() as u64;
    // A side that deleted has already lost them: count against what the smaller one had before, whoever drives.
    let had = |files: usize, told: Side| {
        files as u64 + deletes.iter().filter(|c| c.to == told).count() as u64
    };
    let whole = had(facts.local.files, Side::Peer).min(had(facts.remote.files, Side::Local));
    let (over, limit) = match limits.max_delete {
        DeleteLimit::Count(max) => (n > max, max.to_string()),
        DeleteLimit::Percent(p) => (
            n > limits.max_delete_floor && p < 100.0 && n as f64 > whole as f64 * p / 100.0,
            format!(
                "{p}% of {}",
                count(usize::try_from(whole).unwrap_or(usize::MAX), "file")
            ),
        ),
    };
    if !over {
        return Vec::new();
    }
    let on = |side| deletes.iter().filter(|c| c.to == side).count();
    vec![refuse(
        "max_delete",
        format!(
            "{} would be deleted ({} on {}, {} on {}), more than max_delete = {limit} allows",
            count(deletes.len(), "file"),
            on(Side::Local),
            facts.local.name,
            on(Side::Peer),
            facts.remote.name
        ),
        "if that is what you did: run once with --allow max_delete".into(),
    )]
}

/// Fewer previously synced files than this, and "all of them changed" says nothing.
const ALL_CHANGED_FLOOR: usize = 5;

fn all_changed(facts: &Facts) -> Vec<Finding> {
    hosts(facts)
        .into_iter()
        .filter(|h| !facts.first_time && h.before >= ALL_CHANGED_FLOOR && h.unchanged == 0 && h.files > 0)
        .map(|h| {
            refuse(
                "all_changed",
                format!(
                    "every one of the {} that {} had at the last sync has changed; a restored backup, another time zone or a stray script looks like that",
                    count(h.before, "file"),
                    h.name
                ),
                "if it was you: run once with --allow all_changed".into(),
            )
        })
        .collect()
}

fn free_space(plan: &TruthPlan, facts: &Facts, limits: &Guards) -> Vec<Finding> {
    let mut out = Vec::new();
    for (side, host) in [(Side::Local, &facts.local), (Side::Peer, &facts.remote)] {
        let Some(free) = host.free_bytes else {
            continue;
        };
        let mine = || plan.changes.iter().filter(move |c| c.to == side);
        // A side may report any size: sums stop at the top instead of wrapping to a small number.
        let arriving = mine()
            .filter(|c| c.kind != Kind::Delete)
            .fold(0, |n: u64, c| n.saturating_add(c.bytes()));
        let kept = mine()
            .filter(|c| c.kind != Kind::Meta)
            .filter_map(|c| c.target.as_ref())
            .fold(0, |n: u64, t| n.saturating_add(t.bytes()));
        let least = limits.min_free_space;
        let mut short = |free: u64, taken: u64, what: String| {
            let need = taken.saturating_add(least);
            if taken > 0 && free < need {
                out.push(refuse(
                    "free_space",
                    format!("{what}, and {} must stay free", size(least)),
                    format!("free {} on {}", size(need - free), host.name),
                ));
            }
        };
        let has = format!("{} has {} free", host.name, size(free));
        match host.state_free {
            None => short(
                free,
                arriving.saturating_add(kept),
                format!(
                    "{has}, but {} would arrive, {} would be kept for undo",
                    size(arriving),
                    size(kept)
                ),
            ),
            Some(apart) => {
                short(
                    free,
                    arriving,
                    format!("{has}, but {} would arrive", size(arriving)),
                );
                short(
                    apart,
                    kept,
                    format!(
                        "{} has {} free under {}, but {} would be kept there for undo",
                        host.name,
                        size(apart),
                        host.state,
                        size(kept)
                    ),
                );
            }
        }
    }
    out
}

fn state_leak(facts: &Facts) -> Vec<Finding> {
    facts
        .leaks
        .iter()
        .map(|p| {
            refuse(
                "state_leak",
                format!("{p} is state and must never cross, but the engine would carry it"),
                "this is a defect of ubos-sync; please report it with the run's log".into(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests;
