//! What a publish would do to one target, shown and guarded.
//!
//! Invariant: every guard looks, so that one refusal shows every reason.

use crate::host::link::LinkError;
use crate::lanes::publish::export::{self, Export};
use crate::lanes::publish::run::Order;
use crate::lanes::publish::source::warn;
use crate::lanes::publish::target::Opened;
use crate::model::finding::{Finding, Severity};
use crate::model::index::Index;
use crate::model::path::RelPath;
use crate::model::policy::{DeleteLimit, Layout, Target};
use crate::model::publish_plan::{PublishPlan, Seen};
use crate::model::record::{ChangeDoc, LeftDoc, PublishLane, ResultWord};
use crate::model::text::{count, size};

pub fn refuse(guard: &str, target: Option<&str>, message: String, hint: &str) -> Finding {
    Finding {
        guard: guard.into(),
        severity: Severity::Refuse,
        peer: target.map(str::to_owned),
        message,
        hint: hint.into(),
    }
}

pub fn plan_of(
    order: &Order,
    on: &Opened,
    export: &Export,
    index: &mut Index,
) -> Result<PublishPlan, LinkError> {
    let base = on.versions();
    let paths = export.want.keys().chain(base.keys());
    let held = on.content(paths, index)?;
    let seen = Seen {
        want: &export.want,
        base: &base,
        have: &held.have,
        odd: &held.odd,
        is_apart: &|p: &RelPath| export::is_apart(order.policy, order.publish, p),
    };
    Ok(seen.plan())
}

pub fn show(lane: &mut PublishLane, plan: &PublishPlan, on: &Opened) {
    for step in &plan.steps {
        lane.changes.push(ChangeDoc {
            path: step.path.lossy(),
            path_hex: step.path.hex_if_not_utf8(),
            kind: step.kind.word().into(),
            to: "peer".into(),
            bytes: step.bytes,
            conflict: None,
            why: None,
            moved: false,
            source: None,
            target: None,
            result: ResultWord::Planned,
            error: None,
        });
        if step.edited && on.base.is_some() {
            lane.modified.push(LeftDoc {
                path: step.path.lossy(),
                path_hex: step.path.hex_if_not_utf8(),
                why: "somebody changed it on the target; its content is kept there before it is replaced".into(),
                conflict: false,
            });
        }
    }
}

pub fn guards(
    order: &Order,
    target: &Target,
    on: &Opened,
    plan: &PublishPlan,
    lane: &PublishLane,
) -> Vec<Finding> {
    let name = Some(target.name.as_str());
    let mut out = Vec::new();
    if let Some(bad) = &on.bad {
        out.push(refuse(
            "roots",
            name,
            format!(
                "{} on {} cannot be published to: {}",
                target.path,
                target.name,
                crate::model::text::neutral(bad)
            ),
            "look at it on the target",
        ));
    }
    if let Some(root) = &on.root {
        if *root == on.home || root == "/" || root.is_empty() {
            out.push(refuse(
                "roots",
                name,
                format!("{} is a home directory or the root of a disk", target.path),
                "publish to a directory of its own",
            ));
        }
        if !on.usable {
            out.push(refuse(
                "roots",
                name,
                format!(
                    "{} on {} may not be read and written by this user",
                    target.path, target.name
                ),
                "ls -ld it on the target",
            ));
        }
        // What stands there equals what would come, or nobody can tell whose it is.
        let foreign = on.strangers > 0
            && !on.ours
            && on.rev.is_none()
            && (!plan.is_empty() || order.publish.layout == Layout::Releases);
        if foreign {
            out.push(refuse("roots", name, format!("{} on {} holds {} that nobody published there: it may be the wrong directory", target.path, target.name, count(usize::try_from(on.strangers).unwrap_or(usize::MAX), "thing")), "if it is the right one: run once with --allow roots; what would be overwritten is kept"));
        }
    }
    if let Some(dir) = on.unreadable.first() {
        out.push(refuse(
            "roots",
            name,
            format!(
                "{dir} on {} cannot be read, so nobody knows what it holds",
                target.name
            ),
            "make it readable for the user who publishes",
        ));
    }
    if !on.sha || on.rsync.is_empty() || (on.root.is_some() && on.style == "none") {
        let what = if on.rsync.is_empty() {
            "rsync"
        } else {
            "sha256sum (or shasum), and a find or stat that tells times"
        };
        out.push(refuse(
            "engine_version",
            name,
            format!("{} has no {what}", target.name),
            "install it there",
        ));
    }
    out.extend(max_delete(order, target, plan));
    let need = plan
        .arriving()
        .saturating_add(order.policy.guards.min_free_space);
    if let Some(free) = on.free
        && plan.arriving() > 0
        && free < need
    {
        out.push(refuse(
            "free_space",
            name,
            format!(
                "{} has {} free, but {} would arrive and {} must stay free",
                target.name,
                size(free),
                size(plan.arriving()),
                size(order.policy.guards.min_free_space)
            ),
            "make room there",
        ));
    }
    for f in &mut out {
        // What cannot work is not waived by wishing.
        if order.allow.contains(&f.guard) && on.bad.is_none() && on.usable | on.root.is_none() {
            f.severity = Severity::Waived;
        }
    }
    if !lane.modified.is_empty() {
        let mut told = warn(
            "modified",
            format!(
                "somebody has changed {} on {}; what is there now is kept there before it is replaced",
                count(lane.modified.len(), "published file"),
                target.name
            ),
            "",
        );
        told.peer = Some(target.name.clone());
        out.push(told);
    }
    out
}

fn max_delete(order: &Order, target: &Target, plan: &PublishPlan) -> Option<Finding> {
    let limits = &order.policy.guards;
    let n = plan.deletes as u64;
    let (over, limit) = match limits.max_delete {
        DeleteLimit::Count(max) => (n > max, max.to_string()),
        DeleteLimit::Percent(p) => (
            n > limits.max_delete_floor
                && p < 100.0
                && n as f64 > plan.base_files as f64 * p / 100.0,
            format!("{p}% of {}", count(plan.base_files, "file")),
        ),
    };
    over.then(|| {
        refuse(
            "max_delete",
            Some(&target.name),
            format!(
                "{} would be deleted on {}, more than max_delete = {limit} allows",
                count(plan.deletes, "file"),
                target.name
            ),
            "if that is what the commit means: run once with --allow max_delete",
        )
    })
}
