//! A pair about which no guard has anything to say, bent by each file below until one has.

mod all_changed;
mod allow;
mod each_guard;
mod engine_version;
mod free_space;
mod max_delete;
mod outcome;
mod roots;

use std::time::Duration;

use super::*;
use crate::model::entry::{Entry, File};
use crate::model::path::RelPath;
use crate::model::plan::Change;

fn host(name: &str, root: &str) -> HostFacts {
    HostFacts {
        name: name.into(),
        root: root.into(),
        real_root: Some(root.into()),
        root_is_usable: true,
        root_identity: "1:2".into(),
        root_identity_before: Some("1:2".into()),
        marker: true,
        free_bytes: Some(1 << 40),
        unison: "unison version 2.52.1 (ocaml 4.13.1)".into(),
        files: 100,
        before: 100,
        unchanged: 100,
        ..HostFacts::default()
    }
}

/// A pair about which no guard has anything to say.
fn quiet() -> Facts {
    Facts {
        peer: "balaur".into(),
        local: host("mac", "/home/th/UBOS"),
        remote: host("balaur", "/srv/janus/repo"),
        rules_before: Some("r1".into()),
        rules_now: "r1".into(),
        marker_name: ".ubos-root".into(),
        ..Facts::default()
    }
}

fn limits() -> Guards {
    Guards {
        max_delete: DeleteLimit::Percent(20.0),
        max_delete_floor: 20,
        max_clock_skew: Duration::from_secs(2),
        min_free_space: 1000,
        marker: ".ubos-root".into(),
    }
}

fn file(size: u64) -> Entry {
    Entry::File(File {
        size,
        mode: 0o644,
        mtime_ns: 0,
        hash: "h".into(),
    })
}

fn change(path: &str, to: Side, source: Option<Entry>, target: Option<Entry>) -> Change {
    let kind = match (&source, &target) {
        (None, _) => Kind::Delete,
        (_, None) => Kind::Create,
        _ => Kind::Update,
    };
    Change {
        path: RelPath::new(path).unwrap(),
        kind,
        to,
        source,
        target,
        conflict: None,
        moved: false,
    }
}

fn deletes(n: usize, to: Side) -> Vec<Change> {
    (0..n)
        .map(|i| change(&format!("{}{i:04}", to.word()), to, None, Some(file(1))))
        .collect()
}

fn plan_of(changes: Vec<Change>) -> TruthPlan {
    TruthPlan {
        changes,
        ..TruthPlan::default()
    }
}

/// Whether the plan passed, and all findings.
fn judge(plan: TruthPlan, facts: &Facts, limits: &Guards, allow: &[&str]) -> (bool, Vec<Finding>) {
    let allow: Vec<String> = allow.iter().map(|a| (*a).to_owned()).collect();
    match guard(plan, facts, limits, &allow) {
        Ok(guarded) => (true, guarded.into_parts().1),
        Err(findings) => (false, findings),
    }
}

fn names(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|f| f.guard.as_str()).collect()
}

fn stopped_by(bend: impl Fn(&mut Facts)) -> Vec<String> {
    let mut facts = quiet();
    bend(&mut facts);
    let findings = judge(TruthPlan::default(), &facts, &limits(), &[]).1;
    findings.into_iter().map(|f| f.guard).collect()
}
