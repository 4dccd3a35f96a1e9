//! Reconciliation, case by case: trees in short, a plan of them, and the same plan as words.

mod apart;
mod base;
mod deleted_directories;
mod properties;
mod reasons;
mod renames;
mod replaced;
mod unreadable;
mod winner;

use super::*;
use crate::model::decide::Clocks;
use crate::model::policy::Strategy;
use crate::model::rules::Verdict;
use crate::model::tree::Stat;

const S: i128 = 1_000_000_000;

fn judge_by(strategy: Strategy, permissions: bool) -> Judge {
    Judge {
        strategy,
        permissions,
        clocks: Clocks {
            apart: None,
            latest_local_ns: 1_000 * S,
            latest_peer_ns: 1_000 * S,
        },
        local_name: "mac".into(),
        peer_name: "balaur".into(),
    }
}

fn path(p: &str) -> RelPath {
    RelPath::new(p).unwrap()
}

/// A tree in short: `d/` a directory, `f=content@seconds` a file, `l>target` a link, `s!` state, `e/!` an excluded
/// directory, `n/^` a directory above the included ones, `n^` a file there, `u/?` an unreadable directory, `f?` an
/// unreadable file, `p|` a pipe.
fn tree(lines: &[&str]) -> Replica {
    let (mut r, mut contents) = (Replica::default(), BTreeMap::new());
    for line in lines {
        let end = line
            .find(['=', '>', '!', '?', '|', '^'])
            .unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let is_dir = name.ends_with('/');
        let p = path(name.trim_end_matches('/'));
        let verdict = match rest {
            "!" if is_dir => Some(Verdict::Excluded(name.into())),
            "!" => Some(Verdict::State(name.into())),
            "^" => Some(Verdict::NotIncluded),
            _ => None,
        };
        if let Some(verdict) = verdict {
            r.tree.apart.insert(p, (verdict, is_dir));
            continue;
        }
        let (content, at) = rest
            .trim_start_matches('=')
            .split_once('@')
            .unwrap_or((&rest[rest.len().min(1)..], "1"));
        let what = match rest.as_bytes().first() {
            Some(b'|') => What::Other,
            Some(b'>') => What::Link(rest[1..].into()),
            _ if is_dir => What::Dir,
            _ => What::File,
        };
        let stat = Stat {
            what,
            size: content.len() as u64,
            mtime_ns: at.parse::<i128>().unwrap() * S,
            ctime_ns: 0,
            ino: 1,
            mode: if is_dir { 0o755 } else { 0o644 },
        };
        if rest == "?" {
            if is_dir {
                r.tree.unreadable.insert(p.clone());
            }
        } else {
            contents.insert(p.clone(), content.into());
        }
        r.tree.truth.insert(p, stat);
    }
    Replica::of(r.tree, |p, _| contents.get(p).copied())
}

fn had(lines: &[&str]) -> Manifest {
    let entries = tree(lines);
    let entries = entries.entries().map(|(p, e)| (p.clone(), e));
    Manifest {
        entries: entries.collect(),
        ..Manifest::default()
    }
}

fn check_plan_is_sound(r: &Reconciled) {
    let paths: Vec<_> = r.plan.changes.iter().map(|c| &c.path).collect();
    assert!(paths.windows(2).all(|w| w[0] < w[1]), "sorted and unique");
    for l in &r.plan.left {
        assert!(
            !paths.contains(&&l.path),
            "{:?} is left and changed",
            l.path
        );
    }
}

fn plan_by(strategy: Strategy, base: &[&str], local: &[&str], peer: &[&str]) -> Reconciled {
    let base = had(base);
    let (local, peer) = (tree(local), tree(peer));
    let r = reconcile(&judge_by(strategy, true), &base, &local, &peer);
    check_plan_is_sound(&r);
    r
}

fn plan(base: &[&str], local: &[&str], peer: &[&str]) -> Reconciled {
    plan_by(Strategy::Newer, base, local, peer)
}

/// Changes as `kind path > side`, a decided conflict marked `!`, a rename `~`.
fn changes(r: &Reconciled) -> Vec<String> {
    let mark = |c: &Change| match (&c.conflict, c.moved) {
        (Some(_), _) => "!",
        (None, true) => "~",
        _ => "",
    };
    let show = |c: &Change| format!("{}{} {} > {}", c.kind.word(), mark(c), c.path, c.to.word());
    r.plan.changes.iter().map(show).collect()
}

/// What is left: a true conflict is marked `!`.
fn left(r: &Reconciled) -> Vec<String> {
    let show = |l: &Left| format!("{}{}", l.path, if l.conflict { "!" } else { "" });
    r.plan.left.iter().map(show).collect()
}

fn notes(r: &Reconciled) -> Vec<String> {
    r.plan.notes.iter().map(|n| n.path.to_string()).collect()
}

const NONE: [&str; 0] = [];
